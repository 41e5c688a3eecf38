//! What a robot arm is to the runtime. Drivers implement [`Arm`].
//!
//! An implementation answers for bounded time, for honest ages, and for nothing else: limits, interpolation and stops
//! are decided in [`crate::safety`]. It can only be handed a [`SafeCommand`], which only `safety` can make.
//!
//! A physical arm is brought up in two steps that are two types: [`Connected`] answers and cannot be moved; `enable` makes
//! an [`Arm`] of it, under power where it stands.

use crate::clock::{Duration, Instant};
use crate::safety::{SafeCommand, StopCategory};
use crate::units::{JointPositions, JointTorques, JointVelocities};

/// One reading of the encoders. Never an old reading with a new stamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmState<const N: usize> {
    /// When the encoders were sampled (not when the sample arrived).
    pub sampled_at: Instant,
    pub q: JointPositions<N>,
    pub dq: JointVelocities<N>,
    pub tau: JointTorques<N>,
    /// Distance between the finger pads, m.
    pub aperture_m: f64,
}

impl<const N: usize> ArmState<N> {
    /// The first joint whose measurement is not finite; the fingers count as the one after the last.
    pub fn not_finite(&self) -> Option<u8> {
        let joint = |i: usize| !(self.q[i].is_finite() && self.dq[i].is_finite());
        let fingers = !self.aperture_m.is_finite();
        let first = (0..N).find(|&i| joint(i)).or(fingers.then_some(N));
        first.map(|i| i as u8)
    }
}

/// Where the fingers should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fingers {
    #[default]
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ArmError {
    #[error("no answer from the arm")]
    NoAnswer,
    #[error("an answer that does not decode")]
    Malformed,
    #[error("drive fault {code}")]
    Drive { code: u32 },
}

/// An arm that answers, and has no power from us yet: it can be looked at and moved by hand.
pub trait Connected<const N: usize>: Sized {
    type Enabled: Arm<N>;

    /// As [`Arm::read`].
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError>;

    /// As [`Arm::io_time_max`] of the arm that it will be: a loop whose period is shorter is no loop for it.
    fn io_time_max(&self) -> Duration;

    /// Sets the drives' own watchdog and limits where they have them, tells each drive to hold where it stands, and only then
    /// gives power. When anything of it fails, no drive is left with power.
    fn enable(self) -> Result<Self::Enabled, BringUpError>;
}

/// Why an arm does not start. `remedy` says what a person should do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {problem}; {remedy}")]
pub struct BringUpError {
    /// Which device, as a person finds it: "/dev/ttyACM0", "servo 3 (elbow)".
    pub device: String,
    pub problem: String,
    pub remedy: String,
}

pub trait Arm<const N: usize> {
    /// The newest sample of the encoders at time `now`. A failed read is an error, never an older value.
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError>;

    /// Sends one command, to be reached at the end of this control period.
    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError>;

    /// How long a read and a write together keep the caller at most, whatever the device and the line do.
    fn io_time_max(&self) -> Duration {
        Duration::ZERO
    }

    /// Asks the drives for a stop of this category: 0 and 1 to remove power, 2 to hold under power. Idempotent, legal in
    /// every state, cannot fail, and never gives power back: only a later command may.
    fn stop(&mut self, category: StopCategory);

    /// Whether the robot has a cycle that a loop can be slaved to, with [`Arm::wait_cycle`].
    fn owns_cycle(&self) -> bool {
        false
    }

    /// Waits for the robot's next cycle and says when it started: the newest of those since the last call, and each only
    /// once. An error when there was none at `until`, or when none can come.
    fn wait_cycle(&mut self, until: Instant) -> impl Future<Output = Result<Instant, ArmError>> {
        let _ = until;
        async { Err(ArmError::NoAnswer) }
    }
}
