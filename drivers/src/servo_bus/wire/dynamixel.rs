//! The packet of Dynamixel protocol 2.0: `FF FF FD 00 id len len code params.. crc crc`.
//!
//! Where code and parameters contain the header's `FF FF FD`, another `FD` is stuffed behind it. Not responsible for what
//! instructions mean.

use super::parser::{Found, Lookup, Miss};
use super::{BROADCAST, Frame, ID_MAX, Packet};

const HEADER: [u8; 4] = [0xFF, 0xFF, 0xFD, 0x00];
/// What must not occur behind the header.
const STUFFED: [u8; 3] = [0xFF, 0xFF, 0xFD];

/// x^16 + x^15 + x^2 + 1, most significant bit first.
const CRC_TABLE: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 {
                (crc << 1) ^ 0x8005
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (crc << 8) ^ CRC_TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

pub fn encode(id: u8, code: u8, params: &[u8]) -> Frame {
    let mut frame = Frame::empty();
    HEADER.into_iter().for_each(|byte| frame.push(byte));
    [id, 0, 0].into_iter().for_each(|byte| frame.push(byte));
    let mut last = [0; 3];
    for &byte in [code].iter().chain(params) {
        frame.push(byte);
        last = [last[1], last[2], byte];
        if last == STUFFED {
            frame.push(0xFD);
            last = [0; 3];
        }
    }
    let len = (frame.len - 7 + 2) as u16;
    frame.bytes[5..7].copy_from_slice(&len.to_le_bytes());
    let crc = crc16(frame.bytes());
    crc.to_le_bytes()
        .into_iter()
        .for_each(|byte| frame.push(byte));
    frame
}

/// What begins with the first of these bytes.
pub fn decode(bytes: &[u8], params_max: usize) -> Lookup {
    let agrees = bytes
        .iter()
        .zip(HEADER)
        .all(|(byte, header)| *byte == header);
    let id_is_legal = bytes
        .get(4)
        .is_none_or(|&id| id <= ID_MAX || id == BROADCAST);
    if !agrees || !id_is_legal {
        return Err(Miss::Nothing);
    }
    let Some(&[low, high]) = bytes.get(5..7) else {
        return Err(Miss::More);
    };
    let len = usize::from(u16::from_le_bytes([low, high]));
    // Code, error and check, and as much as stuffing may add.
    if !(3..=params_max + params_max / 3 + 4).contains(&len) {
        return Err(Miss::Nothing);
    }
    let Some(all) = bytes.get(..len + 7) else {
        return Err(Miss::More);
    };
    let (checked, crc) = all.split_at(all.len() - 2);
    if crc16(checked).to_le_bytes() != crc {
        return Err(Miss::Nothing);
    }
    let mut packet = Packet::new(checked[4], checked[7]);
    let mut last = [0, 0, checked[7]];
    for &byte in &checked[8..] {
        if last == STUFFED {
            // Stuffed by the sender; anything else here no sender makes.
            if byte != 0xFD {
                return Err(Miss::Nothing);
            }
            last = [0; 3];
            continue;
        }
        last = [last[1], last[2], byte];
        if !packet.push(byte) {
            return Err(Miss::Nothing);
        }
    }
    let used = len + 7;
    Ok(Found { packet, used })
}
