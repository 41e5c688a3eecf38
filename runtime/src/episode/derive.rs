//! Episodes made of other episodes: recovered from a file that somebody left behind, or cut.
//!
//! Messages are copied byte by byte, whatever they say; the new file names its parent ([`super::Derivation`]). Not responsible
//! for where to cut.

use super::lineage::{Derivation, Section};
use super::salvage::{self, Piece, Unreadable};
use super::{EpisodeError, Header, Sha256, TextMap, health, topic};
use crate::clock::Instant;
use mcap::records::{MessageHeader, Metadata, Record};
use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;

/// What becomes of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Every whole chunk is kept.
    Recovered,
    /// What was logged in this span is kept, and the outcome.
    Trimmed { from: Instant, to: Instant },
}

/// A derived episode.
#[derive(Debug)]
pub struct Derived {
    pub header: Header,
    /// A whole file.
    pub file: Vec<u8>,
    /// Of the parent.
    pub unreadable: Unreadable,
    /// Whole messages of the parent that are not here because damage has taken what says how to read them.
    pub indecipherable: u64,
    /// Whether the parent was a whole file.
    pub parent_is_whole: bool,
}

/// # Errors
/// When the lineage of the parent cannot be read: without it nobody could say what the rest means.
pub fn derive(parent: &[u8], how: How) -> Result<Derived, EpisodeError> {
    let mut copy = Copy::new(how)?;
    let mut unreadable = Unreadable::default();
    let ended = salvage::walk(parent, &mut unreadable, |piece| copy.piece(piece))?;
    let mut metadata = std::mem::take(&mut copy.metadata);
    let header = Header::from_records(&metadata)?;
    let (from_ns, to_ns) = copy.span.unwrap_or_default();
    let derivation = Derivation {
        how: how.name().to_owned(),
        parent_id: header.origin.id.clone(),
        parent_sha256: Sha256::of(parent),
        from_ns,
        to_ns,
    };
    let id = format!("{}-{}", header.origin.id, how.name());
    if let Some(origin) = metadata.get_mut("visuomotor.episode") {
        origin.insert("id".to_owned(), id);
    }
    metadata.insert(Derivation::RECORD.to_owned(), derivation.to_map());
    if how != How::Recovered {
        // It sums up ticks that are no longer all there.
        metadata.remove(health::SUMMARY);
    }
    let header = Header::from_records(&metadata)?;
    for (name, metadata) in metadata {
        copy.mcap.write_metadata(&Metadata { name, metadata })?;
    }
    copy.mcap.finish()?;
    Ok(Derived {
        header,
        file: copy.mcap.into_inner().into_inner(),
        parent_is_whole: ended && unreadable == Unreadable::default() && copy.indecipherable == 0,
        indecipherable: copy.indecipherable,
        unreadable,
    })
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Trimmed { .. } => "trimmed",
        }
    }
}

/// The new file as far as it is written.
struct Copy {
    how: How,
    mcap: mcap::Writer<Cursor<Vec<u8>>>,
    /// By the parent's numbers.
    schemas: HashMap<u16, u16>,
    channels: HashMap<u16, Channel>,
    metadata: BTreeMap<String, TextMap>,
    /// First and last log time of what was copied, ns.
    span: Option<(u64, u64)>,
    indecipherable: u64,
}

struct Channel {
    /// In the new file.
    id: u16,
    /// It is kept wherever the cut is.
    always: bool,
}

impl Copy {
    fn new(how: How) -> Result<Self, EpisodeError> {
        let mcap = super::writer::options().create(Cursor::new(Vec::new()))?;
        Ok(Self {
            how,
            mcap,
            schemas: HashMap::new(),
            channels: HashMap::new(),
            metadata: BTreeMap::new(),
            span: None,
            indecipherable: 0,
        })
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), EpisodeError> {
        match piece {
            Piece::Record(record) => self.record(record),
            Piece::Chunk(records) => {
                records
                    .into_iter()
                    .try_for_each(|record| self.record(record))?;
                Ok(self.mcap.flush()?)
            }
        }
    }

