//! What may be asked of a policy in simulated time: evaluation, bins, training data.
//!
//! Not responsible for simulating ([`crate::eval`], [`crate::bin`], [`crate::collect_sim`]).

use super::{ModeArgs, episodes, fraction, jobs, seed};
use crate::policy::PolicyChoice;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

pub const EVAL_EXAMPLES: &str = "\
Examples:
  visuomotor eval launch/robots/sim_iiwa14.toml --episodes 300 --seed 1 --jobs 2
  visuomotor eval launch/robots/sim_iiwa14.toml --perturb 0.5
      In half of the episodes somebody moves the target 5 cm while the tool approaches.
  visuomotor eval launch/robots/sim_iiwa14.toml --policy scripted --require 0.95
      Judge the scene by its privileged expert; exit code 1 below 95 %.
  visuomotor eval launch/robots/sim_iiwa14.toml --json - | jq .success_rate

Success: at the end both fingers hold an object whose lowest point is more than 7 cm above the tray's floor.
Failures, by what went wrong for good: faulted (a latched fault stopped the arm), never_closed, terminated_early (before
the fingers ever closed), closed_on_nothing (never held anything), dropped (held something, and lost it), held_too_low
(ended too early with an object in the fingers), timeout (the same, out of steps), object_out_of_reach.

Equal seeds give byte-identical actions, whatever --jobs. Evaluation scenes are never training scenes.
Exit code 1 when no episode succeeds, when the rate is below --require, or when it was interrupted.";

#[derive(Debug, Args)]
#[command(after_help = EVAL_EXAMPLES)]
pub struct EvalArgs {
    /// Launch file of a robot with a [scene]; a physical arm's driver runs too, with emulated drives.
    pub launch: PathBuf,
    /// Number of episodes.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = episodes())]
    pub episodes: u32,
    /// Seed of the first episode; the next ones count up from it.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Take the objects from the OBJ and STL meshes of this directory, scaled to the launch file's `mesh_size_m`.
    #[arg(long, value_name = "DIR")]
    pub objects: Option<PathBuf>,
    /// Share of the episodes, from 0 to 1, in which the target is moved 5 cm during the approach.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = fraction)]
    pub perturb: f64,
    /// Processes to share the episodes.
    #[arg(long, value_name = "J", default_value_t = 1, value_parser = jobs())]
    pub jobs: u32,
    #[command(flatten)]
    pub mode: ModeArgs,
    /// Record every episode as an MCAP file in this directory.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write an animated GIF of every episode to this directory.
    #[arg(long, value_name = "DIR")]
    pub video: Option<PathBuf>,
    /// Contact sheet of the failures [default: failures.png beside the videos, records or episodes].
    #[arg(long, value_name = "PNG")]
    pub sheet: Option<PathBuf>,
    /// Policy instead of the launch file's: a manifest, `scripted` (privileged) or `weak`.
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PolicyChoice>,
    /// Fall short (exit code 1) below this success rate, from 0 to 1.
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = fraction)]
    pub require: f64,
    /// Whose objects: those of training, of validation or of the test.
    #[arg(long, value_enum, default_value_t = SplitChoice::Test)]
    pub split: SplitChoice,
    #[command(flatten)]
    pub worker: WorkerArgs,
}

pub const BIN_EXAMPLES: &str = "\
Examples:
  visuomotor bin launch/robots/sim_iiwa14.toml
      Five bins of 30 objects that the policy has never seen, 30 picks each.
  visuomotor bin launch/robots/sim_iiwa14.toml --repeats 20 --json - | jq .first_30

The protocol of QT-Opt (Kalashnikov et al. 2018, section 5): every pick is an episode, a grasped object is taken away,
all others stay where they end up. Success rates are those of the first 10, 20 and 30 picks of all bins together.
Exit code 1 when no pick succeeds or when it was interrupted.";

#[derive(Debug, Args)]
#[command(after_help = BIN_EXAMPLES)]
pub struct BinArgs {
    /// Launch file of a simulated robot.
    pub launch: PathBuf,
    /// Objects in each bin.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = episodes())]
    pub objects_in_bin: u32,
    /// Number of bins.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = episodes())]
    pub repeats: u32,
    /// Picks in each bin; fewer when nothing is left in it.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = episodes())]
    pub picks: u32,
    /// Height of the bin's walls, m: lower ones lose objects, taller ones stop the palm.
    #[arg(long, value_name = "M", default_value_t = 0.06)]
    pub wall_height_m: f64,
    /// Seed of the first bin; the next ones count up from it.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Policy instead of the launch file's: a manifest, `scripted` (privileged) or `weak`.
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PolicyChoice>,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub const COLLECT_EXAMPLES: &str = "\
Examples:
  visuomotor collect-sim launch/robots/sim_iiwa14.toml --policy weak --episodes 10000 --seed 1 --out data/
      Weak scripted experience to warm-start from.
  visuomotor collect-sim launch/robots/sim_iiwa14.toml --policy policies/models/qtopt.toml \\
      --episodes 2000 --seed 50001 --explore 0,0.1,0.3 --out data/
      On-policy experience; the episodes take turns with the three levels of exploration.

Each shard is a directory of NumPy arrays, renamed into place when it is whole.";

#[derive(Debug, Args)]
#[command(after_help = COLLECT_EXAMPLES)]
pub struct CollectArgs {
    /// Launch file of a simulated robot.
    pub launch: PathBuf,
    /// Who acts: `weak`, `scripted` or a manifest [default: the launch file's policy].
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PolicyChoice>,
    /// Number of episodes.
    #[arg(long, value_name = "N", value_parser = episodes())]
    pub episodes: u32,
    /// Seed of the first episode; the next ones count up from it.
    #[arg(long, value_name = "S", value_parser = seed())]
    pub seed: u64,
    /// Directory for the shards.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Probabilities, from 0 to 1, of a random action; episodes take turns with them.
    #[arg(long, value_name = "LEVELS", default_value = "0", value_delimiter = ',', value_parser = fraction)]
    pub explore: Vec<f64>,
    /// Whose objects: those of training, of validation or of the test.
    #[arg(long, value_enum, default_value_t = SplitChoice::Train)]
    pub split: SplitChoice,
    /// Processes to share the episodes.
    #[arg(long, value_name = "J", default_value_t = 1, value_parser = jobs())]
    pub jobs: u32,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// How a process tells its children which share of the episodes is theirs.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[arg(long = "worker", value_name = "FIRST:COUNT", hide = true)]
    pub share: Option<Share>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitChoice {
    Train,
    Validation,
    Test,
}

#[cfg(feature = "sim")]
impl From<SplitChoice> for visuomotor_drivers::sim::Split {
    fn from(choice: SplitChoice) -> Self {
        match choice {
            SplitChoice::Train => Self::Train,
            SplitChoice::Validation => Self::Validation,
            SplitChoice::Test => Self::Test,
        }
    }
}

/// Consecutive episode seeds: `first`, `first + 1`, … .
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub first: u64,
    pub count: u32,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').ok_or("expected FIRST:COUNT")?;
        let first = parts.0.parse().map_err(|e| format!("{e}"))?;
        let count = parts.1.parse().map_err(|e| format!("{e}"))?;
        Ok(Self { first, count })
    }
}
