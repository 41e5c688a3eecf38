//! Robots that torques drive, without a wire: controller and a plain torque loop reach for an object, grasp it and lift
//! it. This judges the physics behind emulated drives; where to grasp is read off the simulator's own truth.
//!
//! Everything that a launch file says about such a robot is taken from the launch file.

#![cfg(feature = "sim")]

use mujoco_rs::prelude::*;
use nalgebra::{Isometry3, SVector, Vector3};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use std::f64::consts::{FRAC_PI_2, PI};
use visuomotor_drivers::sim::{Rig, SceneConfig, SimPlant, Split, World};
use visuomotor_drivers::testkit::emulate::Plant;
use visuomotor_runtime::action::{Action, ActionScale, Verb};
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::clock::{Duration, Instant, Tick};
use visuomotor_runtime::controller::{Controller, ControllerConfig, Inputs, Outputs, Request};
use visuomotor_runtime::goal::GoalLimits;
use visuomotor_runtime::kinematics::{Chain, ik, pose};
use visuomotor_runtime::observation::{GripperObservation, SceneTruth, TcpPose};
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::safety::{
    Collision, CollisionConfig, Limits, LimitsConfig, Safety, ToolLimits, Verdict, Workspace,
};
use visuomotor_runtime::setpoint::SetpointLimits;
use visuomotor_runtime::units::JointPositions;
use visuomotor_runtime::watchdogs::Watchdogs;

/// What of a launch file moves the arm.
#[derive(Deserialize)]
struct Launch {
    robot: RobotTable,
    task: Task,
    action: ActionScale,
    control: Control,
    limits: LimitsConfig,
    workspace: Workspace,
    collision: CollisionConfig,
    setpoint: SetpointLimits,
    scene: SceneConfig,
}

#[derive(Deserialize)]
struct RobotTable {
    home_rad: Vec<f64>,
    posture_gain_per_s: Vec<f64>,
}

#[derive(Deserialize)]
struct Control {
    rate_hz: f64,
}

#[derive(Deserialize)]
struct Task {
    origin_in_base_m: [f64; 3],
    goal_low_m: [f64; 3],
    goal_high_m: [f64; 3],
    goal_yaw_max_rad: f64,
    start_low_m: [f64; 3],
    start_high_m: [f64; 3],
    start_yaw_max_rad: f64,
    action_rate_hz: f64,
    steps_max: u32,
}

/// A robot and the loop that makes torques of positions.
struct Robot<const N: usize> {
    launch: &'static str,
    urdf: &'static str,
    /// N·m/rad and N·m·s/rad.
    stiffness: [f64; N],
    damping: [f64; N],
    /// Whether the loop knows what the arm weighs.
    feeds_weight_forward: bool,
    /// Of the fingers' drive: N·m/rad, N·m·s/rad, and what it presses with at most, N·m.
    fingers: [f64; 3],
}

const CAN_ARM: Robot<7> = Robot {
    launch: include_str!("../../launch/robots/can_arm.toml"),
    urdf: include_str!("../../launch/robots/can_arm.urdf"),
    stiffness: [400.0, 400.0, 250.0, 250.0, 80.0, 80.0, 40.0],
    damping: [25.0, 25.0, 12.0, 12.0, 2.5, 2.5, 1.0],
    feeds_weight_forward: true,
    fingers: [5.0, 0.1, 0.4],
};

const SO101: Robot<5> = Robot {
    launch: include_str!("../../launch/robots/so101.toml"),
    urdf: include_str!("../../launch/robots/so101.urdf"),
    stiffness: [30.0; 5],
    damping: [1.2; 5],
    feeds_weight_forward: false,
    fingers: [30.0, 1.2, 1.0],
};

const MS: Duration = Duration::from_ticks(1_000_000);

/// The arm's weight at rest by its description, as torques.
struct Weight {
    data: MjData<Box<MjModel>>,
}

impl Weight {
    fn of(urdf: &str) -> Self {
        let model = MjModel::from_xml_string(urdf).unwrap();
        Self {
            data: MjData::new(Box::new(model)),
        }
    }

    fn at<const N: usize>(&mut self, q: &JointPositions<N>) -> SVector<f64, N> {
        self.data.qpos_mut()[..N].copy_from_slice(q.0.as_slice());
        self.data.forward();
        SVector::from_column_slice(&self.data.qfrc_bias()[..N])
    }
}

