//! The record of a simulation: written by the real recorder to a disk in memory that can be full, read back, and held
//! against what was handed over. Every record is in the file, or counted as lost.

use super::check::Violation;
use super::plan::{Kind, Planned};
use crate::config::JOINTS;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::episode::{
    Attachment, Disk, Ending, Episode, EpisodeError, EpisodeWriter, EventSink, Fingerprint, Header,
    Losses, Outcome, Queues, StepSink, Worker,
};
use visuomotor_runtime::step::Step;

/// Smaller than a live session's: a stall of the writer is then felt soon, by every stream.
const QUEUES: Queues = Queues {
    steps: 512,
    events: 16,
};

#[derive(Clone, Default)]
struct MemoryDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
}

impl Write for MemoryDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut disk = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        disk.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        disk.truncate(length as usize);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), EpisodeError> {
        Ok(())
    }
}

/// What was handed over to the recorder.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandedOver {
    pub frames: u64,
    /// Observations and decisions.
    pub events: u64,
}

/// The recorder of one simulation.
pub struct Ledger {
    worker: Worker<JOINTS>,
    disk: MemoryDisk,
    faults: Vec<Planned>,
    /// Of each fault, how often it was played.
    injected: Vec<u64>,
}

/// What came of a record.
pub struct Audit {
    pub violation: Option<Violation>,
    /// Records that are neither in the file nor counted as lost, or counted and there.
    pub uncounted: u64,
    pub bytes: Vec<u8>,
}

impl Ledger {
    pub fn open(
        header: &Header,
        attachments: &[Attachment],
        plan: &[Planned],
        now: Instant,
    ) -> Result<(Self, StepSink<JOINTS>, EventSink), EpisodeError> {
        let (mut worker, steps, events) = Worker::new(QUEUES);
        let disk = MemoryDisk::default();
        let boxed: Box<dyn Disk> = Box::new(disk.clone());
        worker.begin(EpisodeWriter::new(boxed, header, attachments)?, now);
        let concerns = |p: &&Planned| matches!(p.kind, Kind::WriterStall | Kind::DiskFull);
        let faults: Vec<Planned> = plan.iter().filter(concerns).copied().collect();
        let ledger = Self {
            worker,
            disk,
            injected: vec![0; faults.len()],
            faults,
        };
        Ok((ledger, steps, events))
    }

    pub fn faults(&self) -> impl Iterator<Item = (Kind, u64)> {
        let kinds = self.faults.iter().map(|planned| planned.kind);
        kinds.zip(self.injected.iter().copied())
    }

    /// What the writer's thread does every 10 ms.
    pub fn turn(&mut self, now: Instant) {
        let mut stalled = false;
        let mut full = false;
        for (planned, injected) in self.faults.iter().zip(&mut self.injected) {
            if planned.contains(now) {
                *injected += 1;
                stalled |= planned.kind == Kind::WriterStall;
                full |= planned.kind == Kind::DiskFull;
            }
        }
        self.disk.full.store(full, Ordering::Relaxed);
        if !stalled {
            self.worker.turn();
        }
    }

    /// Ends the record, reads it back and compares.
    pub fn audit(mut self, steps: &[Step<JOINTS>], sent: HandedOver) -> Audit {
        self.disk.full.store(false, Ordering::Relaxed);
        let last = steps.last();
        let outcome = Outcome {
            ended_at: last.map_or(Instant::from_ticks(0), |step| step.due),
            ending: Ending::Stopped,
            success: None,
            actions: 0,
        };
        let lost = match self.worker.finish(&outcome) {
            Ok(summary) => Ok(summary.lost),
            Err(EpisodeError::Incomplete { lost, .. }) => Ok(lost),
            Err(error) => Err(error),
        };
        let mut disk = self
            .disk
            .bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut *disk);
        let read = lost.and_then(|lost| Ok((lost, Episode::<JOINTS>::read(&bytes[..])?)));
        let (uncounted, wrong) = match read {
            Err(error) => (steps.len() as u64, Some((0, error.to_string()))),
            Ok((lost, episode)) => compare(&episode, &lost, steps, sent),
        };
        Audit {
            violation: wrong.map(|(tick, what)| Violation {
                checker: "ledger",
                tick,
                what,
            }),
            uncounted,
            bytes,
        }
    }
}

/// How many records nobody accounts for, and what is wrong first, at which tick.
fn compare(
    episode: &Episode<JOINTS>,
    lost: &Losses,
    steps: &[Step<JOINTS>],
    sent: HandedOver,
) -> (u64, Option<(u64, String)>) {
    let mut wrong = None;
    let mut prints = (Fingerprint::default(), Fingerprint::default());
    let mut published = steps.iter();
    for recorded in &episode.steps {
        let same = published.find(|step| step.tick == recorded.tick);
        if same.is_none_or(|step| prints.0.of(step) != prints.1.of(recorded)) {
            wrong.get_or_insert((
                recorded.tick,
                "it was recorded otherwise than handed over".into(),
            ));
        }
    }
    let events = episode.observations.len() + episode.decisions.len();
    let mut uncounted = 0;
    for (name, sent, recorded, lost) in [
        ("steps", steps.len() as u64, episode.steps.len(), lost.steps),
        ("frames", sent.frames, episode.frames.len(), lost.frames),
        ("events", sent.events, events, lost.events),
    ] {
        let accounted = recorded as u64 + lost;
        uncounted += sent.abs_diff(accounted);
        if sent != accounted {
            let what =
                format!("{sent} {name} handed over, {recorded} recorded, {lost} counted as lost");
            wrong.get_or_insert((0, what));
        }
    }
    (uncounted, wrong)
}
