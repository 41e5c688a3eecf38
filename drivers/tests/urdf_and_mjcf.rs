//! Is the simulated arm the one that the robot description describes? MuJoCo reads both descriptions; the controller's
//! kinematics read one.

#![cfg(feature = "sim")]

use mujoco_rs::prelude::*;
use nalgebra::{Isometry3, Matrix3, Quaternion, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_drivers::sim::{Robot, Scene, SceneConfig, Split};
use visuomotor_runtime::kinematics::{Chain, JointLimit};
use visuomotor_runtime::units::JointPositions;

/// A robot, its description, the bodies of its gripper, and the link that is all of them in the description.
struct Pair {
    robot: Robot,
    urdf: &'static str,
    gripper: &'static [&'static str],
    gripper_link: &'static str,
}

const FINGERS: &[&str] = &["hand", "finger_left", "finger_right"];
const IIWA14: Pair = Pair {
    robot: Robot::Iiwa14,
    urdf: include_str!("../../launch/robots/iiwa14.urdf"),
    gripper: FINGERS,
    gripper_link: "gripper_mount",
};
const CAN_ARM: Pair = Pair {
    robot: Robot::CanArm,
    urdf: include_str!("../../launch/robots/can_arm.urdf"),
    gripper: FINGERS,
    gripper_link: "gripper_mount",
};
const SO101: Pair = Pair {
    robot: Robot::So101,
    urdf: include_str!("../../launch/robots/so101.urdf"),
    gripper: &["gripper_link", "fixed_jaw"],
    gripper_link: "gripper_link",
};

impl Pair {
    /// The simulator's model, its config (for the base's place in the task frame).
    fn simulated(&self) -> (MjModel, SceneConfig) {
        let config = SceneConfig {
            robot: self.robot,
            ..SceneConfig::default()
        };
        let scene = Scene::build(&config, Split::Test, 1).unwrap();
        (MjModel::from_xml_string(scene.mjcf()).unwrap(), config)
    }

    /// The robot description as MuJoCo reads it, with every link a body of its own.
    fn described(&self) -> MjModel {
        let start = self.urdf.find("<robot").unwrap();
        let end = start + self.urdf[start..].find('>').unwrap() + 1;
        let (root, rest) = self.urdf.split_at(end);
        let keep_links = r#"<mujoco><compiler fusestatic="false"/></mujoco>"#;
        MjModel::from_xml_string(&format!("{root}{keep_links}{rest}")).unwrap()
    }

    fn chain<const N: usize>(&self, tip: &str) -> Chain<N> {
        Chain::from_urdf(self.urdf, "base_link", tip).unwrap()
    }
}

fn body(model: &MjModel, name: &str) -> usize {
    let found = model.name_to_id(MjtObjBase::mjOBJ_BODY, name);
    found.unwrap_or_else(|| panic!("no body is named {name}"))
}

/// Of the body that the joint moves.
fn moved_by(model: &MjModel, joint: usize) -> String {
    let body = model.jnt_bodyid()[joint] as usize;
    let name = model.id_to_name(MjtObjBase::mjOBJ_BODY, body);
    name.expect("every link has a name").to_owned()
}

fn random_positions<const N: usize>(count: usize, limits: &[JointLimit; N]) -> Vec<[f64; N]> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(14);
    let mut q = || {
        limits
            .each_ref()
            .map(|limit| rng.random_range(limit.lower..=limit.upper))
    };
    (0..count).map(|_| q()).collect()
}

/// Largest difference of the origins, m, and of the rotation matrices' entries.
fn difference(pose: &Isometry3<f64>, position_m: Vector3<f64>, matrix: &[f64; 9]) -> [f64; 2] {
    let r = pose.rotation.to_rotation_matrix();
    [
        (pose.translation.vector - position_m).amax(),
        (r.matrix() - Matrix3::from_row_slice(matrix)).amax(),
    ]
}

/// Checks the frame of link `N` at many joint positions of the whole arm of `ALL` joints.
fn link_agrees<const N: usize, const ALL: usize>(pair: &Pair) {
    let (model, config) = pair.simulated();
    let base_m = -Vector3::from(config.tray_in_base_m);
    let mut data = MjData::new(&model);
    let link = moved_by(&model, N - 1);
    let chain = pair.chain::<N>(&link);
    let whole = pair.chain::<ALL>("tcp");
    let body = body(&model, &link);
    for q in random_positions(50, whole.limits()) {
        data.qpos_mut()[..ALL].copy_from_slice(&q);
        data.kinematics();
        let first: [f64; N] = std::array::from_fn(|i| q[i]);
        let pose = chain.fk(&JointPositions::from(first));
        let position_m = Vector3::from(data.xpos()[body]) - base_m;
        for error in difference(&pose, position_m, &data.xmat()[body]) {
            assert!(error < 1e-9, "{link} at {q:?}: {error}");
        }
    }
}

fn tool_agrees<const N: usize>(pair: &Pair) {
    let (model, config) = pair.simulated();
    let chain = pair.chain::<N>("tcp");
    let base_m = -Vector3::from(config.tray_in_base_m);
    let site = model.name_to_id(MjtObjBase::mjOBJ_SITE, "tcp").unwrap();
    let mut data = MjData::new(&model);
    for q in random_positions(200, chain.limits()) {
        data.qpos_mut()[..N].copy_from_slice(&q);
        data.kinematics();
        let pose = chain.fk(&JointPositions::from(q));
        let position_m = Vector3::from(data.site_xpos()[site]) - base_m;
        for error in difference(&pose, position_m, &data.site_xmat()[site]) {
            assert!(error < 1e-9, "tcp at {q:?}: {error}");
        }
    }
}

