//! `visuomotor fuzz-safety`: an adversary against the safety filter, and what got through.
//!
//! Joints first, with the whole arm free to move, so that every joint meets its own limits; then the whole arm, in its
//! workspace and, where it meets what its capsules must not touch, outside, in automatic and in manual mode. Not responsible for the filter ([`visuomotor_runtime::safety`]).

mod adversary;
mod check;
mod shapes;

use crate::any_arm::{self, AnyArm};
use crate::cli::FuzzArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::wiring;
use adversary::Adversary;
use check::{Judge, PerLimit, Seen};
use nalgebra::Vector3;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
pub use shapes::Shapes;
use std::fmt;
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::follow::{Follower, POSE_GAIN_PER_S};
use visuomotor_runtime::kinematics::ik::Tuning;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::safety::{
    Collision, CollisionConfig, Intervention, OperatingMode, Request, Safety, ToolLimits, Workspace,
};
use visuomotor_runtime::setpoint::Setpoint;
use visuomotor_runtime::units::{JointTorques, JointVelocities};

/// A workspace larger than any arm.
pub const EVERYWHERE: Workspace = Workspace {
    min_m: [-100.0; 3],
    max_m: [100.0; 3],
    table_height_m: -100.0,
};
/// The input is cut once in so many ticks.
const CUT_ONCE_IN: u32 = 2000;
/// Ticks of the reference that a filter should not disturb: a minute.
const BENIGN_TICKS: u64 = 60_000;
/// Its field names are those of `fuzz-safety --json`.
#[derive(Debug, Serialize)]
struct Report {
    joint_ticks: u64,
    arm_ticks: u64,
    /// The furthest beyond each limit; `null` for one that the launch file does not set, and without ticks.
    max_excess: PerLimit<Option<f64>>,
    /// Ticks within 1e-4 of each limit, in the limit's unit.
    near_limit_ticks: PerLimit<u64>,
    /// Ticks that did not happen, as when the control thread comes late.
    late_ticks: u64,
    /// How often the input was cut.
    stops: u64,
    /// Share of ticks on which a reachable 4 Hz reference met a stop.
    fallback_share_benign: f64,
    /// Ticks that exceeded a limit by more than 1e-9, and cut inputs that did not end at rest in time.
    violations: u64,
}

pub fn run(args: &FuzzArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    if args.joint_ticks == 0 && args.arm_ticks == 0 {
        return Err(CommandError::input(
            "nothing to attack: --joint-ticks and --arm-ticks are both 0",
        ));
    }
    any_arm::run(args, &args.launch)
}

impl AnyArm for FuzzArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let free = Arena {
            collision: Collision::none(),
            shapes: CollisionConfig::default(),
            ..Arena::new(launch, ToolLimits::anywhere_in(EVERYWHERE))
        };
        let joints = free.attack(&mut rng, self.joint_ticks.div_ceil(N as u64))?;
        let whole = Arena::new(launch, launch.tool_limits);
        let outside = ToolLimits {
            workspace: EVERYWHERE,
            ..launch.tool_limits
        };
        let manual = Arena {
            mode: OperatingMode::Manual,
            ..Arena::new(launch, outside)
        };
        let outside = Arena::new(launch, outside);
        let third = self.arm_ticks / 3;
        let arm = whole.attack(&mut rng, self.arm_ticks - 2 * third)?;
        let arm = arm.and(outside.attack(&mut rng, third)?);
        let arm = arm.and(manual.attack(&mut rng, third)?);
        let mut seen = joints.seen;
        seen.add(&arm.seen);
        let report = Report {
            joint_ticks: joints.ticks * N as u64,
            arm_ticks: arm.ticks,
            max_excess: PerLimit::of(seen.excess.map(|x| (x != f64::NEG_INFINITY).then_some(x))),
            near_limit_ticks: PerLimit::of(seen.near_ticks),
            late_ticks: joints.late + arm.late,
            stops: joints.stops + arm.stops,
            fallback_share_benign: whole.benign(&mut rng)?,
            violations: seen.violations,
        };
        output::report(&report, &report, self.json.as_deref())?;
        Ok(if report.violations == 0 {
            Grade::Good
        } else {
            Grade::Short
        })
    }
}

