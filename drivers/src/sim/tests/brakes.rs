//! What a stop of each category does to the simulated arm.

use super::*;
use crate::sim::{Rig, SimArm, Split};
use visuomotor_runtime::arm::{Arm, ArmState, Fingers};
use visuomotor_runtime::safety::StopCategory::{self, One, Two, Zero};
use visuomotor_runtime::units::JointVelocities;

fn arm() -> SimArm {
    let world = World::build(&one_cube(0.03), Split::Validation, 1).unwrap();
    Rig::new(world).split().unwrap().0
}

/// The last state of so many ticks of 1 ms, told to stop in each of them.
fn stopped(arm: &mut SimArm, category: StopCategory, ticks: u64) -> ArmState<7> {
    let start = arm.world().time();
    let mut state = arm.world().arm_state::<7>();
    for tick in 1..=ticks {
        arm.stop(category);
        state = arm
            .read(start + Duration::from_ticks(tick * 1_000_000))
            .unwrap();
    }
    state
}

/// The fingertips are told to be 2 cm below the tray's floor.
#[test]
fn brakes_stop_pressing() {
    let (above, below) = (
        Vector3::new(0.0, 0.05, 0.01),
        Vector3::new(0.0, 0.05, -0.02),
    );
    for category in [Zero, One] {
        let mut arm = arm();
        arm.world_mut().place_arm(tool_at(above, 0.0));
        let free = arm.world().arm_state::<7>().tau;
        let pressing_nm = |state: &ArmState<7>| (state.tau.0 - free.0).amax();
        let target = JointPositions::from(tool_at(below, 0.0));
        // Commands open the brakes.
        for _ in 0..2 {
            let world = arm.world_mut();
            world.command(&target, &JointVelocities::zeros(), Fingers::Closed);
            pass(world, 500);
            let before_nm = pressing_nm(&world.arm_state::<7>());
            assert!(before_nm > 100.0, "{before_nm} Nm");
            let state = stopped(&mut arm, category, 500);
            let after_nm = pressing_nm(&state);
            assert!(after_nm < 10.0, "{category:?}: {after_nm} Nm");
            assert!(state.dq.0.amax() < 0.01, "{category:?}: {:?}", state.dq);
        }
    }
}

#[test]
fn an_arm_in_motion_comes_to_rest_and_is_not_pulled_back() {
    for category in [Zero, One, Two] {
        let mut arm = arm();
        let start = arm.world().time();
        let q = arm.world().arm_state::<7>().q;
        let speed = 0.5;
        for tick in 1..=300_u64 {
            let (mut at, mut dq) = (q, JointVelocities::zeros());
            at[0] += speed * tick as f64 * 1e-3;
            dq[0] = speed;
            arm.world_mut().command(&at, &dq, Fingers::Open);
            arm.read(start + Duration::from_ticks(tick * 1_000_000))
                .unwrap();
        }
        let before = arm.world().arm_state::<7>();
        assert!((before.dq[0] - speed).abs() < 0.02, "{:?}", before.dq);
        let mut furthest = before.q[0];
        for _ in 0..60 {
            furthest = furthest.max(stopped(&mut arm, category, 5).q[0]);
        }
        let after = arm.world().arm_state::<7>();
        assert!(after.dq.0.amax() < 1e-3, "{category:?}: {:?}", after.dq);
        assert!(furthest - before.q[0] < 0.05, "{category:?}: {furthest}");
        assert!(furthest - after.q[0] < 2e-3, "{category:?}: pulled back");
    }
}
