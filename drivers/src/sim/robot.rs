//! What the simulator knows of a robot: its bodies as MJCF, its drives, and what its fingers mean.
//!
//! Not responsible for its numbers: each robot has a file of its own. A robot's joints come first in `qpos`, `qvel` and
//! `ctrl`, base to tip, then its fingers; each has one actuator.

use super::{can_arm, iiwa14, so101};
use serde::{Deserialize, Serialize};

/// The most joints, and the most joints and moving fingers, that a robot here has.
pub const DOFS_MAX: usize = 9;

/// Which robot stands at the tray.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Robot {
    /// A KUKA LBR iiwa 14 with two sliding fingers, on position servos.
    #[default]
    Iiwa14,
    /// The same geometry with light links, driven by torques.
    CanArm,
    /// Five joints and a jaw, driven by torques.
    So101,
}

/// What the robot's actuators take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Positions, with the gravity compensated: [`super::SimArm`] moves it.
    Positions,
    /// Torques, and nothing holds it otherwise: [`super::SimPlant`] moves it.
    Torques,
}

/// How the drive of the fingers moves them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gripper {
    /// Two fingers on a rack each and a pinion of this radius between them, m; each slides this far from the middle, m.
    Sliding { travel_m: f64, pinion_m: f64 },
    /// One jaw that turns against a fixed one. Where the tips touch, the angle is 0, and the moving pad's tip is this far
    /// from the hinge, along the fixed pad and away from it, m.
    Jaw {
        along_m: f64,
        away_m: f64,
        open_rad: f64,
    },
}

/// One robot.
pub struct RobotModel {
    pub name: &'static str,
    pub joints: usize,
    pub drive: Drive,
    pub gripper: Gripper,
    /// Height of the base frame above the table, m.
    pub stand_m: f64,
    /// The tool points straight down above the tray.
    pub start_q: &'static [f64],
    /// The tool is beside the tray.
    pub aside_q: &'static [f64],
    /// Where people's camera is and what it looks at, m, task frame.
    pub spectator_m: [[f64; 3]; 2],
    /// The bodies that must both touch what is held.
    pub fingers: [&'static str; 2],
    /// MJCF: classes of geoms.
    pub defaults: &'static str,
    /// MJCF: the bodies, with the base at this position in the world frame.
    pub bodies: fn([f64; 3]) -> String,
    /// MJCF: what couples the bodies beside their joints.
    pub couplings: &'static str,
    /// MJCF: one for each degree of freedom.
    pub actuators: fn() -> String,
}

impl Robot {
    pub fn joints(self) -> usize {
        self.model().joints
    }

    pub fn gripper(self) -> Gripper {
        self.model().gripper
    }

    /// Joint positions with the tool straight down above the tray, rad.
    pub fn start_q(self) -> &'static [f64] {
        self.model().start_q
    }

    pub(super) fn model(self) -> &'static RobotModel {
        match self {
            Self::Iiwa14 => &iiwa14::MODEL,
            Self::CanArm => &can_arm::MODEL,
            Self::So101 => &so101::MODEL,
        }
    }
}

impl RobotModel {
    /// Joints and moving fingers.
    pub fn dofs(&self) -> usize {
        self.joints + self.gripper.dofs()
    }
}

impl Gripper {
    /// Distance between the pads when the drive stands at `angle_rad`, m. Negative angles press the pads together.
    pub fn aperture_m(&self, angle_rad: f64) -> f64 {
        match *self {
            Self::Sliding { pinion_m, .. } => 2.0 * pinion_m * angle_rad,
            Self::Jaw {
                along_m, away_m, ..
            } => along_m * angle_rad.sin() + away_m * (1.0 - angle_rad.cos()),
        }
    }

    /// The drive's angle when the fingers are open, rad; 0 when they are closed on nothing.
    pub fn open_rad(&self) -> f64 {
        match *self {
            Self::Sliding { travel_m, pinion_m } => travel_m / pinion_m,
            Self::Jaw { open_rad, .. } => open_rad,
        }
    }

    pub(super) fn dofs(&self) -> usize {
        match self {
            Self::Sliding { .. } => 2,
            Self::Jaw { .. } => 1,
        }
    }

    /// Of the fingers' degrees of freedom when they are open, each.
    pub(super) fn open_qpos(&self) -> f64 {
        match *self {
            Self::Sliding { travel_m, .. } => travel_m,
            Self::Jaw { open_rad, .. } => open_rad,
        }
    }

    /// Distance between the pads, m.
    pub(super) fn aperture_of(&self, fingers: &[f64]) -> f64 {
        match self {
            Self::Sliding { .. } => fingers[0] + fingers[1],
            Self::Jaw { .. } => self.aperture_m(fingers[0]),
        }
    }

    /// The drive's angle, or its speed, for those of the fingers' degrees of freedom.
    pub(super) fn drive_of(&self, fingers: &[f64]) -> f64 {
        match *self {
            Self::Sliding { pinion_m, .. } => 0.5 * (fingers[0] + fingers[1]) / pinion_m,
            Self::Jaw { .. } => fingers[0],
        }
    }

    /// The force or torque of each of the fingers' degrees of freedom when the drive turns with `tau_nm`.
    pub(super) fn push(&self, tau_nm: f64) -> f64 {
        match *self {
            Self::Sliding { pinion_m, .. } => 0.5 * tau_nm / pinion_m,
            Self::Jaw { .. } => tau_nm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Robot; 3] = [Robot::Iiwa14, Robot::CanArm, Robot::So101];

    #[test]
    fn every_robot_is_described_for_each_of_its_joints() {
        for robot in ALL {
            let model = robot.model();
            assert_eq!(model.start_q.len(), model.joints, "{robot:?}");
            assert_eq!(model.aside_q.len(), model.joints, "{robot:?}");
            assert!(model.dofs() <= DOFS_MAX, "{robot:?}");
            let actuators = (model.actuators)();
            assert_eq!(actuators.lines().count(), model.dofs(), "{robot:?}");
        }
    }

    /// What the drive does to the fingers is what it feels of them: no power is made or lost between the two.
    #[test]
    fn the_fingers_power_is_the_drive_s() {
        for robot in ALL {
            let gripper = robot.gripper();
            let (speeds, tau_nm) = ([0.3, 0.3], 0.2);
            let fingers: f64 = speeds[..gripper.dofs()]
                .iter()
                .map(|speed| gripper.push(tau_nm) * speed)
                .sum();
            let drive = tau_nm * gripper.drive_of(&speeds);
            assert!((fingers - drive).abs() < 1e-12, "{robot:?}");
        }
    }

    #[test]
    fn the_aperture_is_nothing_when_closed_and_grows_until_open() {
        for robot in ALL {
            let gripper = robot.gripper();
            assert_eq!(gripper.aperture_m(0.0), 0.0, "{robot:?}");
            let widths: Vec<f64> = (0..=20)
                .map(|i| gripper.aperture_m(gripper.open_rad() * f64::from(i) / 20.0))
                .collect();
            assert!(
                widths.windows(2).all(|pair| pair[0] < pair[1]),
                "{robot:?}: {widths:?}"
            );
            assert!(widths[20] > 0.05 && widths[20] < 0.1, "{robot:?}");
        }
    }
}
