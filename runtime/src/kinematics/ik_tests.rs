//! Seven joints, six, and five, which cannot turn the tool every way.

use super::super::chain::tests::{hobby5, iiwa14, ur5e};
use super::*;
use nalgebra::Vector3;
use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

fn tuning() -> Tuning<7> {
    Tuning {
        posture: [0.0, 0.6, 0.0, -1.6, 0.0, 0.9, 0.0].into(),
        posture_gain_per_s: SVector::repeat(1.0),
        pose_gain_per_s: 20.0,
        dq_max: JointVelocities(SVector::repeat(10.0)),
    }
}

/// Poses of random joint positions, from other random ones.
fn finds_every_reachable_pose<const N: usize>(chain: &Chain<N>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    for case in 0..300 {
        let goal = chain.fk(&random_positions(chain.limits(), &mut rng));
        let seed = random_positions(chain.limits(), &mut rng);
        let found = solve_pose(chain, &goal, &seed, chain.limits(), &mut rng, 100);
        let found = found.unwrap_or_else(|e| panic!("{N} joints, case {case}: {e}"));
        let error = pose_error(&goal, &chain.fk(&found.q));
        assert!(
            within(&error, POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD),
            "{N} joints, case {case}: {error}"
        );
        let turned = error.fixed_rows::<3>(3).norm();
        assert!((found.rotation_error_rad - turned).abs() < 1e-12);
        for (i, limit) in chain.limits().iter().enumerate() {
            assert!(
                (limit.lower..=limit.upper).contains(&found.q[i]),
                "{N} joints, case {case}: joint {i}"
            );
        }
    }
}

#[test]
fn every_reachable_pose_is_found() {
    finds_every_reachable_pose(&iiwa14());
    finds_every_reachable_pose(&ur5e());
    finds_every_reachable_pose(&hobby5());
}

#[test]
fn what_cannot_be_reached_is_refused() {
    let chain = iiwa14();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let seed = tuning().posture;
    let mut solve = |goal| solve_pose(&chain, &goal, &seed, chain.limits(), &mut rng, 3);
    match solve(Isometry3::translation(3.0, 0.0, 0.0)) {
        Err(IkError::NotFound {
            attempts: 4,
            position_m,
            ..
        }) => assert!(position_m > 1.0),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        solve(Isometry3::translation(f64::NAN, 0.0, 0.0)),
        Err(IkError::NotFinite)
    );
}

#[test]
fn posture_does_not_move_the_tool_and_wins_in_the_end() {
    let chain = iiwa14();
    let tuning = tuning();
    let mut q = JointPositions::from([0.4, 0.7, -0.6, -1.5, 0.3, 1.0, 0.5]);
    let pose = chain.fk(&q);
    let reference = ToolMotion {
        pose,
        twist: Vector6::zeros(),
        acceleration: Vector6::zeros(),
    };
    let elbow = |q: &JointPositions<7>| (q.0 - tuning.posture.0).norm();
    let first = elbow(&q);
    let mut dq = JointVelocities::zeros();
    for _ in 0..5000 {
        let motion = differential(&chain, &q, &dq, &reference, &tuning);
        dq = motion.dq;
        q.0 += dq.0 * 1e-3;
        assert!(motion.pose_error.amax() < 1e-4, "{:?}", motion.pose_error);
    }
    assert!(elbow(&q) < 0.85 * first, "{first} -> {}", elbow(&q));
    assert!(dq.0.amax() < 1e-2);
}

