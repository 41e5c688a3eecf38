//! The exchanges that the manuals print, and whatever else may come over a line.

use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let byte = |pair| u8::from_str_radix(pair, 16).unwrap();
    text.split_whitespace().map(byte).collect()
}

fn found(protocol: Protocol, bytes: &[u8]) -> Vec<Packet> {
    let mut parser = Parser::of_instructions(protocol, PARAMS_MAX);
    parser.feed(bytes);
    std::iter::from_fn(|| parser.next_packet()).collect()
}

/// Communication Protocol Manual of Feetech's SMS/STS series.
#[test]
fn the_exchanges_of_feetechs_manual_are_what_is_sent_and_understood() {
    let p = Protocol::Feetech;
    assert_eq!(p.ping(1).bytes(), hex("FF FF 01 02 01 FB"));
    assert_eq!(p.read(1, 0x38, 2).bytes(), hex("FF FF 01 04 02 38 02 BE"));
    // The identifier of whoever hears it becomes 1.
    assert_eq!(
        p.write(BROADCAST, 5, &[1]).bytes(),
        hex("FF FF FE 04 03 05 01 F4")
    );
    let goal = hex("00 08 00 00 E8 03");
    assert_eq!(
        p.write(1, 0x2A, &goal).bytes(),
        hex("FF FF 01 09 03 2A 00 08 00 00 E8 03 D5")
    );
    assert_eq!(
        p.reg_write(1, 0x2A, &goal).bytes(),
        hex("FF FF 01 09 04 2A 00 08 00 00 E8 03 D4")
    );
    assert_eq!(p.action().bytes(), hex("FF FF FE 02 05 FA"));
    let sync = p.sync_write(0x2A, 6, (1..=4).map(|id| (id, &goal[..])));
    let printed = "FF FF FE 20 83 2A 06 01 00 08 00 00 E8 03 02 00 08 00 00 E8 03 \
                   03 00 08 00 00 E8 03 04 00 08 00 00 E8 03 58";
    assert_eq!(sync.bytes(), hex(printed));
    assert_eq!(
        p.sync_read(0x38, 8, 1..=2).bytes(),
        hex("FF FF FE 06 82 38 08 01 02 36")
    );
    let answers =
        hex("FF FF 01 0A 00 00 08 00 00 00 00 79 1E 55 FF FF 02 0A 00 FF 07 00 00 00 00 77 1F 57");
    let packets = found(p, &answers);
    let [one, two] = packets.each_ref_two();
    assert_eq!(
        p.answer(one).unwrap(),
        Answer {
            id: 1,
            error: 0,
            data: &hex("00 08 00 00 00 00 79 1E")
        }
    );
    assert_eq!(
        p.answer(two).unwrap(),
        Answer {
            id: 2,
            error: 0,
            data: &hex("FF 07 00 00 00 00 77 1F")
        }
    );
    let one = &found(p, &hex("FF FF 01 04 00 18 05 DD"))[0];
    assert_eq!(p.answer(one).unwrap().data, 1304_u16.to_le_bytes());
    assert_eq!(
        p.status(1, 0, &1304_u16.to_le_bytes()).bytes(),
        hex("FF FF 01 04 00 18 05 DD")
    );
}

trait Two {
    fn each_ref_two(&self) -> [&Packet; 2];
}

impl Two for Vec<Packet> {
    fn each_ref_two(&self) -> [&Packet; 2] {
        assert_eq!(self.len(), 2);
        [&self[0], &self[1]]
    }
}

/// ROBOTIS e-Manual, DYNAMIXEL Protocol 2.0, the examples of its instructions.
#[test]
fn the_exchanges_of_the_dynamixel_manual_are_what_is_sent_and_understood() {
    let p = Protocol::Dynamixel;
    assert_eq!(p.ping(1).bytes(), hex("FF FF FD 00 01 03 00 01 19 4E"));
    let ping = &found(p, &hex("FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"))[0];
    let ping = p.answer(ping).unwrap();
    // Model 1030, firmware 38.
    assert_eq!(
        (ping.id, ping.error, ping.data),
        (1, 0, &[0x06, 0x04, 0x26][..])
    );
    assert_eq!(
        p.read(1, 132, 4).bytes(),
        hex("FF FF FD 00 01 07 00 02 84 00 04 00 1D 15")
    );
    let read = &found(p, &hex("FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"))[0];
    assert_eq!(p.answer(read).unwrap().data, 166_u32.to_le_bytes());
    let write = p.write(1, 116, &512_u32.to_le_bytes());
    assert_eq!(
        write.bytes(),
        hex("FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89")
    );
    assert_eq!(
        p.status(1, 0, &[]).bytes(),
        hex("FF FF FD 00 01 04 00 55 00 A1 0C")
    );
    let read = p.sync_read(132, 4, 1..=2);
    assert_eq!(
        read.bytes(),
        hex("FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA")
    );
    let two = p.status(2, 0, &2079_u32.to_le_bytes());
    assert_eq!(
        two.bytes(),
        hex("FF FF FD 00 02 08 00 55 00 1F 08 00 00 BA BE")
    );
    let goals = [150_u32.to_le_bytes(), 170_u32.to_le_bytes()];
    let write = p.sync_write(116, 4, (1..).zip(goals.iter().map(|goal| &goal[..])));
    let printed = "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87";
    assert_eq!(write.bytes(), hex(printed));
}

