//! The record of one tick: everything that the tick read, decided and sent, in one `Copy` value for the ring.

use crate::arm::{ArmState, Fingers};
use crate::clock::{Duration, Instant, Tick};
use crate::controller::Inputs;
use crate::fault::Fault;
use crate::observation::TcpPose;
use crate::phase::Phase;
use crate::safety::{Intervention, OperatingMode, SafetyReport, StopCategory};
use crate::units::{JointPositions, JointVelocities};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<const N: usize> {
    pub tick: u64,
    /// When the tick was due.
    pub due: Instant,
    /// Wake-up minus deadline.
    pub jitter: Duration,
    /// Deadlines since the last tick that were skipped.
    pub missed: u64,
    pub inputs: Inputs<N>,
    pub phase: Phase,
    pub mode: OperatingMode,
    /// `None` when nothing was sent but a stop.
    pub command: Option<(JointPositions<N>, JointVelocities<N>, Fingers)>,
    /// What the drives were asked for instead of a command.
    pub stop: Option<StopCategory>,
    /// Interpolated TCP target of this tick, task frame.
    pub reference: TcpPose,
    /// TCP goal of the actions so far, task frame.
    pub goal: TcpPose,
    pub report: SafetyReport,
    /// The first fault behind a latched stop; a latched stop without one is a person's.
    pub fault: Option<Fault>,
    /// Counts since start.
    pub counters: Counters,
}

impl<const N: usize> Step<N> {
    /// When the tick ran; with [`Step::inputs`] all that it depended on.
    pub fn time(&self) -> Tick {
        Tick {
            due: self.due,
            jitter: self.jitter,
            missed: self.missed,
        }
    }

    /// From the first deadline since the last tick to the wake-up: the deadlines that were skipped are in it.
    pub fn lateness(&self, period: Duration) -> Duration {
        self.jitter + Duration::from_ticks(self.missed.saturating_mul(period.as_ticks()))
    }

    /// `None` when the read failed.
    pub fn measured(&self) -> Option<ArmState<N>> {
        self.inputs.arm.ok()
    }

    /// Whether a stop has come to its end; false while the arm is free to move, even where it does not.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some() || self.report.intervention == Intervention::Stopped
    }
}

/// Nothing is lost silently: every loss has its counter, counted since start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Ticks whose deadline had passed by more than a period, and which were skipped.
    pub missed_ticks: u64,
    /// Arm reads that failed.
    pub failed_reads: u64,
    /// Ticks that used the same encoder sample as the tick before.
    pub reused_samples: u64,
    /// Policy decisions that came too late and were dropped.
    pub late_decisions: u64,
    /// Actions that were cut to the action scale or the workspace.
    pub clamped_actions: u64,
    /// Requests that came in a phase that does not accept them.
    pub refused_requests: u64,
    /// Step records that found the ring full.
    pub dropped_steps: u64,
    /// Frames that found the writer's queue full.
    pub dropped_frames: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::samples;

    #[test]
    fn skipped_deadlines_are_part_of_how_late_a_tick_is() {
        let period = Duration::from_millis(1);
        for (missed, late_us) in [(0, 300), (1, 1_300), (1_000, 1_000_300)] {
            let step = Step {
                jitter: Duration::from_micros(300),
                missed,
                ..samples::step(0)
            };
            assert_eq!(step.lateness(period), Duration::from_micros(late_us));
        }
    }
}
