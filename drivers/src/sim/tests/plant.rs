//! Robots that torques drive, behind whoever emulates their drives.

use super::*;
use crate::sim::{Rig, Robot, SceneFeeder, SimObserver, SimPlant, Split, View};
use crate::testkit::emulate::Plant;
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::kinematics::dynamics::UPRIGHT_M_PER_S2;
use visuomotor_runtime::kinematics::{Chain, Dynamics};
use visuomotor_runtime::units::{JointAccelerations, JointPositions, JointVelocities};

fn config(robot: Robot) -> SceneConfig {
    SceneConfig {
        robot,
        timestep_us: 1000,
        ..SceneConfig::default()
    }
}

fn world(robot: Robot, seed: u64) -> World {
    World::build(&config(robot), Split::Train, seed).unwrap()
}

fn plant(robot: Robot) -> (SimPlant, SceneFeeder, SimObserver) {
    let mut rig = Rig::new(world(robot, 1));
    let observer = rig.observer();
    let (plant, feeder) = rig.split_plant().unwrap();
    (plant, feeder, observer)
}

/// Steps under torques that pull every joint to where it stood at the start, weakly.
fn hold(plant: &mut SimPlant, q: &[f64], steps: u32) {
    for _ in 0..steps {
        let tau: Vec<f64> = (0..plant.joints())
            .map(|joint| {
                let (at, speed) = plant.state(joint);
                20.0 * (q[joint] - at) - 0.5 * speed
            })
            .collect();
        plant.step(&tau);
    }
}

fn positions(plant: &SimPlant) -> Vec<f64> {
    (0..plant.joints())
        .map(|joint| plant.state(joint).0)
        .collect()
}

#[test]
fn time_is_that_of_the_steps_and_everyone_sees_each() {
    let (mut plant, _feeder, mut observer) = plant(Robot::So101);
    assert_eq!((plant.joints(), plant.step_s()), (6, 1e-3));
    plant.restart(ms(500));
    let mut truth = Default::default();
    assert_eq!(observer.truth(&mut truth), Some(ms(500)));
    plant.step(&[0.0; 6]);
    assert_eq!(plant.world().time(), ms(501));
    assert_eq!(observer.truth(&mut truth), Some(ms(501)));
    plant.replace(Box::new(world(Robot::So101, 2)), ms(0));
    assert_eq!(observer.truth(&mut truth), Some(ms(0)));
}

#[test]
fn the_arm_stands_until_its_drives_have_power_and_falls_when_they_lose_it() {
    for robot in [Robot::CanArm, Robot::So101] {
        let (mut plant, ..) = plant(robot);
        let (start, none) = (positions(&plant), vec![0.0; plant.joints()]);
        let fallen = |plant: &SimPlant| (positions(plant)[1] - start[1]).abs();
        (0..500).for_each(|_| plant.step(&none));
        assert_eq!(positions(&plant), start, "{robot:?}");
        plant.step(&vec![1e-9; none.len()]);
        (0..300).for_each(|_| plant.step(&none));
        assert!(fallen(&plant) > 0.01, "{robot:?}: {}", fallen(&plant));
        let now = plant.world().time();
        plant.restart(now);
        let there = positions(&plant);
        plant.step(&none);
        assert_eq!(positions(&plant), there, "{robot:?}");
    }
}

#[test]
fn each_torque_turns_its_own_joint() {
    for robot in [Robot::CanArm, Robot::So101] {
        let joints = robot.joints() + 1;
        let after = |tau: &[f64]| {
            let (mut plant, ..) = plant(robot);
            (0..5).for_each(|_| plant.step(tau));
            (0..joints)
                .map(|joint| plant.state(joint).1)
                .collect::<Vec<_>>()
        };
        let free = after(&vec![1e-9; joints]);
        for joint in 0..joints {
            let mut tau = vec![0.0; joints];
            // Open fingers are at their stop: only closing moves them.
            tau[joint] = if joint == joints - 1 { -0.5 } else { 0.5 };
            let pushed = after(&tau)[joint] - free[joint];
            assert!(
                pushed * tau[joint] > 0.0 && pushed.abs() > 1e-3,
                "{robot:?} joint {joint}: {pushed}"
            );
        }
    }
}

