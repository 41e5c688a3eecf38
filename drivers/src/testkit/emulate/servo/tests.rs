//! What an emulated servo does by itself: its memory, its profile, its protection.

use super::*;
use crate::servo_bus::tables::{Model, STS};
use crate::servo_bus::wire::{Frame, Parser, Protocol};
use crate::testkit::emulate::{Inertias, Plant};
use visuomotor_runtime::clock::{Duration, Instant};

const MS: Duration = Duration::from_ticks(1_000_000);

/// A joint that nothing can move.
struct Wall(Inertias);

impl Plant for Wall {
    fn joints(&self) -> usize {
        self.0.joints()
    }

    fn step_s(&self) -> f64 {
        self.0.step_s()
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.0.state(joint)
    }

    fn step(&mut self, _tau_nm: &[f64]) {}
}

struct Line<P> {
    device: ServoDevice<P>,
    now: Instant,
}

impl<P: Plant> Line<P> {
    fn of(model: &str, plant: P) -> Self {
        let model = Model::named(model).unwrap();
        let now = Instant::from_ticks(0);
        let spec = |i: usize| ServoSpec {
            id: i as u8 + 1,
            model,
            mounting: Mounting::centred(model),
        };
        let specs: Vec<ServoSpec> = (0..plant.joints()).map(spec).collect();
        Self {
            device: ServoDevice::new(&specs, plant, 1_000_000, now),
            now,
        }
    }

    fn live(&mut self, ms: u32) {
        self.now += MS * ms;
        self.device.advance(self.now);
    }

    /// Identifier, error byte and data of each answer, and when its last byte was sent.
    fn tell(&mut self, protocol: Protocol, frame: &Frame) -> Vec<(u8, u8, Vec<u8>, Duration)> {
        self.device.receive(frame.bytes(), self.now);
        let mut parser = Parser::of_answers(protocol, 64);
        let answers = std::iter::from_fn(|| self.device.answer()).map(|(at, frame)| {
            parser.feed(frame.bytes());
            let packet = parser.next_packet().unwrap();
            let answer = protocol.answer(&packet).unwrap();
            (answer.id, answer.error, answer.data.to_vec(), at - self.now)
        });
        answers.collect()
    }
}

fn inertias(joints: usize) -> Inertias {
    Inertias::at(&vec![0.0; joints], 0.005, 0.15, 1e-3)
}

const F: Protocol = Protocol::Feetech;
const D: Protocol = Protocol::Dynamixel;

#[test]
fn answers_wait_for_return_delay_and_for_each_other_and_take_their_bytes_time() {
    let mut line = Line::of("sts3215", inertias(2));
    // As delivered 500 µs; 14 bytes at 10 µs each; 30 µs to think.
    let answers = line.tell(F, &F.sync_read(56, 8, 1..=2));
    assert_eq!(
        (answers[0].0, answers[0].3),
        (1, Duration::from_ticks(670_000))
    );
    assert_eq!(
        (answers[1].0, answers[1].3),
        (2, Duration::from_ticks(1_340_000))
    );
}

#[test]
fn what_lasts_is_locked_and_what_is_volatile_is_lost_with_the_supply() {
    let mut line = Line::of("sts3215", inertias(1));
    let read = |line: &mut Line<Inertias>, address| line.tell(F, &F.read(1, address, 1))[0].2[0];
    line.tell(F, &F.write(1, 7, &[3]));
    line.tell(F, &F.write(1, 40, &[1]));
    assert_eq!((read(&mut line, 7), read(&mut line, 40)), (3, 1));
    line.device.servo(0).lose_power();
    assert_eq!((read(&mut line, 7), read(&mut line, 40)), (250, 0));
    line.tell(F, &F.write(1, STS.lock.unwrap().address, &[0]));
    line.tell(F, &F.write(1, 7, &[3]));
    line.device.servo(0).lose_power();
    assert_eq!(read(&mut line, 7), 3);
    // Read-only: the position does not change by being written.
    line.tell(F, &F.write(1, 56, &[9, 9]));
    assert_eq!(line.tell(F, &F.read(1, 56, 2))[0].2, 2048_u16.to_le_bytes());
}

