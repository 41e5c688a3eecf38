//! A hobby arm of the SO-101's class, as MJCF: five joints and a jaw that turns against a fixed one.
//!
//! Dimensions, limits and masses are rounded from the public description of the SO-101; its links are bent a little where
//! these are straight. They equal `launch/robots/so101.urdf`, which a test compares. The shapes are our own. Friction and
//! the inertia behind the gear are of the size that people have identified for its servos (ST3215, gear 1:345).
//!
//! Not responsible for the servos' position loops: those are the emulator's.

use super::robot::{Drive, Gripper, RobotModel};
use std::fmt::Write;

pub const JOINTS: usize = 5;

pub const MODEL: RobotModel = RobotModel {
    name: "so101",
    joints: JOINTS,
    drive: Drive::Torques,
    gripper: Gripper::Jaw {
        along_m: PAD_ALONG_M,
        away_m: PAD_AWAY_M,
        open_rad: 0.65,
    },
    stand_m: STAND_M,
    start_q: &START_Q,
    aside_q: &ASIDE_Q,
    spectator_m: [[0.36, -0.42, 0.34], [-0.06, 0.0, 0.08]],
    fingers: ["fixed_jaw", "moving_jaw"],
    defaults: DEFAULTS,
    bodies,
    couplings: "",
    actuators,
};

/// The tool points straight down, 10 cm above the middle of a tray whose floor is 17 cm before and 7 cm below the base.
const START_Q: [f64; JOINTS] = [0.0, 0.106_926, 0.227_666, 1.236_204, 0.0];
const ASIDE_Q: [f64; JOINTS] = [1.4, 0.106_926, 0.227_666, 1.236_204, 0.0];

/// The arm stands on a block: with the tool straight down it does not get far above its own foot.
const STAND_M: f64 = 0.09;
/// Stall torque of a servo at 12 V, N·m.
const TORQUE_NM: f64 = 2.94;
/// Inertia behind the gear, kg·m², viscous friction, N·m·s/rad, and dry friction, N·m.
const SERVO: &str = r#"armature="0.028" damping="0.6" frictionloss="0.05""#;

/// TCP before the wrist's roll joint, m.
const TCP_M: f64 = 0.098;
/// The fixed pad's plane beside the TCP, m.
const FIXED_PAD_M: f64 = 0.022;
/// Where the moving pad's tip is, from the hinge, when it touches the fixed pad.
const PAD_ALONG_M: f64 = 0.08;
const PAD_AWAY_M: f64 = 0.012;
/// The pads are parallel when the jaw stands at this angle: with 2.4 cm between them.
const PARALLEL_RAD: f64 = 0.3;
const PAD_LENGTH_M: f64 = 0.05;
const PAD_HALF_THICKNESS_M: f64 = 0.004;

struct Link {
    joint: &'static str,
    name: &'static str,
    /// In the frame of the link before; all are parallel when every joint is at 0.
    position: &'static str,
    axis: &'static str,
    range: &'static str,
    centre_of_mass: &'static str,
    mass_kg: f64,
    inertia: &'static str,
    shapes: &'static str,
}

#[rustfmt::skip]
const LINKS: [Link; JOINTS] = [
    Link {
        joint: "shoulder_pan", name: "shoulder_link", position: "0 0 0.06", axis: "0 0 1", range: "-1.92 1.92",
        centre_of_mass: "0.02 0 0.03", mass_kg: 0.1, inertia: "8e-05 8e-05 7e-05",
        shapes: r#"<geom class="printed" type="cylinder" size="0.03 0.01" pos="0 0 0.01"/><geom class="servo" type="box" size="0.0225 0.0125 0.0175" pos="0.02 0 0.045"/>"#,
    },
    Link {
        joint: "shoulder_lift", name: "upper_arm_link", position: "0.03 0 0.057", axis: "0 1 0", range: "-1.745 1.745",
        centre_of_mass: "0 0 0.07", mass_kg: 0.1, inertia: "0.00014 0.00014 4e-05",
        shapes: r#"<geom class="printed" type="cylinder" size="0.018 0.022" quat="1 1 0 0"/><geom class="printed" type="box" size="0.012 0.018 0.045" pos="0 0 0.058"/>
<geom class="servo" type="box" size="0.0125 0.0175 0.0225" pos="0 0 0.1"/>"#,
    },
    Link {
        joint: "elbow_flex", name: "lower_arm_link", position: "0 0 0.117", axis: "0 1 0", range: "-1.69 1.69",
        centre_of_mass: "0.07 0 0", mass_kg: 0.1, inertia: "4e-05 0.00016 0.00016",
        shapes: r#"<geom class="printed" type="cylinder" size="0.016 0.022" quat="1 1 0 0"/><geom class="printed" type="box" size="0.05 0.016 0.011" pos="0.065 0 0"/>
<geom class="servo" type="box" size="0.0225 0.0175 0.0125" pos="0.12 0 0"/>"#,
    },
    Link {
        joint: "wrist_flex", name: "wrist_link", position: "0.135 0 0", axis: "0 1 0", range: "-1.658 1.658",
        centre_of_mass: "0.03 0 0", mass_kg: 0.08, inertia: "3e-05 4e-05 4e-05",
        shapes: r#"<geom class="printed" type="cylinder" size="0.015 0.02" quat="1 1 0 0"/><geom class="servo" type="box" size="0.0225 0.0125 0.0175" pos="0.035 0 0"/>"#,
    },
    Link {
        joint: "wrist_roll", name: "gripper_link", position: "0.061 0 0", axis: "1 0 0", range: "-2.74 2.74",
        centre_of_mass: "0.02 0 0", mass_kg: 0.075, inertia: "3e-05 4e-05 4e-05",
        shapes: r#"<geom class="hand" type="box" size="0.02 0.022 0.016" pos="0.018 -0.01 0"/>"#,
    },
];

