//! What the filter did to one tick's request, in a form that a log can hold.

use crate::fault::Fault;
use std::fmt;

/// How the command that left differs from what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Intervention {
    /// The request passed unchanged.
    #[default]
    Nothing = 0,
    /// Clamped joint by joint.
    Limited = 1,
    /// Pulled toward the stored stop plan until the whole arm's certificate held.
    Shrunk = 2,
    /// The stored stop plan is being executed.
    Stopping = 3,
    /// The arm rests at the end of a stop plan.
    Stopped = 4,
}

/// The limits that mattered, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LimitSet(pub u16);

impl LimitSet {
    pub const POSITION: Self = Self(1);
    pub const VELOCITY: Self = Self(2);
    pub const ACCELERATION: Self = Self(4);
    pub const JERK: Self = Self(8);
    pub const WORKSPACE: Self = Self(16);
    pub const TABLE: Self = Self(32);
    pub const TCP_SPEED: Self = Self(64);
    pub const NOT_FINITE: Self = Self(128);
    /// A capsule of the arm came near to what it must not touch.
    pub const COLLISION: Self = Self(256);

    /// The search for the nearest safe motion ended in a panic.
    pub const NO_ANSWER: Self = Self(512);
    /// A capsule of the arm reached the speed that reduced-speed operation allows.
    pub const ARM_SPEED: Self = Self(1024);
    /// The measured arm lagged its command.
    pub const TRACKING: Self = Self(2048);

    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Their names, separated by spaces.
impl fmt::Display for LimitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::POSITION, "position"),
            (Self::VELOCITY, "velocity"),
            (Self::ACCELERATION, "acceleration"),
            (Self::JERK, "jerk"),
            (Self::WORKSPACE, "workspace"),
            (Self::TABLE, "table"),
            (Self::TCP_SPEED, "tcp_speed"),
            (Self::NOT_FINITE, "not_finite"),
            (Self::COLLISION, "collision"),
            (Self::NO_ANSWER, "no_answer"),
            (Self::ARM_SPEED, "arm_speed"),
            (Self::TRACKING, "tracking"),
        ];
        let mut separator = "";
        for (limit, name) in names {
            if self.contains(limit) {
                write!(f, "{separator}{name}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct SafetyReport {
    pub intervention: Intervention,
    pub limits: LimitSet,
    /// Bit `i` is set when joint `i` was limited.
    pub joints: u16,
    pub fault: Option<Fault>,
}

impl SafetyReport {
    /// Notes what the request was limited by, and which joints that concerns.
    pub(super) fn limit(&mut self, by: LimitSet, joints: u16) {
        self.intervention = Intervention::Limited;
        self.limits.insert(by);
        self.joints |= joints;
    }
}
