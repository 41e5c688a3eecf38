//! After how long silence, or at what lag, the arm stops, and which fault that is.
//!
//! Not responsible for hearing ([`crate::controller`]) nor for stopping ([`crate::safety`]).

use crate::clock::Duration;
use crate::fault::Fault;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watchdogs {
    pub arm_silence_max: Duration,
    /// Of the control loop itself, between two ticks: so long the drives heard nothing.
    pub loop_gap_max: Duration,
    pub policy_silence_max: Duration,
    /// Of whoever moves the arm by hand.
    pub teleop_silence_max: Duration,
    pub frame_age_max: Duration,
    /// How far a measured joint may lag its command, rad.
    pub tracking_max_rad: f64,
}

impl Watchdogs {
    pub fn arm(&self, age: Duration) -> Option<Fault> {
        (age > self.arm_silence_max).then(|| Fault::ArmLinkLost { age_ms: ms(age) })
    }

    pub fn gap(&self, gap: Duration) -> Option<Fault> {
        (gap > self.loop_gap_max).then(|| Fault::LoopStalled {
            gap_ms: ms(gap),
            limit_ms: ms(self.loop_gap_max),
        })
    }

    pub fn operator(&self, age: Duration) -> Option<Fault> {
        (age > self.teleop_silence_max).then(|| Fault::OperatorSilent {
            age_ms: ms(age),
            limit_ms: ms(self.teleop_silence_max),
        })
    }

    /// `stale_frame`: how old the frame was for which the last decision was dropped, if that was why.
    pub fn policy(&self, age: Duration, stale_frame: Option<Duration>) -> Option<Fault> {
        (age > self.policy_silence_max).then(|| match stale_frame {
            None => Fault::PolicySilent {
                age_ms: ms(age),
                limit_ms: ms(self.policy_silence_max),
            },
            Some(age) => Fault::FrameTooOld {
                age_ms: ms(age),
                limit_ms: ms(self.frame_age_max),
            },
        })
    }
}

fn ms(span: Duration) -> f64 {
    // A stamp from the future: older than can be said.
    if span.as_ticks() == u64::MAX {
        return f64::INFINITY;
    }
    span.as_nanos() as f64 * 1e-6
}
