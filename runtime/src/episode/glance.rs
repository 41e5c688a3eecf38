//! What stands at the two ends of an episode, found by the file's index: lineage, outcome, first and last tick. However long
//! the episode is, little of it is read.
//!
//! Not responsible for files without an index, which are open, damaged or the work of a full disk: [`super::Episode`] reads
//! those from end to end. Nor for what lies between the ends: damage there goes unseen.

use super::convert;
use super::records::{Losses, Outcome};
use super::{EpisodeError, Header, TextMap, cdr, older, topic};
use crate::clock::Instant;
use crate::fault::Fault;
use crate::step::Counters;
use mcap::McapError;
use mcap::records::{ChunkIndex, Record};
use mcap::sans_io::summary_reader::{SummaryReadEvent, SummaryReader, SummaryReaderOptions};
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// No record that is read here is longer; a damaged length must not ask for all the memory there is.
const RECORD_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq)]
pub struct Glance {
    pub header: Header,
    /// Number of ticks in the file.
    pub ticks: u64,
    pub first: Option<End>,
    pub last: Option<End>,
    pub outcome: Option<(Outcome, Losses)>,
}

/// The first or the last tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    pub due: Instant,
    /// Since the process began, not the episode: what the episode has is the difference between its ends.
    pub counters: Counters,
    pub fault: Option<Fault>,
}

impl Glance {
    /// `None` where the file has no index.
    ///
    /// # Errors
    /// If the source cannot be read, if what is read is damaged, or if it is no episode.
    pub fn read(mut source: impl Read + Seek) -> Result<Option<Self>, EpisodeError> {
        let Some(index) = index(&mut source)? else {
            return Ok(None);
        };
        let mut metadata: BTreeMap<String, TextMap> = BTreeMap::new();
        for at in &index.metadata_indexes {
            let bytes = record(&mut source, at.offset, at.length)?;
            if let Record::Metadata(record) = mcap::parse_record(bytes.0, &bytes.1)? {
                metadata.insert(record.name, record.metadata);
            }
        }
        let header = Header::from_records(&metadata)?;

        let channel = |topic: &str| {
            let mut channels = index.channels.values();
            channels.find(|channel| channel.topic == topic)
        };
        let step = channel(topic::STEP).map(|channel| channel.id);
        let outcome = channel(topic::OUTCOME).map(|channel| channel.id);
        let mut chunks: Vec<&ChunkIndex> = index.chunk_indexes.iter().collect();
        chunks.sort_by_key(|chunk| chunk.chunk_start_offset);
        let with = |id: Option<u16>| {
            let id = id?;
            let has = move |chunk: &&&ChunkIndex| chunk.message_index_offsets.contains_key(&id);
            Some((chunks.iter().find(has)?, chunks.iter().rfind(has)?, id))
        };
        let end = |data: &[u8]| -> Result<End, EpisodeError> {
            let message = older::step(data, &metadata).map_err(unreadable(topic::STEP))?;
            Ok(End {
                due: convert::instant(&message.stamp),
                counters: convert::from_counters(&message.counters),
                fault: convert::from_fault(&message.fault).map_err(unreadable(topic::STEP))?,
            })
        };
        let (mut first, mut last, mut ended) = (None, None, None);
        if let Some((in_first, in_last, id)) = with(step) {
            let messages_first = messages(&mut source, in_first, id)?;
            first = messages_first.first().map(|data| end(data)).transpose()?;
            let messages_last = messages(&mut source, in_last, id)?;
            last = messages_last.last().map(|data| end(data)).transpose()?;
        }
        if let Some((_, chunk, id)) = with(outcome)
            && let Some(data) = messages(&mut source, chunk, id)?.last()
        {
            let message = cdr::decode(data).map_err(unreadable(topic::OUTCOME))?;
            let outcome = convert::from_outcome(&message).map_err(unreadable(topic::OUTCOME))?;
            ended = Some(outcome);
        }
        let counts = index.stats.map(|stats| stats.channel_message_counts);
        let ticks = step.and_then(|id| counts?.get(&id).copied()).unwrap_or(0);
        Ok(Some(Self {
            header,
            ticks,
            first,
            last,
            outcome: ended,
        }))
    }
}

fn unreadable<E: ToString>(topic: &'static str) -> impl Fn(E) -> EpisodeError {
    move |error| EpisodeError::Message {
        topic: topic.into(),
        sequence: 0,
        reason: error.to_string(),
    }
}

