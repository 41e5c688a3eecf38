//! The filter against what must not be touched: what the arm's capsules do at a box, at a plane and at each other; and the
//! way in for an arm that starts outside its limits. Not responsible for joints and tool ([`super::tests`]).

use super::tests::{home, measured, task, wide};
use super::*;
use crate::kinematics::chain::tests::iiwa14;
use crate::kinematics::ik::{Tuning, differential};
use crate::kinematics::pose::{tcp_pose, tool_motion};
use crate::safety::collision::tests::IIWA14_COLLISION;
use crate::safety::limits::tests::iiwa14_limits;
use nalgebra::Vector3;

/// A post beside the tray, in the way of the gripper.
const POST: &str = r#"
    [[box]]
    name = "post"
    centre_m = [0.60, 0.35, 0.20]
    size_m = [0.10, 0.10, 0.40]
    yaw_rad = 0.3
    capsules = ["gripper", "palm", "wrist"]
"#;

fn shaped(extra: &str) -> Collision<7> {
    let config = toml::from_str(&format!("{IIWA14_COLLISION}{extra}")).expect("a table");
    Collision::new(&iiwa14(), &config).expect("valid")
}

fn among(collision: Collision<7>, tool: ToolLimits) -> Safety<7> {
    let period = Duration::from_ticks(1_000_000);
    let limits = iiwa14_limits();
    let mut safety =
        Safety::new(iiwa14(), limits, tool, collision, task(), period).expect("valid limits");
    safety.arm(&measured(home())).expect("clear of everything");
    safety
}

/// Asks the tool for a velocity (m/s, rad/s about z) for some ticks; what limited it, and the hardest jerk of the last.
fn go(safety: &mut Safety<7>, velocity: [f64; 4], ticks: u32) -> (LimitSet, f64) {
    let (chain, mut seen, mut jerk) = (iiwa14(), LimitSet::default(), 0.0);
    for _ in 0..ticks {
        let state = safety.command().expect("armed");
        let pose = tcp_pose(&task(), &chain.fk(&state.q));
        let motion = tool_motion(&task(), &pose, &velocity, &[0.0; 4]);
        let tuning = Tuning {
            posture: home(),
            posture_gain_per_s: SVector::repeat(1.0),
            pose_gain_per_s: 30.0,
            dq_max: safety.limits().dq_max(),
        };
        let joints = differential(&chain, &state.q, &state.dq, &motion, &tuning);
        let request = Request::Motion {
            dq: joints.dq,
            ddq: joints.ddq,
        };
        seen.insert(safety.filter(request, Fingers::Open).1.limits);
        jerk = (safety.command().expect("armed").ddq.0 - state.ddq.0).amax() / 1e-3;
        let (pair, distance_m) = nearest(safety);
        assert!(distance_m > 0.0, "{distance_m} m at pair {pair}");
    }
    (seen, jerk)
}

fn nearest(safety: &Safety<7>) -> (usize, f64) {
    let q = safety.command().expect("armed").q;
    let collision = &safety.certificate.collision;
    collision.nearest(&iiwa14(), &q).expect("pairs")
}

fn tool(safety: &Safety<7>) -> Vector3<f64> {
    let q = safety.command().expect("armed").q;
    tcp_pose(&task(), &iiwa14().fk(&q)).position_m
}

#[test]
fn the_gripper_comes_to_a_post_slides_along_it_and_leaves() {
    let mut safety = among(shaped(POST), ToolLimits::anywhere_in(wide()));
    go(&mut safety, [0.0, 0.0, -0.2, 0.0], 500);
    // Whoever presses on slides along the turned box, smoothly.
    go(&mut safety, [0.0, 0.3, 0.0, 0.0], 700);
    let before = tool(&safety);
    let (seen, jerk) = go(&mut safety, [0.0, 0.3, 0.0, 0.0], 300);
    assert!(seen.contains(LimitSet::COLLISION) && jerk < 20.0, "{jerk}");
    let (pair, distance_m) = nearest(&safety);
    assert_eq!(shaped(POST).names(pair)[1], "post");
    assert!(distance_m < 5e-4, "{distance_m}");
    let after = tool(&safety);
    assert!(after.x > before.x + 0.015, "{before} {after}");
    go(&mut safety, [0.0, -0.3, 0.0, 0.0], 500);
    assert!(tool(&safety).y < after.y - 0.1);
}

#[test]
fn who_presses_the_palm_on_the_table_does_not_make_it_chatter() {
    let low = IIWA14_COLLISION.replace("offset_m = 0.02", "offset_m = 0.15");
    let config = toml::from_str(&low).expect("a table");
    let collision = Collision::new(&iiwa14(), &config).expect("valid");
    let mut safety = among(collision, ToolLimits::anywhere_in(wide()));
    go(&mut safety, [0.0, 0.0, -0.1, 0.0], 4000);
    let (seen, jerk) = go(&mut safety, [0.0, 0.0, -0.1, 0.0], 200);
    assert!(seen.contains(LimitSet::COLLISION) && jerk < 1e-3, "{jerk}");
    let (_, distance_m) = nearest(&safety);
    assert!(distance_m < 1e-3, "{distance_m}");
}

