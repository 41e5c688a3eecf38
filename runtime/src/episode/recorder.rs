//! Records episodes on a thread of its own, so that neither the control loop nor the policy ever waits for a disk.
//!
//! Steps come through a wait-free ring of fixed size, frames and events through a bounded channel; what finds its queue
//! full is dropped and counted. Disk errors are kept and counted until the episode is finished. Not responsible for
//! the thread's priority, nor for the words of [`super::narrate`].

use super::narrate::Narrator;
use super::records::{Annotation, DecisionRecord, Losses, ObservationRecord, Outcome};
use super::{DiskWriter, EpisodeError, Summary};
use crate::camera::{Frame, Image};
use crate::clock::Instant;
use crate::health::Health;
use crate::planted::{Bug, is_planted};
use crate::step::Step;
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender, TrySendError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tracing::warn;

/// The ring is emptied at least this often; waking the thread from the control loop would be a system call there.
const DRAIN_PERIOD: std::time::Duration = std::time::Duration::from_millis(10);

/// So many buffers of pictures are kept for the next ones.
const SPARE_PICTURES: usize = 8;

/// Sizes of the recorder's queues.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    /// At least a few times what one slow write to the disk lets pile up; half of it is kept from before an episode.
    pub steps: usize,
    /// Frames, observations and decisions.
    pub events: usize,
}

/// Records dropped since start because a queue was full.
#[derive(Debug, Default)]
struct Dropped {
    steps: AtomicU64,
    frames: AtomicU64,
    events: AtomicU64,
}

impl Dropped {
    fn load(&self) -> Losses {
        Losses {
            steps: self.steps.load(Ordering::Relaxed),
            frames: self.frames.load(Ordering::Relaxed),
            events: self.events.load(Ordering::Relaxed),
        }
    }
}

/// How the recorder fares with the episode that it is writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// What the disk says while it takes nothing. What it does not take waits, and costs nothing as long as that fits.
    pub trouble: Option<String>,
    /// Records that are lost for good, because a queue was full or too much waited for the disk.
    pub lost: Losses,
}

/// What the control loop hands over a tick; in simulated time there is no health.
type Ticked<const N: usize> = (Step<N>, Option<Health>);

/// The control loop's end. Wait-free.
pub struct StepSink<const N: usize> {
    ring: rtrb::Producer<Ticked<N>>,
    dropped: Arc<Dropped>,
}