fn index(source: &mut (impl Read + Seek)) -> Result<Option<mcap::Summary>, EpisodeError> {
    let size = source.seek(SeekFrom::End(0))?;
    let options = SummaryReaderOptions::default()
        .with_file_size(size)
        .with_record_length_limit(RECORD_BYTES_MAX as usize);
    let mut reader = SummaryReader::new_with_options(options);
    while let Some(event) = reader.next_event() {
        match event? {
            SummaryReadEvent::ReadRequest(wanted) => {
                let got = source.read(reader.insert(wanted))?;
                reader.notify_read(got);
            }
            SummaryReadEvent::SeekRequest(to) => {
                let at = source.seek(to)?;
                reader.notify_seeked(at);
            }
        }
    }
    Ok(reader.finish())
}

fn bytes(
    source: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, EpisodeError> {
    if length > RECORD_BYTES_MAX {
        return Err(McapError::BadIndex.into());
    }
    source.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; length as usize];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Opcode and content of the record at `offset`, whose `length` has both and the content's own length in it.
fn record(
    source: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
) -> Result<(u8, Vec<u8>), EpisodeError> {
    let mut bytes = bytes(source, offset, length)?;
    if bytes.len() < 9 {
        return Err(McapError::BadIndex.into());
    }
    let content = bytes.split_off(9);
    Ok((bytes[0], content))
}

/// What one channel has in one chunk.
fn messages(
    source: &mut (impl Read + Seek),
    chunk: &ChunkIndex,
    channel: u16,
) -> Result<Vec<Vec<u8>>, EpisodeError> {
    let bytes = bytes(source, chunk.chunk_start_offset, chunk.chunk_length)?;
    let options = LinearReaderOptions::default()
        .with_skip_start_magic(true)
        .with_skip_end_magic(true)
        .with_prevalidate_chunk_crcs(true)
        .with_record_length_limit(RECORD_BYTES_MAX as usize);
    let mut reader = LinearReader::new_with_options(options);
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while let Some(event) = reader.next_event() {
        match event? {
            LinearReadEvent::ReadRequest(wanted) => {
                let got = rest.read(reader.insert(wanted))?;
                reader.notify_read(got);
            }
            LinearReadEvent::Record { opcode, data } => {
                if let Record::Message { header, data } = mcap::parse_record(opcode, data)?
                    && header.channel_id == channel
                {
                    found.push(data.into_owned());
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::{Episode, EpisodeWriter, samples};
    use std::io::Cursor;

    #[test]
    fn a_glance_says_what_the_whole_file_says() {
        for ticks in [0, 1, 40, 450] {
            let file = samples::write(Cursor::new(Vec::new()), ticks).unwrap().1;
            let file = file.into_inner();
            let whole = Episode::<7>::read(&file[..]).unwrap();
            let glance = Glance::read(Cursor::new(&file)).unwrap().unwrap();
            let end = |step: &crate::step::Step<7>| End {
                due: step.due,
                counters: step.counters,
                fault: step.fault,
            };
            assert_eq!(glance.header, whole.header);
            assert_eq!(glance.ticks, ticks);
            assert_eq!(glance.first, whole.steps.first().map(end));
            assert_eq!(glance.last, whole.steps.last().map(end));
            assert_eq!(glance.outcome, whole.outcome);
        }
    }

    #[test]
    fn little_is_read_of_a_long_episode() {
        struct Counted<'a>(Cursor<&'a [u8]>, u64);
        impl Read for Counted<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let got = self.0.read(buffer)?;
                self.1 += got as u64;
                Ok(got)
            }
        }
        impl Seek for Counted<'_> {
            fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
                self.0.seek(to)
            }
        }
        let file = samples::write(Cursor::new(Vec::new()), 20_000).unwrap().1;
        let file = file.into_inner();
        let mut counted = Counted(Cursor::new(&file), 0);
        assert_eq!(Glance::read(&mut counted).unwrap().unwrap().ticks, 20_000);
        assert!(
            counted.1 * 5 < file.len() as u64,
            "{} of {}",
            counted.1,
            file.len()
        );
    }

    #[test]
    fn a_file_without_its_end_has_no_index_and_damage_is_an_error() {
        let whole = samples::write(Cursor::new(Vec::new()), 300).unwrap().1;
        let whole = whole.into_inner();
        for length in (0..whole.len()).step_by(501) {
            let glance = Glance::read(Cursor::new(&whole[..length]));
            assert!(!matches!(glance, Ok(Some(_))), "{length}");
        }
        let mut open = Vec::new();
        let writer = EpisodeWriter::new(Cursor::new(&mut open), &samples::header(), &[]);
        std::mem::forget(writer.unwrap());
        assert!(!matches!(Glance::read(Cursor::new(&open)), Ok(Some(_))));

        // Whatever a flipped byte does, it is no panic.
        for at in (0..whole.len()).step_by(97) {
            let mut file = whole.clone();
            file[at] ^= 0x41;
            let _ = Glance::read(Cursor::new(&file));
        }
    }
}