#[test]
fn no_point_of_the_arm_is_faster_than_its_limit() {
    const LIMIT: f64 = 0.1;
    let tool = ToolLimits {
        capsules_m_per_s: LIMIT,
        ..ToolLimits::anywhere_in(wide())
    };
    let mut safety = among(shaped(""), tool);
    let (mut fastest, mut seen) = (0.0f64, LimitSet::default());
    for tick in 0..1500 {
        // The elbow swings while the tool stays.
        let dq = [0.5, 0.0, -0.5, 0.0, 0.5, 0.0, 0.0]
            .map(|x: f64| x * f64::from(tick / 300 % 2 * 2 - 1));
        let request = Request::Motion {
            dq: dq.into(),
            ddq: JointAccelerations::zeros(),
        };
        let (_, report) = safety.filter(request, Fingers::Open);
        seen.insert(report.limits);
        let state = safety.command().expect("armed");
        let frames = iiwa14().frames(&state.q);
        for part in safety.certificate.collision.parts() {
            for end in part.capsule.ends {
                let point = frames.point(part.joints, &end);
                let twist = iiwa14().jacobian_at(&frames, 0..part.joints, &point) * state.dq.0;
                let turning = twist.fixed_rows::<3>(3).norm() * part.capsule.radius_m;
                fastest = fastest.max(twist.fixed_rows::<3>(0).norm() + turning);
            }
        }
    }
    assert!(fastest <= LIMIT && fastest > 0.9 * LIMIT, "{fastest}");
    assert!(seen.contains(LimitSet::ARM_SPEED));
}

