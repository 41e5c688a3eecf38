//! Who may move the arm and when: arbitration, watchdogs, faults and the way back from them.

use super::*;
use crate::action::{Action, ActionScale};
use crate::kinematics::chain::tests::iiwa14;
use crate::safety::Intervention;
use crate::safety::StopCategory::{One, Two, Zero};
use crate::safety::limits::tests::iiwa14_limits;
use crate::safety::{Collision, ToolLimits, Workspace};
use crate::units::JointTorques;
use nalgebra::{SVector, Translation3};
use rand::{Rng, RngExt};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

#[path = "controller_inward_tests.rs"]
mod inward;
#[path = "replay_tests.rs"]
mod replays;
#[path = "controller_stop_tests.rs"]
mod stops;
#[path = "controller_teleop_tests.rs"]
mod teleop;

const MS: u64 = 1_000_000;
const SILENT: Result<ArmState<7>, ArmError> = Err(ArmError::NoAnswer);

fn ms(ms: u64) -> Duration {
    Duration::from_ticks(ms * MS)
}

fn config() -> ControllerConfig<7> {
    ControllerConfig {
        T_base_task: Translation3::new(0.60, 0.0, 0.02).into(),
        period: ms(1),
        goal: GoalLimits {
            position_min_m: Vector3::new(-0.115, -0.115, 0.004),
            position_max_m: Vector3::new(0.115, 0.115, 0.26),
            yaw_max_rad: 2.6,
            scale: ActionScale {
                xy_m: 0.05,
                z_m: 0.06,
                yaw_rad: 0.5,
            },
        },
        setpoint: SetpointLimits::default(),
        watchdogs: Watchdogs {
            arm_silence_max: ms(20),
            loop_gap_max: ms(50),
            policy_silence_max: ms(500),
            teleop_silence_max: ms(100),
            frame_age_max: ms(150),
            tracking_max_rad: 0.1,
        },
        posture: home(),
        posture_gain_per_s: SVector::repeat(1.0),
        dq_max: iiwa14_limits().dq_max(),
    }
}

pub(crate) fn controller() -> Controller<7> {
    controller_within(f64::INFINITY)
}

/// With a limit to the tool's speed.
fn controller_within(speed_m_per_s: f64) -> Controller<7> {
    let workspace = Workspace {
        min_m: [-0.14, -0.14, 0.0],
        max_m: [0.14, 0.14, 0.45],
        table_height_m: 0.001,
    };
    let config = config();
    let safety = Safety::new(
        iiwa14(),
        iiwa14_limits(),
        ToolLimits {
            speed_m_per_s,
            ..ToolLimits::anywhere_in(workspace)
        },
        Collision::none(),
        config.T_base_task,
        config.period,
    )
    .expect("valid limits");
    Controller::new(config, iiwa14(), safety)
}

/// The tool straight down, 25 cm above the tray's centre.
pub(crate) fn home() -> JointPositions<7> {
    [0.0, 0.548949, 0.0, -1.332549, 0.0, 1.260095, 0.0].into()
}

fn near_home(rng: &mut impl Rng) -> JointPositions<7> {
    let mut q = home();
    (0..7).for_each(|i| q[i] += rng.random_range(-0.01..0.01));
    q
}

fn pose(x: f64, y: f64, z: f64, yaw_rad: f64) -> TcpPose {
    TcpPose {
        position_m: Vector3::new(x, y, z),
        yaw_rad,
    }
}

fn motion(x: f64, y: f64, z: f64, yaw_rad: f64) -> Action {
    Action {
        translation_m: Vector3::new(x, y, z),
        yaw_rad,
        verb: Verb::Move,
    }
}

/// A controller and an arm that reaches every command within its tick, and whose brakes take a while.
struct Bench {
    controller: Controller<7>,
    q: JointPositions<7>,
    dq: JointVelocities<7>,
    now: Instant,
}

impl Bench {
    fn at(q: JointPositions<7>) -> Self {
        Self {
            controller: controller(),
            q,
            dq: JointVelocities::zeros(),
            now: Instant::from_ticks(1_000 * MS),
        }
    }

    /// Holding at home.
    fn holding() -> Self {
        let mut bench = Self::at(home());
        assert_eq!(bench.idle().step.phase, Phase::Hold);
        bench
    }

