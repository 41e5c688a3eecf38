//! The KUKA LBR iiwa 14 R820 with a two-finger gripper, as MJCF.
//!
//! Frames, position limits and torques are those of KUKA's data sheet; masses and inertias those published with KUKA's
//! ROS description. They equal `launch/robots/iiwa14.urdf`, which a test compares. The shapes are our own.
//!
//! Not responsible for speed limits: those are the safety filter's.

use super::robot::{Drive, Gripper, RobotModel};
use std::fmt::Write;

pub const JOINTS: usize = 7;
/// Each finger travels this far from the middle, m.
pub const FINGER_TRAVEL_M: f64 = 0.042;
/// Where the TCP lies, m in front of the flange.
const FLANGE_TO_TCP_M: f64 = 0.20;
/// Largest force of one finger, N.
const FINGER_FORCE_N: f64 = 10.0;

/// The tool points straight down, 0.25 m above the centre of the tray.
pub const START_Q: [f64; JOINTS] = [0.0, 0.548_949, 0.0, -1.332_549, 0.0, 1.260_095, 0.0];
/// The same, turned about the base until the tool is beside the tray.
pub const ASIDE_Q: [f64; JOINTS] = [1.4, 0.548_949, 0.0, -1.332_549, 0.0, 1.260_095, 0.0];

/// The fingers have no common drive here; this says what one would show.
const PINION_M: f64 = 0.02;
pub const GRIPPER: Gripper = Gripper::Sliding {
    travel_m: FINGER_TRAVEL_M,
    pinion_m: PINION_M,
};

pub const MODEL: RobotModel = RobotModel {
    name: "iiwa14",
    joints: JOINTS,
    drive: Drive::Positions,
    gripper: GRIPPER,
    stand_m: 0.0,
    start_q: &START_Q,
    aside_q: &ASIDE_Q,
    spectator_m: SPECTATOR_M,
    fingers: ["finger_left", "finger_right"],
    defaults: DEFAULTS,
    bodies: |base_m| bodies(base_m, &IIWA14),
    couplings: COUPLINGS,
    actuators,
};

pub const SPECTATOR_M: [[f64; 3]; 2] = [[0.75, -1.15, 0.75], [-0.28, 0.0, 0.30]];
/// Both fingers move alike, and pass through each other.
pub const COUPLINGS: &str = r#"<equality><joint joint1="finger_left" joint2="finger_right" solref="0.005 1"/></equality>
<contact><exclude body1="finger_left" body2="finger_right"/></contact>"#;

