//! Is the simulated arm the one that the robot description describes? MuJoCo reads both descriptions; the controller's
//! kinematics read one.

#![cfg(feature = "sim")]

use mujoco_rs::prelude::*;
use nalgebra::{Isometry3, Matrix3, Quaternion, UnitQuaternion, Vector3};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_drivers::sim::{Scene, SceneConfig, Split};
use visuomotor_runtime::kinematics::{Chain, JointLimit};
use visuomotor_runtime::units::JointPositions;

const URDF: &str = include_str!("../../launch/robots/iiwa14.urdf");
const JOINTS: usize = 7;

/// The simulator's model, its config (for the base's place in the task frame).
fn simulated() -> (MjModel, SceneConfig) {
    let config = SceneConfig::default();
    let scene = Scene::build(&config, Split::Test, 1).unwrap();
    (MjModel::from_xml_string(scene.mjcf()).unwrap(), config)
}

/// The robot description as MuJoCo reads it, with every link a body of its own.
fn described() -> MjModel {
    let root = r#"<robot name="iiwa14">"#;
    assert!(URDF.contains(root));
    let keep_links = r#"<mujoco><compiler fusestatic="false"/></mujoco>"#;
    MjModel::from_xml_string(&URDF.replace(root, &format!("{root}{keep_links}"))).unwrap()
}

fn body(model: &MjModel, name: &str) -> usize {
    let found = model.name_to_id(MjtObjBase::mjOBJ_BODY, name);
    found.unwrap_or_else(|| panic!("no body is named {name}"))
}

fn random_positions(count: usize, limits: &[JointLimit; JOINTS]) -> Vec<[f64; JOINTS]> {
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

/// Checks the frame of link `N` at many joint positions.
fn link_agrees<const N: usize>(data: &mut MjData<&MjModel>, base_m: Vector3<f64>, worst: &mut f64) {
    let link = format!("link_{N}");
    let chain = Chain::<N>::from_urdf(URDF, "base_link", &link).unwrap();
    let whole = Chain::<JOINTS>::from_urdf(URDF, "base_link", "tcp").unwrap();
    let body = body(data.model(), &link);
    for q in random_positions(50, whole.limits()) {
        data.qpos_mut()[..JOINTS].copy_from_slice(&q);
        data.kinematics();
        let first: [f64; N] = std::array::from_fn(|i| q[i]);
        let pose = chain.fk(&JointPositions::from(first));
        let position_m = Vector3::from(data.xpos()[body]) - base_m;
        for error in difference(&pose, position_m, &data.xmat()[body]) {
            assert!(error < 1e-9, "{link} at {q:?}: {error}");
            *worst = worst.max(error);
        }
    }
}

#[test]
fn tool_and_links_are_in_the_same_place() {
    let (model, config) = simulated();
    let chain = Chain::<JOINTS>::from_urdf(URDF, "base_link", "tcp").unwrap();
    let base_m = -Vector3::from(config.tray_in_base_m);
    let site = model.name_to_id(MjtObjBase::mjOBJ_SITE, "tcp").unwrap();
    let mut data = MjData::new(&model);
    let mut worst: f64 = 0.0;
    for q in random_positions(200, chain.limits()) {
        data.qpos_mut()[..JOINTS].copy_from_slice(&q);
        data.kinematics();
        let pose = chain.fk(&JointPositions::from(q));
        let position_m = Vector3::from(data.site_xpos()[site]) - base_m;
        for error in difference(&pose, position_m, &data.site_xmat()[site]) {
            assert!(error < 1e-9, "tcp at {q:?}: {error}");
            worst = worst.max(error);
        }
    }
    link_agrees::<1>(&mut data, base_m, &mut worst);
    link_agrees::<2>(&mut data, base_m, &mut worst);
    link_agrees::<3>(&mut data, base_m, &mut worst);
    link_agrees::<4>(&mut data, base_m, &mut worst);
    link_agrees::<5>(&mut data, base_m, &mut worst);
    link_agrees::<6>(&mut data, base_m, &mut worst);
    link_agrees::<7>(&mut data, base_m, &mut worst);
    println!("largest difference {worst:e} (m and rotation matrix entries)");
}

#[test]
fn limits_and_torques_are_the_same() {
    let (model, _) = simulated();
    let chain = Chain::<JOINTS>::from_urdf(URDF, "base_link", "tcp").unwrap();
    for (i, (name, limit)) in chain.joint_names().iter().zip(chain.limits()).enumerate() {
        let joint = model.name_to_id(MjtObjBase::mjOBJ_JOINT, name).unwrap();
        assert_eq!(joint, i, "the arm's joints come first, base to tip");
        let [lower, upper] = model.jnt_range()[joint];
        assert!((lower - limit.lower).abs() < 1e-12 && (upper - limit.upper).abs() < 1e-12);
        let [least, most] = model.actuator_forcerange()[i];
        assert_eq!([least, most], [-limit.effort, limit.effort], "{name}");
    }
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
    let ((simulated, _), described) = (simulated(), described());
    let links = (1..=JOINTS).map(|i| format!("link_{i}"));
    for link in links.chain(["base_link".to_owned()]) {
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
    // One rigid body in the description; a hand and two fingers that slide in the simulation.
    let (described_kg, ..) = inertia(&described, "gripper_mount");
    let parts = ["hand", "finger_left", "finger_right"].map(|part| inertia(&simulated, part).0);
    assert!(
        (parts.iter().sum::<f64>() - described_kg).abs() < 1e-12,
        "{parts:?}"
    );
}
