//! A person moves the tool with a stick, and vanishes.

use super::*;
use crate::observation::TcpVelocity;

/// The stick speaks this often, ticks.
const HEARTBEAT: u32 = 20;
const LIMIT_MS: u32 = 100;

fn stick(x: f64, y: f64, z: f64, yaw: f64) -> Request {
    Request::Jog(TcpVelocity {
        linear_m_per_s: Vector3::new(x, y, z),
        yaw_rad_per_s: yaw,
    })
}

/// What each tick did while the stick was held like this.
fn hold_stick(bench: &mut Bench, request: Request, ticks: u32) -> Vec<Step<7>> {
    let tick = |k: u32| match k % HEARTBEAT {
        0 => bench.ask(request).step,
        _ => bench.idle().step,
    };
    (0..ticks).map(tick).collect()
}

fn tool(bench: &Bench) -> [f64; 4] {
    let TcpPose {
        position_m: p,
        yaw_rad,
    } = bench.controller.follower.tool(&bench.q);
    [p.x, p.y, p.z, yaw_rad]
}

#[test]
fn the_tool_moves_evenly_with_the_asked_velocity() {
    // Faster than the limits allow, it keeps its direction.
    for (asked, expected) in [
        ([0.05, 0.0, 0.0, 0.0], [0.05, 0.0, 0.0, 0.0]),
        ([0.0, -0.03, 0.02, 0.4], [0.0, -0.03, 0.02, 0.4]),
        ([0.0, 0.0, -1.0, 0.0], [0.0, 0.0, -0.25, 0.0]),
        ([0.3, 0.15, 0.0, -9.0], [0.25, 0.125, 0.0, -2.0]),
    ] {
        let mut bench = Bench::holding();
        let [x, y, z, yaw] = asked;
        hold_stick(&mut bench, stick(x, y, z, yaw), 200);
        let steps = hold_stick(&mut bench, stick(x, y, z, yaw), 100);
        for pair in steps.windows(2) {
            assert_eq!((pair[1].phase, pair[1].fault), (Phase::Teleop, None));
            let before = pair[0].reference;
            let moved = pair[1].reference.position_m - before.position_m;
            for axis in 0..3 {
                let velocity = moved[axis] * 1e3;
                assert!(
                    (velocity - expected[axis]).abs() < 1e-6,
                    "{asked:?}: {moved}"
                );
            }
            let turned = (pair[1].reference.yaw_rad - before.yaw_rad) * 1e3;
            assert!((turned - expected[3]).abs() < 1e-5, "{asked:?}: {turned}");
        }
        let before = tool(&bench);
        hold_stick(&mut bench, stick(x, y, z, yaw), 100);
        let after = tool(&bench);
        for axis in 0..4 {
            let velocity = (after[axis] - before[axis]) * 10.0;
            let tolerance = 0.002 + 0.02 * expected[axis].abs();
            assert!(
                (velocity - expected[axis]).abs() < tolerance,
                "{asked:?}: {velocity}"
            );
        }
    }
}

#[test]
fn nothing_jumps_however_the_stick_is_moved() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let mut bench = Bench::holding();
    let mut last: Option<(TcpPose, [f64; 4])> = None;
    for _ in 0..150 {
        let mut draw = |scale: f64| match rng.random_range(0..4) {
            0 => 0.0,
            1 => 1e-5 * scale,
            _ => rng.random_range(-scale..scale),
        };
        let request = stick(draw(0.4), draw(0.4), draw(0.4), draw(3.0));
        for _ in 0..rng.random_range(1..4) {
            for step in hold_stick(&mut bench, request, HEARTBEAT) {
                assert_eq!((step.phase, step.fault), (Phase::Teleop, None));
                let here = step.reference;
                let velocity = last.map(|(before, velocity_before)| {
                    let moved = here.position_m - before.position_m;
                    let turned = here.yaw_rad - before.yaw_rad;
                    let velocity = [moved.x, moved.y, moved.z, turned].map(|m| m * 1e3);
                    for axis in 0..4 {
                        let [v, a] = if axis < 3 { [0.25, 3.0] } else { [2.0, 20.0] };
                        assert!(velocity[axis].abs() < v * 1.001, "{velocity:?}");
                        let change = (velocity[axis] - velocity_before[axis]).abs();
                        assert!(change < a * 1e-3 + 1e-3 * v, "axis {axis} by {change}");
                    }
                    velocity
                });
                last = Some((here, velocity.unwrap_or_default()));
            }
        }
    }
}

#[test]
fn it_stops_at_the_border_of_where_goals_may_lie() {
    for (axis, sign, border) in [
        (0, 1.0, 0.115),
        (1, -1.0, -0.115),
        (2, -1.0, 0.004),
        (3, 1.0, 2.6),
    ] {
        let mut bench = Bench::holding();
        let mut m = [0.0; 4];
        m[axis] = sign;
        let steps = hold_stick(&mut bench, stick(m[0], m[1], m[2], m[3]), 3_000);
        let along = |pose: &TcpPose| {
            let p = pose.position_m;
            [p.x, p.y, p.z, pose.yaw_rad][axis]
        };
        let furthest = steps.iter().map(|step| sign * along(&step.reference));
        let furthest = furthest.fold(f64::MIN, f64::max);
        assert!(furthest <= sign * border + 1e-9, "axis {axis}: {furthest}");
        assert!(
            (tool(&bench)[axis] - border).abs() < 1e-3,
            "{:?}",
            tool(&bench)
        );
    }
}