    fn in_policy_phase() -> Self {
        let mut bench = Self::holding();
        assert_eq!(bench.ask(Request::StartPolicy).step.phase, Phase::Policy);
        bench
    }

    /// On the way down, at full speed.
    fn moving() -> Self {
        let mut bench = Self::holding();
        bench.ask(Request::Approach(pose(0.0, 0.0, 0.1, 0.0)));
        bench.run(250);
        assert!(bench.dq.0.amax() > 0.1, "{:?}", bench.dq);
        bench
    }

    fn state(&self) -> ArmState<7> {
        ArmState {
            sampled_at: self.now,
            q: self.q,
            dq: self.dq,
            tau: JointTorques::zeros(),
            aperture_m: 0.084,
        }
    }

    fn inputs(&self) -> Inputs<7> {
        Inputs {
            arm: Ok(self.state()),
            write_error: None,
            decision: None,
            request: None,
        }
    }

    fn tick(&mut self, inputs: Inputs<7>) -> Outputs<7> {
        let tick = Tick {
            due: self.now,
            jitter: Duration::ZERO,
            missed: 0,
        };
        let outputs = self.controller.step(tick, inputs);
        match outputs.verdict {
            Verdict::Move(command) => (self.q, self.dq) = (*command.q(), *command.dq()),
            Verdict::Stop(_) => {
                self.q.0 += self.dq.0 * 1e-3;
                self.dq.0 *= 0.95;
            }
        }
        self.now += ms(1);
        outputs
    }

    fn idle(&mut self) -> Outputs<7> {
        self.tick(self.inputs())
    }

    fn run(&mut self, ticks: u32) -> Outputs<7> {
        assert!(ticks > 0);
        (0..ticks).map(|_| self.idle()).last().expect("ran")
    }

    fn ask(&mut self, request: Request) -> Outputs<7> {
        self.tick(Inputs {
            request: Some(request),
            ..self.inputs()
        })
    }

    /// A tick in which the arm says this.
    fn hear(&mut self, arm: Result<ArmState<7>, ArmError>) -> Outputs<7> {
        self.tick(Inputs {
            arm,
            ..self.inputs()
        })
    }

    fn decision(&self, step: u32, action: Action) -> Decision {
        Decision {
            action,
            q_value: f64::NAN,
            frame_captured_at: self.now,
            step,
        }
    }

    fn decide(&mut self, decision: Decision) -> Outputs<7> {
        self.tick(Inputs {
            decision: Some(decision),
            ..self.inputs()
        })
    }

    fn act(&mut self, step: u32, action: Action) -> Outputs<7> {
        self.decide(self.decision(step, action))
    }
}

fn commanded(outputs: &Outputs<7>) -> JointPositions<7> {
    match outputs.verdict {
        Verdict::Move(command) => *command.q(),
        Verdict::Stop(category) => panic!("stopped: {category:?}"),
    }
}

#[test]
fn the_first_command_is_the_measured_pose() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..20 {
        let q = near_home(&mut rng);
        let mut bench = Bench::at(q);
        let first = bench.idle();
        assert_eq!((commanded(&first), bench.dq), (q, JointVelocities::zeros()));
        assert_eq!(first.step.phase, Phase::Hold);
        let moved = (bench.run(300).step.reference.position_m - first.step.goal.position_m).norm();
        assert!(moved < 1e-9, "nobody asked for motion: {moved} m");
    }
}

#[test]
fn a_tilted_tool_rests_until_somebody_asks_for_motion() {
    let mut q = home();
    q[5] += 0.2;
    let mut bench = Bench::at(q);
    bench.run(300);
    assert_eq!(bench.q, q, "holding");
    bench.ask(Request::StartPolicy);
    bench.run(300);
    assert_eq!(bench.q, q, "before the first decision");
    bench.ask(Request::Approach(pose(0.0, 0.0, 0.2, 0.0)));
    bench.run(300);
    assert!((bench.q.0 - q.0).amax() > 0.1, "{:?}", bench.q);
}