/// What an arm of this geometry weighs and how it is driven.
pub struct Build {
    /// Attribute of every body that gravity does not pull down; empty or with a space before it.
    pub compensated: &'static str,
    /// Centre of mass, mass and inertia of the base.
    pub base: Mass,
    pub links: [Mass; JOINTS],
    /// Attributes of the joint: the inertia of the motor behind its gear, kg·m², and its friction.
    pub joints: [&'static str; JOINTS],
    pub hand: Mass,
    pub finger_kg: f64,
    /// Attributes of the fingers' joints.
    pub finger_joint: &'static str,
}

/// Centre of mass, mass in kg and the inertia's diagonal about it, link frame.
pub struct Mass(pub &'static str, pub f64, pub &'static str);

#[rustfmt::skip]
const IIWA14: Build = Build {
    compensated: r#" gravcomp="1""#,
    base: Mass("-0.1 0 0.07", 5.0, "0.05 0.06 0.03"),
    links: [
        Mass("0 -0.03 0.12", 5.76, "0.0333 0.033 0.0123"),
        Mass("0.0003 0.059 0.042", 6.35, "0.0305 0.0304 0.011"),
        Mass("0 0.03 0.13", 3.5, "0.025 0.0238 0.0076"),
        Mass("0 0.067 0.034", 3.5, "0.017 0.0164 0.006"),
        Mass("0.0001 0.021 0.076", 3.5, "0.01 0.0087 0.00449"),
        Mass("0 0.0006 0.0004", 1.8, "0.0049 0.0047 0.0036"),
        Mass("0 0 0.02", 1.2, "0.001 0.001 0.001"),
    ],
    joints: [
        r#"armature="1""#, r#"armature="1""#, r#"armature="0.6""#, r#"armature="0.6""#, r#"armature="0.3""#, r#"armature="0.2""#,
        r#"armature="0.1""#,
    ],
    hand: Mass("0 0 0.10", 0.7, "0.0026 0.0020 0.0010"),
    finger_kg: 0.05,
    finger_joint: r#"armature="0.08" damping="10""#,
};
/// Torque limit, N·m, and stiffness, N·m/rad, of the joints' position servos.
const SERVOS: [[f64; 2]; JOINTS] = [
    [320.0, 20_000.0],
    [320.0, 20_000.0],
    [176.0, 10_000.0],
    [176.0, 10_000.0],
    [110.0, 4_000.0],
    [40.0, 2_000.0],
    [40.0, 1_000.0],
];

struct Link {
    /// Frame of the link in the frame of the link before.
    position: &'static str,
    quaternion: &'static str,
    range_deg: f64,
    shapes: &'static str,
}

/// About z by π, then about x by π/2.
const TURNED: &str = "0 0 1 1";
/// About x by π/2.
const TILTED: &str = "1 1 0 0";

#[rustfmt::skip]
const LINKS: [Link; JOINTS] = [
    Link {
        position: "0 0 0.1575", quaternion: "1 0 0 0", range_deg: 170.0,
        shapes: r#"<geom class="grey" type="cylinder" size="0.079 0.05" pos="0 0 0.055"/><geom class="accent" type="cylinder" size="0.0805 0.006" pos="0 0 0.006"/>
<geom class="grey" type="capsule" size="0.079" fromto="0 0 0.08 0 0 0.2025"/><geom class="accent" type="cylinder" size="0.062 0.083" pos="0 0 0.2025" quat="1 1 0 0"/>"#,
    },
    Link {
        position: "0 0 0.2025", quaternion: TURNED, range_deg: 120.0,
        shapes: r#"<geom class="grey" type="capsule" size="0.076" fromto="0 0 0 0 0.15 0"/><geom class="grey" type="cylinder" size="0.074 0.03" pos="0 0.17 0" quat="1 1 0 0"/>"#,
    },
    Link {
        position: "0 0.2045 0", quaternion: TURNED, range_deg: 170.0,
        shapes: r#"<geom class="accent" type="cylinder" size="0.0755 0.006" pos="0 0 0.006"/><geom class="grey" type="cylinder" size="0.072 0.06" pos="0 0 0.07"/>
<geom class="grey" type="capsule" size="0.072" fromto="0 0 0.12 0 0 0.2155"/><geom class="accent" type="cylinder" size="0.056 0.076" pos="0 0 0.2155" quat="1 1 0 0"/>"#,
    },
    Link {
        position: "0 0 0.2155", quaternion: TILTED, range_deg: 120.0,
        shapes: r#"<geom class="grey" type="capsule" size="0.069" fromto="0 0 0 0 0.13 0"/><geom class="grey" type="cylinder" size="0.066 0.03" pos="0 0.15 0" quat="1 1 0 0"/>"#,
    },
    Link {
        position: "0 0.1845 0", quaternion: TURNED, range_deg: 170.0,
        shapes: r#"<geom class="accent" type="cylinder" size="0.0675 0.006" pos="0 0 0.006"/><geom class="grey" type="cylinder" size="0.063 0.05" pos="0 0 0.06"/>
<geom class="grey" type="capsule" size="0.058" fromto="0 0 0.11 0 0 0.2155"/>"#,
    },
    Link {
        position: "0 0 0.2155", quaternion: TILTED, range_deg: 120.0,
        shapes: r#"<geom class="grey" type="sphere" size="0.062"/><geom class="accent" type="cylinder" size="0.046 0.064"/>
<geom class="grey" type="cylinder" size="0.05 0.02" pos="0 0.055 0" quat="1 1 0 0"/>"#,
    },
    Link {
        position: "0 0.081 0", quaternion: TURNED, range_deg: 175.0,
        shapes: r#"<geom class="grey" type="cylinder" size="0.046 0.0225" pos="0 0 0.0225"/>"#,
    },
];

/// Defaults of the arm's and the gripper's parts.
pub const DEFAULTS: &str = r#"
<default class="grey"><geom contype="0" conaffinity="0" rgba="0.80 0.81 0.82 1"/></default>
<default class="accent"><geom contype="0" conaffinity="0" rgba="0.95 0.42 0.08 1"/></default>
<default class="hand"><geom contype="1" conaffinity="1" friction="0.6 0.02 0.001" rgba="0.16 0.17 0.19 1"/></default>
"#;

/// Proportional and derivative gain of a joint's servo. The damping time is short against the motions and long against
/// the time step; [`super::World`] feeds the velocity forward, so it costs no lag.
pub const SERVO_DAMPING_S: f64 = 0.03;

/// The arm's bodies, its base at this position in the world frame.
pub fn bodies(base_m: [f64; 3], build: &Build) -> String {
    let [x, y, z] = base_m;
    let Build {
        compensated,
        base: Mass(centre, mass, inertia),
        ..
    } = build;
    let mut mjcf = format!(
        r#"<body name="base_link" pos="{x} {y} {z}">
<inertial pos="{centre}" mass="{mass}" diaginertia="{inertia}"/>
<geom class="grey" type="cylinder" size="0.10 0.015" pos="0 0 0.015"/><geom class="grey" type="cylinder" size="0.085 0.06" pos="0 0 0.0875"/>
"#
    );
    for (i, link) in LINKS.iter().enumerate() {
        let (number, joint) = (i + 1, build.joints[i]);
        let Mass(centre, mass, inertia) = &build.links[i];
        let range = link.range_deg.to_radians();
        // Writing to a String cannot fail.
        let _ = writeln!(
            mjcf,
            r#"<body name="link_{number}" pos="{}" quat="{}"{compensated}>
<joint name="joint_{number}" type="hinge" axis="0 0 1" range="-{range} {range}" {joint}/>
<inertial pos="{centre}" mass="{mass}" diaginertia="{inertia}"/>
{}"#,
            link.position, link.quaternion, link.shapes
        );
    }
    mjcf.push_str(&gripper(build));
    mjcf.push_str(&"</body>".repeat(JOINTS + 1));
    mjcf
}

/// Palm, neck and fingers on the flange. The frame equals the TCP's but for its origin: z out of the fingers, y the
/// direction in which they close.
fn gripper(build: &Build) -> String {
    let Build {
        compensated,
        hand: Mass(centre, mass, inertia),
        finger_kg,
        finger_joint,
        ..
    } = build;
    format!(
        r#"<body name="hand" pos="0 0 0.045" quat="0 0 0 1"{compensated}>
<inertial pos="{centre}" mass="{mass}" diaginertia="{inertia}"/>
<geom class="hand" type="cylinder" size="0.03 0.0475" pos="0 0 0.0475" contype="0" conaffinity="0" rgba="0.62 0.63 0.65 1"/>
<geom class="hand" type="box" size="0.025 0.055 0.02" pos="0 0 0.115"/>
<site name="tcp" pos="0 0 {FLANGE_TO_TCP_M}" group="4"/>
<body name="finger_left" pos="0 0 {FLANGE_TO_TCP_M}"{compensated}>
<joint name="finger_left" type="slide" axis="0 1 0" range="0 {FINGER_TRAVEL_M}" {finger_joint}/>
<geom class="hand" type="box" size="0.011 0.006 0.035" pos="0 0.006 -0.035" mass="{finger_kg}"/></body>
<body name="finger_right" pos="0 0 {FLANGE_TO_TCP_M}"{compensated}>
<joint name="finger_right" type="slide" axis="0 -1 0" range="0 {FINGER_TRAVEL_M}" {finger_joint}/>
<geom class="hand" type="box" size="0.011 0.006 0.035" pos="0 -0.006 -0.035" mass="{finger_kg}"/></body>
</body>
"#
    )
}

/// Position servos of the joints, then of the two fingers.
fn actuators() -> String {
    let mut mjcf = String::new();
    for (i, [torque, kp]) in SERVOS.iter().enumerate() {
        let (number, kv) = (i + 1, kp * SERVO_DAMPING_S);
        let _ = writeln!(
            mjcf,
            r#"<position joint="joint_{number}" kp="{kp}" kv="{kv}" forcerange="-{torque} {torque}"/>"#
        );
    }
    for finger in ["finger_left", "finger_right"] {
        let _ = writeln!(
            mjcf,
            r#"<position joint="{finger}" kp="300" kv="15" forcerange="-{FINGER_FORCE_N} {FINGER_FORCE_N}"/>"#
        );
    }
    mjcf
}
