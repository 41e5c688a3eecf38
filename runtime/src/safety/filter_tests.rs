//! The filter under attack, following, starting, and at the tool's borders.
//! Not responsible for obstacles ([`super::obstacle_tests`]).

use super::*;
use crate::clock::Instant;
use crate::kinematics::chain::tests::iiwa14;
use crate::kinematics::ik::{Tuning, differential, solve_pose};
use crate::kinematics::pose::{tcp_pose, tool_motion, tool_pose};
use crate::observation::TcpPose;
use crate::safety::limits::{Workspace, tests::iiwa14_limits};
use crate::setpoint::{Setpoint, SetpointLimits};
use crate::units::JointTorques;
use nalgebra::{SVector, Vector3};
use proptest::prelude::*;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

const DT: f64 = 1e-3;

pub(super) fn task() -> Isometry3<f64> {
    Isometry3::translation(0.60, 0.0, 0.02)
}

pub(super) fn workspace() -> Workspace {
    Workspace {
        min_m: [-0.14, -0.14, 0.0],
        max_m: [0.14, 0.14, 0.30],
        table_height_m: 0.001,
    }
}

/// Larger than the arm: only joint limits and the table remain.
pub(super) fn wide() -> Workspace {
    Workspace {
        min_m: [-3.0, -3.0, -3.0],
        max_m: [3.0, 3.0, 3.0],
        table_height_m: -2.9,
    }
}

fn safety(workspace: Workspace) -> Safety<7> {
    let period = Duration::from_ticks(1_000_000);
    let tool = ToolLimits::anywhere_in(workspace);
    Safety::new(
        iiwa14(),
        iiwa14_limits(),
        tool,
        Collision::none(),
        task(),
        period,
    )
    .expect("valid limits")
}

pub(super) fn measured(q: JointPositions<7>) -> ArmState<7> {
    ArmState {
        sampled_at: Instant::from_ticks(0),
        q,
        dq: JointVelocities::zeros(),
        tau: JointTorques::zeros(),
        aperture_m: 0.084,
    }
}

pub(super) fn home() -> JointPositions<7> {
    let chain = iiwa14();
    let goal = tool_pose(
        &task(),
        &TcpPose {
            position_m: Vector3::new(0.0, 0.0, 0.2),
            yaw_rad: 0.0,
        },
    );
    let seed = JointPositions::from([0.0, 0.5, 0.0, -1.5, 0.0, 1.1, 0.0]);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    solve_pose(&chain, &goal, &seed, chain.limits(), &mut rng, 0)
        .expect("reachable")
        .q
}

fn armed(workspace: Workspace) -> Safety<7> {
    let mut safety = safety(workspace);
    safety.arm(&measured(home())).expect("inside");
    safety
}

/// Requests that know no mercy: noise, bang-bang, ramps into the limits, huge numbers, NaN, stops.
struct Adversary {
    rng: Xoshiro256PlusPlus,
    mode: u32,
    ticks_left: u32,
    target: [f64; 7],
}

impl Adversary {
    fn new(seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            mode: 0,
            ticks_left: 0,
            target: [0.0; 7],
        }
    }

    fn request(&mut self) -> Request<7> {
        let rng = &mut self.rng;
        if self.ticks_left == 0 {
            self.ticks_left = rng.random_range(1..300);
            self.mode = rng.random_range(0..8);
            self.target = std::array::from_fn(|_| rng.random_range(-3.0..3.0));
        }
        self.ticks_left -= 1;
        let mut noise = |scale: f64| std::array::from_fn(|_| rng.random_range(-scale..scale));
        let (dq, ddq): ([f64; 7], [f64; 7]) = match self.mode {
            0 => (noise(3.0), noise(30.0)),
            1 | 2 => (self.target, [0.0; 7]),
            3 => (self.target.map(|x| 0.1 * x), noise(1.0)),
            4 => (
                noise(1.0).map(|x: f64| 10.0 * x.signum()),
                noise(1.0).map(|x: f64| 1e3 * x.signum()),
            ),
            5 => (noise(1e300), noise(1e300)),
            6 => {
                let mut dq = self.target;
                dq[3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0]
                    [(self.ticks_left % 4) as usize];
                (dq, [0.0; 7])
            }
            _ => return Request::Stop,
        };
        Request::Motion {
            dq: dq.into(),
            ddq: ddq.into(),
        }
    }
}