const DEFAULTS: &str = r#"
<default class="printed"><geom contype="0" conaffinity="0" rgba="0.93 0.74 0.20 1"/></default>
<default class="servo"><geom contype="0" conaffinity="0" rgba="0.12 0.12 0.13 1"/></default>
<default class="hand"><geom contype="1" conaffinity="1" condim="6" priority="1" friction="1.0 0.02 0.001" solref="0.006 1" solimp="0.95 0.99 0.001" rgba="0.16 0.17 0.19 1"/></default>
"#;

fn bodies([x, y, z]: [f64; 3]) -> String {
    let half_m = 0.5 * STAND_M;
    let mut mjcf = format!(
        r#"<body name="base_link" pos="{x} {y} {z}">
<inertial pos="0 0 0.03" mass="0.15" diaginertia="0.00015 0.00015 0.00015"/>
<geom class="servo" type="box" size="0.055 0.055 {half_m}" pos="-0.005 0 -{half_m}" rgba="0.45 0.36 0.27 1"/>
<geom class="printed" type="box" size="0.04 0.04 0.025" pos="0 0 0.025"/>
<geom class="servo" type="cylinder" size="0.02 0.006" pos="0 0 0.055"/>
"#
    );
    for link in &LINKS {
        // Writing to a String cannot fail.
        let _ = writeln!(
            mjcf,
            r#"<body name="{}" pos="{}">
<joint name="{}" type="hinge" axis="{}" range="{}" {SERVO}/>
<inertial pos="{}" mass="{}" diaginertia="{}"/>
{}"#,
            link.name,
            link.position,
            link.joint,
            link.axis,
            link.range,
            link.centre_of_mass,
            link.mass_kg,
            link.inertia,
            link.shapes
        );
    }
    mjcf.push_str(&jaws());
    mjcf.push_str(&"</body>".repeat(JOINTS + 1));
    mjcf
}

/// TCP and jaws before the wrist's roll joint: x is out of the jaws, y the direction in which they open.
fn jaws() -> String {
    let (hinge_x, hinge_y) = (TCP_M - PAD_ALONG_M, PAD_AWAY_M - FIXED_PAD_M);
    let (sin, cos) = PARALLEL_RAD.sin_cos();
    let half_m = 0.5 * PAD_LENGTH_M;
    // Of the moving pad, from the hinge: from its tip backwards and to its middle.
    let pad_x = PAD_ALONG_M - half_m * cos + PAD_HALF_THICKNESS_M * sin;
    let pad_y = half_m * sin + PAD_HALF_THICKNESS_M * cos - PAD_AWAY_M;
    format!(
        r#"<site name="tcp" pos="{TCP_M} 0 0" xyaxes="0 0 1 0 -1 0" group="4"/>
<body name="fixed_jaw"><geom class="hand" type="box" size="0.03 {PAD_HALF_THICKNESS_M} 0.011" pos="{} -{} 0" mass="0.015"/></body>
<body name="moving_jaw" pos="{hinge_x} {hinge_y} 0">
<joint name="gripper" type="hinge" axis="0 0 1" range="0 1.745" {SERVO}/>
<geom class="hand" type="capsule" size="0.007" fromto="0 0 0 0.036 0.006 0" mass="0.003"/>
<geom class="hand" type="box" size="{half_m} {PAD_HALF_THICKNESS_M} 0.011" pos="{pad_x} {pad_y} 0" euler="0 0 -{PARALLEL_RAD}" mass="0.012"/></body>
"#,
        TCP_M - 0.03,
        FIXED_PAD_M + PAD_HALF_THICKNESS_M,
    )
}

fn actuators() -> String {
    let mut mjcf = String::new();
    let joints = LINKS.iter().map(|link| link.joint);
    for joint in joints.chain(["gripper"]) {
        let _ = writeln!(
            mjcf,
            r#"<motor joint="{joint}" forcerange="-{TORQUE_NM} {TORQUE_NM}"/>"#
        );
    }
    mjcf
}
