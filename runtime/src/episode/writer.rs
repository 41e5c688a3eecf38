//! Writes an episode, one record after the other, on the caller's thread.
//!
//! The same calls give the same bytes: nothing here reads a clock or draws a number. What the file costs in time and
//! how it reaches the disk is the caller's choice of thread and of [`std::io::Write`]; see [`super::Recorder`].

use super::cdr;
use super::chronicle::{self, Chronicle};
use super::convert;
use super::end;
use super::file::EpisodeFile;
use super::messages::{self, CompressedImage, JointState, Message};
use super::picture;
use super::records::{Annotation, Attachment, FrameRecord, Losses, ObservationRecord, Outcome};
use super::spool::{Spool, Tap};
use super::{EpisodeError, Header, health, topic};
use crate::camera::{Frame, Image};
use crate::clock::{Duration, Instant};
use crate::controller::Request;
use crate::health::{Health, HealthSummary};
use crate::policy::Decision;
use crate::step::Step;
use mcap::records::MessageHeader;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// So many bytes may wait for a disk that takes none; from there on records are refused.
const PENDING_BYTES_MAX: usize = 32 << 20;
/// A chunk is closed and written out after this much log time. A killed program loses that much and what was on its way to
/// the writer: together less than 100 ms.
const FLUSH_PERIOD: Duration = Duration::from_ticks(50_000_000);

/// What is in a finished episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub steps: u64,
    pub frames: u64,
    pub observations: u64,
    pub decisions: u64,
    pub lost: Losses,
}

/// A disk that fails while the episode is written costs nothing if it takes what waits before the end.
pub struct EpisodeWriter<W: Write> {
    log: Log<W>,
    channels: Channels,
    joint_count: usize,
    summary: Summary,
    health: HealthSummary,
    // Kept for their buffers and for what does not change from record to record.
    joint_state: JointState,
    image: CompressedImage,
    observed: CompressedImage,
    fovy_deg: Option<f64>,
    chronicle: Chronicle,
}

struct Channels {
    joint_states: u16,
    joint_commands: u16,
    step: u16,
    health: u16,
    image: u16,
    camera_info: u16,
    observation: u16,
    observed: u16,
    tcp: u16,
    action: u16,
    operator: u16,
    annotation: u16,
    log: u16,
    outcome: u16,
}

/// Where an episode goes, and how it becomes whole there.
pub trait Disk: Write + Send {
    /// Takes back all bytes after the first `length`, to make room for the end.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Everything was written: brings it to the disk under its name.
    fn commit(self: Box<Self>) -> Result<(), EpisodeError>;
}

/// Writes an episode to a file, or to what a simulation has instead of one.
pub type DiskWriter = EpisodeWriter<Box<dyn Disk>>;

impl DiskWriter {
    /// Begins the file `path`, which should end in `.mcap`; until [`EpisodeWriter::close`] it is called `path.open`.
    pub fn create(
        path: &Path,
        header: &Header,
        attachments: &[Attachment],
    ) -> Result<Self, EpisodeError> {
        Self::new(Box::new(EpisodeFile::create(path)?), header, attachments)
    }

    /// Ends the episode and returns when it is on the disk under its name.
    ///
    /// # Errors
    /// [`EpisodeError::Incomplete`] when the disk does not take the end. The file then keeps its open name, and gives up its
    /// last whole chunk where that makes room to say what is lost.
    pub fn close(mut self, outcome: &Outcome, lost: Losses) -> Result<Summary, EpisodeError> {
        let summary = Summary {
            lost,
            ..self.summary
        };
        let Err(first) = self.end(outcome, &lost) else {
            let disk = self.log.spool.into_sink();
            disk.ok_or_else(sink_is_taken)?.commit()?;
            return Ok(summary);
        };
        let unsaid = self.log.on_disk();
        let marks = std::mem::take(&mut self.log.marks);
        let taken = self.log.spool.taken();
        let mut disk = self.log.spool.into_sink().ok_or_else(sink_is_taken)?;
        let mut marks = marks.iter().rev().filter(|(end, _)| *end <= taken);
        let said = marks.find_map(|(end, whole)| {
            let lost = summary.beyond(whole);
            let tail = end::without_index(self.channels.outcome, outcome, &lost);
            let written = disk
                .truncate(*end)
                .and_then(|()| disk.write_all(&tail))
                .and_then(|()| disk.flush());
            written.is_ok().then_some(lost)
        });
        Err(EpisodeError::Incomplete {
            lost: said.unwrap_or_else(|| summary.beyond(&unsaid)),
            first: Box::new(first),
        })
    }
}