/// What came of an attack.
struct Attack {
    seen: Seen,
    /// Ticks with a request; those from a cut input to rest come on top.
    ticks: u64,
    /// Of these, ticks that did not happen.
    late: u64,
    stops: u64,
}

impl Attack {
    fn and(mut self, other: Self) -> Self {
        self.seen.add(&other.seen);
        Self {
            seen: self.seen,
            ticks: self.ticks + other.ticks,
            late: self.late + other.late,
            stops: self.stops + other.stops,
        }
    }
}

/// A filter with the limits that it is held against.
struct Arena<'a, const N: usize> {
    launch: &'a Launch<N>,
    tool: ToolLimits,
    collision: Collision<N>,
    /// What `collision` was read from.
    shapes: CollisionConfig,
    mode: OperatingMode,
    tuning: Tuning<N>,
}

impl<'a, const N: usize> Arena<'a, N> {
    fn new(launch: &'a Launch<N>, tool: ToolLimits) -> Self {
        let tuning = Tuning {
            posture: launch.home(),
            posture_gain_per_s: launch.robot.posture_gain_per_s.into(),
            pose_gain_per_s: POSE_GAIN_PER_S,
            dq_max: launch.limits.dq_max(),
        };
        Self {
            launch,
            tool,
            collision: launch.collision.clone(),
            shapes: launch.shapes.clone(),
            mode: OperatingMode::Automatic,
            tuning,
        }
    }

    /// A filter that is armed at the tool's pose.
    fn armed(&self, at: &TcpPose, rng: &mut impl Rng) -> Result<Safety<N>, CommandError> {
        let q = wiring::start_joints(self.launch, at, rng).map_err(CommandError::input)?;
        let mut safety = Safety::new(
            self.launch.chain.clone(),
            self.launch.limits,
            self.tool,
            self.collision.clone(),
            self.launch.T_base_task(),
            self.launch.control_period(),
        )
        .map_err(CommandError::input)?;
        let state = ArmState {
            sampled_at: Instant::from_ticks(0),
            q,
            dq: JointVelocities::zeros(),
            tau: JointTorques::zeros(),
            aperture_m: 0.0,
        };
        safety
            .arm(&state)
            .map_err(|fault| CommandError::input(self.launch.describe(&fault)))?;
        safety.set_mode(self.mode).map_err(CommandError::failed)?;
        Ok(safety)
    }

