//! Reads an episode back into the runtime's own types, all of it into memory.
//!
//! A file that ends early or is damaged gives everything before the damage. Not responsible for repairing it.

use super::cdr::{self, CdrError};
use super::convert::{self, ConvertError};
use super::messages::{self, CompressedImage, JointState};
use super::records::{
    Annotation, Attachment, DecisionRecord, FrameRecord, HealthRecord, LogRecord, Losses,
    ObservationRecord, ObservedImage, Outcome,
};
use super::{EpisodeError, Header, TextMap, health, older, salvage, topic};
use crate::clock::Instant;
use crate::step::Step;
use mcap::McapError;
use mcap::records::{MessageHeader, Record};
use mcap::sans_io::{LinearReadEvent, LinearReader, LinearReaderOptions};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

/// No record of an episode is longer; a damaged length must not ask for all the memory there is.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// A recorded episode of a robot with `N` joints, each kind of record in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode<const N: usize> {
    pub header: Header,
    pub attachments: Vec<Attachment>,
    pub steps: Vec<Step<N>>,
    /// Of every step of a live episode; none in simulated time.
    pub health: Vec<HealthRecord>,
    pub observations: Vec<ObservationRecord>,
    pub decisions: Vec<DecisionRecord>,
    pub frames: Vec<FrameRecord>,
    /// What the policy looked at, one for each observation; none in files before version 4.
    pub observed: Vec<ObservedImage>,
    pub annotations: Vec<Annotation>,
    pub log: Vec<LogRecord>,
    /// `None` when the file ends before it.
    pub outcome: Option<(Outcome, Losses)>,
    /// Why reading stopped before the end; `None` when the file is whole.
    pub damage: Option<String>,
}

impl<const N: usize> Episode<N> {
    pub fn open(path: &Path) -> Result<Self, EpisodeError> {
        let file = File::open(path).map_err(|source| {
            let path = path.to_owned();
            EpisodeError::File {
                doing: "open",
                path,
                source,
            }
        })?;
        Self::read(BufReader::new(file))
    }

    /// # Errors
    /// If the source cannot be read, if it has no readable [`Header`], if its robot does not have `N` joints, or if an
    /// undamaged message does not say what this version of the schema can say.
    pub fn read(source: impl Read) -> Result<Self, EpisodeError> {
        let mut parts = Parts::default();
        let end = parts.read(source);
        if let Err(error @ EpisodeError::Io(_)) = end {
            return Err(error);
        }
        // Before the messages' own errors: those of another robot's episode would only confuse.
        let header = Header::from_records(&parts.metadata)?;
        let joints = header.robot.joint_names.0.len();
        if joints != N {
            return Err(EpisodeError::Joints {
                expected: joints,
                got: N,
            });
        }
        let damage = match end {
            Ok(()) => None,
            Err(EpisodeError::Log(error)) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            header,
            attachments: parts.attachments,
            steps: parts.steps,
            health: parts.health,
            observations: parts.observations,
            decisions: parts.decisions,
            frames: parts.frames,
            observed: parts.observed,
            annotations: parts.annotations,
            log: parts.log,
            outcome: parts.outcome,
            damage,
        })
    }
}

/// The frames of any robot's episode, and nothing else of it; of a damaged file those before the damage.
///
/// # Errors
/// If the source cannot be read, or is no episode.
pub fn frames(source: impl Read) -> Result<Vec<FrameRecord>, EpisodeError> {
    let mut parts = Parts::<1> {
        only: Some(topic::IMAGE),
        ..Parts::default()
    };
    let end = parts.read(source);
    Header::from_records(&parts.metadata)?;
    match end {
        Ok(()) | Err(EpisodeError::Log(_)) => Ok(parts.frames),
        Err(error) => Err(error),
    }
}

/// What has been read so far.
#[derive(Default)]
struct Parts<const N: usize> {
    /// Messages on other topics are passed over.
    only: Option<&'static str>,
    topics: HashMap<u16, String>,
    metadata: BTreeMap<String, TextMap>,
    attachments: Vec<Attachment>,
    /// Joint states and commands whose step has not come yet, with their sequence numbers.
    measured: Option<(u32, JointState)>,
    commanded: Option<(u32, JointState)>,
    steps: Vec<Step<N>>,
    health: Vec<HealthRecord>,
    observations: Vec<ObservationRecord>,
    decisions: Vec<DecisionRecord>,
    frames: Vec<FrameRecord>,
    observed: Vec<ObservedImage>,
    annotations: Vec<Annotation>,
    log: Vec<LogRecord>,
    outcome: Option<(Outcome, Losses)>,
}