/// By how much one tick from `old` to `new` breaks the limits: position, velocity, acceleration, jerk; at the
/// samples and by finite differences.
fn excess(limits: &Limits<7>, old: &CommandState<7>, new: &CommandState<7>) -> [f64; 4] {
    let mut worst = [f64::NEG_INFINITY; 4];
    for (i, b) in limits.joints().iter().enumerate() {
        let mean_dq = (new.q[i] - old.q[i]) / DT;
        let mean_ddq = (new.dq[i] - old.dq[i]) / DT;
        // Differences over one tick carry the rounding of the positions, divided by the tick.
        let of_tick = [
            (new.q[i] - b.upper).max(b.lower - new.q[i]),
            (new.dq[i].abs() - b.dq_max).max(mean_dq.abs() - b.dq_max),
            (new.ddq[i].abs() - b.ddq_max).max(mean_ddq.abs() - b.ddq_max),
            ((new.ddq[i] - old.ddq[i]).abs() / DT - b.dddq_max) * DT,
        ];
        worst = std::array::from_fn(|k| worst[k].max(of_tick[k]));
    }
    worst
}

fn attack(workspace: Workspace, seed: u64, ticks: u32) -> ([f64; 4], f64) {
    let chain = iiwa14();
    let mut safety = armed(workspace);
    let mut adversary = Adversary::new(seed);
    let mut worst = [f64::NEG_INFINITY; 4];
    let mut outside_m: f64 = 0.0;
    let mut old = safety.command().expect("armed");
    for _ in 0..ticks {
        let (verdict, _) = safety.filter(adversary.request(), Fingers::Open);
        let new = safety.command().expect("armed");
        match verdict {
            Verdict::Move(command) => {
                assert_eq!((command.q(), command.dq()), (&new.q, &new.dq))
            }
            Verdict::Stop(_) => panic!("armed, and yet no command"),
        }
        let of_tick = excess(safety.limits(), &old, &new);
        worst = std::array::from_fn(|k| worst[k].max(of_tick[k]));
        for share in [0.0, 0.25, 0.5, 0.75] {
            let between = JointPositions(old.q.0 * share + new.q.0 * (1.0 - share));
            let p = task()
                .inverse_transform_point(&chain.tip_position(&between).into())
                .coords;
            outside_m = outside_m.max(workspace.distance_m(&p));
        }
        old = new;
    }
    (worst, outside_m)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn limits_hold_whatever_is_asked(seed: u64) {
        for workspace in [wide(), workspace()] {
            let (worst, outside_m) = attack(workspace, seed, 3000);
            prop_assert!(worst.iter().all(|x| *x <= 1e-9), "{worst:?}");
            prop_assert!(outside_m <= 1e-9, "{outside_m}");
        }
    }

    #[test]
    fn a_stop_from_any_state_ends_at_rest_and_stays(seed: u64, ticks in 0_u32..600) {
        let mut safety = armed(workspace());
        let mut adversary = Adversary::new(seed);
        for _ in 0..ticks {
            safety.filter(adversary.request(), Fingers::Open);
        }
        let mut took = 0;
        while safety.filter(Request::Stop, Fingers::Open).1.intervention != Intervention::Stopped {
            took += 1;
            prop_assert!(took < 400);
        }
        let rest = safety.command().expect("armed");
        prop_assert!(rest.dq.0.amax() == 0.0 && rest.ddq.0.amax() == 0.0);
        safety.filter(Request::Stop, Fingers::Open);
        prop_assert_eq!(safety.command().expect("armed"), rest);
    }
}

