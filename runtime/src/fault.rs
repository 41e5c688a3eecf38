//! What can go wrong while the loop runs, as small `Copy` values with numbers in them.
//!
//! A fault never travels as an `Err` through the loop: it flows to [`crate::safety`], which decides how the arm stops.
//! Start-up errors are not faults: they are rich errors of the module that found them.

use crate::safety::StopCategory;

/// Latched until a person clears it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("the arm did not answer for {age_ms:.1} ms")]
    ArmLinkLost { age_ms: f64 },
    #[error("the arm reported drive fault {code}")]
    Drive { code: u32 },
    #[error("joint {joint} measured a value that is not finite")]
    EncoderNotFinite { joint: u8 },
    #[error("joint {joint} lags its command by {error_rad:.3} rad (limit {limit_rad:.3})")]
    Tracking {
        joint: u8,
        error_rad: f64,
        limit_rad: f64,
    },
    #[error("joint {joint} starts at {q_rad:.4} rad, outside [{lower_rad:.4}, {upper_rad:.4}]")]
    StartOutsideLimits {
        joint: u8,
        q_rad: f64,
        lower_rad: f64,
        upper_rad: f64,
    },
    #[error("the tool starts {distance_m:.3} m outside the workspace")]
    StartOutsideWorkspace { distance_m: f64 },
    #[error(
        "joint {joint} moves at {dq_rad_per_s:.3} rad/s at the start (limit {limit_rad_per_s})"
    )]
    StartsMoving {
        joint: u8,
        dq_rad_per_s: f64,
        limit_rad_per_s: f64,
    },
    /// The pair's number: see [`crate::safety::Collision::names`].
    #[error("pair {pair} of what must not touch starts with an overlap of {depth_m:.3} m")]
    StartsInCollision { pair: u8, depth_m: f64 },
    /// The policy decides, but looks at old frames only: a camera that has stopped, or images that take too long.
    #[error(
        "the policy saw only old frames, the last one {age_ms:.0} ms old (limit {limit_ms:.0})"
    )]
    FrameTooOld { age_ms: f64, limit_ms: f64 },
    #[error("the policy gave nothing for {age_ms:.0} ms (limit {limit_ms:.0})")]
    PolicySilent { age_ms: f64, limit_ms: f64 },
    /// Who moved the arm by hand has gone without letting go.
    #[error("the operator was silent for {age_ms:.0} ms (limit {limit_ms:.0})")]
    OperatorSilent { age_ms: f64, limit_ms: f64 },
    #[error("the policy or the operator asked for a value that is not finite")]
    ActionNotFinite,
    #[error("no motion to the goal was found")]
    NoPlan,
    #[error("the control loop stood still for {gap_ms:.0} ms (limit {limit_ms:.0})")]
    LoopStalled { gap_ms: f64, limit_ms: f64 },
}

impl Fault {
    /// How the arm is stopped.
    pub fn category(&self) -> StopCategory {
        match self {
            // The drives have given up control already: a deceleration that nobody follows only delays the brakes.
            Fault::Drive { .. } => StopCategory::Zero,
            // Commands may still arrive, so deceleration under command is the gentlest stop there is. But what answers no
            // more cannot be seen to hold: power goes as soon as the command rests.
            Fault::ArmLinkLost { .. } => StopCategory::One,
            // The same of one joint; and drives that control with this encoder hold nothing.
            Fault::EncoderNotFinite { .. } => StopCategory::One,
            // Something holds the arm or drags it. Drives that stayed under power would go on pressing towards the command.
            Fault::Tracking { .. } => StopCategory::One,
            // Nothing has been commanded yet, so there is no motion of ours whose power could be taken away: the drives
            // hold as they did before, and a person can move the arm to where it may start.
            Fault::StartOutsideLimits { .. }
            | Fault::StartOutsideWorkspace { .. }
            | Fault::StartsMoving { .. }
            | Fault::StartsInCollision { .. } => StopCategory::Two,
            // What the drives did meanwhile is over, and where the arm is now is checked like always: the motion that was torn
            // off is not gone on with.
            Fault::LoopStalled { .. } => StopCategory::Two,
            // Arm and drives are well, and do as they are told: only whoever wants motion is not. Holding under power keeps
            // what is in the fingers and goes on supervising the arm.
            Fault::FrameTooOld { .. }
            | Fault::PolicySilent { .. }
            | Fault::OperatorSilent { .. }
            | Fault::ActionNotFinite
            | Fault::NoPlan => StopCategory::Two,
        }
    }

    /// Whether it refuses a start only because of where the arm is: there is a way inward.
    pub fn is_outside_limits(&self) -> bool {
        matches!(
            self,
            Self::StartOutsideLimits { .. }
                | Self::StartOutsideWorkspace { .. }
                | Self::StartsInCollision { .. }
        )
    }

    /// Stable number for logs: never reused, never renumbered.
    pub fn code(&self) -> u16 {
        match self {
            Fault::ArmLinkLost { .. } => 1,
            Fault::Drive { .. } => 2,
            Fault::EncoderNotFinite { .. } => 3,
            Fault::Tracking { .. } => 4,
            Fault::StartOutsideLimits { .. } => 5,
            Fault::StartOutsideWorkspace { .. } => 6,
            Fault::FrameTooOld { .. } => 7,
            Fault::PolicySilent { .. } => 8,
            Fault::ActionNotFinite => 9,
            Fault::StartsMoving { .. } => 10,
            Fault::StartsInCollision { .. } => 11,
            Fault::NoPlan => 12,
            Fault::LoopStalled { .. } => 14,
            Fault::OperatorSilent { .. } => 13,
        }
    }
}
