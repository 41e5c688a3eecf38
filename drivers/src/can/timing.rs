//! How long frames take on a classical CAN bus (ISO 11898-1).
//!
//! Not responsible for who may send: that is arbitration.

use crate::port::CanFrame;
use visuomotor_runtime::clock::Duration;

/// The bit rate that the whole arm runs at.
pub const BITS_PER_S: u64 = 1_000_000;
/// Delimiter of the checksum, acknowledgement with its delimiter, end of frame, and the pause before the next one.
const TAIL_BITS: u32 = 1 + 2 + 7 + 3;
/// Start, identifier, RTR, IDE, reserved, length; and the checksum. These and the data are stuffed.
const HEAD_BITS: u32 = 1 + 11 + 3 + 4;
const CRC_BITS: u32 = 15;

/// What a frame of `len` bytes takes at most, with the pause after it, in bits: after the first five of like bits every
/// fourth one may be followed by a stuffed one.
pub const fn bits_max(len: u8) -> u32 {
    let stuffed = HEAD_BITS + 8 * len as u32 + CRC_BITS;
    stuffed + (stuffed - 1) / 4 + TAIL_BITS
}

/// What this very frame takes, with the pause after it, in bits.
pub fn bits(frame: &CanFrame) -> u32 {
    let len = frame.len.min(8);
    let mut crc = 0_u16;
    let (mut run, mut last, mut count) = (0, None, 0);
    let mut stuff = |bit: bool| {
        run = if last == Some(bit) { run + 1 } else { 1 };
        last = Some(bit);
        count += 1;
        if run == 5 {
            (run, last) = (1, Some(!bit));
            count += 1;
        }
    };
    // Start of frame, identifier, three dominant bits (data, 11-bit identifier, reserved), length.
    let head = u32::from(frame.id & 0x7FF) << 7 | u32::from(len);
    let head_bits = (0..HEAD_BITS).rev().map(|i| head >> i & 1 == 1);
    let data = frame.data[..usize::from(len)].iter();
    let data_bits = data.flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1 == 1));
    for bit in head_bits.chain(data_bits) {
        let flip = bit != (crc >> 14 & 1 == 1);
        crc = (crc << 1 & 0x7FFF) ^ if flip { 0x4599 } else { 0 };
        stuff(bit);
    }
    for i in (0..CRC_BITS).rev() {
        stuff(crc >> i & 1 == 1);
    }
    count + TAIL_BITS
}

pub fn duration(bits: u32) -> Duration {
    Duration::from_ticks(u64::from(bits) * 1_000_000_000 / BITS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_lengths() {
        // 44 bits and the pause of 3 without data, 64 more with eight bytes, and at most 24 stuffed ones.
        assert_eq!((bits_max(0), bits_max(8)), (55, 135));
        let long = |id, data| bits(&CanFrame { id, data, len: 8 });
        assert_eq!(
            long(0x2AA, [0x55; 8]) - 111,
            0,
            "alternating bits need no stuffing but for the length"
        );
        assert!(long(0, [0; 8]) > 111 + 15);
        assert_eq!(duration(135), Duration::from_micros(135));
    }

    proptest! {
        #[test]
        fn no_frame_takes_longer_than_the_bound(id in 0_u16..0x800, data in any::<[u8; 8]>(), len in 0_u8..=8, same in any::<bool>()) {
            let data = if same { [data[0] & 0x10; 8] } else { data };
            let took = bits(&CanFrame { id, data, len });
            prop_assert!(took <= bits_max(len) && took >= 47 + 8 * u32::from(len), "{took}");
        }
    }
}