impl<W: Write> EpisodeWriter<W> {
    /// Writes the lineage at once: even a file that ends here says what it is.
    pub fn new(sink: W, header: &Header, attachments: &[Attachment]) -> Result<Self, EpisodeError> {
        let (spool, tap) = Spool::new(sink);
        let mut mcap = options().create(tap)?;
        for (name, metadata) in header.to_records() {
            mcap.write_metadata(&mcap::records::Metadata {
                name: name.into(),
                metadata,
            })?;
        }
        for attachment in attachments {
            mcap.attach(&mcap::Attachment {
                log_time: 0,
                create_time: 0,
                name: attachment.name.clone(),
                media_type: attachment.media_type.clone(),
                data: attachment.data.as_slice().into(),
            })?;
        }
        let channels = Channels::of(&mut mcap)?;
        mcap.flush()?;
        let mut log = Log {
            mcap,
            spool,
            buffer: Vec::new(),
            flushed_at: None,
            marks: Vec::new(),
            trouble: None,
        };
        log.spool.carry()?;
        log.marks.push((log.spool.length(), Summary::default()));
        let names = header.robot.joint_names.0.clone();
        let image = |format: &str| CompressedImage {
            header: messages::Header {
                frame_id: "camera".into(),
                ..Default::default()
            },
            format: format.into(),
            data: Vec::new(),
        };
        let fovy_deg = header.camera.get("fovy_deg");
        Ok(Self {
            log,
            channels,
            joint_count: names.len(),
            summary: Summary::default(),
            health: HealthSummary::default(),
            joint_state: JointState {
                name: names,
                ..Default::default()
            },
            image: image("jpeg"),
            observed: image("png"),
            fovy_deg: fovy_deg.and_then(|fovy| fovy.parse().ok()),
            chronicle: Chronicle::default(),
        })
    }

    /// A step in simulated time.
    pub fn step<const N: usize>(&mut self, step: &Step<N>) -> Result<(), EpisodeError> {
        self.tick(step, None)
    }

    /// A step in real time, with its health.
    pub fn live_step<const N: usize>(
        &mut self,
        step: &Step<N>,
        health: &Health,
    ) -> Result<(), EpisodeError> {
        self.tick(step, Some(health))
    }

    fn tick<const N: usize>(
        &mut self,
        step: &Step<N>,
        health: Option<&Health>,
    ) -> Result<(), EpisodeError> {
        if N != self.joint_count {
            return Err(EpisodeError::Joints {
                expected: self.joint_count,
                got: N,
            });
        }
        let (at, sequence) = (step.due, step.tick as u32);
        self.log.flush_when_due(at, self.summary)?;
        if let Some(health) = health {
            self.health.add(step.jitter, health);
            let message = health::message(step.tick, step.due, health);
            self.log.put(self.channels.health, sequence, at, &message)?;
        }
        let joints = &mut self.joint_state;
        if let Some(state) = &step.measured() {
            convert::set_joint_state(
                joints,
                state.sampled_at,
                &state.q.0,
                &state.dq.0,
                Some(&state.tau.0),
            );
            self.log
                .put(self.channels.joint_states, sequence, at, joints)?;
        }
        if let Some((q, dq, _)) = &step.command {
            convert::set_joint_state(joints, step.due, &q.0, &dq.0, None);
            self.log
                .put(self.channels.joint_commands, sequence, at, joints)?;
        }
        if let Some(Request::Jog(velocity)) = &step.inputs.request {
            let twist = convert::operator_twist(at, velocity);
            self.log.put(self.channels.operator, sequence, at, &twist)?;
        }
        for (severity, line) in self.chronicle.changes(step) {
            let message = chronicle::message(at, severity, line);
            self.log.put(self.channels.log, sequence, at, &message)?;
        }
        // Last, so that a step in a file that ends early is there with all of its parts or not at all.
        self.log
            .put(self.channels.step, sequence, at, &convert::step(step))?;
        self.summary.steps += 1;
        Ok(())
    }

