//! `visuomotor bench ik`: how often the position solver finds joint positions for a reachable tool pose, and how fast.
//!
//! Poses are those of random joint positions within the limits, so every one of them can be reached; the solver starts
//! from other random positions. An answer counts when forward kinematics confirm it within the solver's tolerances.

use crate::any_arm::{self, AnyArm};
use crate::cli::BenchIkArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::{Quantiles, timed};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::fmt;
use visuomotor_runtime::kinematics::ik::{self, POSITION_TOLERANCE_M, ROTATION_TOLERANCE_RAD};
use visuomotor_runtime::safety::Limits;
use visuomotor_runtime::units::JointPositions;

/// Attempts from random positions after the first: they bound the time.
const RESTARTS: u32 = 100;
/// Below this share the command says that it fell short.
const FOUND_MIN: f64 = 0.999;

/// Its field names are those of `bench ik --json`.
#[derive(Debug, Serialize)]
struct Findings {
    poses: u32,
    found: u32,
    found_share: f64,
    /// Of all poses, those that were not found included.
    solve_us: Quantiles,
}

pub fn run(args: &BenchIkArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    any_arm::run(args, &args.launch)
}

impl AnyArm for BenchIkArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let limits = launch.limits.of_chain(&launch.chain);
        let (mut found, mut times) = (0, Vec::new());
        for _ in 0..self.poses {
            let goal = launch.chain.fk(&anywhere(&launch.limits, &mut rng));
            let seed = anywhere(&launch.limits, &mut rng);
            let (answer, us) =
                timed(|| ik::solve_pose(&launch.chain, &goal, &seed, &limits, &mut rng, RESTARTS));
            times.push(us);
            let good = answer.is_ok_and(|found| {
                let q = found.q;
                let error = goal.inverse() * launch.chain.fk(&q);
                let within = launch.limits.joints().iter().enumerate();
                error.translation.vector.norm() <= POSITION_TOLERANCE_M * (1.0 + 1e-9)
                    && error.rotation.angle() <= ROTATION_TOLERANCE_RAD * (1.0 + 1e-9)
                    && within
                        .into_iter()
                        .all(|(i, joint)| (joint.lower..=joint.upper).contains(&q[i]))
            });
            found += u32::from(good);
        }
        let findings = Findings {
            poses: self.poses,
            found,
            found_share: f64::from(found) / f64::from(self.poses),
            solve_us: Quantiles::of(times),
        };
        output::report(&findings, &findings, self.json.as_deref())?;
        Ok(if findings.found_share >= FOUND_MIN {
            Grade::Good
        } else {
            Grade::Short
        })
    }
}

fn anywhere<const N: usize>(limits: &Limits<N>, rng: &mut impl Rng) -> JointPositions<N> {
    limits
        .joints()
        .map(|joint| rng.random_range(joint.lower..joint.upper))
        .into()
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "found         {} of {} = {:.3} %",
            self.found,
            self.poses,
            100.0 * self.found_share
        )?;
        writeln!(f, "time          {}", self.solve_us)
    }
}
