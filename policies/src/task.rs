//! The fixed numbers of the grasping task that every policy shares: how far one action reaches, where the tool may
//! go, and the shape of tray and gripper that the scripted policies plan with.
//!
//! Not responsible for enforcing any of them: the controller clamps goals and the safety filter has the last word.

use serde::{Deserialize, Serialize};
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::observation::TcpPose;

/// Largest displacement of one action at the task's 4 Hz.
pub const ACTION_SCALE: ActionScale = ActionScale {
    xy_m: 0.05,
    z_m: 0.06,
    yaw_rad: 0.5,
};

/// Inner half size of the square tray, m.
pub const TRAY_HALF_M: f64 = 0.14;
/// Height of the tray's walls above its floor, m.
pub const TRAY_WALL_M: f64 = 0.03;
/// An object whose lowest point is above this height at the end of the episode counts as grasped, m.
pub const SUCCESS_HEIGHT_M: f64 = 0.07;

/// Distance between the finger pads when the gripper is open, m.
pub const APERTURE_MAX_M: f64 = 0.084;
/// Below this distance between the pads nothing thick enough to lift is between them, m.
pub const APERTURE_EMPTY_M: f64 = 0.005;
/// Thickness of a finger along the closing direction, m.
pub const FINGER_THICKNESS_M: f64 = 0.012;
/// Width of a finger across the closing direction, m.
pub const FINGER_WIDTH_M: f64 = 0.022;
/// Underside of the palm above the fingertips, m.
pub const PALM_HEIGHT_M: f64 = 0.065;
/// Half size of the palm along and across the closing direction, m.
pub const PALM_HALF_M: [f64; 2] = [0.055, 0.025];

/// Where the TCP may go, task frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// Bound of |x| and |y|, m.
    pub xy_max_m: f64,
    pub z_min_m: f64,
    pub z_max_m: f64,
    /// Bound of the unwrapped yaw, rad.
    pub yaw_max_rad: f64,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            xy_max_m: 0.115,
            z_min_m: 0.004,
            z_max_m: 0.26,
            yaw_max_rad: 2.6,
        }
    }
}

impl Workspace {
    /// The smallest turn, rad, from `goal` to a gripper angle `yaw_rad`. The gripper is symmetric, so it lies in
    /// [-π/2, π/2], unless the unwrapped goal would leave the workspace: then the long way round.
    pub fn turn_rad(&self, goal: &TcpPose, yaw_rad: f64) -> f64 {
        let turn = crate::features::wrap_yaw(yaw_rad - goal.yaw_rad);
        if (goal.yaw_rad + turn).abs() <= self.yaw_max_rad {
            turn
        } else {
            turn - std::f64::consts::PI.copysign(goal.yaw_rad + turn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Vector3;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_turn_reaches_the_gripper_angle_inside_the_workspace(
            yaw in -2.6f64..2.6,
            target in -10f64..10.0,
        ) {
            let workspace = Workspace::default();
            let goal = TcpPose { position_m: Vector3::zeros(), yaw_rad: yaw };
            let turn = workspace.turn_rad(&goal, target);
            let off = (yaw + turn - target) / std::f64::consts::PI;
            prop_assert!((off - off.round()).abs() < 1e-9);
            prop_assert!((yaw + turn).abs() <= 2.6);
        }
    }
}