    /// What the policy looked at, `image` without loss.
    pub fn observation(
        &mut self,
        record: &ObservationRecord,
        image: &Image,
    ) -> Result<(), EpisodeError> {
        let (at, gripper) = (record.observed_at, &record.gripper);
        self.log.flush_when_due(at, self.summary)?;
        picture::png(image, &mut self.observed.data)?;
        self.observed.header.stamp = convert::time(record.frame_captured_at);
        let pose = convert::pose_stamped(gripper.sampled_at, &gripper.measured);
        let message = convert::observation(record);
        let (channels, step) = (&self.channels, record.step);
        self.log.put(channels.observed, step, at, &self.observed)?;
        self.log.put(channels.observation, step, at, &message)?;
        self.log.put(channels.tcp, step, at, &pose)?;
        self.summary.observations += 1;
        Ok(())
    }

    /// What a person says about a span of the episode.
    pub fn annotation(&mut self, annotation: &Annotation) -> Result<(), EpisodeError> {
        self.log.flush_when_due(annotation.said_at, self.summary)?;
        let message = convert::annotation(annotation);
        self.log
            .put(self.channels.annotation, 0, annotation.said_at, &message)
    }

    pub fn decision(
        &mut self,
        decision: &Decision,
        decided_at: Instant,
    ) -> Result<(), EpisodeError> {
        self.log.flush_when_due(decided_at, self.summary)?;
        let message = convert::action(decision, decided_at);
        self.log
            .put(self.channels.action, decision.step, decided_at, &message)?;
        self.summary.decisions += 1;
        Ok(())
    }

    /// Compresses the frame, which takes milliseconds.
    pub fn frame(&mut self, frame: &Frame) -> Result<(), EpisodeError> {
        self.log.flush_when_due(frame.captured_at, self.summary)?;
        picture::jpeg(&frame.image, &mut self.image.data)?;
        let Image { width, height, .. } = frame.image;
        self.compressed(frame.captured_at, frame.sequence as u32, width, height)
    }

    /// A frame that was compressed before, byte for byte; its size is what the JPEG says.
    pub fn compressed_frame(
        &mut self,
        frame: &FrameRecord,
        width: u32,
        height: u32,
    ) -> Result<(), EpisodeError> {
        self.log.flush_when_due(frame.captured_at, self.summary)?;
        self.image.data.clone_from(&frame.jpeg);
        self.compressed(frame.captured_at, frame.sequence, width, height)
    }

    /// The picture that is in `image`.
    fn compressed(
        &mut self,
        at: Instant,
        sequence: u32,
        width: u32,
        height: u32,
    ) -> Result<(), EpisodeError> {
        self.image.header.stamp = convert::time(at);
        let mut info = convert::camera_info(width, height, self.fovy_deg);
        info.header.stamp = self.image.header.stamp.clone();
        self.log
            .put(self.channels.camera_info, sequence, at, &info)?;
        self.log
            .put(self.channels.image, sequence, at, &self.image)?;
        self.summary.frames += 1;
        Ok(())
    }

    /// Ends the episode and hands the sink back, flushed. `lost` is what never reached this writer.
    ///
    /// # Errors
    /// [`EpisodeError::Incomplete`] when the sink does not take the end; what is lost is then counted, `lost` included.
    pub fn finish(mut self, outcome: &Outcome, lost: Losses) -> Result<(Summary, W), EpisodeError> {
        let summary = Summary {
            lost,
            ..self.summary
        };
        match self.end(outcome, &lost) {
            Ok(()) => {}
            Err(first) => {
                return Err(EpisodeError::Incomplete {
                    lost: summary.beyond(&self.log.on_disk()),
                    first: Box::new(first),
                });
            }
        }
        let sink = self.log.spool.into_sink();
        Ok((summary, sink.ok_or_else(sink_is_taken)?))
    }

    /// Why the disk takes nothing at present; what it does not take waits, up to a limit.
    pub fn trouble(&self) -> Option<&str> {
        self.log.trouble.as_deref()
    }

