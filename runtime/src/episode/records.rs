//! What an episode holds besides steps, in the runtime's own types: the same when it is written and when it is read.

use crate::clock::Instant;
use crate::health::Health;
use crate::observation::{GripperObservation, Observation};
use crate::policy::Decision;
use std::fmt;

/// What the policy was shown; the frame is named, not contained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservationRecord {
    /// When the observation was made of its parts, each of which has its own capture time.
    pub observed_at: Instant,
    /// Counts the observations of the episode, from 0.
    pub step: u32,
    pub frame_captured_at: Instant,
    pub frame_sequence: u64,
    pub gripper: GripperObservation,
}

impl ObservationRecord {
    pub fn new(observation: &Observation<'_>, observed_at: Instant) -> Self {
        Self {
            observed_at,
            step: observation.step,
            frame_captured_at: observation.frame.captured_at,
            frame_sequence: observation.frame.sequence,
            gripper: observation.gripper,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecisionRecord {
    pub decided_at: Instant,
    pub decision: Decision,
}

/// How a tick fared with the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRecord {
    pub tick: u64,
    /// When the tick was due.
    pub due: Instant,
    pub health: Health,
}

/// A recorded frame, as it was compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRecord {
    pub captured_at: Instant,
    /// The low 32 bits of the frame's sequence number.
    pub sequence: u32,
    pub jpeg: Vec<u8>,
}

/// The very pixels that the policy looked at: unlike a [`FrameRecord`] they come back bit for bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedImage {
    pub observed_at: Instant,
    /// The observation that it belongs to.
    pub step: u32,
    pub captured_at: Instant,
    pub png: Vec<u8>,
}

/// What a person says about a span of the episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub said_at: Instant,
    pub from: Instant,
    pub to: Instant,
    /// One word that programs understand, such as `success`, `failure`, `intervention`.
    pub label: String,
    pub note: String,
    pub author: String,
}

/// A line for people: a phase, a fault, lost deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub at: Instant,
    pub severity: u8,
    pub text: String,
}

/// Why an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ending {
    /// The policy chose to terminate.
    Terminated = 0,
    /// All the actions that an episode may have were taken.
    StepLimit = 1,
    /// A fault stopped the arm.
    Fault = 2,
    /// A person ended it; or, without any action, its start pose was not reached.
    Stopped = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub ended_at: Instant,
    pub ending: Ending,
    /// `None` where nobody and nothing judged it.
    pub success: Option<bool>,
    /// Actions that were taken.
    pub actions: u32,
}

/// Records that are not in the log, because a queue was full or the disk failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    pub steps: u64,
    pub frames: u64,
    /// Observations and decisions.
    pub events: u64,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            frames,
            events,
        } = self;
        write!(
            f,
            "{steps} steps, {frames} frames and {events} observations and decisions"
        )
    }
}

/// A whole file inside the episode, such as the launch file or the URDF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    /// Such as `application/toml`.
    pub media_type: String,
    pub data: Vec<u8>,
}