impl<const N: usize> Parts<N> {
    fn read(&mut self, mut source: impl Read) -> Result<(), EpisodeError> {
        let options = LinearReaderOptions::default()
            .with_prevalidate_chunk_crcs(true)
            .with_validate_data_section_crc(true)
            .with_record_length_limit(RECORD_BYTES_MAX);
        let mut reader = LinearReader::new_with_options(options);
        while let Some(event) = reader.next_event() {
            match event? {
                LinearReadEvent::ReadRequest(wanted) => match source.read(reader.insert(wanted)) {
                    Ok(got) => reader.notify_read(got),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                },
                LinearReadEvent::Record { opcode, data } => {
                    self.record(salvage::parse(opcode, data)?)?
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, record: Record<'_>) -> Result<(), EpisodeError> {
        match record {
            Record::Metadata(record) => {
                self.metadata.insert(record.name, record.metadata);
            }
            Record::Attachment { header, data, .. } => self.attachments.push(Attachment {
                name: header.name,
                media_type: header.media_type,
                data: data.into_owned(),
            }),
            Record::Channel(channel) => {
                self.topics.insert(channel.id, channel.topic);
            }
            Record::Message { header, data } => {
                let topic = self.topics.get(&header.channel_id).cloned();
                let topic = topic.ok_or(McapError::UnknownChannel(
                    header.sequence,
                    header.channel_id,
                ))?;
                if self.only.is_some_and(|only| only != topic) {
                    return Ok(());
                }
                self.message(&topic, &header, &data)
                    .map_err(|Unreadable(reason)| {
                        let sequence = header.sequence;
                        EpisodeError::Message {
                            topic,
                            sequence,
                            reason,
                        }
                    })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn message(
        &mut self,
        topic: &str,
        header: &MessageHeader,
        data: &[u8],
    ) -> Result<(), Unreadable> {
        match topic {
            topic::JOINT_STATES => self.measured = Some((header.sequence, cdr::decode(data)?)),
            topic::JOINT_COMMANDS => self.commanded = Some((header.sequence, cdr::decode(data)?)),
            topic::STEP => {
                let message = older::step(data, &self.metadata)?;
                let of_this_tick =
                    |(sequence, state)| (sequence == header.sequence).then_some(state);
                let measured = self.measured.take().and_then(of_this_tick);
                let commanded = self.commanded.take().and_then(of_this_tick);
                self.steps.push(convert::from_step(
                    &message,
                    measured.as_ref(),
                    commanded.as_ref(),
                )?);
            }
            topic::HEALTH => self.health.push(health::from_message(&cdr::decode(data)?)),
            topic::OBSERVATION => {
                let message: messages::Observation = cdr::decode(data)?;
                let observed_at = Instant::from_ticks(header.log_time);
                self.observations
                    .push(convert::from_observation(&message, observed_at)?);
            }
            topic::ACTION => {
                let message: messages::Action = cdr::decode(data)?;
                self.decisions.push(convert::from_action(&message)?);
            }
            topic::IMAGE => {
                let message: CompressedImage = cdr::decode(data)?;
                self.frames.push(FrameRecord {
                    captured_at: convert::instant(&message.header.stamp),
                    sequence: header.sequence,
                    jpeg: message.data,
                });
            }
            topic::OBSERVED => {
                let message: CompressedImage = cdr::decode(data)?;
                self.observed.push(ObservedImage {
                    observed_at: Instant::from_ticks(header.log_time),
                    step: header.sequence,
                    captured_at: convert::instant(&message.header.stamp),
                    png: message.data,
                });
            }
            topic::ANNOTATION => self
                .annotations
                .push(convert::from_annotation(cdr::decode(data)?)),
            topic::LOG => {
                let message: messages::Log = cdr::decode(data)?;
                self.log.push(LogRecord {
                    at: convert::instant(&message.stamp),
                    severity: message.level,
                    text: message.msg,
                });
            }
            topic::OUTCOME => {
                let message: messages::Outcome = cdr::decode(data)?;
                self.outcome = Some(convert::from_outcome(&message)?);
            }
            // Topics that a later program or another tool added are not ours to judge.
            _ => {}
        }
        Ok(())
    }
}

struct Unreadable(String);

impl From<CdrError> for Unreadable {
    fn from(error: CdrError) -> Self {
        Self(error.to_string())
    }
}

impl From<ConvertError> for Unreadable {
    fn from(error: ConvertError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::samples;
    use std::io::Cursor;

    const TICKS: u64 = 450;

    fn file() -> Vec<u8> {
        samples::write(Cursor::new(Vec::new()), TICKS)
            .unwrap()
            .1
            .into_inner()
    }

    #[test]
    fn everything_comes_back() {
        let episode = Episode::<7>::read(&file()[..]).unwrap();
        assert_eq!(episode.damage, None);
        assert_eq!(episode.header, samples::header());
        assert_eq!(episode.attachments, samples::attachments());
        assert_eq!(
            episode.steps,
            (0..TICKS).map(samples::step).collect::<Vec<_>>()
        );
        let seen = (0..TICKS).step_by(50);
        assert_eq!(
            episode.observations,
            seen.clone().map(samples::observation).collect::<Vec<_>>()
        );
        assert_eq!(
            episode.decisions,
            seen.clone().map(samples::decision).collect::<Vec<_>>()
        );
        assert_eq!(
            episode.outcome,
            Some((samples::outcome(samples::at_ms(TICKS)), samples::LOST))
        );
        for (frame, i) in episode.frames.iter().zip(seen) {
            assert_eq!(
                (frame.captured_at, frame.sequence),
                (samples::at_ms(i), i as u32)
            );
            assert!(frame.jpeg.starts_with(&[0xff, 0xd8]) && frame.jpeg.ends_with(&[0xff, 0xd9]));
        }
        assert_eq!(episode.frames.len(), episode.observations.len());
        assert_eq!(frames(&file()[..]).unwrap(), episode.frames);
        for (observed, i) in episode.observed.iter().zip((0..TICKS).step_by(50)) {
            let record = samples::observation(i);
            let expected = (record.observed_at, record.step, record.frame_captured_at);
            let got = (observed.observed_at, observed.step, observed.captured_at);
            assert_eq!(got, expected);
            let decoder = png::Decoder::new(Cursor::new(&observed.png));
            let mut reader = decoder.read_info().unwrap();
            let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut rgb).unwrap();
            assert_eq!(rgb, samples::frame(i).image.rgb);
        }
        assert_eq!(episode.observed.len(), episode.observations.len());
        assert!(!episode.log.is_empty());
    }

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let odd = [
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7ff0_0000_dead_beef),
            -0.0,
            f64::INFINITY,
            5e-324,
            f64::MAX,
        ];
        let mut step = samples::step(0);
        step.inputs.arm.as_mut().unwrap().q = odd.into();
        step.command.as_mut().unwrap().1 = odd.into();
        step.reference.yaw_rad = odd[2];
        let mut decision = samples::decision(0);
        decision.decision.q_value = odd[1];
        let mut writer =
            crate::episode::EpisodeWriter::new(Cursor::new(Vec::new()), &samples::header(), &[])
                .unwrap();
        writer.step(&step).unwrap();
        writer
            .decision(&decision.decision, decision.decided_at)
            .unwrap();
        let (_, file) = writer
            .finish(&samples::outcome(samples::at_ms(1)), Losses::default())
            .unwrap();

        let episode = Episode::<7>::read(&file.into_inner()[..]).unwrap();
        let bits = |values: [f64; 7]| values.map(f64::to_bits);
        let got = &episode.steps[0];
        assert_eq!(bits(got.measured().unwrap().q.0.into()), bits(odd));
        assert_eq!(bits(got.command.unwrap().1.0.into()), bits(odd));
        assert_eq!(got.reference.yaw_rad.to_bits(), odd[2].to_bits());
        assert_eq!(
            episode.decisions[0].decision.q_value.to_bits(),
            odd[1].to_bits()
        );
    }

    #[test]
    fn a_file_that_ends_anywhere_gives_all_whole_chunks_before() {
        let file = file();
        let whole = Episode::<7>::read(&file[..]).unwrap();
        let mut steps_max = 0;
        for length in (0..file.len()).step_by(211).chain([file.len() - 1]) {
            match Episode::<7>::read(&file[..length]) {
                Err(EpisodeError::MissingRecord { .. }) => assert_eq!(steps_max, 0, "at {length}"),
                Err(error) => panic!("at {length}: {error}"),
                Ok(part) => {
                    assert!(part.damage.is_some(), "at {length}");
                    assert!(
                        part.steps.len() >= steps_max
                            && part.steps[..] == whole.steps[..part.steps.len()]
                    );
                    steps_max = part.steps.len();
                }
            }
        }
        assert_eq!(steps_max, whole.steps.len());
    }

    #[test]
    fn a_killed_writer_loses_at_most_the_flush_period() {
        let mut bytes = Vec::new();
        let mut writer =
            crate::episode::EpisodeWriter::new(Cursor::new(&mut bytes), &samples::header(), &[])
                .unwrap();
        (0..TICKS).for_each(|i| writer.step(&samples::step(i)).unwrap());
        std::mem::forget(writer);
        let steps = Episode::<7>::read(&bytes[..]).unwrap().steps;
        assert!(steps.len() as u64 >= TICKS - 100, "{}", steps.len());
    }

    #[test]
    fn damage_is_reported_and_never_believed() {
        let file = file();
        let whole = Episode::<7>::read(&file[..]).unwrap();
        for at in (8..file.len()).step_by(173) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            let Ok(part) = Episode::<7>::read(&damaged[..]) else {
                continue;
            };
            assert!(
                part.steps[..] == whole.steps[..part.steps.len()],
                "byte {at}"
            );
            assert!(part == whole || part.damage.is_some(), "byte {at}");
        }
    }

    #[test]
    fn another_robot_is_an_error() {
        let error = Episode::<6>::read(&file()[..]).unwrap_err();
        assert!(
            matches!(
                error,
                EpisodeError::Joints {
                    expected: 7,
                    got: 6
                }
            ),
            "{error}"
        );
        let error = Episode::<7>::open(Path::new("/nowhere/a.mcap"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere/a.mcap"), "{error}");
    }
}
