//! The last word on every command: the only module that can make a [`SafeCommand`].
//!
//! Not responsible for wanting anything, nor for a certified safety function: that is hardware's.

mod bounds;
mod certificate;
pub mod collision;
mod filter;
mod inward;
mod joint;
pub mod limits;
mod mode;
pub mod qp;
mod report;
mod solid;
mod steer;
mod stop_plan;

pub use collision::{Collision, CollisionConfig};
pub(crate) use filter::REST_DQ_MAX_RAD_PER_S;
pub use filter::{CommandState, Request, Safety, Verdict};
pub use limits::{JointBounds, Limits, LimitsConfig, LimitsError, ToolLimits, Workspace};
pub use mode::{NotAtRest, OperatingMode};
pub use report::{Intervention, LimitSet, SafetyReport};
pub use stop_plan::Extent;

use crate::arm::Fingers;
use crate::units::{JointAccelerations, JointPositions, JointVelocities};

/// A joint command that keeps every limit, and keeps a stop that does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SafeCommand<const N: usize> {
    q: JointPositions<N>,
    dq: JointVelocities<N>,
    ddq: JointAccelerations<N>,
    fingers: Fingers,
}

impl<const N: usize> SafeCommand<N> {
    /// Joint positions at the end of this control period.
    pub fn q(&self) -> &JointPositions<N> {
        &self.q
    }

    /// Joint velocities at the end of this control period.
    pub fn dq(&self) -> &JointVelocities<N> {
        &self.dq
    }

    /// Joint accelerations at the end of this control period.
    pub fn ddq(&self) -> &JointAccelerations<N> {
        &self.ddq
    }

    pub fn fingers(&self) -> Fingers {
        self.fingers
    }
}

/// Stop categories of IEC 60204-1, clause 9.2.2; the least is the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum StopCategory {
    /// Remove power at once.
    Zero = 0,
    /// Controlled stop, then remove power.
    One = 1,
    /// Controlled stop, then hold the position under power.
    Two = 2,
}
