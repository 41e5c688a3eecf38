//! `visuomotor bench tick`: what the control thread's own work costs, in CPU time of one thread.
//!
//! A tick is everything between reading the arm and writing to it: reference, inverse kinematics, steering, certificate.
//! Not responsible for reading and writing, nor for waking up in time: `run --stats` measures those.

use crate::allocations;
use crate::any_arm::{self, AnyArm};
use crate::cli::BenchTickArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::{Quantiles, timed};
use crate::wiring;
use nalgebra::{SMatrix, SVector, Vector3};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::fmt;
use std::hint::black_box;
use std::path::Path;
use visuomotor_runtime::action::{Action, ActionScale, Verb};
use visuomotor_runtime::arm::ArmState;
use visuomotor_runtime::clock::{Duration, Instant, Tick};
use visuomotor_runtime::controller::{Controller, Inputs, Request};
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::safety::qp::{ActiveSet, Problem, Row};
use visuomotor_runtime::safety::{OperatingMode, Verdict};
use visuomotor_runtime::setpoint::Setpoint;
use visuomotor_runtime::units::{JointPositions, JointTorques, JointVelocities};

/// Poses whose kinematics are computed, one after the other, and how often that is done.
const POSES: u32 = 1_000;
const BATCHES: u32 = 200;
const PLANS: u32 = 5_000;
const PROGRAMS: u32 = 5_000;
/// Each program is solved so many times in a row: one solution is too short for the clock.
const REPEATS: u32 = 8;
/// Rows of a program beside its box.
const ROWS: usize = 7;

/// Its field names are those of `bench tick --json`.
#[derive(Debug, Serialize)]
struct Findings {
    fk_jacobian_ns: f64,
    qp_us: Quantiles,
    /// A new plan of the reference from its moving state.
    plan_us: Quantiles,
    tick_us: Quantiles,
    ticks: u64,
    /// Calls of the allocator in all ticks together.
    allocations: u64,
}

pub fn run(args: &BenchTickArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    any_arm::run(args, &args.launch)
}

impl AnyArm for BenchTickArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let (tick_us, allocations) = ticks(launch, self.ticks, &mut rng)?;
        let programs: Vec<_> = (0..PROGRAMS).map(|_| program(launch, &mut rng)).collect();
        if let Some(path) = &self.programs {
            write_programs(&programs, path)?;
        }
        let findings = Findings {
            fk_jacobian_ns: kinematics_ns(launch, &mut rng),
            qp_us: programs_us(&programs),
            plan_us: plans_us(launch, &mut rng)?,
            tick_us,
            ticks: self.ticks,
            allocations,
        };
        output::report(&findings, &findings, self.json.as_deref())?;
        Ok(if findings.allocations == 0 {
            Grade::Good
        } else {
            Grade::Short
        })
    }
}

/// CPU time of each tick while random actions of full scale arrive at the policy's rate, and the allocator's calls. The
/// arm follows at once.
fn ticks<const N: usize>(
    launch: &Launch<N>,
    ticks: u64,
    rng: &mut impl Rng,
) -> Result<(Quantiles, u64), CommandError> {
    let start = wiring::draw_start(launch, rng);
    let q = wiring::start_joints(launch, &start, rng).map_err(CommandError::input)?;
    let mut controller =
        wiring::controller(launch, OperatingMode::default()).map_err(CommandError::input)?;
    let period = launch.control_period();
    let between = (launch.action_period().as_ticks() / period.as_ticks()).max(1);
    let mut arm = ArmState {
        sampled_at: Instant::from_ticks(0),
        q,
        dq: JointVelocities::zeros(),
        tau: JointTorques::zeros(),
        aperture_m: 0.0,
    };
    let mut now = Instant::from_ticks(0);
    let mut times = Vec::with_capacity(ticks as usize);
    let mut calls = 0;
    for tick in 0..ticks {
        now += period;
        arm.sampled_at = now;
        let inputs = Inputs {
            arm: Ok(arm),
            write_error: None,
            decision: (tick > 0 && tick.is_multiple_of(between))
                .then(|| random_decision(&launch.action, now, (tick / between) as u32, rng)),
            request: (tick == 1).then_some(Request::StartPolicy),
        };
        let ((verdict, time), counted) =
            allocations::count(|| timed(|| step(&mut controller, now, inputs)));
        times.push(time);
        calls += counted;
        if let Verdict::Move(command) = verdict {
            (arm.q, arm.dq) = (*command.q(), *command.dq());
        }
    }
    Ok((Quantiles::of(times), calls))
}

fn step<const N: usize>(
    controller: &mut Controller<N>,
    due: Instant,
    inputs: Inputs<N>,
) -> Verdict<N> {
    let tick = Tick {
        due,
        jitter: Duration::ZERO,
        missed: 0,
    };
    controller.step(tick, inputs).verdict
}