fn tuning(safety: &Safety<7>) -> Tuning<7> {
    Tuning {
        posture: home(),
        posture_gain_per_s: SVector::repeat(1.0),
        pose_gain_per_s: 30.0,
        dq_max: safety.limits().dq_max(),
    }
}

struct Following {
    position_m: f64,
    rotation_rad: f64,
    slowed: u32,
    interventions: [u32; 5],
    ticks: u32,
}

/// The whole way from 4 Hz goals to commands: setpoint, inverse kinematics, filter.
fn follow(
    seed: u64,
    seconds: u32,
    next: fn(&mut Xoshiro256PlusPlus, TcpPose) -> TcpPose,
) -> Following {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let chain = iiwa14();
    let mut safety = armed(workspace());
    let mut setpoint = Setpoint::new(SetpointLimits::default());
    let mut goal = tcp_pose(&task(), &chain.fk(&home()));
    setpoint
        .reset(Instant::from_ticks(0), goal)
        .expect("a plan");
    let tuning = tuning(&safety);
    let mut result = Following {
        position_m: 0.0,
        rotation_rad: 0.0,
        slowed: 0,
        interventions: [0; 5],
        ticks: seconds * 1000,
    };
    for ms in 0..result.ticks {
        let now = Instant::from_ticks(u64::from(ms) * 1_000_000);
        if ms % 250 == 0 {
            goal = next(&mut rng, goal);
            setpoint.retarget(now, goal).expect("a plan");
        }
        let reference = setpoint.sample(now);
        let motion = tool_motion(
            &task(),
            &reference.pose,
            &reference.velocity,
            &reference.acceleration,
        );
        let CommandState { q, dq, .. } = safety.command().expect("armed");
        let joint_motion = differential(&chain, &q, &dq, &motion, &tuning);
        let error = joint_motion.pose_error;
        result.position_m = result.position_m.max(error.fixed_rows::<3>(0).norm());
        result.rotation_rad = result.rotation_rad.max(error.fixed_rows::<3>(3).norm());
        let behind_s = (1.0 - joint_motion.speed_scale) * DT;
        setpoint.hold_back(Duration::from_ticks((behind_s * 1e9) as u64));
        result.slowed += u32::from(joint_motion.speed_scale < 1.0);
        let request = Request::Motion {
            dq: joint_motion.dq,
            ddq: joint_motion.ddq,
        };
        let (_, report) = safety.filter(request, Fingers::Open);
        result.interventions[report.intervention as usize] += 1;
    }
    result
}

/// Anywhere in the policy's workspace.
fn jump(rng: &mut Xoshiro256PlusPlus, _: TcpPose) -> TcpPose {
    TcpPose {
        position_m: Vector3::new(
            rng.random_range(-0.115..0.115),
            rng.random_range(-0.115..0.115),
            rng.random_range(0.004..0.26),
        ),
        yaw_rad: rng.random_range(-2.6..2.6),
    }
}

/// One action of the policy's scale.
fn act(rng: &mut Xoshiro256PlusPlus, goal: TcpPose) -> TcpPose {
    let mut scaled =
        |scale: f64| scale * [-1.0, 1.0, rng.random_range(-1.0..1.0)][rng.random_range(0..3)];
    let p = goal.position_m + Vector3::new(scaled(0.05), scaled(0.05), scaled(0.06));
    TcpPose {
        position_m: p
            .sup(&Vector3::new(-0.115, -0.115, 0.004))
            .inf(&Vector3::new(0.115, 0.115, 0.26)),
        yaw_rad: (goal.yaw_rad + scaled(0.5)).clamp(-2.6, 2.6),
    }
}