impl<const N: usize> StepSink<N> {
    pub fn push(&mut self, step: &Step<N>, health: Option<Health>) {
        if self.ring.push((*step, health)).is_err() && !is_planted(Bug::SilentDrop) {
            self.dropped.steps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was dropped since start, on this side and by every [`EventSink`].
    pub fn dropped(&self) -> Losses {
        self.dropped.load()
    }
}

/// The camera's and the policy's end. Never blocks.
#[derive(Clone)]
pub struct EventSink {
    messages: Sender<Message>,
    /// Pictures that were written, for their buffers: new ones for every frame, freed by another thread, would let the
    /// process grow.
    spare: Receiver<Image>,
    dropped: Arc<Dropped>,
}

impl EventSink {
    pub fn frame(&self, frame: &Frame) {
        let frame = Frame {
            image: self.copy(&frame.image),
            ..*frame
        };
        self.send(Message::Frame(frame), &self.dropped.frames);
    }

    /// `image` is what the policy looked at.
    pub fn observation(&self, record: ObservationRecord, image: &Image) {
        let message = Message::Observation(Box::new((record, self.copy(image))));
        self.send(message, &self.dropped.events);
    }

    /// What a person says about the episode.
    pub fn annotation(&self, annotation: Annotation) {
        self.send(Message::Annotation(annotation), &self.dropped.events);
    }

    pub fn decision(&self, record: DecisionRecord) {
        self.send(Message::Decision(record), &self.dropped.events);
    }

    fn copy(&self, image: &Image) -> Image {
        let mut copy = self.spare.try_recv().unwrap_or_default();
        (copy.width, copy.height) = (image.width, image.height);
        copy.rgb.clear();
        copy.rgb.extend_from_slice(&image.rgb);
        copy
    }

    fn send(&self, message: Message, dropped: &AtomicU64) {
        match self.messages.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

enum Message {
    Frame(Frame),
    Observation(Box<(ObservationRecord, Image)>),
    Annotation(Annotation),
    Decision(DecisionRecord),
    Begin {
        writer: Box<DiskWriter>,
        started_at: Instant,
        dropped: Losses,
    },
    Finish {
        outcome: Outcome,
        dropped: Losses,
        reply: Sender<Result<Summary, EpisodeError>>,
    },
    End,
}

/// The session's end: begins and finishes episodes. Dropping it ends the thread; an unfinished episode keeps the name
/// of an open file.
pub struct Recorder {
    messages: Sender<Message>,
    dropped: Arc<Dropped>,
    condition: Arc<Mutex<Condition>>,
    thread: Option<JoinHandle<()>>,
    recording: bool,
}

impl Recorder {
    pub fn start<const N: usize>(
        queues: Queues,
    ) -> Result<(Self, StepSink<N>, EventSink), EpisodeError> {
        let (worker, steps, events) = Worker::new(queues);
        let (messages, dropped) = (events.messages.clone(), events.dropped.clone());
        let condition = worker.condition.clone();
        let thread = thread::Builder::new()
            .name("episode".into())
            .spawn(move || worker.run())?;
        let recorder = Self {
            messages,
            dropped,
            condition,
            thread: Some(thread),
            recording: false,
        };
        Ok((recorder, steps, events))
    }

    /// From here on everything goes to `writer`: the steps that are due at `started_at` or later, and all events.
    pub fn begin(&mut self, writer: DiskWriter, started_at: Instant) -> Result<(), EpisodeError> {
        if self.recording {
            return Err(EpisodeError::Recording);
        }
        let (writer, dropped) = (Box::new(writer), self.dropped.load());
        self.send(Message::Begin {
            writer,
            started_at,
            dropped,
        })?;
        self.recording = true;
        Ok(())
    }

    /// Writes everything that was handed over before this call and returns when the file is on the disk under its name.
    ///
    /// # Errors
    /// [`EpisodeError::Incomplete`] if anything could not be written; the file is then finished as well as it can be.
    pub fn finish(&mut self, outcome: Outcome) -> Result<Summary, EpisodeError> {
        if !self.recording {
            return Err(EpisodeError::NotRecording);
        }
        self.recording = false;
        let (reply, answer) = channel::bounded(1);
        self.send(Message::Finish {
            outcome,
            dropped: self.dropped.load(),
            reply,
        })?;
        answer.recv().map_err(|_| EpisodeError::RecorderGone)?
    }

    /// What was dropped since start because a queue was full.
    pub fn dropped(&self) -> Losses {
        self.dropped.load()
    }

    /// Of the episode that is being recorded; the last one's between two.
    pub fn condition(&self) -> Condition {
        // A panic elsewhere leaves a whole value behind.
        self.condition
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn send(&self, message: Message) -> Result<(), EpisodeError> {
        self.messages
            .send(message)
            .map_err(|_| EpisodeError::RecorderGone)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.send(Message::End).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// What the recorder's thread does. A simulation does it itself, when its own time says so.
pub struct Worker<const N: usize> {
    ring: rtrb::Consumer<Ticked<N>>,
    messages: Receiver<Message>,
    spare: Sender<Image>,
    dropped: Arc<Dropped>,
    condition: Arc<Mutex<Condition>>,
    open: Option<Open>,
    narrator: Narrator,
}

/// The episode that is being recorded.
struct Open {
    writer: Box<DiskWriter>,
    started_at: Instant,
    /// Dropped before it began.
    dropped: Losses,
    /// Handed over, but not written.
    unwritten: Losses,
    first_error: Option<EpisodeError>,
}

impl<const N: usize> Worker<N> {
    /// Without a thread: for simulated time.
    pub fn new(queues: Queues) -> (Self, StepSink<N>, EventSink) {
        let (producer, ring) = rtrb::RingBuffer::new(queues.steps);
        let (sender, messages) = channel::bounded(queues.events);
        let (spare, spare_read) = channel::bounded(SPARE_PICTURES);
        let dropped = Arc::new(Dropped::default());
        let worker = Self {
            ring,
            messages,
            spare,
            dropped: dropped.clone(),
            condition: Arc::default(),
            open: None,
            narrator: Narrator::default(),
        };
        let steps = StepSink {
            ring: producer,
            dropped: dropped.clone(),
        };
        let events = EventSink {
            messages: sender,
            spare: spare_read,
            dropped,
        };
        (worker, steps, events)
    }

    /// As [`Recorder::begin`].
    pub fn begin(&mut self, writer: DiskWriter, started_at: Instant) {
        self.open(Box::new(writer), started_at, self.dropped.load());
    }

    /// Writes what was handed over since the last turn.
    pub fn turn(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
        self.drain(None);
    }

    /// As [`Recorder::finish`].
    pub fn finish(&mut self, outcome: &Outcome) -> Result<Summary, EpisodeError> {
        self.turn();
        self.close(outcome, self.dropped.load())
    }

    fn run(mut self) {
        loop {
            match self.messages.recv_timeout(DRAIN_PERIOD) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.take(message),
            }
            self.drain(None);
            self.tell();
        }
    }

    /// Brings the condition up to date.
    fn tell(&self) {
        let Some(open) = &self.open else { return };
        let now = Condition {
            trouble: open.writer.trouble().map(str::to_owned),
            lost: open.lost(self.dropped.load()),
        };
        let told = self.condition.lock();
        let mut told = told.unwrap_or_else(PoisonError::into_inner);
        if *told != now {
            if now.trouble.is_some() && told.trouble.is_none() {
                warn!(
                    "the disk takes nothing: {}",
                    now.trouble.as_deref().unwrap_or_default()
                );
            }
            *told = now;
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Begin {
                writer,
                started_at,
                dropped,
            } => self.open(writer, started_at, dropped),
            Message::Finish {
                outcome,
                dropped,
                reply,
            } => {
                // Nobody listens when the session gave up; the file is finished all the same.
                let _ = reply.send(self.close(&outcome, dropped));
            }
            Message::Frame(frame) => {
                self.write(|w| w.frame(&frame), |lost| &mut lost.frames);
                // Enough are spare already.
                let _ = self.spare.try_send(frame.image);
            }
            Message::Observation(observed) => {
                let (record, image) = *observed;
                self.write(|w| w.observation(&record, &image), |lost| &mut lost.events);
                let _ = self.spare.try_send(image);
            }
            Message::Annotation(annotation) => {
                self.write(|w| w.annotation(&annotation), |lost| &mut lost.events);
            }
            Message::Decision(record) => self.write(
                |w| w.decision(&record.decision, record.decided_at),
                |lost| &mut lost.events,
            ),
            Message::End => {}
        }
    }

    fn open(&mut self, writer: Box<DiskWriter>, started_at: Instant, dropped: Losses) {
        self.open = Some(Open {
            writer,
            started_at,
            dropped,
            unwritten: Losses::default(),
            first_error: None,
        });
        self.tell();
    }

    fn close(&mut self, outcome: &Outcome, dropped: Losses) -> Result<Summary, EpisodeError> {
        self.drain(Some(outcome.ended_at));
        let open = self.open.take().ok_or(EpisodeError::NotRecording)?;
        open.finish(outcome, dropped)
    }

    /// Empties the ring of what was due until `end`. Between episodes it stays half full: the next one may already have
    /// begun there.
    ///
    /// What was due after the end of an episode is not written: its losses are not those of the episode either.
    fn drain(&mut self, end: Option<Instant>) {
        while self.open.is_some() || self.ring.slots() > self.ring.buffer().capacity() / 2 {
            let Ok((step, health)) = self.ring.peek().copied() else {
                return;
            };
            if end.is_some_and(|end| step.due > end) {
                return;
            }
            let _ = self.ring.pop();
            self.narrator.step(&step);
            if self
                .open
                .as_ref()
                .is_some_and(|open| step.due >= open.started_at)
            {
                self.write(
                    |writer| match &health {
                        Some(health) => writer.live_step(&step, health),
                        None => writer.step(&step),
                    },
                    |lost| &mut lost.steps,
                );
            }
        }
    }

    /// Counts in `loss` what cannot be written. Without an episode there is nothing to write or to lose.
    fn write(
        &mut self,
        write: impl FnOnce(&mut DiskWriter) -> Result<(), EpisodeError>,
        loss: impl FnOnce(&mut Losses) -> &mut u64,
    ) {
        if let Some(open) = &mut self.open
            && let Err(error) = write(&mut open.writer)
        {
            *loss(&mut open.unwritten) += 1;
            open.first_error.get_or_insert(error);
        }
    }
}

impl Open {
    /// `dropped`: counted since start, at this moment.
    fn lost(&self, dropped: Losses) -> Losses {
        let (before, unwritten) = (self.dropped, self.unwritten);
        Losses {
            steps: dropped.steps - before.steps + unwritten.steps,
            frames: dropped.frames - before.frames + unwritten.frames,
            events: dropped.events - before.events + unwritten.events,
        }
    }

    /// `dropped`: counted since start, at the end of the episode.
    fn finish(self, outcome: &Outcome, dropped: Losses) -> Result<Summary, EpisodeError> {
        let lost = self.lost(dropped);
        let closed = self.writer.close(outcome, lost);
        let Some(first) = self.first_error else {
            return closed;
        };
        let lost = match closed {
            Err(EpisodeError::Incomplete { lost, .. }) => lost,
            _ => lost,
        };
        Err(EpisodeError::Incomplete {
            lost,
            first: Box::new(first),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::samples::{self, at_ms};
    use crate::episode::{DiskWriter, Episode, EpisodeWriter};
    use std::fs;
    use std::path::PathBuf;

    const QUEUES: Queues = Queues {
        steps: 4096,
        events: 64,
    };

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("visuomotor-recorder-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn writer(&self, name: &str) -> DiskWriter {
            EpisodeWriter::create(&self.0.join(name), &samples::header(), &[]).unwrap()
        }

        fn read(&self, name: &str) -> Episode<7> {
            Episode::open(&self.0.join(name)).unwrap()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_episode_holds_what_was_due_since_its_start() {
        let directory = Directory::new("episodes");
        let (mut recorder, mut steps, events) = Recorder::start::<7>(QUEUES).unwrap();
        events.frame(&samples::frame(0));
        for (name, pushed, start) in [("a.mcap", 0..300, 40), ("b.mcap", 300..400, 310)] {
            // The control loop is ahead of the session, which only now says when the episode began.
            let early = pushed.start..(start + 10);
            early
                .clone()
                .for_each(|i| steps.push(&samples::step(i), Some(samples::health(i))));
            recorder
                .begin(directory.writer(name), at_ms(start))
                .unwrap();
            (early.end..pushed.end)
                .for_each(|i| steps.push(&samples::step(i), Some(samples::health(i))));
            events.frame(&samples::frame(start));
            events.observation(samples::observation(start), &samples::frame(start).image);
            events.annotation(samples::annotation(start));
            events.decision(samples::decision(start));
            let outcome = samples::outcome(at_ms(pushed.end));
            let summary = recorder.finish(outcome).unwrap();
            assert_eq!(summary.lost, Losses::default());

            let episode = directory.read(name);
            assert_eq!(
                episode.steps,
                (start..pushed.end).map(samples::step).collect::<Vec<_>>()
            );
            let recorded = episode.health.iter().map(|record| record.health);
            assert!(recorded.eq((start..pushed.end).map(samples::health)));
            assert_eq!(episode.observations, [samples::observation(start)]);
            assert_eq!(episode.annotations, [samples::annotation(start)]);
            assert_eq!(episode.decisions, [samples::decision(start)]);
            assert_eq!(episode.outcome, Some((outcome, Losses::default())));
            assert_eq!(episode.frames.len(), 1);
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_the_file_says_so() {
        let directory = Directory::new("overflow");
        let (mut recorder, mut steps, events) = Recorder::start::<7>(Queues {
            steps: 8,
            events: 4,
        })
        .unwrap();
        recorder
            .begin(directory.writer("a.mcap"), at_ms(0))
            .unwrap();
        let (step, frame) = (samples::step(1), samples::frame(1));
        (0..100_000).for_each(|_| steps.push(&step, None));
        (0..1000).for_each(|_| events.frame(&frame));
        let dropped = steps.dropped();
        let summary = recorder.finish(samples::outcome(at_ms(2))).unwrap();
        assert_eq!(summary.lost, dropped);
        assert_eq!(summary.steps + dropped.steps, 100_000);
        assert_eq!(summary.frames + dropped.frames, 1000);
        assert!(dropped.steps > 0 && dropped.frames > 0, "{dropped:?}");
        let episode = directory.read("a.mcap");
        assert_eq!(episode.outcome.unwrap().1, dropped);
        assert_eq!(
            (episode.steps.len() as u64, episode.frames.len() as u64),
            (summary.steps, summary.frames)
        );
    }

    #[test]
    fn what_was_due_after_the_end_is_not_written() {
        let directory = Directory::new("late");
        let (mut worker, mut steps, _events) = Worker::<7>::new(QUEUES);
        worker.begin(directory.writer("a.mcap"), at_ms(10));
        (0..100).for_each(|i| steps.push(&samples::step(i), None));
        let outcome = samples::outcome(at_ms(49));
        worker.close(&outcome, Losses::default()).unwrap();
        assert_eq!(worker.ring.slots(), 50);
        let expected: Vec<_> = (10..50).map(samples::step).collect();
        assert_eq!(directory.read("a.mcap").steps, expected);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_with_a_count() {
        let directory = Directory::new("incomplete");
        let (mut recorder, _steps, events) = Recorder::start::<7>(QUEUES).unwrap();
        recorder
            .begin(directory.writer("a.mcap"), at_ms(0))
            .unwrap();
        let mut frame = samples::frame(0);
        frame.image.rgb.clear();
        events.frame(&frame);
        events.frame(&frame);
        events.frame(&samples::frame(1));
        let error = recorder.finish(samples::outcome(at_ms(2))).unwrap_err();
        let EpisodeError::Incomplete { lost, first } = error else {
            panic!("{error}")
        };
        assert_eq!(
            lost,
            Losses {
                frames: 2,
                ..Losses::default()
            }
        );
        assert!(matches!(*first, EpisodeError::Image { .. }), "{first}");
        assert_eq!(directory.read("a.mcap").frames.len(), 1);
    }

    #[test]
    fn a_directory_that_goes_away_is_an_error_and_the_next_episode_is_recorded() {
        let directory = Directory::new("gone");
        let (mut recorder, mut steps, _events) = Recorder::start::<7>(QUEUES).unwrap();
        let inner = directory.0.join("inner");
        fs::create_dir(&inner).unwrap();
        let writer = EpisodeWriter::create(&inner.join("a.mcap"), &samples::header(), &[]).unwrap();
        recorder.begin(writer, at_ms(0)).unwrap();
        fs::remove_dir_all(&inner).unwrap();
        let error = recorder
            .finish(samples::outcome(at_ms(1)))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("rename") && error.contains("inner/a.mcap.open"),
            "{error}"
        );

        recorder
            .begin(directory.writer("b.mcap"), at_ms(2))
            .unwrap();
        steps.push(&samples::step(3), None);
        assert_eq!(
            recorder.finish(samples::outcome(at_ms(4))).unwrap().steps,
            1
        );
    }

    #[test]
    fn begin_and_finish_come_in_pairs_and_an_unfinished_file_keeps_its_open_name() {
        let directory = Directory::new("pairs");
        let (mut recorder, _steps, _events) = Recorder::start::<7>(QUEUES).unwrap();
        assert!(matches!(
            recorder.finish(samples::outcome(at_ms(1))),
            Err(EpisodeError::NotRecording)
        ));
        recorder
            .begin(directory.writer("a.mcap"), at_ms(0))
            .unwrap();
        let second = recorder.begin(directory.writer("b.mcap"), at_ms(0));
        assert!(matches!(second, Err(EpisodeError::Recording)));
        drop(recorder);
        assert!(directory.0.join("a.mcap.open").exists() && !directory.0.join("a.mcap").exists());
    }
}