#[test]
fn without_a_measured_pose_nothing_is_commanded() {
    let q = |joint: usize, value: f64| {
        let mut state = Bench::at(home()).state();
        state.q[joint] = value;
        state
    };
    for (said, fault, category) in [
        (SILENT, None, Two),
        (Err(ArmError::Malformed), None, Two),
        (
            Err(ArmError::Drive { code: 7 }),
            Some(Fault::Drive { code: 7 }),
            Zero,
        ),
        (
            Ok(q(2, f64::NAN)),
            Some(Fault::EncoderNotFinite { joint: 2 }),
            One,
        ),
        (
            Ok(ArmState {
                aperture_m: f64::NAN,
                ..q(0, 0.0)
            }),
            Some(Fault::EncoderNotFinite { joint: 7 }),
            One,
        ),
    ] {
        let mut bench = Bench::at(home());
        let outputs = bench.hear(said);
        assert_eq!(outputs.verdict, Verdict::Stop(category), "{said:?}");
        assert_eq!(
            (outputs.step.fault, outputs.step.counters.failed_reads),
            (fault, 1)
        );
        assert!(outputs.observation.is_none() && outputs.step.is_stopped());
    }
    for (state, code) in [(q(3, 2.08), 5), (q(0, 0.5), 6)] {
        let outputs = Bench::at(home()).hear(Ok(state));
        assert_eq!(outputs.verdict, Verdict::Stop(Two));
        assert_eq!(outputs.step.fault.map(|fault| fault.code()), Some(code));
    }
}

#[test]
fn decisions_move_the_goal_only_when_they_are_due_and_fresh() {
    let down = motion(0.0, 0.0, -0.05, 0.0);
    // The decisions with these numbers and ages in ms come in the policy phase; how many are taken?
    for (name, decisions, taken) in [
        ("in order", vec![(0, 0), (1, 150)], 2),
        ("with a gap", vec![(0, 10), (7, 10)], 2),
        ("a duplicate", vec![(0, 10), (0, 10)], 1),
        ("one from before", vec![(3, 10), (2, 10)], 1),
        ("a stale frame", vec![(0, 151)], 0),
        ("a frame from the future", vec![(0, -1)], 0),
        (
            "the last number twice",
            vec![(u32::MAX, 0), (u32::MAX, 0), (0, 0)],
            1,
        ),
    ] {
        let mut bench = Bench::in_policy_phase();
        let goal = bench.idle().step.goal;
        for &(step, age_ms) in &decisions {
            let age_ns: i64 = age_ms * MS as i64;
            let captured = bench.now.as_ticks().checked_add_signed(-age_ns);
            bench.decide(Decision {
                frame_captured_at: Instant::from_ticks(captured.expect("in range")),
                ..bench.decision(step, down)
            });
        }
        let step = bench.idle().step;
        let expected = goal.position_m.z - 0.05 * f64::from(taken);
        assert!((step.goal.position_m.z - expected).abs() < 1e-12, "{name}");
        let late = decisions.len() as u64 - taken as u64;
        assert_eq!(step.counters.late_decisions, late, "{name}");
        assert_eq!(step.phase, Phase::Policy, "{name}");
    }
}

#[test]
fn decisions_count_for_nothing_outside_the_policy_phase() {
    let stopped = Phase::Stopped(Zero);
    for phase in [Phase::Idle, Phase::Hold, Phase::Approach, stopped] {
        let mut bench = match phase {
            Phase::Idle => Bench::at(home()),
            _ => Bench::holding(),
        };
        match phase {
            Phase::Approach => drop(bench.ask(Request::Approach(pose(0.0, 0.0, 0.2, 0.0)))),
            Phase::Stopped(_) => drop(bench.hear(Err(ArmError::Drive { code: 1 }))),
            _ => {}
        }
        let goal = bench.controller.goal;
        let arm = if phase == Phase::Idle {
            SILENT
        } else {
            Ok(bench.state())
        };
        for verb in Verb::ALL {
            let action = Action {
                verb,
                ..motion(0.01, 0.0, 0.0, f64::NAN)
            };
            bench.tick(Inputs {
                arm: arm.map(|_| bench.state()),
                decision: Some(bench.decision(0, action)),
                ..bench.inputs()
            });
        }
        let step = bench.hear(arm.map(|_| bench.state())).step;
        assert_eq!((step.phase, step.goal), (phase, goal));
        assert_eq!(step.counters.late_decisions, 4, "{phase:?}");
        assert_eq!(bench.controller.fingers, Fingers::Open);
    }
}