#[test]
fn goals_at_4_hz_are_followed() {
    type Next = fn(&mut Xoshiro256PlusPlus, TcpPose) -> TcpPose;
    for (name, next) in [("jump", jump as Next), ("act", act)] {
        let f = follow(3, 60, next);
        let summary = format!(
            "{name}: worst {:.2} mm {:.4} rad; {} ticks slowed; interventions {:?}",
            f.position_m * 1e3,
            f.rotation_rad,
            f.slowed,
            f.interventions
        );
        println!("{summary}");
        assert!(f.position_m < 3e-3 && f.rotation_rad < 0.03, "{summary}");
        assert!(
            f.interventions[Intervention::Stopping as usize] == 0,
            "{summary}"
        );
    }
}

#[test]
fn a_start_that_is_not_safe_is_refused() {
    let mut safety = safety(workspace());
    let outcome = |safety: &mut Safety<7>, joint: usize, q: f64| {
        let mut state = measured(home());
        state.q[joint] = q;
        safety.arm(&state)
    };
    assert_eq!(
        outcome(&mut safety, 2, f64::NAN),
        Err(Fault::EncoderNotFinite { joint: 2 })
    );
    assert!(matches!(
        outcome(&mut safety, 6, 3.04),
        Err(Fault::StartOutsideLimits { joint: 6, .. })
    ));
    assert!(
        matches!(outcome(&mut safety, 0, 1.0), Err(Fault::StartOutsideWorkspace { distance_m }) if distance_m > 0.1)
    );
    let mut moving = measured(home());
    moving.dq[3] = -0.2;
    assert!(matches!(
        safety.arm(&moving),
        Err(Fault::StartsMoving { joint: 3, .. })
    ));
    assert_eq!(safety.command(), None);
    let request = Request::Motion {
        dq: JointVelocities::zeros(),
        ddq: JointAccelerations::zeros(),
    };
    assert_eq!(
        safety.filter(request, Fingers::Open).0,
        Verdict::Stop(StopCategory::Two)
    );
    assert_eq!(safety.arm(&measured(home())), Ok(()));
    let rest = safety.command().expect("armed");
    assert_eq!((rest.q, rest.dq), (home(), JointVelocities::zeros()));
    // A failed attempt disarms: an old command state must not come back.
    assert!(outcome(&mut safety, 2, f64::NAN).is_err() && safety.command().is_none());
}

#[test]
fn a_velocity_step_is_followed_and_then_unchanged() {
    let mut safety = armed(wide());
    let dq = JointVelocities::from([0.5, -0.3, 0.2, 0.4, -0.5, 0.3, 1.0]);
    let mut last = SafetyReport::default();
    for _ in 0..200 {
        last = safety
            .filter(
                Request::Motion {
                    dq,
                    ddq: JointAccelerations::zeros(),
                },
                Fingers::Closed,
            )
            .1;
        let now = safety.command().expect("armed").dq;
        // Where the jerk of one does not suffice, no other goes further for it.
        assert!((0..7).all(|i| now[i] / dq[i] < 1.0 + 1e-9), "{now:?}");
    }
    assert!((safety.command().expect("armed").dq.0 - dq.0).amax() < 1e-6);
    assert_eq!(last, SafetyReport::default());
}