#[test]
fn tool_and_links_are_in_the_same_place() {
    for pair in [IIWA14, CAN_ARM] {
        tool_agrees::<7>(&pair);
        link_agrees::<1, 7>(&pair);
        link_agrees::<2, 7>(&pair);
        link_agrees::<3, 7>(&pair);
        link_agrees::<4, 7>(&pair);
        link_agrees::<5, 7>(&pair);
        link_agrees::<6, 7>(&pair);
        link_agrees::<7, 7>(&pair);
    }
    tool_agrees::<5>(&SO101);
    link_agrees::<1, 5>(&SO101);
    link_agrees::<2, 5>(&SO101);
    link_agrees::<3, 5>(&SO101);
    link_agrees::<4, 5>(&SO101);
    link_agrees::<5, 5>(&SO101);
}

fn limits_agree<const N: usize>(pair: &Pair) {
    let (model, _) = pair.simulated();
    let chain = pair.chain::<N>("tcp");
    for (i, (name, limit)) in chain.joint_names().iter().zip(chain.limits()).enumerate() {
        let joint = model.name_to_id(MjtObjBase::mjOBJ_JOINT, name).unwrap();
        assert_eq!(joint, i, "the arm's joints come first, base to tip");
        let [lower, upper] = model.jnt_range()[joint];
        assert!((lower - limit.lower).abs() < 1e-12 && (upper - limit.upper).abs() < 1e-12);
        let [least, most] = model.actuator_forcerange()[i];
        assert_eq!([least, most], [-limit.effort, limit.effort], "{name}");
    }
}

#[test]
fn limits_and_torques_are_the_same() {
    limits_agree::<7>(&IIWA14);
    limits_agree::<7>(&CAN_ARM);
    limits_agree::<5>(&SO101);
}

/// The jaw is no joint of the chain, and its drive is one like the others.
#[test]
fn the_jaw_is_the_described_one() {
    let [simulated, described] = [SO101.simulated().0, SO101.described()];
    let joint = |model: &MjModel| {
        model
            .name_to_id(MjtObjBase::mjOBJ_JOINT, "gripper")
            .unwrap()
    };
    let (one, other) = (joint(&simulated), joint(&described));
    let range = |model: &MjModel, joint: usize| model.jnt_range()[joint];
    assert_eq!(range(&simulated, one), range(&described, other));
    assert_eq!(simulated.jnt_axis()[one], described.jnt_axis()[other]);
    let place = |model: &MjModel| Vector3::from(model.body_pos()[body(model, "moving_jaw")]);
    let apart_m = (place(&simulated) - place(&described)).amax();
    assert!(apart_m < 1e-12, "{apart_m}");
}

/// Mass, centre of mass and inertia about it, body frame.
fn inertia(model: &MjModel, name: &str) -> (f64, Vector3<f64>, Matrix3<f64>) {
    let body = body(model, name);
    let [w, x, y, z] = model.body_iquat()[body];
    let r = UnitQuaternion::from_quaternion(Quaternion::new(w, x, y, z)).to_rotation_matrix();
    let diagonal = Matrix3::from_diagonal(&Vector3::from(model.body_inertia()[body]));
    (
        model.body_mass()[body],
        Vector3::from(model.body_ipos()[body]),
        r.matrix() * diagonal * r.matrix().transpose(),
    )
}

#[test]
fn masses_and_inertias_are_the_same() {
    for pair in [IIWA14, CAN_ARM, SO101] {
        let ((simulated, _), described) = (pair.simulated(), pair.described());
        let links = (0..pair.robot.joints()).map(|joint| moved_by(&simulated, joint));
        for link in links.chain(["base_link".to_owned()]) {
            if pair.gripper.contains(&link.as_str()) {
                continue;
            }
            let [(mass, centre, tensor), (mass_2, centre_2, tensor_2)] =
                [inertia(&simulated, &link), inertia(&described, &link)];
            assert!(
                (mass - mass_2).abs() < 1e-12,
                "{link}: {mass} and {mass_2} kg"
            );
            assert!((centre - centre_2).amax() < 1e-12, "{link}");
            assert!(
                (tensor - tensor_2).amax() < 1e-12,
                "{link}: {tensor} {tensor_2}"
            );
        }
        // One rigid body in the description; several in the simulation.
        let (described_kg, described_centre, _) = inertia(&described, pair.gripper_link);
        let parts = pair.gripper.iter().map(|part| inertia(&simulated, part));
        let kg: f64 = parts.map(|(kg, ..)| kg).sum();
        assert!((kg - described_kg).abs() < 1e-12, "{:?}: {kg}", pair.robot);
        if pair.robot == Robot::Iiwa14 {
            // Its weight is compensated, whatever it is.
            continue;
        }
        let mut data = MjData::new(&simulated);
        data.kinematics();
        let mount = body(&simulated, pair.gripper[0]);
        let rotation = Matrix3::from_row_slice(&data.xmat()[mount]);
        let origin = Vector3::from(data.xpos()[mount]);
        let moment: Vector3<f64> = pair.gripper.iter().fold(Vector3::zeros(), |sum, part| {
            let part = body(&simulated, part);
            let [centre, frame] = [
                Vector3::from(simulated.body_ipos()[part]),
                Vector3::from(data.xpos()[part]),
            ];
            let turned = Matrix3::from_row_slice(&data.xmat()[part]);
            sum + simulated.body_mass()[part] * (frame + turned * centre - origin)
        });
        let centre = rotation.transpose() * moment / kg;
        let off_m = (centre - described_centre).amax();
        assert!(off_m < 1e-9, "{:?}: {centre}", pair.robot);
    }
}
