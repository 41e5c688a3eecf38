//! The end of an episode whose disk is full: the outcome, with what was lost, and nothing that needs more room.
//!
//! Not responsible for making that room ([`super::EpisodeWriter`]). The file then has no index; readers that go from record to
//! record need none, and recovering it makes one.
//!
//! Source: MCAP specification, version 0 (a record is an opcode, a u64 length and its content, all little-endian).

use super::cdr;
use super::convert;
use super::records::{Losses, Outcome};

const MESSAGE: u8 = 0x05;
const DATA_END: u8 = 0x0f;
const FOOTER: u8 = 0x02;

/// To be appended after a whole record.
pub fn without_index(channel_id: u16, outcome: &Outcome, lost: &Losses) -> Vec<u8> {
    let mut message = Vec::new();
    cdr::encode(&convert::outcome(outcome, lost), &mut message);
    let at = outcome.ended_at.as_ticks().to_le_bytes();
    let sequence = 0_u32.to_le_bytes();
    let mut bytes = Vec::new();
    let parts = [&channel_id.to_le_bytes(), &sequence[..], &at, &at, &message];
    record(&mut bytes, MESSAGE, &parts.concat());
    // Zeros: checksum of the data; where the summary is, and its checksum. There is none of them.
    record(&mut bytes, DATA_END, &[0; 4]);
    record(&mut bytes, FOOTER, &[0; 20]);
    bytes.extend_from_slice(mcap::MAGIC);
    bytes
}

fn record(bytes: &mut Vec<u8>, opcode: u8, content: &[u8]) {
    bytes.push(opcode);
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(content);
}
