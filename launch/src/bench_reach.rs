//! `visuomotor bench reach`: how much longer than necessary a motion takes through the safety filter, and whether an arm
//! that is held against a limit rests there.
//!
//! Motions lead from rest to rest between random joint positions that hold the tool in its workspace. Nothing that keeps
//! the joints' limits takes less time than the slowest joint by itself, which is the bound. It knows nothing of the tool,
//! and such a motion leaves workspace and speed limits on its way, so the filter is free of those; only the motions that
//! are drawn to keep them meet all limits. Not responsible for whether limits hold ([`crate::fuzz`]).

mod chatter;
mod course;
mod reference;

use crate::cli::BenchReachArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::nearest_rank;
use chatter::Chatter;
use course::{Course, Keeps};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::fmt;

/// The aim: time to reach, divided by the bound.
const RATIO_MAX: f64 = 1.15;
/// Less than this is rounding: a millionth of what the joints may do.
const CHATTER_MAX_RAD_PER_S3: f64 = 1e-3;

/// Its field names are those of `bench reach --json`.
#[derive(Debug, Serialize)]
struct Findings {
    motions: u32,
    /// Whoever asks knows the fastest motion, and corrects what is left of errors.
    ratio: Ratio,
    /// Whoever asks knows the goal, and nothing of any limit.
    crude_ratio: Ratio,
    /// As the first, with all limits, for as many motions that keep the tool's too.
    all_limits_ratio: Ratio,
    chatter_rad_per_s3: Chatter,
}

/// Nearest ranks; 0 for no motions.
#[derive(Debug, Serialize)]
struct Ratio {
    p50: f64,
    p99: f64,
    max: f64,
    share_within_1_15: f64,
}

impl Ratio {
    fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let at = |share| nearest_rank(&ratios, share);
        let within = ratios.iter().filter(|ratio| **ratio <= RATIO_MAX).count();
        Self {
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
            share_within_1_15: within as f64 / ratios.len().max(1) as f64,
        }
    }
}

pub fn run(args: &BenchReachArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(args.seed);
    let (mut follow, mut rush, mut within) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.motions {
        let course = Course::draw(&launch, &mut rng)?;
        follow.push(course.ratio(Keeps::Joints, &|state, now_s| course.follow(state, now_s))?);
        rush.push(course.ratio(Keeps::Joints, &|state, _| course.rush(state))?);
        let course = Course::draw_within_all_limits(&launch, &mut rng)?;
        within.push(course.ratio(Keeps::Everything, &|state, now_s| {
            course.follow(state, now_s)
        })?);
    }
    let findings = Findings {
        motions: args.motions,
        ratio: Ratio::of(follow),
        crude_ratio: Ratio::of(rush),
        all_limits_ratio: Ratio::of(within),
        chatter_rad_per_s3: Chatter::measure(&launch, &mut rng)?,
    };
    output::report(&findings, &findings, args.json.as_deref())?;
    let rests = findings.chatter_rad_per_s3.max() <= CHATTER_MAX_RAD_PER_S3;
    Ok(if rests && findings.ratio.max <= RATIO_MAX {
        Grade::Good
    } else {
        Grade::Short
    })
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, ratio) in [
            ("reference", &self.ratio),
            ("crude", &self.crude_ratio),
            ("all limits", &self.all_limits_ratio),
        ] {
            let Ratio {
                p50,
                p99,
                max,
                share_within_1_15,
            } = ratio;
            let percent = 100.0 * share_within_1_15;
            writeln!(
                f,
                "{name:13} {p50:.3} x the bound in the median, {p99:.3} x 99 %, {max:.3} x at most; {percent:.1} % within {RATIO_MAX} x"
            )?;
        }
        let Chatter {
            joint,
            workspace,
            table,
        } = self.chatter_rad_per_s3;
        writeln!(
            f,
            "chatter       {joint:.0e} rad/s3 at joint limits, {workspace:.0e} at the workspace's borders, {table:.0e} at the table"
        )
    }
}