    fn record(&mut self, record: Record<'_>) -> Result<(), EpisodeError> {
        match record {
            Record::Metadata(record) => {
                self.metadata.insert(record.name, record.metadata);
            }
            Record::Attachment { header, data, .. } => self.mcap.attach(&mcap::Attachment {
                log_time: header.log_time,
                create_time: header.create_time,
                name: header.name,
                media_type: header.media_type,
                data,
            })?,
            Record::Schema { header, data } => {
                let id = self
                    .mcap
                    .add_schema(&header.name, &header.encoding, &data)?;
                self.schemas.insert(header.id, id);
            }
            Record::Channel(channel) => {
                let schema = self.schemas.get(&channel.schema_id).copied().unwrap_or(0);
                let (topic, encoding) = (&channel.topic, &channel.message_encoding);
                let id = self
                    .mcap
                    .add_channel(schema, topic, encoding, &channel.metadata)?;
                let always = *topic == topic::OUTCOME;
                self.channels.insert(channel.id, Channel { id, always });
            }
            Record::Message { header, data } => self.message(&header, &data)?,
            // Indexes and the end are the writer's own business.
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, header: &MessageHeader, data: &[u8]) -> Result<(), EpisodeError> {
        let at = header.log_time;
        let inside = match self.how {
            How::Recovered => true,
            How::Trimmed { from, to } => (from.as_ticks()..=to.as_ticks()).contains(&at),
        };
        let Some(channel) = self.channels.get(&header.channel_id) else {
            self.indecipherable += 1;
            return Ok(());
        };
        if !inside && !channel.always {
            return Ok(());
        }
        if inside {
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
        let header = MessageHeader {
            channel_id: channel.id,
            ..*header
        };
        Ok(self.mcap.write_to_known_channel(&header, data)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::{Episode, samples};

    const TICKS: u64 = 450;

    fn file() -> Vec<u8> {
        let sink = Cursor::new(Vec::new());
        samples::write(sink, TICKS).unwrap().1.into_inner()
    }

    fn read(file: &[u8]) -> Episode<7> {
        Episode::read(file).unwrap()
    }

    #[test]
    fn a_whole_file_recovers_to_itself_with_a_parent() {
        let parent = file();
        let derived = derive(&parent, How::Recovered).unwrap();
        assert!(derived.parent_is_whole);
        let (mut whole, recovered) = (read(&parent), read(&derived.file));
        assert_eq!(recovered.header, derived.header);
        let derivation = recovered.header.derivation.clone().unwrap();
        assert_eq!(derivation.how, "recovered");
        assert_eq!(derivation.parent_id, samples::header().origin.id);
        assert_eq!(derivation.parent_sha256, Sha256::of(&parent));
        assert_eq!(recovered.header.origin.id, "7-0003-recovered");
        whole.header = recovered.header.clone();
        assert_eq!(recovered, whole);
        assert!(mcap::Summary::read(&derived.file).unwrap().is_some());
    }

    #[test]
    fn a_file_that_ends_anywhere_gives_every_whole_chunk_as_a_whole_file() {
        let parent = file();
        let whole = read(&parent);
        let mut steps_max = 0;
        for length in (0..parent.len()).step_by(1009) {
            match derive(&parent[..length], How::Recovered) {
                Err(EpisodeError::MissingRecord { .. }) => assert_eq!(steps_max, 0, "at {length}"),
                Err(error) => panic!("at {length}: {error}"),
                Ok(derived) => {
                    assert!(!derived.parent_is_whole, "at {length}");
                    let part = read(&derived.file);
                    assert_eq!(part.damage, None);
                    assert_eq!(part.steps, read(&parent[..length]).steps);
                    assert!(part.steps[..] == whole.steps[..part.steps.len()]);
                    steps_max = part.steps.len();
                }
            }
        }
        assert_eq!(steps_max, whole.steps.len());
    }

    #[test]
    fn damage_costs_one_chunk_and_is_counted() {
        let parent = file();
        let whole = read(&parent);
        let (mut without_some, mut counted) = (0, 0);
        for at in (8..parent.len()).step_by(263) {
            let mut damaged = parent.clone();
            damaged[at] ^= 0x11;
            let Ok(derived) = derive(&damaged, How::Recovered) else {
                continue;
            };
            let Ok(part) = Episode::<7>::read(&derived.file[..]) else {
                panic!("byte {at}");
            };
            assert!(
                part.steps.iter().all(|step| whole.steps.contains(step)),
                "byte {at}"
            );
            if !part.steps.is_empty() && part.steps.len() < whole.steps.len() {
                without_some += 1;
                // A chunk holds 50 ms, which come with pictures at times.
                assert!(part.steps.len() + 51 >= whole.steps.len(), "byte {at}");
                counted += u32::from(derived.unreadable.bytes > 0 && !derived.parent_is_whole);
            }
        }
        assert!(without_some > 20, "{without_some}");
        assert_eq!(without_some, counted);
    }

    #[test]
    fn a_cut_keeps_its_span_and_the_outcome() {
        let parent = file();
        let (from, to) = (samples::at_ms(100), samples::at_ms(199));
        let derived = derive(&parent, How::Trimmed { from, to }).unwrap();
        let (whole, part) = (read(&parent), read(&derived.file));
        assert_eq!(part.steps, whole.steps[100..200]);
        assert_eq!((part.outcome, part.damage), (whole.outcome, None));
        assert_eq!(part.attachments, whole.attachments);
        let derivation = derived.header.derivation.unwrap();
        let span = (derivation.from_ns, derivation.to_ns);
        assert_eq!(span, (from.as_ticks(), to.as_ticks()));
        assert_eq!(derivation.how, "trimmed");
    }

    #[test]
    fn what_is_no_episode_is_an_error() {
        let everything = file();
        for bytes in [
            &b""[..],
            b"nonsense",
            mcap::MAGIC,
            &[0x09; 300],
            &[0x06; 4096],
        ] {
            let error = derive(bytes, How::Recovered).unwrap_err();
            assert!(
                matches!(error, EpisodeError::MissingRecord { .. }),
                "{error}"
            );
        }
        // Any bytes after what is known are looked at, and none of them believed.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for length in [1_usize, 9, 10, 100, 5000] {
            let noise = (0..length).map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as u8
            });
            let bytes: Vec<u8> = everything[..2000].iter().copied().chain(noise).collect();
            let _ = derive(&bytes, How::Recovered);
        }
    }
}