    fn end(&mut self, outcome: &Outcome, lost: &Losses) -> Result<(), EpisodeError> {
        let message = convert::outcome(outcome, lost);
        self.log
            .put(self.channels.outcome, 0, outcome.ended_at, &message)?;
        if self.health.ticks > 0 {
            self.log.mcap.write_metadata(&mcap::records::Metadata {
                name: health::SUMMARY.into(),
                metadata: health::summary(&self.health),
            })?;
        }
        self.log.mcap.finish()?;
        Ok(self.log.spool.carry()?)
    }
}

/// How every episode is written.
pub(super) fn options() -> mcap::WriteOptions {
    mcap::WriteOptions::new()
        .profile("ros2")
        .library(concat!("visuomotor ", env!("CARGO_PKG_VERSION")))
        .compression(Some(mcap::Compression::Lz4))
        // Only ever append: then what was flushed stays readable, whatever happens later.
        .disable_seeking(true)
}

fn sink_is_taken() -> io::Error {
    io::Error::other("the sink was taken")
}

impl Summary {
    /// What is in this one and not in `whole`, as losses.
    fn beyond(&self, whole: &Summary) -> Losses {
        let events = |summary: &Summary| summary.observations + summary.decisions;
        Losses {
            steps: self.lost.steps + self.steps - whole.steps,
            frames: self.lost.frames + self.frames - whole.frames,
            events: self.lost.events + events(self) - events(whole),
        }
    }
}

impl Channels {
    fn of(mcap: &mut mcap::Writer<Tap>) -> Result<Self, EpisodeError> {
        Ok(Self {
            joint_states: add_channel::<JointState>(mcap, topic::JOINT_STATES)?,
            joint_commands: add_channel::<JointState>(mcap, topic::JOINT_COMMANDS)?,
            step: add_channel::<messages::Step>(mcap, topic::STEP)?,
            health: add_channel::<messages::Health>(mcap, topic::HEALTH)?,
            image: add_channel::<CompressedImage>(mcap, topic::IMAGE)?,
            camera_info: add_channel::<messages::CameraInfo>(mcap, topic::CAMERA_INFO)?,
            observation: add_channel::<messages::Observation>(mcap, topic::OBSERVATION)?,
            observed: add_channel::<CompressedImage>(mcap, topic::OBSERVED)?,
            tcp: add_channel::<messages::PoseStamped>(mcap, topic::TCP)?,
            action: add_channel::<messages::Action>(mcap, topic::ACTION)?,
            operator: add_channel::<messages::TwistStamped>(mcap, topic::OPERATOR)?,
            annotation: add_channel::<messages::Annotation>(mcap, topic::ANNOTATION)?,
            log: add_channel::<messages::Log>(mcap, topic::LOG)?,
            outcome: add_channel::<messages::Outcome>(mcap, topic::OUTCOME)?,
        })
    }
}

fn add_channel<M: Message>(mcap: &mut mcap::Writer<Tap>, topic: &str) -> Result<u16, EpisodeError> {
    let schema = mcap.add_schema(
        &M::schema_name(),
        "ros2msg",
        messages::schema_text::<M>().as_bytes(),
    )?;
    Ok(mcap.add_channel(schema, topic, "cdr", &BTreeMap::new())?)
}

/// The parts are dropped in this order: the format writes its end, and the spool carries it.
struct Log<W: Write> {
    mcap: mcap::Writer<Tap>,
    spool: Spool<W>,
    buffer: Vec<u8>,
    flushed_at: Option<Instant>,
    /// After which byte of the file which records are whole; the two newest that the disk has, and those after them.
    marks: Vec<(u64, Summary)>,
    /// What the disk said when it took nothing the last time.
    trouble: Option<String>,
}

impl<W: Write> Log<W> {
    /// # Errors
    /// When the record is refused, because the disk takes nothing and too much waits already.
    fn put<M: Message>(
        &mut self,
        channel_id: u16,
        sequence: u32,
        log_time: Instant,
        message: &M,
    ) -> Result<(), EpisodeError> {
        if self.spool.pending() > PENDING_BYTES_MAX {
            self.spool.carry()?;
        }
        cdr::encode(message, &mut self.buffer);
        let at = log_time.as_ticks();
        let header = MessageHeader {
            channel_id,
            sequence,
            log_time: at,
            publish_time: at,
        };
        Ok(self.mcap.write_to_known_channel(&header, &self.buffer)?)
    }