#[test]
fn actions_that_are_not_finite_are_a_fault() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for axis in 0..4 {
            let mut m = [0.01; 4];
            m[axis] = bad;
            let mut bench = Bench::in_policy_phase();
            let goal = bench.idle().step.goal;
            let step = bench.act(0, motion(m[0], m[1], m[2], m[3])).step;
            assert_eq!(
                (step.phase, step.fault),
                (Phase::Stopping(Two), Some(Fault::ActionNotFinite))
            );
            assert_eq!(step.goal, goal);

            let mut bench = Bench::holding();
            let step = bench
                .ask(Request::Approach(pose(m[0], m[1], m[2], m[3])))
                .step;
            // An infinite goal is merely far: it becomes the border.
            let fault = bad.is_nan().then_some(Fault::ActionNotFinite);
            assert_eq!(step.fault, fault, "{m:?}");
        }
    }
}

#[test]
fn goals_stay_within_scale_and_reach_and_each_cut_action_counts_once() {
    let mut bench = Bench::in_policy_phase();
    let start = bench.idle().step.goal;
    let step = bench.act(0, motion(-0.05, 0.05, -0.06, 0.5)).step;
    let moved = step.goal.position_m - start.position_m;
    assert!(
        (moved - Vector3::new(-0.05, 0.05, -0.06)).norm() < 1e-12,
        "{moved}"
    );
    assert_eq!(
        step.counters.clamped_actions, 0,
        "the whole scale is allowed"
    );

    let step = bench.act(1, motion(-0.051, 0.0, 0.0, 0.0)).step;
    let moved = step.goal.position_m - start.position_m;
    assert!((moved.x + 0.1).abs() < 1e-12, "{moved}");
    assert_eq!(step.counters.clamped_actions, 1, "cut to the scale");

    let step = bench.act(2, motion(-1e9, 0.0, 0.0, 1e9)).step;
    assert_eq!(step.goal.position_m.x, -0.115);
    assert_eq!(step.counters.clamped_actions, 2, "cut by scale and border");

    for (axis, sign, border) in [
        (0, 1.0, 0.115),
        (1, -1.0, -0.115),
        (2, -1.0, 0.004),
        (2, 1.0, 0.26),
        (3, 1.0, 2.6),
        (3, -1.0, -2.6),
    ] {
        let mut bench = Bench::in_policy_phase();
        let mut m = [0.0; 4];
        m[axis] = sign;
        let last = (0..12)
            .map(|k| bench.act(k, motion(m[0], m[1], m[2], m[3])))
            .last()
            .expect("acted");
        let p = last.step.goal;
        let reached = [p.position_m.x, p.position_m.y, p.position_m.z, p.yaw_rad][axis];
        assert_eq!(reached, border, "axis {axis}");
        assert_eq!(last.step.counters.clamped_actions, 12);
    }
}

#[test]
fn verbs_move_the_fingers_and_terminate_holds() {
    let mut bench = Bench::in_policy_phase();
    for (k, (verb, fingers)) in [
        (Verb::Close, Fingers::Closed),
        (Verb::Move, Fingers::Closed),
        (Verb::Open, Fingers::Open),
        (Verb::Close, Fingers::Closed),
    ]
    .into_iter()
    .enumerate()
    {
        let action = Action {
            verb,
            ..motion(0.0, 0.0, -0.01, 0.0)
        };
        let outputs = bench.act(k as u32, action);
        assert_eq!(outputs.step.command.expect("moves").2, fingers);
    }
    let goal = bench.idle().step.goal;
    let action = Action {
        verb: Verb::Terminate,
        ..motion(0.05, 0.05, -0.05, 0.5)
    };
    let step = bench.act(4, action).step;
    assert_eq!((step.phase, step.goal), (Phase::Hold, goal));
    let step = bench.act(5, motion(0.05, 0.0, 0.0, 0.0)).step;
    assert_eq!((step.goal, step.counters.late_decisions), (goal, 1));
    let step = bench.run(1_000).step;
    assert_eq!(
        (step.phase, step.fault),
        (Phase::Hold, None),
        "silence is due"
    );
    let off = (bench.controller.follower.tool(&bench.q).position_m - goal.position_m).norm();
    assert!(off < 1e-3, "{off} m");
    assert!(bench.dq.0.amax() < 1e-3, "{:?}", bench.dq);
    assert_eq!(bench.controller.fingers, Fingers::Closed);
}