/// What the driver feeds forward is what the physics take: masses, inertias and rotors of both are the same.
#[test]
fn the_torques_for_an_acceleration_give_it() {
    const URDF: &str = include_str!("../../../../launch/robots/can_arm.urdf");
    // Of `[[arm.can.joint]]` in the launch file, kg·m².
    const ROTORS: [f64; 7] = [0.06, 0.06, 0.04, 0.04, 0.015, 0.015, 0.008];
    let chain = Chain::<7>::from_urdf(URDF, "base_link", "tcp").unwrap();
    let dynamics = Dynamics::new(&chain, URDF, UPRIGHT_M_PER_S2).unwrap();
    let ddq = JointAccelerations::from([5.0, -6.0, 7.0, -8.0, 9.0, -10.0, 11.0]);
    for q in [
        [0.0, 0.548_949, 0.0, -1.332_549, 0.0, 1.260_095, 0.0],
        [0.4, 0.3, -0.5, -1.4, 0.6, 1.0, 0.9],
    ] {
        let mut world = world(Robot::CanArm, 1);
        world.place_arm(q);
        let (mut plant, _feeder) = Rig::new(world).split_plant().unwrap();
        let tau = dynamics.torques(&JointPositions::from(q), &JointVelocities::zeros(), &ddq);
        let with_rotors = (0..7).map(|i| tau[i] + ROTORS[i] * ddq[i]);
        let tau: Vec<f64> = with_rotors.chain([0.0]).collect();
        plant.step(&tau);
        for i in 0..7 {
            let got = plant.state(i).1 / plant.step_s();
            // The description has the fingers closed, and no friction.
            assert!(
                (got - ddq[i]).abs() < 0.04 * ddq[i].abs(),
                "joint {i}: {got} rad/s² for {}",
                ddq[i]
            );
        }
    }
}

/// The two-finger gripper as the one angle that its drive shows.
#[test]
fn the_drive_s_angle_is_the_aperture_s() {
    let (mut plant, ..) = plant(Robot::CanArm);
    let gripper = Robot::CanArm.gripper();
    let aperture_m = |plant: &SimPlant| plant.world().arm_state::<7>().aperture_m;
    assert!((plant.state(7).0 - gripper.open_rad()).abs() < 1e-9);
    assert!((aperture_m(&plant) - 0.084).abs() < 1e-9);
    for _ in 0..20 {
        plant.step(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.4]);
        let shown = gripper.aperture_m(plant.state(7).0);
        assert!((shown - aperture_m(&plant)).abs() < 1e-12);
    }
    assert!(aperture_m(&plant) < 0.083, "they do not close");
}

#[test]
fn another_scene_comes_while_the_arm_moves() {
    let (mut plant, feeder, mut observer) = plant(Robot::So101);
    let q = positions(&plant);
    hold(&mut plant, &q, 100);
    let (before, first) = (positions(&plant), plant.world().scene().id);
    assert!(feeder.offer(Box::new(world(Robot::So101, 2))).is_ok());
    hold(&mut plant, &q, 1);
    assert_ne!(plant.world().scene().id, first);
    assert_eq!(plant.world().time(), ms(101));
    let moved = positions(&plant)
        .iter()
        .zip(&before)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(moved < 1e-3, "{moved} rad in one step");
    assert_eq!(observer.judge(), Some(plant.world().judge()));
}

#[test]
fn who_cannot_move_a_robot_is_told_so() {
    let split = |robot| Rig::new(world(robot, 1));
    let cases = [
        split(Robot::Iiwa14).split::<5>().err(),
        split(Robot::CanArm).split::<7>().err(),
        split(Robot::So101).split::<5>().err(),
        split(Robot::Iiwa14).split_plant().err(),
    ];
    for error in cases {
        let text = error.expect("an error").to_string();
        assert!(text.starts_with("scene.robot"), "{text}");
    }
    assert!(split(Robot::Iiwa14).split::<7>().is_ok());
}

/// A policy that knows the iiwa's pictures knows the CAN arm's.
#[test]
fn the_can_arm_looks_like_the_iiwa() {
    let picture = |robot| {
        let mut config = config(robot);
        config.timestep_us = 5000;
        let mut world = World::build(&config, Split::Train, 3).unwrap();
        world.place_arm(tool_at(Vector3::new(0.02, 0.03, 0.1), 0.4));
        // Where its objects came to rest depends a little on the arm's contacts.
        for object in 0..world.scene().objects() {
            world.put(
                object,
                Vector3::new(0.05 * object as f64 - 0.08, 0.0, 0.03),
                0.0,
            );
        }
        let mut rig = Rig::new(world);
        let (mut camera, mut frame) = (rendered(rig.camera(View::Policy).open()), Frame::default());
        rendered(camera.render(&mut frame));
        frame.image.rgb
    };
    assert!(picture(Robot::Iiwa14) == picture(Robot::CanArm));
}