#[test]
fn the_tool_is_slowed_to_its_limit_and_no_further() {
    const LIMIT: f64 = 0.3;
    let tool = ToolLimits {
        speed_m_per_s: LIMIT,
        ..ToolLimits::anywhere_in(wide())
    };
    let period = Duration::from_ticks(1_000_000);
    let mut safety = Safety::new(
        iiwa14(),
        iiwa14_limits(),
        tool,
        Collision::none(),
        task(),
        period,
    )
    .unwrap();
    safety.arm(&measured(home())).expect("inside");
    let (mut seen, mut fastest, mut covered_m) = (LimitSet::default(), 0.0f64, 0.0);
    for _ in 0..400 {
        let state = safety.command().expect("armed");
        let (pose, j) = iiwa14().jacobian(&state.q);
        let speed = (j * state.dq.0).fixed_rows::<3>(0).norm();
        fastest = fastest.max(speed);
        covered_m += speed * DT;
        let motion = tool_motion(
            &task(),
            &tcp_pose(&task(), &pose),
            &[0.0, 0.8, 0.0, 0.0],
            &[0.0; 4],
        );
        let joints = differential(&iiwa14(), &state.q, &state.dq, &motion, &tuning(&safety));
        let request = Request::Motion {
            dq: joints.dq,
            ddq: joints.ddq,
        };
        seen.insert(safety.filter(request, Fingers::Open).1.limits);
    }
    assert!(
        seen.contains(LimitSet::TCP_SPEED) && fastest <= LIMIT,
        "{fastest}"
    );
    assert!(covered_m > 0.7 * 0.4 * LIMIT, "{covered_m} {fastest}");
}

#[test]
fn who_presses_on_the_table_still_slides_along_it() {
    let mut safety = armed(workspace());
    let chain = iiwa14();
    let pose =
        |safety: &Safety<7>| tcp_pose(&task(), &chain.fk(&safety.command().expect("armed").q));
    let go = |safety: &mut Safety<7>, velocity: [f64; 4]| {
        let state = safety.command().expect("armed");
        let motion = tool_motion(&task(), &pose(safety), &velocity, &[0.0; 4]);
        let joints = differential(&chain, &state.q, &state.dq, &motion, &tuning(safety));
        let request = Request::Motion {
            dq: joints.dq,
            ddq: joints.ddq,
        };
        safety.filter(request, Fingers::Open);
    };
    for _ in 0..3000 {
        go(&mut safety, [0.0, 0.0, -0.1, 0.0]);
    }
    let before = pose(&safety).position_m;
    // It rests there: whoever presses on does not make it chatter.
    for _ in 0..200 {
        let state = safety.command().expect("armed");
        go(&mut safety, [0.0, 0.0, -0.1, 0.0]);
        let jerk = (safety.command().expect("armed").ddq.0 - state.ddq.0).amax() / DT;
        assert!(jerk < 1e-3 && state.ddq.0.amax() < 1e-4, "{jerk}");
    }
    for _ in 0..1000 {
        go(&mut safety, [0.0, 0.1, -0.1, 0.0]);
    }
    let after = pose(&safety).position_m;
    assert!(before.z < 0.003 && after.z < 0.003);
    assert!(
        after.y - before.y > 0.08 && before.x.abs() < 0.002,
        "{before:?} {after:?}"
    );
}

#[test]
fn at_the_table_it_says_why_and_can_leave() {
    let mut safety = armed(workspace());
    let chain = iiwa14();
    let toward = |safety: &mut Safety<7>, z_m_per_s: f64| {
        let state = safety.command().expect("armed");
        let motion = tool_motion(
            &task(),
            &tcp_pose(&task(), &chain.fk(&state.q)),
            &[0.0, 0.0, z_m_per_s, 0.0],
            &[0.0; 4],
        );
        let joint_motion = differential(&chain, &state.q, &state.dq, &motion, &tuning(safety));
        safety
            .filter(
                Request::Motion {
                    dq: joint_motion.dq,
                    ddq: joint_motion.ddq,
                },
                Fingers::Open,
            )
            .1
    };
    let mut seen = LimitSet::default();
    for _ in 0..4000 {
        seen.insert(toward(&mut safety, -0.1).limits);
    }
    let z = |safety: &Safety<7>| {
        tcp_pose(&task(), &iiwa14().fk(&safety.command().expect("armed").q))
            .position_m
            .z
    };
    let low = z(&safety);
    assert!(
        seen.contains(LimitSet::TABLE) && (0.001..0.003).contains(&low),
        "{seen:?} {low}"
    );
    for _ in 0..500 {
        toward(&mut safety, 0.1);
    }
    assert!(z(&safety) > low + 0.02);
}