#[test]
fn hold_stays_where_it_is_even_outside_the_reach_of_goals() {
    // The tool rests above the box of goals.
    let mut q = home();
    q[1] -= 0.1;
    q[5] -= 0.1;
    let mut bench = Bench::at(q);
    let start = bench.idle().step.goal;
    assert!(start.position_m.z > 0.27, "{start:?}");
    bench.ask(Request::StartPolicy);
    let step = bench.ask(Request::Hold).step;
    assert_eq!(
        (step.phase, step.counters.clamped_actions),
        (Phase::Hold, 0)
    );
    let end = bench.run(500).step.reference;
    assert!((end.position_m - start.position_m).norm() < 1e-9, "{end:?}");
}

#[test]
fn a_silent_arm_is_stopped_and_stays_so_until_a_person_clears_it() {
    type Say = fn(&Bench) -> (Result<ArmState<7>, ArmError>, Option<ArmError>);
    let stale: Say = |bench| {
        let state = ArmState {
            sampled_at: Instant::from_ticks(1_251 * MS),
            ..bench.state()
        };
        (Ok(state), None)
    };
    let silences: [(&str, Say); 4] = [
        ("no answer", |_| (SILENT, None)),
        ("garbled", |_| (Err(ArmError::Malformed), None)),
        ("the same old sample", stale),
        ("commands do not leave", |bench| {
            (Ok(bench.state()), Some(ArmError::NoAnswer))
        }),
    ];
    for (name, say) in silences {
        let mut bench = Bench::moving();
        let silent_tick = |bench: &mut Bench, request| {
            let (arm, write_error) = say(bench);
            bench.tick(Inputs {
                arm,
                write_error,
                request,
                decision: None,
            })
        };
        let heard_at = Instant::from_ticks(bench.now.as_ticks() - MS);
        let fault = loop {
            let now = bench.now;
            let step = silent_tick(&mut bench, None).step;
            let silent_for = now - heard_at;
            assert_eq!(
                step.fault.is_some(),
                silent_for > ms(20),
                "{name}: {silent_for}"
            );
            if let Some(fault) = step.fault {
                break fault;
            }
        };
        assert_eq!(fault, Fault::ArmLinkLost { age_ms: 21.0 }, "{name}");

        // A stop that decelerates: no joint ever moves faster than before it, or stops at once.
        let limits = iiwa14_limits();
        let mut before = bench.dq;
        for tick in 0.. {
            assert!(tick < 500, "{name}: never stops");
            let outputs = silent_tick(&mut bench, Some(Request::ClearFault));
            assert_eq!(
                outputs.step.fault,
                Some(fault),
                "{name}: cleared while moving"
            );
            for i in 0..7 {
                let change = (bench.dq[i] - before[i]).abs();
                assert!(
                    change <= limits.joints()[i].ddq_max * 1e-3 + 1e-9,
                    "{name}: {change}"
                );
            }
            before = bench.dq;
            if outputs.step.is_stopped() {
                break;
            }
        }
        assert_eq!(bench.dq, JointVelocities::zeros());
        let rest = bench.q;
        let outputs = silent_tick(&mut bench, None);
        assert_eq!(outputs.step.phase, Phase::Stopped(One), "{name}");
        assert_eq!(outputs.verdict, Verdict::Stop(One), "{name}");

        // Clearing it while nothing is heard changes nothing.
        let outputs = silent_tick(&mut bench, Some(Request::ClearFault));
        assert_eq!(
            outputs.step.fault.map(|fault| fault.code()),
            Some(1),
            "{name}"
        );
        assert_eq!((bench.q, bench.dq), (rest, JointVelocities::zeros()));

        // The arm is back: the fault is not.
        bench.run(2);
        let far = pose(0.0, 0.0, 0.2, 0.0);
        for request in [Request::Hold, Request::StartPolicy, Request::Approach(far)] {
            let outputs = bench.ask(request);
            assert_eq!(
                (outputs.step.phase, outputs.verdict),
                (Phase::Stopped(One), Verdict::Stop(One)),
                "{name}"
            );
            let outputs = bench.act(0, motion(0.0, 0.0, 0.05, 0.0));
            assert_eq!(
                (outputs.step.phase, outputs.verdict),
                (Phase::Stopped(One), Verdict::Stop(One)),
                "{name}"
            );
        }

        // Somebody has moved it meanwhile: it goes on from there.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let moved = {
            let mut q = rest;
            (0..7).for_each(|i| q[i] += rng.random_range(-0.005..0.005));
            q
        };
        bench.q = moved;
        let outputs = bench.ask(Request::ClearFault);
        assert_eq!(
            (outputs.step.phase, outputs.step.fault),
            (Phase::Hold, None),
            "{name}"
        );
        assert_eq!(commanded(&outputs), moved, "{name}");
        bench.ask(Request::Approach(far));
        bench.run(300);
        assert!(
            bench.dq.0.amax() > 0.01 || (bench.q.0 - moved.0).amax() > 0.01,
            "{name}"
        );
    }
}