/// Anything within the scale, asked by who looked at a frame of `now`.
pub fn random_decision(
    scale: &ActionScale,
    now: Instant,
    step: u32,
    rng: &mut impl Rng,
) -> Decision {
    let mut part = |scale: f64| scale * (2.0 * rng.random::<f64>() - 1.0);
    Decision {
        action: Action {
            translation_m: Vector3::new(part(scale.xy_m), part(scale.xy_m), part(scale.z_m)),
            yaw_rad: part(scale.yaw_rad),
            verb: Verb::Move,
        },
        q_value: f64::NAN,
        frame_captured_at: now,
        step,
    }
}

/// Time of forward kinematics and Jacobian together: the median of batches, which one interruption does not change.
fn kinematics_ns<const N: usize>(launch: &Launch<N>, rng: &mut impl Rng) -> f64 {
    let joints = launch.limits.joints();
    let poses: Vec<JointPositions<N>> = (0..POSES)
        .map(|_| std::array::from_fn(|i| rng.random_range(joints[i].lower..joints[i].upper)).into())
        .collect();
    let batches = (0..BATCHES).map(|_| {
        let (_, us) = timed(|| {
            for q in &poses {
                black_box(launch.chain.jacobian(black_box(q)));
            }
        });
        us * 1e3 / f64::from(POSES)
    });
    Quantiles::of(batches.collect()).p50
}

/// A random program of the size and kind that steering solves.
fn program<const N: usize>(launch: &Launch<N>, rng: &mut impl Rng) -> Problem<N, ROWS> {
    let joints = launch.limits.joints();
    let q = std::array::from_fn(|i| rng.random_range(joints[i].lower..joints[i].upper));
    let j = launch.chain.jacobian(&q.into()).1;
    let hessian = j.transpose() * j + SMatrix::identity() * 1e-4;
    let wanted = SVector::from_fn(|i, _| joints[i].dddq_max * rng.random_range(-3.0..3.0));
    let mut program = Problem::new(hessian, -(hessian * wanted));
    for (i, joint) in joints.iter().enumerate() {
        (program.lower[i], program.upper[i]) = (-joint.dddq_max, joint.dddq_max);
    }
    for row in 0..ROWS {
        let normal = SVector::<f64, 6>::ith(row % 3, if row < 3 { 1.0 } else { -1.0 });
        let row = Row {
            a: j.tr_mul(&normal),
            bound: rng.random_range(-500.0..2000.0),
            softness: 1e-4,
        };
        // There is room for all of them.
        let _ = program.push(row);
    }
    program
}

/// Each from nothing.
fn programs_us<const N: usize>(programs: &[Problem<N, ROWS>]) -> Quantiles {
    let times = programs.iter().map(|program| {
        let (_, us) = timed(|| {
            for _ in 0..REPEATS {
                black_box(black_box(program).solve(&ActiveSet::default()));
            }
        });
        us / f64::from(REPEATS)
    });
    Quantiles::of(times.collect())
}

/// Of the reference, at the policy's rate.
fn plans_us<const N: usize>(
    launch: &Launch<N>,
    rng: &mut impl Rng,
) -> Result<Quantiles, CommandError> {
    let mut setpoint = Setpoint::new(launch.setpoint);
    let mut now = Instant::from_ticks(0);
    let mut times = Vec::new();
    for _ in 0..PLANS {
        now += launch.action_period();
        let goal = wiring::draw_start(launch, rng);
        let (planned, us) = timed(|| setpoint.retarget(now, goal));
        planned.map_err(CommandError::failed)?;
        times.push(us);
    }
    Ok(Quantiles::of(times))
}

/// For other solvers: an array of programs with their answers, matrices row by row.
fn write_programs<const N: usize>(
    programs: &[Problem<N, ROWS>],
    path: &Path,
) -> Result<(), CommandError> {
    let programs: Vec<_> = programs
        .iter()
        .map(|program| {
            let rows = program.rows();
            serde_json::json!({
                "hessian": program.hessian.transpose().as_slice(),
                "gradient": program.gradient.as_slice(),
                "lower": program.lower.as_slice(),
                "upper": program.upper.as_slice(),
                "rows": rows.iter().map(|row| row.a.as_slice()).collect::<Vec<_>>(),
                "bounds": rows.iter().map(|row| row.bound).collect::<Vec<_>>(),
                "softness": rows.iter().map(|row| row.softness).collect::<Vec<_>>(),
                "answer": program.solve(&ActiveSet::default()).x.as_slice(),
            })
        })
        .collect();
    let bytes = serde_json::to_vec(&programs).map_err(CommandError::failed)?;
    std::fs::write(path, bytes)
        .map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "kinematics    {:.0} ns for a pose and its Jacobian",
            self.fk_jacobian_ns
        )?;
        for (name, times) in [
            ("program", &self.qp_us),
            ("plan", &self.plan_us),
            ("tick", &self.tick_us),
        ] {
            writeln!(f, "{name:13} {times}")?;
        }
        writeln!(
            f,
            "allocations   {} in {} ticks",
            self.allocations, self.ticks
        )
    }
}