#[test]
fn a_header_among_the_parameters_is_stuffed_and_comes_back() {
    let p = Protocol::Dynamixel;
    let data = hex("FF FF FD 00 FF FF FD FD");
    let frame = p.status(7, 0, &data);
    assert_eq!(frame.bytes()[9..19], hex("FF FF FD FD 00 FF FF FD FD FD"));
    assert_eq!(p.answer(&found(p, frame.bytes())[0]).unwrap().data, data);
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Feetech), Just(Protocol::Dynamixel)]
}

/// Bytes that headers are made of come often.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0xFF_u8), 1 => Just(0xFD), 1 => Just(0), 1 => 0_u8..16, 4 => any::<u8>()];
    prop::collection::vec(byte, 0..1500)
}

proptest! {
    #[test]
    fn every_packet_comes_back_whatever_is_in_it(
        protocol in protocol(),
        id in 0..=ID_MAX,
        error in any::<u8>(),
        data in prop::collection::vec(prop_oneof![Just(0xFF_u8), Just(0xFD), any::<u8>()], 0..PARAMS_MAX - 1),
    ) {
        let frame = protocol.status(id, error, &data);
        let packets = found(protocol, frame.bytes());
        prop_assert_eq!(packets.len(), 1);
        prop_assert_eq!(protocol.answer(&packets[0]), Some(Answer { id, error, data: &data }));
        prop_assert!(frame.bytes().len() >= protocol.answer_len(data.len()));
    }

    #[test]
    fn nothing_that_comes_panics_and_after_it_packets_are_found(
        protocol in protocol(),
        garbage in garbage(),
        chunk in 1_usize..64,
    ) {
        let mut parser = Parser::of_answers(protocol, 16);
        for bytes in garbage.chunks(chunk) {
            parser.feed(bytes);
            while parser.next_packet().is_some() {}
        }
        // What looks like a head may swallow as much as the longest packet; not more.
        let frame = protocol.status(5, 0, &[1, 2, 3, 4]);
        let packets = (0..4).filter_map(|_| {
            parser.feed(frame.bytes());
            parser.next_packet()
        });
        prop_assert!(packets.filter(|packet| packet.id == 5).count() >= 1);
    }

    #[test]
    fn a_flipped_bit_is_never_a_reading(protocol in protocol(), data in any::<[u8; 8]>(), bit in 0_usize..112) {
        let frame = protocol.status(3, 0, &data);
        let mut bytes = frame.bytes().to_vec();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(found(protocol, &bytes), vec![]);
    }

    #[test]
    fn a_packet_whose_end_is_lost_does_not_hide_the_next(protocol in protocol(), data in prop::array::uniform8(0_u8..0xFF), lost in 1_usize..10) {
        let frame = protocol.status(3, 0, &data);
        let kept = frame.bytes().len() - lost;
        let bytes = [&frame.bytes()[..kept], protocol.status(4, 0, &data).bytes()].concat();
        let mut parser = Parser::of_answers(protocol, 16);
        parser.feed(&bytes);
        let packets: Vec<Packet> = std::iter::from_fn(|| parser.next_packet()).collect();
        for packet in &packets {
            prop_assert_eq!(protocol.answer(packet).unwrap().data, data);
        }
        // A sum that is lost, and the header in its place: the only thing that can take its part.
        prop_assert!(lost == 1 || packets.iter().map(|packet| packet.id).eq([4]));
    }
}

/// Each file is a stream that once was, or could have been, trouble.
#[test]
fn the_corpus_does_no_harm() {
    for text in [
        include_str!("../../../corpus/servo_bus/headers_without_end.txt"),
        include_str!("../../../corpus/servo_bus/length_beyond_everything.txt"),
        include_str!("../../../corpus/servo_bus/stuffing_at_the_end.txt"),
    ] {
        for protocol in [Protocol::Feetech, Protocol::Dynamixel] {
            let mut parser = Parser::of_answers(protocol, 16);
            for byte in hex(text) {
                parser.feed(&[byte]);
                while parser.next_packet().is_some() {}
            }
            for _ in 0..3 {
                parser.feed(protocol.status(9, 0, &[0; 8]).bytes());
            }
            assert_eq!(
                parser.next_packet().map(|packet| packet.id),
                Some(9),
                "{text}"
            );
        }
    }
}