#[test]
fn an_arm_that_touches_something_is_not_armed() {
    let inside = POST.replace("[0.60, 0.35, 0.20]", "[0.60, 0.00, 0.40]");
    let period = Duration::from_ticks(1_000_000);
    let (limits, tool) = (iiwa14_limits(), ToolLimits::anywhere_in(wide()));
    let collision = shaped(&inside);
    let mut safety =
        Safety::new(iiwa14(), limits, tool, collision, task(), period).expect("valid limits");
    // What the way in yields counts for that way only.
    safety.arm_inward(&measured(home())).expect("at rest");
    let refused = safety.arm(&measured(home()));
    let Err(Fault::StartsInCollision { pair, depth_m }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(shaped(&inside).names(pair.into())[1], "post");
    assert!(depth_m > 0.02 && safety.command().is_none(), "{depth_m}");
}

#[test]
fn a_panic_in_the_search_is_a_stop_like_any_other() {
    let mut safety = among(shaped(""), ToolLimits::anywhere_in(wide()));
    go(&mut safety, [0.0, 0.2, 0.0, 0.0], 300);
    let mut stopping = safety.clone();
    safety.steering.panics = true;
    while stopping.command().expect("armed").dq.0.amax() > 0.0 {
        let request = Request::Motion {
            dq: JointVelocities(SVector::repeat(0.3)),
            ddq: JointAccelerations::zeros(),
        };
        stopping.filter(Request::Stop, Fingers::Open);
        let (verdict, report) = safety.filter(request, Fingers::Open);
        assert!(report.limits.contains(LimitSet::NO_ANSWER) && matches!(verdict, Verdict::Move(_)));
        assert_eq!(safety.command(), stopping.command());
    }
    safety.steering.panics = false;
    go(&mut safety, [0.0, 0.2, 0.0, 0.0], 300);
    assert!(safety.command().expect("armed").dq.0.amax() > 0.05);
}

/// Asks for the way home, slowly, until the limits hold; how deep each of them was broken, tick by tick.
fn come_inward(
    safety: &mut Safety<7>,
    depth: impl Fn(&JointPositions<7>) -> f64,
    room: f64,
) -> f64 {
    let mut deepest = f64::INFINITY;
    for _ in 0..20_000 {
        let state = safety.command().expect("armed");
        let now = depth(&state.q);
        assert!(now <= deepest + room, "{now} after {deepest}");
        deepest = deepest.min(now);
        if safety.is_inside() {
            break;
        }
        let way = home().0 - state.q.0;
        let request = Request::Motion {
            dq: JointVelocities(way * (0.1 / way.amax()).min(1.0)),
            ddq: JointAccelerations::zeros(),
        };
        safety.filter(request, Fingers::Open);
    }
    deepest
}

#[test]
fn an_arm_outside_its_limits_comes_inward_and_never_further_out() {
    let tool = ToolLimits::anywhere_in(super::tests::workspace());
    let post = POST.replace("[0.60, 0.35, 0.20]", "[0.60, 0.30, 0.20]");
    let upper = iiwa14_limits().joints()[6].upper;
    let mut beyond = home();
    beyond[6] = upper + 0.01;
    let mut aside = home();
    aside[0] += 0.35;
    type Depth = Box<dyn Fn(&JointPositions<7>) -> f64>;
    let workspace = super::tests::workspace();
    let cases: [(&str, &str, JointPositions<7>, f64, Depth); 3] = [
        ("a joint", "", beyond, 1e-6, Box::new(move |q| q[6] - upper)),
        (
            "the tool",
            "",
            aside,
            1e-3,
            Box::new(move |q| {
                let p = tcp_pose(&task(), &iiwa14().fk(q)).position_m;
                workspace.distance_m(&p)
            }),
        ),
        (
            "a capsule",
            &post,
            aside,
            1e-3,
            Box::new(|q| {
                let post = POST.replace("[0.60, 0.35, 0.20]", "[0.60, 0.30, 0.20]");
                -shaped(&post).nearest(&iiwa14(), q).expect("pairs").1
            }),
        ),
    ];
    for (name, extra, q, room, depth) in cases {
        let period = Duration::from_ticks(1_000_000);
        let (chain, limits) = (iiwa14(), iiwa14_limits());
        let collision = shaped(extra);
        let mut safety =
            Safety::new(chain, limits, tool, collision, task(), period).expect("valid limits");
        assert!(safety.arm(&measured(q)).is_err(), "{name}");
        safety.arm_inward(&measured(q)).expect("at rest");
        assert_eq!(safety.command().expect("armed").q, q, "{name}");
        assert!(!safety.is_inside() && depth(&q) > 1e-3, "{name}");
        // Whoever asks for the way out does not get it.
        for _ in 0..300 {
            let mut dq = JointVelocities::zeros();
            (dq[0], dq[6]) = (0.5, 0.5);
            let ddq = JointAccelerations::zeros();
            safety.filter(Request::Motion { dq, ddq }, Fingers::Open);
        }
        let after = depth(&safety.command().expect("armed").q);
        assert!(after <= depth(&q) + room, "{name}: {after}");
        let last = come_inward(&mut safety, &depth, room);
        assert!(safety.is_inside() && last <= 0.0, "{name}: {last}");
    }
}

/// The stop that is stored while the tool is inside may have been found while it was outside, and lead there again.
#[test]
fn the_limits_hold_again_only_when_the_stored_stop_keeps_them() {
    let (workspace, period) = (super::tests::workspace(), Duration::from_ticks(1_000_000));
    let tool = ToolLimits::anywhere_in(workspace);
    let room_m = |q: &JointPositions<7>| {
        workspace.max_m[1] - tcp_pose(&task(), &iiwa14().fk(q)).position_m.y
    };
    // Outward, as somebody without this workspace may be.
    let mut outward = among(Collision::none(), ToolLimits::anywhere_in(wide()));
    while room_m(&outward.command().expect("armed").q) > 2e-3 {
        let mut dq = JointVelocities::zeros();
        dq[0] = 0.5;
        let ddq = JointAccelerations::zeros();
        outward.filter(Request::Motion { dq, ddq }, Fingers::Open);
    }
    let (none, limits) = (Collision::none(), iiwa14_limits());
    let mut safety = Safety::new(iiwa14(), limits, tool, none, task(), period).expect("valid");
    let mut outside = home();
    outside[0] += 0.4;
    safety.arm_inward(&measured(outside)).expect("at rest");
    for (leads_out, tracks) in [
        (true, outward.tracks.expect("armed")),
        (false, among(Collision::none(), tool).tracks.expect("armed")),
    ] {
        safety.follow_inward(&tracks);
        assert_eq!(safety.is_inside(), !leads_out);
    }
}

#[test]
fn a_command_that_leads_too_far_waits_and_then_faults() {
    const MOST: f64 = 0.1;
    let mut safety = among(Collision::none(), ToolLimits::anywhere_in(wide()));
    let push = |safety: &mut Safety<7>, dq_0: f64| {
        let mut dq = JointVelocities::zeros();
        dq[0] = dq_0;
        let ddq = JointAccelerations::zeros();
        safety.filter(Request::Motion { dq, ddq }, Fingers::Open).1
    };
    // Something holds the arm: its command waits before the limit.
    let mut seen = LimitSet::default();
    for _ in 0..2000 {
        assert_eq!(safety.note_measured(&home(), MOST), Ok(()));
        seen.insert(push(&mut safety, 0.5).limits);
    }
    let lead = safety.command().expect("armed").q[0] - home()[0];
    assert!(
        seen.contains(LimitSet::TRACKING) && lead > 0.7 * MOST,
        "{lead}"
    );
    // The way back is free.
    for _ in 0..100 {
        assert_eq!(safety.note_measured(&home(), MOST), Ok(()));
        push(&mut safety, -0.5);
    }
    assert!(safety.command().expect("armed").q[0] < home()[0] + lead - 0.02);
    let mut pulled = home();
    pulled[3] -= 0.2;
    let fault = safety.note_measured(&pulled, MOST).expect_err("too far");
    assert!(matches!(fault, Fault::Tracking { joint: 3, error_rad, .. } if error_rad > 0.19));
}