#[test]
fn an_arm_that_never_answers_is_a_fault_too() {
    let mut bench = Bench::at(home());
    let codes: Vec<_> = (0..=21)
        .map(|_| bench.hear(SILENT).step.fault.map(|fault| fault.code()))
        .collect();
    assert_eq!(codes[20..], [None, Some(1)]);
}

#[test]
fn a_sample_from_the_future_is_a_broken_clock() {
    for (ahead, fault) in [(ms(0), false), (ms(1), false), (ms(2), true)] {
        let mut bench = Bench::holding();
        let state = ArmState {
            sampled_at: bench.now + ahead,
            ..bench.state()
        };
        let step = bench.hear(Ok(state)).step;
        assert_eq!(step.fault.map(|fault| fault.code()), fault.then_some(1));
    }
}

#[test]
fn a_joint_that_lags_is_a_fault() {
    for (lag_rad, joint) in [(0.099, 3), (0.101, 3), (-0.101, 6), (0.101, 0)] {
        let mut bench = Bench::holding();
        let mut state = bench.state();
        state.q[joint] += lag_rad;
        let step = bench.hear(Ok(state)).step;
        match step.fault {
            None => assert!(lag_rad.abs() < 0.1),
            Some(Fault::Tracking {
                joint: named,
                error_rad,
                limit_rad,
            }) => {
                assert_eq!((usize::from(named), limit_rad), (joint, 0.1));
                assert!((error_rad - lag_rad.abs()).abs() < 1e-12 && error_rad > 0.1);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_silent_policy_is_a_fault() {
    for acts in [0, 1, 3] {
        let mut bench = Bench::in_policy_phase();
        for k in 0..acts {
            bench.run(400);
            bench.act(k, motion(0.0, 0.0, -0.01, 0.0));
        }
        // 500 further ticks lie within the limit, however many late decisions there are.
        for _ in 0..500 {
            let late = match acts {
                0 => bench.inputs(),
                _ => Inputs {
                    decision: Some(bench.decision(0, Action::hold())),
                    ..bench.inputs()
                },
            };
            assert_eq!(bench.tick(late).step.fault, None);
        }
        let (age_ms, limit_ms) = (501.0, 500.0);
        let fault = Fault::PolicySilent { age_ms, limit_ms };
        assert_eq!(bench.idle().step.fault, Some(fault));
        let step = bench.act(10, motion(0.0, 0.0, -0.05, 0.0)).step;
        assert_eq!(step.fault, Some(fault));
        assert_eq!(step.phase.latched(), Some(Two));
    }
}

#[test]
fn the_first_fault_is_the_one_that_stays() {
    let mut bench = Bench::holding();
    bench.hear(Err(ArmError::Drive { code: 3 }));
    let step = bench.hear(Err(ArmError::Drive { code: 4 })).step;
    assert_eq!(step.fault, Some(Fault::Drive { code: 3 }));
    assert_eq!(step.phase, Phase::Stopping(Zero), "nobody saw it rest");
    // What is still wrong when a person clears it latches in the same tick.
    bench.idle();
    let step = bench
        .tick(Inputs {
            arm: Err(ArmError::Drive { code: 5 }),
            request: Some(Request::ClearFault),
            ..bench.inputs()
        })
        .step;
    assert_eq!(
        (step.phase, step.fault),
        (Phase::Stopping(Zero), Some(Fault::Drive { code: 5 }))
    );
}

#[test]
fn the_reference_waits_for_an_arm_that_is_held_back() {
    let mut bench = Bench {
        controller: controller_within(0.05),
        ..Bench::holding()
    };
    bench.idle();
    let goal = pose(0.1, 0.0, 0.2, 0.0);
    bench.ask(Request::Approach(goal));
    let (mut furthest_m, mut fastest) = (0.0f64, 0.0f64);
    let mut last = bench.controller.follower.tool(&bench.q).position_m;
    for _ in 0..4000 {
        let reference = bench.idle().step.reference;
        let tool = bench.controller.follower.tool(&bench.q).position_m;
        furthest_m = furthest_m.max((reference.position_m - tool).norm());
        fastest = fastest.max((tool - last).norm() / 1e-3);
        last = tool;
    }
    assert!(
        fastest <= 0.05 + 1e-9 && furthest_m < 0.012,
        "{fastest} {furthest_m}"
    );
    assert!((last - goal.position_m).norm() < 1e-3, "{last:?}");
}

#[test]
fn the_end_is_a_stop_and_nothing_moves_afterwards() {
    let mut bench = Bench::moving();
    let mut ticks = 0;
    while !bench.ask(Request::End).step.is_stopped() {
        ticks += 1;
        assert!(ticks < 500, "never stops");
    }
    assert!(ticks > 5, "a joint at speed does not stop at once");
    let rest = bench.q;
    for request in [
        Request::Approach(pose(0.0, 0.0, 0.2, 0.0)),
        Request::StartPolicy,
        Request::Hold,
        Request::ClearFault,
    ] {
        bench.ask(request);
        let outputs = bench.act(0, motion(0.0, 0.0, 0.05, 0.0));
        assert_eq!(
            (outputs.step.phase, commanded(&outputs)),
            (Phase::Ending, rest)
        );
    }
    let step = bench.run(100).step;
    assert_eq!((step.fault, step.counters.refused_requests), (None, 2));
}

/// Inputs that no arm, policy or person should give, among ones that they do.
fn garbage(rng: &mut impl Rng, bench: &Bench) -> Inputs<7> {
    let odd = |rng: &mut dyn FnMut(u32) -> u32| match rng(6) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -1e300,
        3 => 1e-300,
        _ => f64::from(rng(200)) * 1e-3 - 0.1,
    };
    let mut below = |n: u32| rng.random_range(0..n);
    let mut inputs = bench.inputs();
    match below(60) {
        0 => inputs.arm = SILENT,
        1 => inputs.arm = Err(ArmError::Malformed),
        2 if below(4) == 0 => inputs.arm = Err(ArmError::Drive { code: below(9) }),
        3 if below(4) == 0 => {
            let mut state = bench.state();
            state.q[below(7) as usize] = odd(&mut below);
            state.dq[below(7) as usize] = odd(&mut below);
            inputs.arm = Ok(state);
        }
        4 => {
            let mut state = bench.state();
            state.sampled_at =
                Instant::from_ticks(bench.now.as_ticks() - u64::from(below(30)) * MS);
            inputs.arm = Ok(state);
        }
        5 => inputs.write_error = Some(ArmError::NoAnswer),
        _ => {}
    }
    if below(50) == 0 {
        let number = |below: &mut dyn FnMut(u32) -> u32| f64::from(below(300)) * 1e-3 - 0.15;
        let mut m = [(); 4].map(|()| number(&mut below));
        if below(12) == 0 {
            m[below(4) as usize] = odd(&mut below);
        }
        let age_ns = u64::from(below(160)) * MS;
        inputs.decision = Some(Decision {
            action: Action {
                verb: Verb::ALL[if below(20) == 0 { 3 } else { below(3) as usize }],
                ..motion(m[0], m[1], m[2], m[3])
            },
            q_value: odd(&mut below),
            frame_captured_at: Instant::from_ticks(bench.now.as_ticks() - age_ns),
            step: below(1_000_000),
        });
    }
    inputs.request = match below(80) {
        0 => Some(Request::Hold),
        1 => Some(Request::Approach(pose(
            odd(&mut below),
            odd(&mut below),
            0.2 + odd(&mut below),
            odd(&mut below),
        ))),
        2..=5 => Some(Request::StartPolicy),
        6..=12 => Some(Request::ClearFault),
        13 => Some(Request::Rearm),
        14 => Some(Request::SetMode(if below(2) == 0 {
            OperatingMode::Manual
        } else {
            OperatingMode::Automatic
        })),
        15 if below(4) == 0 => Some(Request::Stop([Zero, One, Two][below(3) as usize])),
        16..=18 => Some(Request::Recover),
        19 | 20 => Some(Request::Jog(TcpVelocity {
            linear_m_per_s: Vector3::new(odd(&mut below), odd(&mut below), odd(&mut below)),
            yaw_rad_per_s: odd(&mut below),
        })),
        _ => None,
    };
    inputs
}

#[test]
fn whatever_comes_equal_inputs_give_bit_equal_outputs_within_the_limits() {
    let limits = iiwa14_limits();
    let mut phases = [0; 9];
    for seed in 0..8 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut start = home();
        if seed % 3 == 1 {
            // Outside the workspace.
            start[0] += 0.3;
        }
        let (mut one, mut other) = (Bench::at(start), Bench::at(start));
        let (mut before, mut refused_before) = (None, 0);
        for tick in 0..2_000 {
            let mut inputs = garbage(&mut rng, &one);
            if tick == 1_950 {
                inputs.request = Some(Request::End);
            }
            let latched_before = one.controller.phase().latched();
            let was_latched = latched_before.is_some();
            let outputs = one.tick(inputs);
            let again = other.tick(inputs);
            // Debug tells every f64 apart but NaN from NaN.
            assert_eq!(format!("{outputs:?}"), format!("{again:?}"), "seed {seed}");
            phases[usize::from(outputs.step.phase.code())] += 1;

            let (phase, request) = (outputs.step.phase, inputs.request);
            let clears = matches!(request, Some(Request::ClearFault | Request::Recover));
            if was_latched && !clears {
                let latched = phase.latched().expect("nobody cleared it");
                assert!(Some(latched) <= latched_before, "seed {seed}: milder");
            }
            if phase.is_without_power() {
                assert!(matches!(outputs.verdict, Verdict::Stop(_)), "seed {seed}");
            }
            if phase.latched().is_some() || phase == Phase::Ending {
                let stops = matches!(
                    outputs.step.report.intervention,
                    Intervention::Stopping | Intervention::Stopped
                );
                assert!(stops, "seed {seed}: motion of its own in {phase:?}");
            }
            let Verdict::Move(command) = outputs.verdict else {
                before = None;
                continue;
            };
            let refused = outputs.step.counters.refused_requests;
            let rearmed = inputs.request == Some(Request::Rearm) && refused == refused_before;
            let cleared = was_latched && outputs.step.phase.latched().is_none() || rearmed;
            refused_before = refused;
            for i in 0..7 {
                let joint = &limits.joints()[i];
                let (q, dq) = (command.q()[i], command.dq()[i]);
                assert!((joint.lower..=joint.upper).contains(&q), "seed {seed}: {q}");
                assert!(dq.abs() <= joint.dq_max + 1e-12, "seed {seed}: {dq}");
                if let Some((q_before, dq_before)) = before.filter(|_| !cleared) {
                    let (q_before, dq_before): (JointPositions<7>, JointVelocities<7>) =
                        (q_before, dq_before);
                    assert!((q - q_before[i]).abs() <= joint.dq_max * 1e-3 + 1e-12);
                    assert!((dq - dq_before[i]).abs() <= joint.ddq_max * 1e-3 + 1e-9);
                }
                if cleared {
                    assert_eq!(dq, 0.0, "seed {seed}: motion goes on from rest");
                }
            }
            before = Some((*command.q(), *command.dq()));
        }
    }
    let [
        _,
        hold,
        approach,
        policy,
        stopped,
        stopping,
        ending,
        inward,
        teleop,
    ] = phases;
    assert!(
        [hold, approach, policy, stopped, stopping, inward, teleop]
            .iter()
            .all(|&ticks| ticks > 300)
            && ending > 0,
        "every phase is visited: {phases:?}"
    );
}
