//! Another scene while the arm moves: the arm must not notice, everyone who looks must.

use super::*;
use crate::sim::{Rig, SceneFeeder, SimArm, SimCamera, SimObserver, Split, View};
use visuomotor_runtime::arm::{Arm, Fingers};
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::observation::SceneTruth;
use visuomotor_runtime::units::JointVelocities;

fn scene(seed: u64) -> World {
    let mut config = SceneConfig::default();
    config.camera.pixel_noise = 0.0;
    World::build(&config, Split::Train, seed).unwrap()
}

/// A rig whose arm is on its way and moves.
fn moving() -> (SimArm, SceneFeeder, SimCamera, SimObserver) {
    let mut rig = Rig::new(scene(1));
    let camera = rendered(rig.camera(View::Policy).open());
    let observer = rig.observer();
    let (mut arm, feeder) = rig.split().unwrap();
    let goal = tool_at(Vector3::new(0.05, -0.05, 0.1), 0.4);
    arm.world_mut().command(
        &JointPositions::from(goal),
        &JointVelocities::zeros(),
        Fingers::Closed,
    );
    arm.read(ms(100)).unwrap();
    (arm, feeder, camera, observer)
}

#[test]
fn the_arm_keeps_pose_motion_time_and_target() {
    let (mut arm, feeder, ..) = moving();
    let before = arm.read(ms(100)).unwrap();
    let first = arm.world().scene().id;
    assert!(before.dq.0.amax() > 0.01, "the arm should be moving");

    assert!(feeder.offer(Box::new(scene(2))).is_ok());
    let refused = feeder.offer(Box::new(scene(3)));
    assert!(refused.is_err(), "the one before was not taken yet");
    assert_eq!(arm.world().scene().id, first);
    let after = arm.read(ms(100)).unwrap();
    assert_ne!(arm.world().scene().id, first);
    // Bit-equal: only negative zero and NaN would compare otherwise.
    assert_eq!((after.q, after.dq), (before.q, before.dq));
    assert_eq!(after.aperture_m, before.aperture_m);
    assert_eq!(after.sampled_at, before.sampled_at);
    assert_eq!(arm.world().time(), ms(100));
    let tray_m = Vector3::from(SceneConfig::default().tray_in_base_m);
    let error_m = arm.world().snapshot().tcp_m - (tcp_in_base_m(&after.q) - tray_m);
    assert!(
        error_m.amax() < 1e-9,
        "the tool is not where the joints are: {error_m}"
    );

    let (mut unswapped, ..) = moving();
    for tick in 101..=400 {
        let (here, there) = (arm.read(ms(tick)), unswapped.read(ms(tick)));
        let apart = (here.unwrap().q.0 - there.unwrap().q.0).amax();
        assert!(apart < 1e-6, "{apart} rad apart after {tick} ms");
    }
    assert!(
        feeder.offer(Box::new(scene(3))).is_ok(),
        "the next one was taken"
    );
}

#[test]
fn camera_and_observer_follow() {
    let (mut arm, feeder, mut camera, mut observer) = moving();
    let [mut before, mut after, mut alone] = <[Frame; 3]>::default();
    rendered(camera.render(&mut before));
    assert!(feeder.offer(Box::new(scene(2))).is_ok());
    arm.read(ms(100)).unwrap();
    rendered(camera.render(&mut after));
    assert_eq!(after.captured_at, ms(100));
    assert!(after.image.rgb != before.image.rgb);

    // The same arm in a world that never was another.
    let mut world = scene(2);
    world.continue_from(arm.world());
    let mut expected = SceneTruth::default();
    world.truth(&mut expected);
    let mut rig = Rig::new(world);
    let mut fresh = rendered(rig.camera(View::Policy).open());
    rendered(fresh.render(&mut alone));
    assert!(
        after.image == alone.image,
        "the old scene is still in the picture"
    );

    let mut truth = SceneTruth::default();
    assert_eq!(observer.truth(&mut truth), Some(ms(100)));
    assert_eq!(truth, expected);
    assert_eq!(observer.judge(), Some(arm.world().judge()));
}
