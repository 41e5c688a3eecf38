//! An arm of seven quasi-direct drives, as MJCF: geometry, looks and gripper of the iiwa 14, so that a policy sees the same
//! picture, with light links.
//!
//! A fictitious arm: masses and inertias are ours, and equal `launch/robots/can_arm.urdf`, which a test compares. Nothing
//! compensates its weight: its driver feeds that forward.

use super::iiwa14::{self, Build, COUPLINGS, GRIPPER, JOINTS, Mass};
use super::robot::{Drive, RobotModel};
use std::fmt::Write;

pub const MODEL: RobotModel = RobotModel {
    name: "can_arm",
    joints: JOINTS,
    drive: Drive::Torques,
    gripper: GRIPPER,
    stand_m: 0.0,
    start_q: &iiwa14::START_Q,
    aside_q: &iiwa14::ASIDE_Q,
    spectator_m: iiwa14::SPECTATOR_M,
    fingers: ["finger_left", "finger_right"],
    defaults: DEFAULTS,
    bodies: |base_m| iiwa14::bodies(base_m, &BUILD),
    couplings: COUPLINGS,
    actuators,
};

/// Colours are the iiwa's. The pads are harder than its own: a drive closes them as fast as it can.
const DEFAULTS: &str = r#"
<default class="grey"><geom contype="0" conaffinity="0" rgba="0.80 0.81 0.82 1"/></default>
<default class="accent"><geom contype="0" conaffinity="0" rgba="0.95 0.42 0.08 1"/></default>
<default class="hand"><geom contype="1" conaffinity="1" condim="6" priority="1" friction="1.0 0.02 0.001"
solref="0.006 1" solimp="0.95 0.99 0.001" rgba="0.16 0.17 0.19 1"/></default>
"#;

#[rustfmt::skip]
const BUILD: Build = Build {
    compensated: "",
    base: Mass("0 0 0.07", 2.5, "0.012 0.012 0.010"),
    links: [
        Mass("0 -0.02 0.12", 1.7, "0.0090 0.0085 0.0030"),
        Mass("0 0.06 0.03", 1.6, "0.0080 0.0028 0.0075"),
        Mass("0 0.02 0.13", 1.2, "0.0060 0.0058 0.0018"),
        Mass("0 0.06 0.03", 1.1, "0.0050 0.0018 0.0048"),
        Mass("0 0.015 0.08", 0.9, "0.0038 0.0036 0.0010"),
        Mass("0 0.01 0", 0.6, "0.0012 0.0010 0.0010"),
        Mass("0 0 0.02", 0.3, "0.0003 0.0003 0.0003"),
    ],
    joints: [
        r#"armature="0.06" damping="0.3""#, r#"armature="0.06" damping="0.3""#, r#"armature="0.04" damping="0.2""#,
        r#"armature="0.04" damping="0.2""#, r#"armature="0.015" damping="0.1""#, r#"armature="0.015" damping="0.1""#,
        r#"armature="0.008" damping="0.05""#,
    ],
    hand: Mass("0 0 0.087", 0.5, "0.0018 0.0014 0.0007"),
    finger_kg: 0.05,
    finger_joint: r#"armature="0.08" damping="40""#,
};

/// What the drives can do at most: peak torques of drives of that size, N·m.
const TORQUE_NM: [f64; JOINTS] = [120.0, 120.0, 60.0, 60.0, 27.0, 27.0, 10.0];
/// Of one finger, N.
const FINGER_FORCE_N: f64 = 25.0;

fn actuators() -> String {
    let mut mjcf = String::new();
    for (i, torque) in TORQUE_NM.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            mjcf,
            r#"<motor joint="joint_{}" forcerange="-{torque} {torque}"/>"#,
            i + 1
        );
    }
    for finger in ["finger_left", "finger_right"] {
        let _ = writeln!(
            mjcf,
            r#"<motor joint="{finger}" forcerange="-{FINGER_FORCE_N} {FINGER_FORCE_N}"/>"#
        );
    }
    mjcf
}