#[test]
fn at_a_singularity_the_answer_stays_bounded() {
    let chain = iiwa14();
    let q = JointPositions::from([0.0, 1.2, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let outward = Vector6::new(0.3, 0.0, -0.1, 0.0, 0.0, 0.0);
    let reference = ToolMotion {
        pose: chain.fk(&q),
        twist: outward,
        acceleration: Vector6::zeros(),
    };
    let motion = differential(&chain, &q, &JointVelocities::zeros(), &reference, &tuning());
    assert!(motion.dq.0.amax() < 5.0, "{:?}", motion.dq);
}

#[test]
fn too_fast_a_task_slows_every_joint_alike() {
    let chain = iiwa14();
    let q = tuning().posture;
    let twist = Vector6::new(0.3, 0.2, 0.1, 0.0, 0.0, 0.5);
    let reference = ToolMotion {
        pose: chain.fk(&q),
        twist,
        acceleration: Vector6::zeros(),
    };
    let slow = Tuning {
        dq_max: JointVelocities(SVector::repeat(0.1)),
        ..tuning()
    };
    let fast = differential(&chain, &q, &JointVelocities::zeros(), &reference, &tuning());
    let slow = differential(&chain, &q, &JointVelocities::zeros(), &reference, &slow);
    assert!(
        (slow.dq.0.amax() - 0.1).abs() < 1e-12 && slow.speed_scale < 1.0 && fast.speed_scale == 1.0
    );
    assert!((slow.dq.0 - fast.dq.0 * slow.speed_scale).amax() < 1e-12);
}

#[test]
fn what_is_not_finite_does_not_look_finite() {
    let chain = iiwa14();
    let mut q = tuning().posture;
    let reference = ToolMotion {
        pose: chain.fk(&q),
        twist: Vector6::zeros(),
        acceleration: Vector6::zeros(),
    };
    q[2] = f64::NAN;
    assert!(
        !differential(&chain, &q, &JointVelocities::zeros(), &reference, &tuning())
            .dq
            .is_finite()
    );
}

/// A hobby arm over its table, the hand `pitch` below the horizontal, the elbow bent.
fn hand_down(yaw: f64, pitch: f64, roll: f64) -> JointPositions<5> {
    [yaw, 0.1, 0.4, pitch - 0.5, roll].into()
}

/// How far a tool's z axis is from the vertical plane that a hobby arm lies in, rad. No motion of pitch and roll changes
/// it, and nothing else keeps the tool from any rotation.
fn out_of_plane_rad(tool: &Isometry3<f64>, q: &JointPositions<5>) -> f64 {
    let normal = Vector3::new(-q[0].sin(), q[0].cos(), 0.0);
    (tool.rotation * Vector3::z()).dot(&normal).abs().asin()
}

/// What came of [`follow`].
struct Followed {
    /// How far the tool's position was off at most, m.
    off_m: f64,
    /// The fastest joint, rad/s.
    fastest: f64,
    /// Shortest distance that the tool moved in some direction for a rad of joint motion, m.
    lever_m: f64,
    /// At the end.
    q: JointPositions<5>,
    goal: Isometry3<f64>,
}

/// Follows a tool that moves with `velocity` for a second and rests for another.
fn follow(start: JointPositions<5>, velocity: &Vector6<f64>) -> Followed {
    let chain = hobby5();
    let freely = Tuning {
        posture: start,
        posture_gain_per_s: SVector::zeros(),
        pose_gain_per_s: 20.0,
        dq_max: JointVelocities(SVector::repeat(100.0)),
    };
    let first = chain.fk(&start);
    let (mut q, mut dq) = (start, JointVelocities::zeros());
    let (mut off_m, mut fastest, mut lever_m) = (0.0f64, 0.0f64, f64::INFINITY);
    let mut goal = first;
    for tick in 0..2000 {
        let t = f64::from(tick.min(1000)) * 1e-3;
        let twist = velocity * if tick < 1000 { 1.0 } else { 0.0 };
        goal = first;
        goal.translation.vector += velocity.fixed_rows::<3>(0) * t;
        let turn: Vector3<f64> = velocity.fixed_rows::<3>(3) * t;
        goal.rotation = nalgebra::UnitQuaternion::from_scaled_axis(turn) * first.rotation;
        let reference = ToolMotion {
            pose: goal,
            twist,
            acceleration: Vector6::zeros(),
        };
        let motion = differential(&chain, &q, &dq, &reference, &freely);
        dq = motion.dq;
        off_m = off_m.max(motion.pose_error.fixed_rows::<3>(0).norm());
        fastest = fastest.max(dq.0.amax());
        let jv = chain.jacobian(&q).1.fixed_rows::<3>(0).into_owned();
        lever_m = lever_m.min(jv.singular_values().min());
        q.0 += dq.0 * 1e-3;
    }
    Followed {
        off_m,
        fastest,
        lever_m,
        q,
        goal,
    }
}

#[test]
fn where_the_arm_cannot_hold_its_pitch_it_keeps_position_and_gives_way() {
    let upright = std::f64::consts::FRAC_PI_2;
    for (pitch, velocity) in [
        (upright, [0.15, 0.0, 0.0]),
        (upright, [0.0, 0.0, 0.2]),
        (0.7, [0.1, 0.02, 0.1]),
    ] {
        let [x, y, z] = velocity;
        let velocity = Vector6::new(x, y, z, 0.0, 0.0, 0.0);
        let Followed {
            off_m,
            fastest,
            q,
            goal,
            ..
        } = follow(hand_down(0.1, pitch, 0.3), &velocity);
        let turned = pose_error(&goal, &hobby5().fk(&q))
            .fixed_rows::<3>(3)
            .norm();
        // The elbow is as good as straight, and held there by the goal's pitch.
        assert!(
            (q[2] + upright).abs() < 0.1 && turned > 0.05,
            "{q:?} {turned}"
        );
        assert!(off_m < 1e-4 && fastest < 15.0, "{off_m} m, {fastest} rad/s");
    }
}

#[test]
fn what_tilts_the_hand_out_of_the_arms_plane_is_left_and_told() {
    let chain = hobby5();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    for case in 0..100 {
        let mut part = |scale: f64| scale * (2.0 * rng.random::<f64>() - 1.0);
        let (tilt, q) = (part(0.8), hand_down(part(1.0), 1.2 + part(0.3), part(1.0)));
        let mut goal = chain.fk(&q);
        // About the axis in the arm's plane that is perpendicular to the hand.
        let normal = Vector3::new(-q[0].sin(), q[0].cos(), 0.0);
        let axis = nalgebra::Unit::new_normalize(normal.cross(&(goal.rotation * Vector3::z())));
        goal.rotation = nalgebra::UnitQuaternion::from_axis_angle(&axis, tilt) * goal.rotation;
        let seed = random_positions(chain.limits(), &mut rng);
        let found = solve_pose(&chain, &goal, &seed, chain.limits(), &mut rng, 30);
        let found = found.unwrap_or_else(|e| panic!("case {case}: {e}"));
        let error = pose_error(&goal, &chain.fk(&found.q));
        let expected = out_of_plane_rad(&goal, &q);
        assert!((expected - tilt.abs()).abs() < 1e-9);
        assert!(
            error.fixed_rows::<3>(0).norm() <= POSITION_TOLERANCE_M,
            "case {case}: {error}"
        );
        assert!(
            (found.rotation_error_rad - expected).abs() < 1e-3,
            "case {case}: {} rad are left where {expected} must be",
            found.rotation_error_rad
        );
    }
}

#[test]
fn a_position_out_of_reach_is_not_found_with_five_joints_either() {
    let chain = hobby5();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let seed = hand_down(0.0, 1.0, 0.0);
    let far = Isometry3::translation(0.9, 0.0, 0.1);
    match solve_pose(&chain, &far, &seed, chain.limits(), &mut rng, 3) {
        Err(IkError::NotFound { position_m, .. }) => assert!(position_m > 0.3, "{position_m}"),
        other => panic!("{other:?}"),
    }
}

/// How far from the task one step of the joint motion moves the tool: velocity, then acceleration.
fn task_errors<const N: usize>(
    chain: &Chain<N>,
    q: JointPositions<N>,
    dq: JointVelocities<N>,
    twist: Vector6<f64>,
    acceleration: Vector6<f64>,
) -> (Vector6<f64>, Vector6<f64>) {
    let reference = ToolMotion {
        pose: chain.fk(&q),
        twist,
        acceleration,
    };
    let still = Tuning {
        posture: JointPositions::zeros(),
        posture_gain_per_s: SVector::repeat(if N > 6 { 1.0 } else { 0.0 }),
        pose_gain_per_s: 0.0,
        dq_max: JointVelocities(SVector::repeat(100.0)),
    };
    let motion = differential(chain, &q, &dq, &reference, &still);
    let j = chain.jacobian(&q).1;
    let accelerated = j * motion.ddq.0 + bias_acceleration(&j, &dq);
    (j * motion.dq.0 - twist, accelerated - acceleration)
}

/// How far from a pose `offset` away the tool is a second after it was asked to go there.
fn error_after_a_second<const N: usize>(
    chain: &Chain<N>,
    mut q: JointPositions<N>,
    offset: &[f64; 6],
    tuning: &Tuning<N>,
) -> f64 {
    let [x, y, z, turn @ ..] = *offset;
    let mut goal = chain.fk(&q);
    goal.translation.vector += Vector3::new(x, y, z);
    goal.rotation = nalgebra::UnitQuaternion::from_scaled_axis(turn.into()) * goal.rotation;
    let reference = ToolMotion {
        pose: goal,
        twist: Vector6::zeros(),
        acceleration: Vector6::zeros(),
    };
    let mut dq = JointVelocities::zeros();
    for _ in 0..1000 {
        dq = differential(chain, &q, &dq, &reference, tuning).dq;
        q.0 += dq.0 * 1e-3;
    }
    pose_error(&goal, &chain.fk(&q)).amax()
}

/// A UR5e's flange straight down before the arm, elbow up.
const UR5E_DOWN: [f64; 6] = [0.2, -1.55, -1.95, -1.21, 1.57, -1.37];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One step of the joint motion moves the tool as the reference says, to second order.
    #[test]
    fn velocity_and_acceleration_reproduce_the_task(
        v in proptest::array::uniform6(-0.3..0.3), a in proptest::array::uniform6(-3.0..3.0),
        dq in proptest::array::uniform7(-0.5..0.5),
    ) {
        let mut q = tuning().posture;
        q[0] = 0.3;
        let (velocity, acceleration) = task_errors(&iiwa14(), q, dq.into(), v.into(), a.into());
        prop_assert!(velocity.amax() < 1e-6 && acceleration.amax() < 1e-5);
        let six: [f64; 6] = std::array::from_fn(|i| dq[i]);
        let (velocity, acceleration) =
            task_errors(&ur5e(), UR5E_DOWN.into(), six.into(), v.into(), a.into());
        prop_assert!(velocity.amax() < 1e-6 && acceleration.amax() < 1e-5);
        // Five joints: the linear half whatever the angular one is.
        let five: [f64; 5] = std::array::from_fn(|i| dq[i]);
        let (velocity, acceleration) =
            task_errors(&hobby5(), hand_down(0.3, 1.0, 0.4), five.into(), v.into(), a.into());
        prop_assert!(velocity.fixed_rows::<3>(0).amax() < 1e-6, "{velocity}");
        prop_assert!(acceleration.fixed_rows::<3>(0).amax() < 1e-5, "{acceleration}");
    }

    #[test]
    fn a_pose_offset_is_closed_from_any_direction(offset in proptest::array::uniform6(-0.1..0.1)) {
        let seven = error_after_a_second(&iiwa14(), tuning().posture, &offset, &tuning());
        let pulled = Tuning {
            posture: UR5E_DOWN.into(),
            posture_gain_per_s: SVector::repeat(1.0),
            pose_gain_per_s: 20.0,
            dq_max: JointVelocities(SVector::repeat(10.0)),
        };
        let six = error_after_a_second(&ur5e(), UR5E_DOWN.into(), &offset, &pulled);
        prop_assert!(seven < 1e-6 && six < 1e-6, "{seven} {six}");
    }

    /// The reference turns as it likes.
    #[test]
    fn five_joints_keep_position_on_a_straight_line_and_turn_as_near_as_they_can(
        yaw in -1.0..1.0, pitch in 0.6..1.6, roll in -1.0..1.0,
        v in proptest::array::uniform3(-0.04..0.04), w in proptest::array::uniform3(-0.3..0.3),
    ) {
        let velocity = Vector6::new(v[0], v[1], v[2], w[0], w[1], w[2]);
        let Followed { off_m, fastest, lever_m, q, goal } = follow(hand_down(yaw, pitch, roll), &velocity);
        // Folded together the arm cannot move its hand every way either.
        prop_assume!(lever_m > 0.04);
        prop_assert!(off_m < 1e-4 && fastest < 10.0, "{off_m} m, {fastest} rad/s");
        let left = pose_error(&goal, &hobby5().fk(&q)).fixed_rows::<3>(3).norm();
        let least = out_of_plane_rad(&goal, &q);
        // Near a straight elbow pitch is hard to give as well.
        let most = if (q[2] + std::f64::consts::FRAC_PI_2).abs() < 0.2 { 1.0 } else { least };
        prop_assert!(
            (least - 1e-3..=most + 1e-3).contains(&left),
            "{left} rad are left where {least} must be: {q:?}"
        );
    }
}
