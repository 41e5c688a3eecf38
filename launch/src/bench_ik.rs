//! `visuomotor bench ik`: how often the position solver finds joint positions for a tool pose, and how fast.
//!
//! First poses of random joint positions within the limits, so that every one of them can be reached; then the tool
//! straight down at random places and yaws of the launch file's goals, where an arm with fewer than six joints may have
//! to leave a rotation. The solver starts from other random positions. An answer counts when forward kinematics confirm
//! it within the solver's tolerances.

use crate::any_arm::{self, AnyArm};
use crate::cli::BenchIkArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::{Quantiles, timed};
use nalgebra::{Isometry3, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::fmt;
use visuomotor_runtime::kinematics::ik::{self, POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD};
use visuomotor_runtime::kinematics::{JointLimit, pose};
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::safety::Limits;
use visuomotor_runtime::units::JointPositions;

/// Attempts from random positions after the first: they bound the time.
const RESTARTS: u32 = 100;
/// Below this share the command says that it fell short.
const FOUND_MIN: f64 = 0.999;

/// Its field names are those of `bench ik --json`.
#[derive(Debug, Serialize)]
struct Findings {
    /// What the solver is asked to keep.
    task: String,
    poses: u32,
    /// With position and rotation.
    found: u32,
    found_share: f64,
    /// Of all poses, those that were not found included.
    solve_us: Quantiles,
    straight_down: StraightDown,
}

#[derive(Debug, Serialize)]
struct StraightDown {
    /// With position and rotation.
    found_share: f64,
    /// With position, and with as much of the rotation as the joints can give there.
    position_found_share: f64,
    /// How far the tool is turned from straight down and yaw, where the position was found.
    rotation_error_rad: Quantiles,
    solve_us: Quantiles,
}

pub fn run(args: &BenchIkArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    any_arm::run(args, &args.launch)
}

impl AnyArm for BenchIkArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut solver = Solver::new(launch);
        for _ in 0..self.poses {
            let goal = launch.chain.fk(&anywhere(&launch.limits, &mut rng));
            solver.solve(&goal, &mut rng);
        }
        let mut down = Solver::new(launch);
        for _ in 0..self.poses {
            down.solve(&straight_down(launch, &mut rng), &mut rng);
        }
        let share = |found: u32| f64::from(found) / f64::from(self.poses);
        let findings = Findings {
            task: any_arm::task::<N>(),
            poses: self.poses,
            found: solver.found,
            found_share: share(solver.found),
            solve_us: Quantiles::of(solver.times_us),
            straight_down: StraightDown {
                found_share: share(down.found),
                position_found_share: share(down.rotation_errors_rad.len() as u32),
                rotation_error_rad: Quantiles::of(down.rotation_errors_rad),
                solve_us: Quantiles::of(down.times_us),
            },
        };
        output::report(&findings, &findings, self.json.as_deref())?;
        Ok(if findings.found_share >= FOUND_MIN {
            Grade::Good
        } else {
            Grade::Short
        })
    }
}

/// The position solver, and what it has found so far.
struct Solver<'a, const N: usize> {
    launch: &'a Launch<N>,
    limits: [JointLimit; N],
    times_us: Vec<f64>,
    /// Where the position was found.
    rotation_errors_rad: Vec<f64>,
    found: u32,
}

impl<'a, const N: usize> Solver<'a, N> {
    fn new(launch: &'a Launch<N>) -> Self {
        Self {
            launch,
            limits: launch.limits.of_chain(&launch.chain),
            times_us: Vec::new(),
            rotation_errors_rad: Vec::new(),
            found: 0,
        }
    }

    fn solve(&mut self, goal: &Isometry3<f64>, rng: &mut impl Rng) {
        let chain = &self.launch.chain;
        let seed = anywhere(&self.launch.limits, rng);
        let (answer, us) =
            timed(|| ik::solve_pose(chain, goal, &seed, &self.limits, rng, RESTARTS));
        self.times_us.push(us);
        let Ok(found) = answer else { return };
        let error = goal.inverse() * chain.fk(&found.q);
        let mut within = found.q.0.iter().zip(&self.limits);
        if error.translation.vector.norm() > POSITION_TOLERANCE_M * (1.0 + 1e-9)
            || !within.all(|(q, limit)| (limit.lower..=limit.upper).contains(q))
        {
            return;
        }
        let rotation_rad = error.rotation.angle();
        self.rotation_errors_rad.push(rotation_rad);
        self.found += u32::from(rotation_rad <= ROTATION_TOLERANCE_RAD * (1.0 + 1e-9));
    }
}

fn anywhere<const N: usize>(limits: &Limits<N>, rng: &mut impl Rng) -> JointPositions<N> {
    limits
        .joints()
        .map(|joint| rng.random_range(joint.lower..joint.upper))
        .into()
}

/// A goal that the task allows, base frame.
fn straight_down<const N: usize>(launch: &Launch<N>, rng: &mut impl Rng) -> Isometry3<f64> {
    let task = &launch.task;
    let (low, high) = (task.goal_low_m, task.goal_high_m);
    let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    let tcp = TcpPose {
        position_m: Vector3::from_fn(|axis, _| between(low[axis], high[axis])),
        yaw_rad: between(-task.goal_yaw_max_rad, task.goal_yaw_max_rad),
    };
    pose::tool_pose(&launch.T_base_task(), &tcp)
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "task          {}", self.task)?;
        writeln!(
            f,
            "found         {} of {} = {:.3} %",
            self.found,
            self.poses,
            100.0 * self.found_share
        )?;
        writeln!(f, "time          {}", self.solve_us)?;
        let down = &self.straight_down;
        let Quantiles { p50, p99, max, .. } = down.rotation_error_rad;
        writeln!(
            f,
            "straight down {:.3} % with the rotation, {:.3} % with the position",
            100.0 * down.found_share,
            100.0 * down.position_found_share
        )?;
        writeln!(
            f,
            "  turned off  {p50:.1e} rad median, {p99:.1e} 99 %, {max:.1e} at most"
        )?;
        writeln!(f, "  time        {}", down.solve_us)
    }
}
