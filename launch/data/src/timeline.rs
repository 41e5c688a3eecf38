//! An episode of any robot: what [`Episode`] holds, with the number of joints as a value instead of a type, so that whoever
//! looks at episodes of many robots is one piece of code.
//!
//! Not responsible for the file ([`visuomotor_runtime::episode`]) nor for any judgement.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use visuomotor_runtime::arm::{ArmError, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::episode::{
    Annotation, Attachment, DecisionRecord, Episode, EpisodeError, FrameRecord, Header,
    HealthRecord, LogRecord, Losses, ObservationRecord, ObservedImage, Outcome,
};
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::safety::{OperatingMode, SafetyReport, StopCategory};
use visuomotor_runtime::step::{Counters, Step};

/// The most joints that a robot has here.
const JOINTS_MAX: usize = 7;

/// One number for each joint, base to tip; a slice of `f64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joints {
    values: [f64; JOINTS_MAX],
    count: usize,
}

impl Joints {
    fn of(joints: &[f64]) -> Self {
        let mut values = [0.0; JOINTS_MAX];
        values[..joints.len()].copy_from_slice(joints);
        Self {
            values,
            count: joints.len(),
        }
    }
}

impl Deref for Joints {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values[..self.count]
    }
}

impl DerefMut for Joints {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.values[..self.count]
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    pub header: Header,
    pub attachments: Vec<Attachment>,
    pub ticks: Vec<Tick>,
    /// Of every tick of a live episode; none in simulated time.
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

/// One tick of the control loop; see [`Step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    pub tick: u64,
    pub due: Instant,
    /// Wake-up minus deadline.
    pub jitter: Duration,
    /// Deadlines since the last tick that were skipped.
    pub missed: u64,
    pub phase: Phase,
    pub mode: OperatingMode,
    /// Or why the arm was not read.
    pub measured: Result<Measured, ArmError>,
    /// `None` when nothing was sent but a stop.
    pub commanded: Option<Commanded>,
    pub stop: Option<StopCategory>,
    pub reference: TcpPose,
    pub goal: TcpPose,
    pub report: SafetyReport,
    pub fault: Option<Fault>,
    pub counters: Counters,
    /// The decision that came to the controller with this tick.
    pub decision: Option<Decision>,
    pub request: Option<Request>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub sampled_at: Instant,
    /// rad
    pub q: Joints,
    /// rad/s
    pub dq: Joints,
    /// N m
    pub tau: Joints,
    pub aperture_m: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Commanded {
    /// rad
    pub q: Joints,
    /// rad/s
    pub dq: Joints,
    pub fingers: Fingers,
}

impl Timeline {
    pub fn open(path: &Path) -> Result<Self, EpisodeError> {
        let file = std::fs::File::open(path).map_err(|source| EpisodeError::File {
            doing: "open",
            path: path.to_owned(),
            source,
        })?;
        Self::read(BufReader::new(file))
    }

    /// # Errors
    /// Those of [`Episode::read`], and when the robot has a number of joints that no code is for.
    pub fn read(mut source: impl Read + Seek) -> Result<Self, EpisodeError> {
        let seven = Episode::<7>::read(&mut source);
        let expected = match seven {
            Ok(episode) => return Ok(episode.into()),
            Err(EpisodeError::Joints { expected, .. }) => expected,
            Err(error) => return Err(error),
        };
        source.seek(SeekFrom::Start(0))?;
        match expected {
            5 => Episode::<5>::read(source).map(Self::from),
            _ => Episode::<6>::read(source).map(Self::from),
        }
    }

    /// When the first tick was due; where there is none, the first thing that happened.
    pub fn start(&self) -> Instant {
        let ticks = self.ticks.first().map(|tick| tick.due);
        let frames = self.frames.first().map(|frame| frame.captured_at);
        let ended = self.outcome.map(|(outcome, _)| outcome.ended_at);
        ticks.or(frames).or(ended).unwrap_or(Instant::from_ticks(0))
    }

    /// Time from the start, s; negative before it.
    pub fn seconds(&self, at: Instant) -> f64 {
        let (at, start) = (at.as_ticks(), self.start().as_ticks());
        let sign = if at < start { -1.0 } else { 1.0 };
        sign * at.abs_diff(start) as f64 * 1e-9
    }

    /// From the first tick to the last, s.
    pub fn duration_s(&self) -> f64 {
        self.ticks.last().map_or(0.0, |last| self.seconds(last.due))
    }

    /// The content of an attached text, such as `launch.toml`.
    pub fn attached(&self, name: &str) -> Option<&str> {
        let found = self.attachments.iter().find(|file| file.name == name)?;
        std::str::from_utf8(&found.data).ok()
    }
}

impl<const N: usize> From<Episode<N>> for Timeline {
    fn from(episode: Episode<N>) -> Self {
        Self {
            header: episode.header,
            attachments: episode.attachments,
            ticks: episode.steps.iter().map(Tick::of).collect(),
            health: episode.health,
            observations: episode.observations,
            decisions: episode.decisions,
            frames: episode.frames,
            observed: episode.observed,
            annotations: episode.annotations,
            log: episode.log,
            outcome: episode.outcome,
            damage: episode.damage,
        }
    }
}

impl Tick {
    fn of<const N: usize>(step: &Step<N>) -> Self {
        Self {
            tick: step.tick,
            due: step.due,
            jitter: step.jitter,
            missed: step.missed,
            phase: step.phase,
            mode: step.mode,
            measured: step.inputs.arm.map(|state| Measured {
                sampled_at: state.sampled_at,
                q: Joints::of(state.q.0.as_slice()),
                dq: Joints::of(state.dq.0.as_slice()),
                tau: Joints::of(state.tau.0.as_slice()),
                aperture_m: state.aperture_m,
            }),
            commanded: step.command.map(|(q, dq, fingers)| Commanded {
                q: Joints::of(q.0.as_slice()),
                dq: Joints::of(dq.0.as_slice()),
                fingers,
            }),
            stop: step.stop,
            reference: step.reference,
            goal: step.goal,
            report: step.report,
            fault: step.fault,
            counters: step.counters,
            decision: step.inputs.decision,
            request: step.inputs.request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::Stage;
    use std::io::Cursor;

    #[test]
    fn episodes_of_every_robot_are_read() {
        let timeline = Timeline::read(Cursor::new(Stage::default().file())).unwrap();
        assert_eq!(timeline.damage, None);
        assert_eq!(timeline.ticks.len(), 2000);
        assert_eq!(timeline.ticks[3].measured.unwrap().q.len(), 7);
        assert!((timeline.duration_s() - 1.999).abs() < 1e-9);
        assert_eq!(timeline.seconds(timeline.ticks[500].due), 0.5);
        assert!(timeline.attached("launch.toml").is_some() && timeline.attached("x").is_none());

        let mut header = crate::staged::header();
        for joints in [6, 5] {
            header.robot.joint_names.0.truncate(joints);
            let file = Stage {
                header: header.clone(),
                ticks: 10,
                ..Stage::default()
            };
            let file = match joints {
                5 => file.file_of::<5>(),
                _ => file.file_of::<6>(),
            };
            let timeline = Timeline::read(Cursor::new(file)).unwrap();
            assert_eq!(timeline.ticks[3].measured.unwrap().q.len(), joints);
        }
    }
}
