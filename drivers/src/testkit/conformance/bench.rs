//! What the suite has to know of an arm's bench.

use visuomotor_runtime::arm::{BringUpError, Connected};
use visuomotor_runtime::clock::{Duration, Instant};

/// What a line does to what is on it. On a serial line the unit is what a device sends in one go, on CAN a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LineFault {
    /// Answers come this much later, in order; at most [`crate::outstanding::ANSWER_LATE_MAX`].
    Delay { by: Duration },
    /// This share of what the driver sends is lost.
    LoseRequests { share: f64 },
    /// This share of the answers is lost.
    LoseAnswers { share: f64 },
    /// This share of both has bits flipped.
    Corrupt { share: f64 },
    /// This share of the answers comes twice, at once.
    Duplicate { share: f64 },
    /// The end of this share of the answers is missing.
    Truncate { share: f64 },
    /// The adapter is unplugged: every call fails.
    Disconnect,
    /// Somebody else sends what means nothing, without a pause.
    Babble,
}

/// An arm of `N` joints at the end of its line. Virtual time begins at 1 s.
pub trait Bench<const N: usize>: Sized {
    type Connected: Connected<N>;

    /// A device at rest, without power, in a posture drawn from `seed`, which also seeds the line's chance. The line is sound.
    fn new(seed: u64) -> Self;

    /// Of the control loop on this arm.
    fn period(&self) -> Duration {
        Duration::from_ticks(10_000_000)
    }

    /// What a call may take beside its time on the line: the processor's. Nothing where time is virtual.
    fn processor_time_max(&self) -> Duration {
        Duration::from_ticks(0)
    }

    /// A driver that has found its device.
    fn connect(&mut self) -> Result<Self::Connected, BringUpError>;

    /// From now on the line does this, as long as the window lasts.
    fn schedule(&mut self, from: Instant, until: Instant, fault: LineFault);

    /// How often a fault has changed something.
    fn injected(&self) -> u64;

    /// The time at the driver's port: a call of the driver moves it on by what the line takes.
    fn now(&self) -> Instant;

    /// Lets the device live until `at` without the driver.
    fn advance(&mut self, at: Instant);

    /// Where the joints were at `at`, within the last 200 ms; rad.
    fn truth(&self, at: Instant) -> [f64; N];

    /// Somebody's hand moves all joints steadily from now on, rad/s; with 0 they are let go. Only while the drives have no power.
    fn push_by_hand(&mut self, dq: f64);

    /// What each drive is told to go to, as far as it has power.
    fn goals(&self) -> [Option<f64>; N];

    /// How far a reading may be from the truth because of the encoder and the wire format, rad.
    fn resolution(&self) -> f64;

    /// After which silence the drives stop by themselves; `None` where the device cannot.
    fn watchdog(&self) -> Option<Duration>;

    /// Which drives silence has stopped: that they stand still says little where they would in any case.
    fn stopped_by_watchdog(&self) -> Vec<bool> {
        self.goals().map(|goal| goal.is_none()).to_vec()
    }

    /// A drive fails, as by overheating, and says so in its next answer.
    fn break_drive(&mut self, joint: usize);
}

/// A bench whose line counts what it carries.
pub trait Metered<const N: usize>: Bench<N> {
    /// What the line has carried, both ways, with all that frames a byte or a message.
    fn bits(&self) -> u64;

    fn bits_per_s(&self) -> u64;
}