struct Bench<const N: usize> {
    robot: Robot<N>,
    launch: Launch,
    chain: Chain<N>,
    plant: SimPlant,
    controller: Controller<N>,
    weight: Weight,
    now: Instant,
    command: Option<(JointPositions<N>, SVector<f64, N>, Fingers)>,
    /// Largest distance between a joint and its command so far, rad.
    lag_rad: f64,
}

impl<const N: usize> Bench<N> {
    fn new(robot: Robot<N>, seed: u64) -> Self {
        let mut launch: Launch = toml::from_str(robot.launch).unwrap();
        launch.scene.tray_in_base_m = launch.task.origin_in_base_m;
        let chain = Chain::<N>::from_urdf(robot.urdf, "base_link", "tcp").unwrap();
        let limits = Limits::new(&chain, &launch.limits).unwrap();
        let [x, y, z] = launch.task.origin_in_base_m;
        let task = Isometry3::translation(x, y, z);
        let period = Duration::from_ticks((1e9 / launch.control.rate_hz) as u64);
        let safety = Safety::new(
            chain.clone(),
            limits,
            ToolLimits::new(launch.workspace, &launch.limits).unwrap(),
            Collision::new(&chain, &launch.collision).unwrap(),
            task,
            period,
        );
        let home: [f64; N] = launch.robot.home_rad.clone().try_into().unwrap();
        let gains: [f64; N] = launch.robot.posture_gain_per_s.clone().try_into().unwrap();
        let config = ControllerConfig {
            T_base_task: task,
            period,
            goal: GoalLimits {
                position_min_m: launch.task.goal_low_m.into(),
                position_max_m: launch.task.goal_high_m.into(),
                yaw_max_rad: launch.task.goal_yaw_max_rad,
                scale: launch.action,
            },
            setpoint: launch.setpoint,
            watchdogs: Watchdogs {
                arm_silence_max: MS * 20,
                loop_gap_max: MS * 20,
                policy_silence_max: MS * 500,
                teleop_silence_max: MS * 100,
                frame_age_max: MS * 150,
                tracking_max_rad: 0.2,
            },
            posture: home.into(),
            posture_gain_per_s: gains.into(),
            dq_max: limits.dq_max(),
        };
        let controller = Controller::new(config, chain.clone(), safety.unwrap());

        let mut world = World::build(&launch.scene, Split::Validation, seed).unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let Task {
            start_low_m: low,
            start_high_m: high,
            start_yaw_max_rad: turn,
            ..
        } = launch.task;
        let start = TcpPose {
            position_m: Vector3::from_fn(|axis, _| rng.random_range(low[axis]..=high[axis])),
            yaw_rad: rng.random_range(-turn..=turn),
        };
        let goal = pose::tool_pose(&task, &start);
        let allowed = limits.of_chain(&chain);
        let found = ik::solve_pose(&chain, &goal, &home.into(), &allowed, &mut rng, 50).unwrap();
        world.place_arm::<N>(found.q.0.into());
        Self {
            weight: Weight::of(robot.urdf),
            launch,
            chain,
            plant: Rig::new(world).split_plant().unwrap().0,
            controller,
            robot,
            now: Instant::from_ticks(0),
            command: None,
            lag_rad: 0.0,
        }
    }

    fn state(&self) -> ArmState<N> {
        ArmState {
            sampled_at: self.now,
            ..self.plant.world().arm_state()
        }
    }

    /// A period of the control loop, with its steps of torque loop and physics.
    fn tick(&mut self, decision: Option<Decision>, request: Option<Request>) -> Outputs<N> {
        let tick = Tick {
            due: self.now,
            jitter: Duration::ZERO,
            missed: 0,
        };
        let inputs = Inputs {
            arm: Ok(self.state()),
            write_error: None,
            decision,
            request,
        };
        let outputs = self.controller.step(tick, inputs);
        match outputs.verdict {
            Verdict::Move(command) => {
                self.command = Some((*command.q(), command.dq().0, command.fingers()));
            }
            Verdict::Stop(category) => panic!("{category:?}: {:?}", outputs.step.fault),
        }
        self.now += Duration::from_ticks((1e9 / self.launch.control.rate_hz) as u64);
        while self.plant.world().time() < self.now {
            let tau = self.torques();
            self.plant.step(&tau);
        }
        let (q_d, ..) = self.command.unwrap();
        self.lag_rad = self.lag_rad.max((q_d.0 - self.state().q.0).amax());
        outputs
    }