    /// Closes the chunk in time. What the disk does not take waits.
    fn flush_when_due(&mut self, now: Instant, whole: Summary) -> Result<(), EpisodeError> {
        let since = *self.flushed_at.get_or_insert(now);
        let age = now.checked_duration_since(since);
        if age.is_none_or(|age| age < FLUSH_PERIOD) {
            return Ok(());
        }
        self.flushed_at = Some(now);
        self.mcap.flush()?;
        self.marks.push((self.spool.length(), whole));
        self.trouble = self.spool.carry().err().map(|error| error.to_string());
        let taken = self.spool.taken();
        let on_disk = self.marks.iter().rposition(|(end, _)| *end <= taken);
        self.marks.drain(..on_disk.unwrap_or(0).saturating_sub(1));
        Ok(())
    }

    /// The records that are certainly on the disk.
    fn on_disk(&self) -> Summary {
        let taken = self.spool.taken();
        let newest = self.marks.iter().rfind(|(end, _)| *end <= taken);
        newest.map_or(Summary::default(), |(_, whole)| *whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::{DecisionRecord, samples};
    use std::io::Cursor;

    #[test]
    fn same_calls_give_the_same_bytes() {
        let write = || {
            samples::write(Cursor::new(Vec::new()), 300)
                .unwrap()
                .1
                .into_inner()
        };
        assert_eq!(write(), write());
    }

    #[test]
    fn any_reader_of_the_format_finds_schemas_and_indexes() {
        let (summary, file) = samples::write(Cursor::new(Vec::new()), 300).unwrap();
        let file = file.into_inner();
        let index = mcap::Summary::read(&file).unwrap().unwrap();
        let statistics = index.stats.unwrap();
        assert_eq!(
            (
                summary.steps,
                summary.frames,
                summary.observations,
                summary.decisions
            ),
            (300, 6, 6, 6)
        );
        assert_eq!(
            (
                statistics.channel_count,
                statistics.attachment_count,
                statistics.metadata_count
            ),
            (14, 1, 12)
        );
        assert!(
            statistics.chunk_count >= 3,
            "300 ms in chunks of at most 100 ms: {}",
            statistics.chunk_count
        );
        for channel in index.channels.values() {
            let schema = channel.schema.as_ref().unwrap();
            assert_eq!(
                (channel.message_encoding.as_str(), schema.encoding.as_str()),
                ("cdr", "ros2msg")
            );
            assert!(schema.name.contains("/msg/") && !schema.data.is_empty());
        }
        let topics: Vec<_> = mcap::MessageStream::new(&file)
            .unwrap()
            .map(|m| m.unwrap().channel.topic.clone())
            .collect();
        assert_eq!(
            topics
                .iter()
                .filter(|topic| *topic == topic::JOINT_STATES)
                .count(),
            300 - 43
        );
        assert_eq!(topics.last().unwrap(), topic::OUTCOME);
    }

    #[test]
    fn impossible_records_are_errors_and_leave_the_episode_whole() {
        let mut writer =
            EpisodeWriter::new(Cursor::new(Vec::new()), &samples::header(), &[]).unwrap();
        let mut frame = samples::frame(0);
        frame.image.rgb.pop();
        assert!(matches!(
            writer.frame(&frame),
            Err(EpisodeError::Image {
                width: 16,
                height: 8,
                ..
            })
        ));
        frame.image.width = 1 << 16;
        assert!(matches!(
            writer.frame(&frame),
            Err(EpisodeError::Image { .. })
        ));

        let mut header = samples::header();
        header.robot.joint_names.0.pop();
        let mut six = EpisodeWriter::new(Cursor::new(Vec::new()), &header, &[]).unwrap();
        assert!(matches!(
            six.step(&samples::step(0)),
            Err(EpisodeError::Joints {
                expected: 6,
                got: 7
            })
        ));

        let (summary, _) = writer
            .finish(&samples::outcome(samples::at_ms(1)), Losses::default())
            .unwrap();
        assert_eq!(summary, Summary::default());
    }

    /// A disk that is full after so many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A disk that others fill up and empty again.
    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<(Vec<u8>, bool)>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (disk, full) = &mut *self.0.lock().unwrap();
            if *full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_is_full_for_a_while_costs_nothing_and_at_the_end_the_loss_is_counted() {
        for (full_at_the_end, from) in [(false, 120), (true, 240)] {
            let disk = Shared::default();
            let mut writer = EpisodeWriter::new(disk.clone(), &samples::header(), &[]).unwrap();
            for i in 0..400 {
                disk.0.lock().unwrap().1 = i >= from && (full_at_the_end || i < 330);
                writer.step(&samples::step(i)).unwrap();
            }
            let ended = writer.finish(&samples::outcome(samples::at_ms(400)), Losses::default());
            let file = disk.0.lock().unwrap().0.clone();
            let steps = crate::episode::Episode::<7>::read(&file[..]).unwrap().steps;
            assert!(
                steps
                    .iter()
                    .copied()
                    .eq((0..steps.len() as u64).map(samples::step))
            );
            match ended {
                Ok((summary, _)) => assert_eq!((summary.steps, steps.len()), (400, 400)),
                Err(EpisodeError::Incomplete { lost, .. }) => {
                    assert!(full_at_the_end);
                    assert_eq!(lost.steps as usize + steps.len(), 400);
                    assert!((200..=240).contains(&steps.len()), "{}", steps.len());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A disk of so many bytes, which truncation gives back.
    #[derive(Clone)]
    struct Small(std::sync::Arc<std::sync::Mutex<Vec<u8>>>, usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let room = self.1.saturating_sub(disk.len()).min(bytes.len());
            disk.extend_from_slice(&bytes[..room]);
            match room {
                0 if !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(room),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Disk for Small {
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.0.lock().unwrap().truncate(length as usize);
            Ok(())
        }

        fn commit(self: Box<Self>) -> Result<(), EpisodeError> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_stays_full_holds_the_count_of_what_is_lost() {
        let whole = samples::write(Cursor::new(Vec::new()), 400).unwrap().1;
        let length = whole.into_inner().len();
        let header = samples::write(Cursor::new(Vec::new()), 0).unwrap().1;
        for capacity in (header.into_inner().len()..length - 1).step_by(1013) {
            let disk = Small(Default::default(), capacity);
            let boxed: Box<dyn Disk> = Box::new(disk.clone());
            let mut writer =
                EpisodeWriter::new(boxed, &samples::header(), &samples::attachments()).unwrap();
            for i in 0..400 {
                writer.step(&samples::step(i)).unwrap();
                if i % 50 == 0 {
                    writer.frame(&samples::frame(i)).unwrap();
                    let (record, image) = (samples::observation(i), samples::frame(i).image);
                    writer.observation(&record, &image).unwrap();
                    let DecisionRecord {
                        decision,
                        decided_at,
                    } = samples::decision(i);
                    writer.decision(&decision, decided_at).unwrap();
                }
            }
            let closed = writer.close(&samples::outcome(samples::at_ms(400)), samples::LOST);
            let Err(EpisodeError::Incomplete { lost, .. }) = closed else {
                panic!("{capacity} of {length} bytes: {closed:?}");
            };
            let file = disk.0.lock().unwrap().clone();
            let episode = crate::episode::Episode::<7>::read(&file[..]).unwrap();
            assert_eq!(episode.damage, None, "{capacity} of {length} bytes");
            let steps = episode.steps.len() as u64;
            assert!(episode.steps.into_iter().eq((0..steps).map(samples::step)));
            let events = (episode.observations.len() + episode.decisions.len()) as u64;
            let expected = Losses {
                steps: samples::LOST.steps + 400 - steps,
                frames: samples::LOST.frames + 8 - episode.frames.len() as u64,
                events: samples::LOST.events + 16 - events,
            };
            assert_eq!((lost, episode.outcome.unwrap().1), (expected, expected));
        }
    }

    #[test]
    fn a_full_disk_is_an_error_wherever_it_comes() {
        let length = samples::write(Cursor::new(Vec::new()), 250)
            .unwrap()
            .1
            .into_inner()
            .len();
        for bytes in (0..length).step_by(97) {
            assert!(
                samples::write(Full(bytes), 250).is_err(),
                "after {bytes} of {length} bytes"
            );
        }
    }
}
