//! The Feetech packet: `FF FF id len code params.. sum`.
//!
//! The sum is the complement of all bytes between header and sum. Not responsible for what instructions mean.

use super::parser::{Found, Lookup, Miss};
use super::{BROADCAST, Frame, ID_MAX, Packet};

const HEADER: [u8; 2] = [0xFF, 0xFF];

fn sum(bytes: &[u8]) -> u8 {
    !bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

pub fn encode(id: u8, code: u8, params: &[u8]) -> Frame {
    let mut frame = Frame::empty();
    HEADER.into_iter().for_each(|byte| frame.push(byte));
    frame.push(id);
    frame.push(params.len() as u8 + 2);
    frame.push(code);
    params.iter().for_each(|byte| frame.push(*byte));
    frame.push(sum(&frame.bytes()[2..]));
    frame
}

/// What begins with the first of these bytes.
pub fn decode(bytes: &[u8], params_max: usize) -> Lookup {
    let agrees = bytes
        .iter()
        .zip(HEADER)
        .all(|(byte, header)| *byte == header);
    let id_is_legal = bytes
        .get(2)
        .is_none_or(|&id| id <= ID_MAX || id == BROADCAST);
    if !agrees || !id_is_legal {
        return Err(Miss::Nothing);
    }
    let Some(len) = bytes.get(3).map(|&len| usize::from(len)) else {
        return Err(Miss::More);
    };
    if !(2..=params_max + 2).contains(&len) {
        return Err(Miss::Nothing);
    }
    let Some(body) = bytes.get(2..len + 4) else {
        return Err(Miss::More);
    };
    let (checked, found) = body.split_at(body.len() - 1);
    if sum(checked) != found[0] {
        return Err(Miss::Nothing);
    }
    let mut packet = Packet::new(checked[0], checked[2]);
    let fits = checked[3..].iter().all(|&byte| packet.push(byte));
    let used = len + 4;
    if fits {
        Ok(Found { packet, used })
    } else {
        Err(Miss::Nothing)
    }
}