    fn torques(&mut self) -> Vec<f64> {
        let (q_d, dq_d, fingers) = self.command.unwrap();
        let state: ArmState<N> = self.plant.world().arm_state();
        let robot = &self.robot;
        let mut tau = SVector::<f64, N>::from_fn(|i, _| {
            robot.stiffness[i] * (q_d[i] - state.q[i]) + robot.damping[i] * (dq_d[i] - state.dq[i])
        });
        if robot.feeds_weight_forward {
            tau += self.weight.at(&state.q);
        }
        let gripper = self.launch.scene.robot.gripper();
        let angle_d = match fingers {
            Fingers::Open => gripper.open_rad(),
            Fingers::Closed => -1.0,
        };
        let (angle, speed) = self.plant.state(N);
        let [stiffness, damping, most_nm] = robot.fingers;
        let push = stiffness * (angle_d - angle) - damping * speed;
        tau.iter()
            .copied()
            .chain([push.clamp(-most_nm, most_nm)])
            .collect()
    }

    /// Grasps an object and lifts it, again where that failed, for as many actions as the
    /// launch file allows.
    fn pick(&mut self) -> bool {
        let mut gripper = self.tick(None, None).observation.unwrap();
        self.tick(None, Some(Request::StartPolicy));
        let lifted_m = self.launch.task.goal_high_m[2].min(0.16);
        let mut plan = Plan::of(&self.plant, lifted_m);
        let ticks = (self.launch.control.rate_hz / self.launch.task.action_rate_hz) as u32;
        for step in 0..self.launch.task.steps_max {
            let mut decision = Some(Decision {
                action: plan.next(&gripper, self.launch.action),
                q_value: f64::NAN,
                frame_captured_at: self.now,
                step,
            });
            for _ in 0..ticks {
                gripper = self.tick(decision.take(), None).observation.unwrap();
            }
            if plan.part == Part::Done {
                if self.plant.world().success() {
                    break;
                }
                plan = Plan::of(&self.plant, lifted_m);
            }
        }
        self.plant.world().success()
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Part {
    Above,
    Down,
    /// So many actions are still to pass.
    Close(u32),
    Lift,
    Done,
}

struct Plan {
    above_m: f64,
    lifted_m: f64,
    grasp: TcpPose,
    part: Part,
}

fn span(points_m: &[Vector3<f64>], direction: Vector3<f64>) -> [f64; 2] {
    let along = points_m.iter().map(|point| point.dot(&direction));
    [
        along.clone().fold(f64::INFINITY, f64::min),
        along.fold(f64::NEG_INFINITY, f64::max),
    ]
}

impl Plan {
    /// Across the narrowest side, less where that is far to turn, of an object that has room around it and is off the walls.
    fn of(plant: &SimPlant, lifted_m: f64) -> Self {
        let mut truth = SceneTruth::default();
        plant.world().truth(&mut truth);
        let middle = |points: &[Vector3<f64>], direction| {
            let [low, high] = span(points, direction);
            0.5 * (low + high) * direction
        };
        let place =
            |points: &[Vector3<f64>]| middle(points, Vector3::x()) + middle(points, Vector3::y());
        let places: Vec<_> = truth
            .objects
            .iter()
            .map(|object| place(&object.points_m))
            .collect();
        let worth = |i: usize| {
            let others = places.iter().enumerate().filter(|(j, _)| *j != i);
            let room_m = others
                .map(|(_, other)| (other - places[i]).norm())
                .fold(0.12, f64::min);
            room_m - places[i].xy().amax()
        };
        let i = (0..places.len())
            .max_by(|&a, &b| worth(a).total_cmp(&worth(b)))
            .unwrap();
        let points = &truth.objects[i].points_m;
        let cost = |yaw: f64| {
            let [low, high] = span(points, Vector3::new(-yaw.sin(), yaw.cos(), 0.0));
            high - low + 0.01 * yaw.abs()
        };
        let yaw_rad = (0..24)
            .map(|i| PI * f64::from(i) / 24.0 - FRAC_PI_2)
            .min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
            .unwrap();
        let [bottom, top] = span(points, Vector3::z());
        let mut position_m = places[i];
        position_m.z = (top - 0.035).max(0.5 * (top + bottom) - 0.005);
        Self {
            above_m: 0.09,
            lifted_m,
            grasp: TcpPose {
                position_m,
                yaw_rad,
            },
            part: Part::Above,
        }
    }

    fn next(&mut self, gripper: &GripperObservation, scale: ActionScale) -> Action {
        let goal = &gripper.goal;
        let at = |height_m: f64| {
            let mut motion = self.grasp.position_m - goal.position_m;
            motion.z = height_m - goal.position_m.z;
            motion
        };
        let near = |motion: Vector3<f64>| {
            let lag_m = (gripper.measured.position_m - goal.position_m).norm();
            motion.xy().norm() < 1e-3 && motion.z.abs() < 8e-3 && lag_m < 0.01
        };
        let turn = self.grasp.yaw_rad - goal.yaw_rad;
        let (motion, verb) = match self.part {
            Part::Above => {
                let motion = at(self.above_m);
                if near(motion) && turn.abs() < 1e-3 {
                    self.part = Part::Down;
                }
                (motion, Verb::Open)
            }
            Part::Down => {
                let motion = at(self.grasp.position_m.z);
                let there = near(motion);
                if there {
                    self.part = Part::Close(2);
                }
                (motion, if there { Verb::Close } else { Verb::Move })
            }
            Part::Close(left) => {
                self.part = match left {
                    0 => Part::Lift,
                    left => Part::Close(left - 1),
                };
                (Vector3::zeros(), Verb::Move)
            }
            Part::Lift | Part::Done => {
                let motion = at(self.lifted_m);
                if near(motion) {
                    self.part = Part::Done;
                }
                (motion, Verb::Move)
            }
        };
        let share = |metres: f64, most: f64| (metres / most).clamp(-1.0, 1.0);
        scale.action(
            [
                share(motion.x, scale.xy_m),
                share(motion.y, scale.xy_m),
                share(motion.z, scale.z_m),
                share(turn, scale.yaw_rad),
            ],
            verb,
        )
    }
}

fn dropped<const N: usize>(robot: fn() -> Robot<N>, seeds: u64) -> Vec<u64> {
    let mut lag_rad: f64 = 0.0;
    let dropped = (0..seeds)
        .filter(|&seed| {
            let mut bench = Bench::new(robot(), seed);
            let lifted = bench.pick();
            lag_rad = lag_rad.max(bench.lag_rad);
            if !lifted {
                println!(
                    "seed {seed}: {:?}, {} joints lag at most {:.3} rad",
                    bench.plant.world().judge(),
                    bench.chain.joint_names().len(),
                    bench.lag_rad
                );
            }
            !lifted
        })
        .collect();
    println!("not lifted: {dropped:?} of {seeds}, lag at most {lag_rad:.3} rad");
    dropped
}

#[test]
fn torques_of_the_can_arm_lift_most_objects() {
    let dropped = dropped(|| CAN_ARM, 20);
    assert!(dropped.len() <= 4, "{dropped:?}");
}

#[test]
fn torques_of_the_so101_lift_most_objects() {
    let dropped = dropped(|| SO101, 20);
    assert!(dropped.len() <= 4, "{dropped:?}");
}

/// Wherever a goal may lie, with every angle that it may have, the tool gets there and points straight down.
fn all_goals_are_reached<const N: usize>(robot: Robot<N>) {
    let launch: Launch = toml::from_str(robot.launch).unwrap();
    let chain = Chain::<N>::from_urdf(robot.urdf, "base_link", "tcp").unwrap();
    let limits = Limits::new(&chain, &launch.limits)
        .unwrap()
        .of_chain(&chain);
    let home: [f64; N] = launch.robot.home_rad.try_into().unwrap();
    let Task {
        origin_in_base_m: [x, y, z],
        goal_low_m: low,
        goal_high_m: high,
        goal_yaw_max_rad: turn,
        ..
    } = launch.task;
    let task = Isometry3::translation(x, y, z);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let home_m = chain.tip_position(&home.into()) - task.translation.vector;
    for axis in 0..3 {
        assert!((low[axis]..=high[axis]).contains(&home_m[axis]), "{home_m}");
    }
    for _ in 0..500 {
        let tool = TcpPose {
            position_m: Vector3::from_fn(|axis, _| rng.random_range(low[axis]..=high[axis])),
            yaw_rad: rng.random_range(-turn..=turn),
        };
        let goal = pose::tool_pose(&task, &tool);
        let found = ik::solve_pose(&chain, &goal, &home.into(), &limits, &mut rng, 50);
        let found = found.unwrap_or_else(|error| panic!("{tool:?}: {error}"));
        let turned = (goal.inverse() * chain.fk(&found.q)).rotation.angle();
        assert!(turned < 1e-3, "{tool:?}: {turned} rad off");
    }
}

#[test]
fn the_can_arm_reaches_every_goal_of_its_task() {
    all_goals_are_reached(CAN_ARM);
}

#[test]
fn the_so101_reaches_every_goal_of_its_task() {
    all_goals_are_reached(SO101);
}