#[test]
fn a_dynamixel_says_why_it_refuses_and_holds_what_lasts_while_it_has_power() {
    let mut line = Line::of("xl330-m288", inertias(2));
    let error = |line: &mut Line<Inertias>, frame: &Frame| line.tell(D, frame)[0].1;
    assert_eq!(
        error(&mut line, &D.write(1, 100, &2000_u16.to_le_bytes())),
        Refusal::Limit as u8
    );
    assert_eq!(error(&mut line, &D.write(1, 11, &[5])), 0);
    assert_eq!(error(&mut line, &D.write(1, 64, &[1])), 0);
    assert_eq!(
        error(&mut line, &D.write(1, 11, &[3])),
        Refusal::Access as u8
    );
    assert_eq!(
        error(&mut line, &D.packet(1, 0x77, &[])),
        Refusal::Instruction as u8
    );
    // Everybody answers to a broadcast ping, one after the other.
    let ids: Vec<u8> = line
        .tell(D, &D.ping(0xFE))
        .iter()
        .map(|answer| answer.0)
        .collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn a_registered_write_waits_for_the_action() {
    let mut line = Line::of("sts3215", inertias(1));
    line.tell(F, &F.reg_write(1, 42, &2100_u16.to_le_bytes()));
    assert_eq!(line.tell(F, &F.read(1, 42, 2))[0].2, [0, 0]);
    line.tell(F, &F.action());
    assert_eq!(line.tell(F, &F.read(1, 42, 2))[0].2, 2100_u16.to_le_bytes());
}

#[test]
fn a_servo_moves_no_faster_than_told_and_ends_at_its_goal() {
    let mut line = Line::of("sts3215", inertias(1));
    // Acceleration free, 500 ticks away, at 400 ticks/s.
    line.tell(
        F,
        &F.write(1, 40, &[1, 0, 0xF4, 0x09, 0, 0, 0x90, 0x01, 0xE8, 0x03]),
    );
    line.live(1000);
    let travelled = line.device.truth(line.now)[0];
    assert!(
        (travelled - 400.0 * std::f64::consts::TAU / 4096.0).abs() < 0.05,
        "{travelled}"
    );
    line.live(1000);
    let at = line.tell(F, &F.read(1, 56, 2))[0].2.clone();
    assert_eq!(u16::from_le_bytes([at[0], at[1]]), 2548);
}

#[test]
fn a_servo_that_pushes_against_a_wall_protects_itself_and_grows_warm() {
    let mut line = Line::of("sts3215", Wall(inertias(1)));
    line.tell(
        F,
        &F.write(1, 40, &[1, 0, 0x00, 0x0A, 0, 0, 0, 0, 0xE8, 0x03]),
    );
    line.live(100);
    let load = |line: &mut Line<Wall>| {
        let answer = line.tell(F, &F.read(1, 60, 4)).remove(0);
        (
            answer.1,
            u16::from_le_bytes([answer.2[0], answer.2[1]]),
            answer.2[3],
        )
    };
    assert_eq!(load(&mut line), (0, 1000, 25));
    // After two seconds above 80 % it goes on with 20 %.
    line.live(2_000);
    let (errors, weakened, _) = load(&mut line);
    assert_eq!((errors, weakened), (OVERLOADED, 200));
    let mut line = Line::of("sts3215", Wall(inertias(1)));
    // Protection switched off, as people do: it burns until it is too hot.
    line.tell(F, &F.write(1, 36, &[120]));
    line.tell(
        F,
        &F.write(1, 40, &[1, 0, 0x00, 0x0A, 0, 0, 0, 0, 0xE8, 0x03]),
    );
    line.live(60_000);
    let (errors, load, warmth_c) = load(&mut line);
    assert_eq!((errors, load), (OVERHEATED, 0));
    assert!(warmth_c > 40, "{warmth_c}");
}

#[test]
fn a_goal_beyond_the_seam_is_reached_the_long_way_round() {
    let mut line = Line::of("sts3215", Inertias::at(&[3.0], 0.005, 0.15, 1e-3));
    line.tell(F, &F.write(1, 40, &[1, 0, 50, 0, 0, 0, 0, 0, 0xE8, 0x03]));
    line.live(100);
    // Not the 0.2 rad forward.
    assert!(
        line.device.truth(line.now)[0] < 2.9,
        "{}",
        line.device.truth(line.now)[0]
    );
}

#[test]
fn a_dynamixels_watchdog_stops_it_where_it_is_and_locks_its_goal_until_cleared() {
    let mut line = Line::of("xl330-m288", inertias(1));
    line.tell(D, &D.write(1, 112, &20_u32.to_le_bytes()));
    line.tell(D, &D.write(1, 98, &[5]));
    line.tell(D, &D.write(1, 64, &[1]));
    line.tell(D, &D.write(1, 116, &3000_u32.to_le_bytes()));
    line.live(99);
    assert_eq!(line.tell(D, &D.read(1, 98, 1))[0].2, [5]);
    line.live(105);
    let stopped = line.device.truth(line.now)[0];
    line.live(500);
    assert!(
        (line.device.truth(line.now)[0] - stopped).abs() < 0.02 && stopped > 0.02,
        "{stopped}"
    );
    assert_eq!(line.tell(D, &D.read(1, 98, 1))[0].2, [0xFF]);
    assert_eq!(
        line.tell(D, &D.write(1, 116, &3000_u32.to_le_bytes()))[0].1,
        Refusal::Access as u8
    );
    line.tell(D, &D.write(1, 98, &[0]));
    assert_eq!(
        line.tell(D, &D.write(1, 116, &3000_u32.to_le_bytes()))[0].1,
        0
    );
    // Somebody who goes on talking keeps it moving.
    line.tell(D, &D.write(1, 98, &[5]));
    for _ in 0..10 {
        line.live(90);
        line.tell(D, &D.read(1, 132, 4));
    }
    assert!(line.device.truth(line.now)[0] > stopped + 0.1);
}

mod garbage {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever is sent to it, a servo neither panics nor gets power from what is no packet.
        #[test]
        fn does_no_harm(
            bytes in prop::collection::vec(prop_oneof![Just(0xFF_u8), Just(0xFE), Just(1), any::<u8>()], 0..600),
            codes in prop::collection::vec((0_u8..4, any::<u8>(), prop::collection::vec(any::<u8>(), 0..24)), 0..8),
            is_feetech in any::<bool>(),
        ) {
            let (protocol, model) = if is_feetech { (F, "sts3215") } else { (D, "xl430-w250") };
            let mut line = Line::of(model, inertias(2));
            line.device.receive(&bytes, line.now);
            // Legal packets with any instruction and any parameters.
            for (id, code, params) in codes {
                line.tell(protocol, &protocol.packet(id, code, &params));
                line.live(5);
            }
            prop_assert!(line.device.truth(line.now).iter().all(|q| q.is_finite()));
        }
    }
}
