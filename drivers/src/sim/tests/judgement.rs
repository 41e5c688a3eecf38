//! What counts as a success: held by both fingers, and high enough.

use super::*;
use crate::sim::iiwa14::FINGER_TRAVEL_M;
use crate::sim::{Judgement, SUCCESS_HEIGHT_M, Split};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::units::JointVelocities;

const EDGE_M: f64 = 0.03;
const HALF_M: f64 = 0.5 * EDGE_M;
/// The fingertips reach this far above the cube's lowest point.
const TIP_ABOVE_BOTTOM_M: f64 = 0.005;

/// Under the table.
const HIDDEN_M: Vector3<f64> = Vector3::new(0.0, 0.0, -1.0);

/// A world with one cube, the tool straight down here.
fn world_with_tool(tip_m: f64, fingers: Fingers) -> World {
    let mut world = World::build(&one_cube(EDGE_M), Split::Validation, 1).unwrap();
    let q = tool_at(Vector3::new(0.0, 0.0, tip_m), 0.0);
    world.place_arm(q);
    world.command(&JointPositions::from(q), &JointVelocities::zeros(), fingers);
    world
}

/// The fingers close on a cube that is held in place until they have it; then they alone hold it.
fn held_at(bottom_m: f64) -> Judgement {
    let mut world = world_with_tool(bottom_m + TIP_ABOVE_BOTTOM_M, Fingers::Closed);
    for _ in 0..60 {
        world.put(0, Vector3::new(0.0, 0.0, bottom_m + HALF_M), 0.0);
        pass(&mut world, 5);
    }
    pass(&mut world, 500);
    world.judge()
}

#[test]
fn only_what_is_held_and_high_is_a_success() {
    for (bottom_m, success) in [(0.0, false), (0.05, false), (0.10, true)] {
        let judgement = held_at(bottom_m);
        assert_eq!(judgement.gripped, Some(0), "at {bottom_m} m");
        let error_m = judgement.held_height_m - bottom_m;
        assert!(error_m.abs() < 0.003, "at {bottom_m} m: {judgement:?}");
        assert_eq!(judgement.success, success, "at {bottom_m} m: {judgement:?}");
    }
}

#[test]
fn what_lies_on_the_floor_is_not_held() {
    let mut world = world_with_tool(0.2, Fingers::Open);
    world.put(0, Vector3::new(0.0, 0.0, HALF_M), 0.0);
    pass(&mut world, 500);
    let judgement = world.judge();
    assert_eq!((judgement.gripped, judgement.success), (None, false));
    assert_eq!(judgement.in_tray, 1);
}

/// On the palm, beside the neck: higher than a success needs, and nobody holds it.
#[test]
fn what_lies_on_the_gripper_is_not_held() {
    let tip_m = 0.02;
    let mut world = world_with_tool(tip_m, Fingers::Closed);
    world.put(0, HIDDEN_M, 0.0);
    pass(&mut world, 500);
    let palm_top_m = tip_m + 0.105;
    world.put(0, Vector3::new(0.0, 0.035, palm_top_m + HALF_M), 0.0);
    pass(&mut world, 500);
    let mut truth = Default::default();
    world.truth(&mut truth);
    let bottom_m = truth.objects[0].bottom_m;
    assert!((bottom_m - palm_top_m).abs() < 0.002, "it fell: {bottom_m}");
    assert!(bottom_m > SUCCESS_HEIGHT_M);
    let judgement = world.judge();
    assert_eq!((judgement.gripped, judgement.success), (None, false));
}

#[test]
fn one_finger_does_not_hold() {
    let mut world = world_with_tool(0.1, Fingers::Open);
    // Half a millimetre into one open finger or the other.
    let beside_m = FINGER_TRAVEL_M - HALF_M + 0.0005;
    for y in [-beside_m, beside_m] {
        world.put(0, Vector3::new(0.0, y, 0.1 + HALF_M), 0.0);
        let mut truth = Default::default();
        world.truth(&mut truth);
        assert!(truth.objects[0].near_gripper);
        let judgement = world.judge();
        assert_eq!((judgement.gripped, judgement.success), (None, false));
    }
}
