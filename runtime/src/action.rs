//! What a policy asks for: one action of the QT-Opt action space, at the policy's rate.
//!
//! Not responsible for whether the action is legal: [`crate::controller`] clamps it and [`crate::safety`] has the last
//! word.

use nalgebra::Vector3;

/// The discrete part of an action; exactly one a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verb {
    /// Only move.
    Move = 0,
    /// Move and close the fingers.
    Close = 1,
    /// Move and open the fingers.
    Open = 2,
    /// Do not move; the episode ends.
    Terminate = 3,
}

impl Verb {
    pub const ALL: [Verb; 4] = [Verb::Move, Verb::Close, Verb::Open, Verb::Terminate];
}

/// A displacement of the tool's goal, relative to the previous goal, plus a verb.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// Displacement of the TCP goal in m, task frame.
    pub translation_m: Vector3<f64>,
    /// Rotation of the TCP goal about the task frame's vertical axis, rad.
    pub yaw_rad: f64,
    pub verb: Verb,
}

impl Action {
    pub const fn hold() -> Self {
        Self {
            translation_m: Vector3::new(0.0, 0.0, 0.0),
            yaw_rad: 0.0,
            verb: Verb::Move,
        }
    }

    pub fn is_finite(&self) -> bool {
        self.translation_m.iter().all(|x| x.is_finite()) && self.yaw_rad.is_finite()
    }
}

/// The largest displacement of one action, per axis: an action is this scale times numbers in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionScale {
    pub xy_m: f64,
    pub z_m: f64,
    pub yaw_rad: f64,
}

impl ActionScale {
    /// The action of four numbers in [-1, 1] (x, y, z, yaw); numbers outside are clamped, NaN becomes 0.
    pub fn action(&self, motion: [f64; 4], verb: Verb) -> Action {
        let [x, y, z, yaw] = motion.map(|m| if m.is_nan() { 0.0 } else { m.clamp(-1.0, 1.0) });
        Action {
            translation_m: Vector3::new(x * self.xy_m, y * self.xy_m, z * self.z_m),
            yaw_rad: yaw * self.yaw_rad,
            verb,
        }
    }

    /// The four numbers in [-1, 1] of an action; the inverse of [`ActionScale::action`].
    pub fn motion(&self, action: &Action) -> [f64; 4] {
        let t = action.translation_m;
        [
            t.x / self.xy_m,
            t.y / self.xy_m,
            t.z / self.z_m,
            action.yaw_rad / self.yaw_rad,
        ]
        .map(|m| m.clamp(-1.0, 1.0))
    }
}