    fn judge(&self) -> Judge<'_, N> {
        Judge {
            chain: &self.launch.chain,
            limits: &self.launch.limits,
            tool: self.mode.limits(&self.tool),
            shapes: Shapes::new(&self.launch.chain, &self.shapes),
            t_task_base: self.launch.T_base_task().inverse(),
            dt: self.launch.control_period().as_nanos() as f64 * 1e-9,
        }
    }

    /// Runs the adversary, who now and then cuts the input.
    fn attack(&self, rng: &mut impl Rng, ticks: u64) -> Result<Attack, CommandError> {
        let start = wiring::draw_start(self.launch, rng);
        let mut safety = self.armed(&start, rng)?;
        let judge = self.judge();
        let mut adversary = Adversary::new(&judge, self.tuning, rng.random());
        let mut attack = Attack {
            seen: Seen::default(),
            ticks: 0,
            late: 0,
            stops: 0,
        };
        let seen = &mut attack.seen;
        for _ in 0..ticks {
            let Some(old) = safety.command() else {
                // Nothing may disarm it.
                seen.violations += 1;
                break;
            };
            attack.ticks += 1;
            let Some(request) = adversary.request(&old) else {
                attack.late += 1;
                continue;
            };
            safety.filter(request, Fingers::Open);
            seen.note(&judge.excess(&old, &safety));
            if adversary.once_in(CUT_ONCE_IN) {
                attack.stops += 1;
                seen.violations += u64::from(!comes_to_rest(safety.clone(), &judge, seen));
            }
        }
        Ok(attack)
    }

    /// The share of stops while a reachable reference is followed that changes four times a second.
    fn benign(&self, rng: &mut impl Rng) -> Result<f64, CommandError> {
        let mut goal = wiring::draw_start(self.launch, rng);
        let mut safety = self.armed(&goal, rng)?;
        let mut setpoint = Setpoint::new(self.launch.setpoint);
        let period = self.launch.control_period();
        let between = (self.launch.action_period().as_ticks() / period.as_ticks()).max(1);
        let mut now = Instant::from_ticks(0);
        setpoint.reset(now, goal).map_err(CommandError::failed)?;
        let follower = Follower {
            chain: self.launch.chain.clone(),
            T_base_task: self.launch.T_base_task(),
            tuning: self.tuning,
        };
        let mut stops = 0;
        for tick in 0..BENIGN_TICKS {
            if tick % between == 0 {
                goal = self.next_goal(&goal, rng);
                setpoint.retarget(now, goal).map_err(CommandError::failed)?;
            }
            now += period;
            let Some(state) = safety.command() else { break };
            let following = follower.follow(&setpoint.sample(now), &state, false);
            let behind = (1.0 - following.progress) * period.as_ticks() as f64;
            setpoint.hold_back(Duration::from_ticks(behind as u64));
            let request = Request::Motion {
                dq: following.joints.dq,
                ddq: following.joints.ddq,
            };
            let (_, report) = safety.filter(request, Fingers::Open);
            stops += u64::from(stops_arm(report.intervention));
        }
        Ok(stops as f64 / BENIGN_TICKS as f64)
    }

    /// One action of the policy's scale, within the task's reach.
    fn next_goal(&self, goal: &TcpPose, rng: &mut impl Rng) -> TcpPose {
        let (task, action) = (&self.launch.task, &self.launch.action);
        let mut part = |scale: f64| scale * (2.0 * rng.random::<f64>() - 1.0);
        let moved =
            goal.position_m + Vector3::new(part(action.xy_m), part(action.xy_m), part(action.z_m));
        TcpPose {
            position_m: moved
                .sup(&task.goal_low_m.into())
                .inf(&task.goal_high_m.into()),
            yaw_rad: (goal.yaw_rad + part(action.yaw_rad))
                .clamp(-task.goal_yaw_max_rad, task.goal_yaw_max_rad),
        }
    }
}

fn stops_arm(intervention: Intervention) -> bool {
    matches!(intervention, Intervention::Stopping | Intervention::Stopped)
}

/// Whether the arm rests within the time of its stored stop once nothing is asked any more.
fn comes_to_rest<const N: usize>(
    mut safety: Safety<N>,
    judge: &Judge<'_, N>,
    seen: &mut Seen,
) -> bool {
    let ticks = (safety.stop_s() / judge.dt).ceil() as u64 + 1;
    for _ in 0..ticks {
        let Some(old) = safety.command() else {
            return false;
        };
        safety.filter(Request::Stop, Fingers::Open);
        seen.note(&judge.excess(&old, &safety));
    }
    safety
        .command()
        .is_some_and(|state| state.dq.0.amax() == 0.0 && state.ddq.0.amax() == 0.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "ticks         {} of joints, {} of the whole arm, {} inputs cut",
            self.joint_ticks, self.arm_ticks, self.stops
        )?;
        let (excess, near) = (&self.max_excess, &self.near_limit_ticks);
        for (name, unit, excess, near) in [
            ("position", "rad", excess.q, near.q),
            ("velocity", "rad/s", excess.dq, near.dq),
            ("acceleration", "rad/s2", excess.ddq, near.ddq),
            ("jerk", "rad/s3", excess.dddq, near.dddq),
            ("tool speed", "m/s", excess.tcp_speed, near.tcp_speed),
            (
                "tool turning",
                "rad/s",
                excess.tcp_rotation,
                near.tcp_rotation,
            ),
            ("borders", "m", excess.plane_m, near.plane_m),
            ("capsules", "m", excess.capsule_m, near.capsule_m),
            (
                "manual speed",
                "m/s",
                excess.capsule_speed,
                near.capsule_speed,
            ),
        ] {
            match excess {
                Some(excess) => writeln!(
                    f,
                    "{name:13} {excess:+.1e} {unit} beyond the limit at most; {near} ticks within 1e-4"
                )?,
                None => writeln!(f, "{name:13} not tested: no such limit, or no ticks")?,
            }
        }
        writeln!(
            f,
            "benign        {:.3} % of ticks stopped",
            100.0 * self.fallback_share_benign
        )?;
        writeln!(f, "violations    {}", self.violations)
    }
}