#[test]
fn who_is_outside_already_does_not_turn_back_against_the_stick() {
    let mut bench = Bench::holding();
    bench.controller.config.goal.position_max_m.z = 0.2;
    let before = tool(&bench)[2];
    assert!(before > 0.24, "{before}");
    for (up, moves) in [(0.05, false), (-0.05, true)] {
        hold_stick(&mut bench, stick(0.0, 0.0, up, 0.0), 400);
        let moved = tool(&bench)[2] - before;
        assert_eq!(moved < -0.015, moves, "{moved}");
        assert!(moves || moved.abs() < 1e-4, "{moved}");
    }
}

#[test]
fn an_operator_who_vanishes_with_the_stick_held_stops_the_arm() {
    let mut bench = Bench::holding();
    hold_stick(&mut bench, stick(0.0, 0.0, -0.2, 0.0), 200);
    assert!(stops::tool_speed(&bench) > 0.19);
    let silent = HEARTBEAT - 1;
    for ms in silent..LIMIT_MS {
        let step = bench.idle().step;
        assert_eq!((step.phase, step.fault), (Phase::Teleop, None), "{ms} ms");
    }
    let (age_ms, limit_ms) = (101.0, 100.0);
    let fault = Fault::OperatorSilent { age_ms, limit_ms };
    assert_eq!((fault.code(), fault.category()), (13, Two));
    // The last tick was silent for 100 ms exactly.
    let step = bench.idle().step;
    assert_eq!(
        (step.phase, step.fault),
        (Phase::Stopping(Two), Some(fault))
    );
    bench.run(200);
    assert_eq!(bench.dq, JointVelocities::zeros());
    // It is latched: the stick is back and moves nothing, until a person clears the stop.
    let rest = bench.q;
    let refused = bench.idle().step.counters.refused_requests;
    let steps = hold_stick(&mut bench, stick(0.0, 0.0, 0.1, 0.0), 100);
    let last = steps.last().expect("ran");
    assert_eq!((last.phase, last.fault), (Phase::Stopped(Two), Some(fault)));
    assert_eq!(last.counters.refused_requests, refused + 5);
    assert_eq!(bench.q, rest);
    bench.ask(Request::ClearFault);
    hold_stick(&mut bench, stick(0.0, 0.0, 0.1, 0.0), 200);
    assert!(stops::tool_speed(&bench) > 0.09);
}

#[test]
fn letting_go_of_the_stick_holds_and_is_no_fault() {
    let mut bench = Bench::holding();
    hold_stick(&mut bench, stick(0.1, 0.0, 0.0, 0.0), 200);
    assert_eq!(bench.ask(Request::Hold).step.phase, Phase::Hold);
    let outputs = bench.run(600);
    assert_eq!(
        (outputs.step.phase, outputs.step.fault),
        (Phase::Hold, None)
    );
    assert!(outputs.step.is_stopped());
}

#[test]
fn whoever_holds_the_stick_takes_the_arm_from_the_policy_and_keeps_it() {
    let mut bench = Bench::in_policy_phase();
    bench.act(0, motion(0.0, 0.0, -0.05, 0.0));
    bench.run(50);
    hold_stick(&mut bench, stick(0.0, 0.0, 0.0, 0.0), 300);
    let goal = bench.controller.goal;
    let step = bench.act(1, motion(0.0, 0.0, -0.05, f64::NAN)).step;
    assert_eq!(
        (step.phase, step.goal, step.fault),
        (Phase::Teleop, goal, None)
    );
    assert_eq!(step.counters.late_decisions, 1);
    for request in [
        Request::StartPolicy,
        Request::Approach(pose(0.0, 0.0, 0.2, 0.0)),
        Request::Rearm,
    ] {
        let refused = bench.idle().step.counters.refused_requests;
        let step = bench.ask(request).step;
        let expected = (Phase::Teleop, refused + 1);
        assert_eq!((step.phase, step.counters.refused_requests), expected);
    }
}

#[test]
fn velocities_that_are_not_finite_are_a_fault() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for axis in 0..4 {
            let mut m = [0.01; 4];
            m[axis] = bad;
            let mut bench = Bench::holding();
            let goal = bench.idle().step.goal;
            let step = bench.ask(stick(m[0], m[1], m[2], m[3])).step;
            let expected = (Phase::Stopping(Two), Some(Fault::ActionNotFinite));
            assert_eq!((step.phase, step.fault), expected, "{m:?}");
            assert_eq!(step.goal, goal);
        }
    }
}
