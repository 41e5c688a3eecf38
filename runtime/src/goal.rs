//! Where the tool's goal may lie, and what one action makes of it.
//!
//! Not responsible for the way there ([`crate::setpoint`]) nor for hard limits ([`crate::safety`]).

use crate::action::{Action, ActionScale};
use crate::observation::TcpPose;
use nalgebra::Vector3;

/// Where an action's goal may lie, and how large one action may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoalLimits {
    /// Lowest and highest TCP goal, m, task frame.
    pub position_min_m: Vector3<f64>,
    pub position_max_m: Vector3<f64>,
    /// The unwrapped yaw goal stays within plus and minus this, rad.
    pub yaw_max_rad: f64,
    pub scale: ActionScale,
}

impl GoalLimits {
    pub fn have_room(&self) -> bool {
        let mut borders = self.position_min_m.iter().zip(&self.position_max_m);
        borders.all(|(low, high)| low <= high) && self.yaw_max_rad >= 0.0
    }

    /// The goal after `action`, and whether scale or reach cut it.
    pub fn displaced(&self, goal: &TcpPose, action: &Action) -> (TcpPose, bool) {
        let cut = self.scale.action(self.scale.motion(action), action.verb);
        let difference = (cut.translation_m - action.translation_m)
            .amax()
            .max((cut.yaw_rad - action.yaw_rad).abs());
        let asked = TcpPose {
            position_m: goal.position_m + cut.translation_m,
            yaw_rad: goal.yaw_rad + cut.yaw_rad,
        };
        let goal = self.nearest(&asked);
        (goal, difference > 1e-9 || goal != asked)
    }

    /// The nearest pose to `asked` where a goal may lie, but never on the other side of `from`: who is outside does not turn
    /// back against what is asked.
    pub fn nearest_onward(&self, from: &TcpPose, asked: &TcpPose) -> TcpPose {
        let reach = Self {
            position_min_m: self.position_min_m.inf(&from.position_m),
            position_max_m: self.position_max_m.sup(&from.position_m),
            yaw_max_rad: self.yaw_max_rad.max(from.yaw_rad.abs()),
            ..*self
        };
        reach.nearest(asked)
    }

    /// The nearest pose where a goal may lie. What is not finite stays so, for [`crate::setpoint`] to refuse.
    pub fn nearest(&self, asked: &TcpPose) -> TcpPose {
        TcpPose {
            // Not `sup` and `inf`: they turn NaN into a corner.
            position_m: Vector3::from_fn(|axis, _| {
                let (low, high) = (self.position_min_m[axis], self.position_max_m[axis]);
                asked.position_m[axis].clamp(low, high)
            }),
            yaw_rad: asked.yaw_rad.clamp(-self.yaw_max_rad, self.yaw_max_rad),
        }
    }
}
