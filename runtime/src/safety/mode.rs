//! Operating modes: how fast the tool may be at most while a person is near.
//!
//! Not responsible for whether a person may be near: that is for the robot's cell and its certified safety functions.

use super::limits::ToolLimits;

/// Highest speed of the tool centre point at reduced speed, m/s: ISO 10218-1:2011, clause 5.6.2.
const REDUCED_SPEED_M_PER_S: f64 = 0.25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum OperatingMode {
    /// The limits of the launch file.
    #[default]
    Automatic = 0,
    /// The same, and reduced speed: for setting up and for teaching by a person.
    Manual = 1,
}

impl OperatingMode {
    /// The launch file's limits in this mode; never looser than those.
    pub(super) fn limits(self, of_launch_file: &ToolLimits) -> ToolLimits {
        let mut limits = *of_launch_file;
        if self == Self::Manual {
            limits.speed_m_per_s = limits.speed_m_per_s.min(REDUCED_SPEED_M_PER_S);
        }
        limits
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating mode changes only while the arm is at rest")]
pub struct NotAtRest;
