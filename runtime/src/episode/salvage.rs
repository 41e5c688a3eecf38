//! The records of an episode's file one after the other, damaged or not: what is whole is given, what is not is counted.
//!
//! Where bytes make no sense the search goes on for the next whole chunk: a chunk has a checksum, so nothing is taken for one
//! that is none. Not responsible for what the records mean, nor for files that are whole ([`super::reader`] reads those).
//!
//! Source: MCAP specification, version 0.

use mcap::McapError;
use mcap::read::parse_record;
use mcap::records::{ChunkHeader, Record};
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};

/// A chunk that claims to be larger is damaged.
const CHUNK_BYTES_MAX: u64 = 256 << 20;
const CHUNK: u8 = 0x06;
const ATTACHMENT: u8 = 0x09;
/// Opcode and length.
const PREFIX: usize = 9;
/// Two times, the uncompressed size and its checksum stand before the name of the compression.
const BEFORE_COMPRESSION: usize = 8 + 8 + 8 + 4;
/// As the format writes it: length and text.
const COMPRESSION: &[u8] = b"\x03\0\0\0lz4";

/// What could not be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    pub bytes: u64,
    /// Chunks among them that could be told from the rest.
    pub chunks: u64,
}

/// Something whole.
pub enum Piece<'a> {
    Record(Record<'a>),
    /// All records of a chunk.
    Chunk(Vec<Record<'a>>),
}

/// Calls `take` with everything whole in the order of the file. True when the file ends as it should.
///
/// # Errors
/// Those of `take`.
pub fn walk<E>(
    file: &[u8],
    unreadable: &mut Unreadable,
    mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let mut rest = match file.strip_prefix(mcap::MAGIC) {
        Some(rest) => rest,
        None => file,
    };
    while !rest.is_empty() {
        match next(rest) {
            Some((piece, length)) => {
                let ends = matches!(piece, Piece::Record(Record::Footer(_)));
                take(piece)?;
                rest = &rest[length..];
                if ends {
                    return Ok(rest == mcap::MAGIC);
                }
            }
            None => {
                let length = resume(rest);
                unreadable.bytes += length as u64;
                unreadable.chunks += u64::from(rest[0] == CHUNK);
                rest = &rest[length..];
            }
        }
    }
    Ok(false)
}

/// What `bytes` begin with, and its length.
fn next(bytes: &[u8]) -> Option<(Piece<'_>, usize)> {
    let (&opcode, body) = (bytes.first()?, bytes.get(PREFIX..)?);
    let length = u64::from_le_bytes(bytes.get(1..PREFIX)?.try_into().ok()?);
    let body = body.get(..usize::try_from(length).ok()?)?;
    let piece = match parse(opcode, body).ok()? {
        Record::Chunk { header, .. } => {
            Piece::Chunk(chunk(&header, &bytes[..PREFIX + body.len()])?)
        }
        // Nobody wrote that.
        Record::Unknown { .. } => return None,
        record => Piece::Record(record),
    };
    Some((piece, PREFIX + body.len()))
}

/// All records of a chunk, given as a whole record, or none: its checksum is looked at first.
fn chunk(header: &ChunkHeader, record: &[u8]) -> Option<Vec<Record<'static>>> {
    if header.uncompressed_size > CHUNK_BYTES_MAX {
        return None;
    }
    let options = LinearReaderOptions::default()
        .with_skip_start_magic(true)
        .with_skip_end_magic(true)
        .with_prevalidate_chunk_crcs(true)
        .with_record_length_limit(CHUNK_BYTES_MAX as usize);
    let mut reader = LinearReader::new_with_options(options);
    let (mut rest, mut records) = (record, Vec::new());
    while let Some(event) = reader.next_event() {
        match event.ok()? {
            LinearReadEvent::ReadRequest(wanted) => {
                let (bytes, after) = rest.split_at(wanted.min(rest.len()));
                reader.insert(bytes.len()).copy_from_slice(bytes);
                reader.notify_read(bytes.len());
                rest = after;
            }
            LinearReadEvent::Record { opcode, data } => {
                records.push(parse(opcode, data).ok()?.into_owned());
            }
        }
    }
    Some(records)
}

/// How many bytes to leave out until the next whole chunk, or the end.
fn resume(bytes: &[u8]) -> usize {
    let mut from = 1;
    while let Some(found) = find(&bytes[from..], COMPRESSION) {
        let at = from + found;
        if let Some(start) = at.checked_sub(BEFORE_COMPRESSION + PREFIX)
            && start > 0
            && bytes[start] == CHUNK
            && next(&bytes[start..]).is_some()
        {
            return start;
        }
        from = at + 1;
    }
    bytes.len()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// As [`parse_record`], which trusts the lengths inside an attachment.
pub fn parse(opcode: u8, body: &[u8]) -> Result<Record<'_>, McapError> {
    if opcode == ATTACHMENT && !is_attachment(body) {
        return Err(McapError::UnexpectedEof);
    }
    parse_record(opcode, body)
}

/// Two times, name, media type, data, checksum: whether all of them are there.
fn is_attachment(body: &[u8]) -> bool {
    let mut rest = body.get(16..);
    for _ in 0..2 {
        rest = rest.and_then(|rest| {
            let (length, rest) = rest.split_at_checked(4)?;
            let length = u32::from_le_bytes(length.try_into().ok()?);
            rest.get(length as usize..)
        });
    }
    let data = rest.and_then(|rest| {
        let (length, rest) = rest.split_at_checked(8)?;
        let length = u64::from_le_bytes(length.try_into().ok()?);
        rest.get(usize::try_from(length).ok()?..)
    });
    data.is_some_and(|checksum| checksum.len() == 4)
}
