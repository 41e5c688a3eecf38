//! The command line: what may be asked, and the help that teaches it.
//!
//! Not responsible for doing any of it ([`crate::main`] dispatches) nor for the launch file ([`crate::config`]).

mod bench;
mod datasets;
mod emulate;
#[cfg(feature = "fleet")]
mod fleet;
mod lint;
mod live;
mod look;
mod mend;
mod verify;

pub use bench::*;
pub use datasets::{
    ExportCommand, ExportLerobotArgs, ExportParquetArgs, ImportCommand, ImportLerobotArgs,
};
pub use emulate::EmulateArgs;
#[cfg(feature = "fleet")]
pub use fleet::{CollectFleetArgs, ForwardArgs, Output};
pub use lint::{BenchLintArgs, LintArgs};
pub use live::{DoctorArgs, RunArgs};
pub use look::{EpisodesArgs, LineageArgs, ShowArgs};
pub use mend::{RecoverArgs, TrimArgs};
pub use verify::VerifyArgs;

use crate::policy::PolicyChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use visuomotor_runtime::safety::OperatingMode;

const EXAMPLES: &str = "\
Examples:
  visuomotor eval launch/robots/sim_iiwa14.toml --episodes 300 --seed 1 --jobs 2
      Success rate on 300 scenes that the policy has never seen, as fast as possible.
  visuomotor eval launch/robots/sim_iiwa14.toml --episodes 50 --objects my_meshes/ --video videos/
      The same on your own OBJ or STL meshes, with a GIF of every episode.
  visuomotor policy check policies/models/qtopt.toml
      Does this policy load, and does it still answer as it did when it was trained?

Exit codes: 0 good, 1 ran but fell short, 2 bad input.
Diagnostics go to standard error; RUST_LOG=debug (or visuomotor=trace) shows more of them.";

/// Closed-loop grasping with a learned policy: camera and encoders in, safe joint commands out, every tick recorded.
#[derive(Debug, Parser)]
#[command(name = "visuomotor", version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the policy on the arm of a launch file, in real time, and record every episode.
    Run(RunArgs),
    /// Can this machine run a control loop on time, and are the robot's devices well? What is missing, and what mends it.
    Doctor(DoctorArgs),
    /// Serve emulated drives on a pseudo terminal or a CAN bus: a robot to try a driver on.
    Emulate(EmulateArgs),
    /// Measure a policy's success rate in simulated time.
    Eval(EvalArgs),
    /// Measure how far a policy empties bins of many objects, one pick after the other, in simulated time.
    Bin(BinArgs),
    /// Simulate episodes and keep them as training data.
    CollectSim(CollectArgs),
    /// Send the episodes of a robot's directory to a collector, until it has each of them.
    #[cfg(feature = "fleet")]
    Forward(ForwardArgs),
    /// Collect the episodes of any number of robots, each once.
    #[cfg(feature = "fleet")]
    Collect(CollectFleetArgs),
    /// Simulate the whole system by seed, with faults, and check every tick.
    #[cfg(feature = "sim")]
    Simulate(SimulateArgs),
    /// Feed a recorded episode to the controller and demand the same answers, bit for bit.
    Replay(ReplayArgs),
    /// Make a data set of recorded episodes.
    #[command(subcommand)]
    Export(ExportCommand),
    /// Make episodes of a data set.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Put recorded episodes through today's controller and policy, and name what explains a difference.
    Verify(VerifyArgs),
    /// Make an episode of what a killed program left behind, or of what damage has spared.
    Recover(RecoverArgs),
    /// Cut the ends in which nothing moves off an episode, into one that names its parent.
    Trim(TrimArgs),
    /// Look at a recorded episode: one page with everything along one time line.
    Show(ShowArgs),
    /// List recorded episodes: how they ended, what went missing, whether they are whole.
    Episodes(EpisodesArgs),
    /// Where episodes, data sets and checkpoints come from, and what must not be mixed.
    Lineage(LineageArgs),
    /// What is wrong with recorded episodes, before anybody trains on them.
    Lint(LintArgs),
    /// Inspect policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Attack the safety filter with requests that know no mercy, and measure what got through.
    FuzzSafety(FuzzArgs),
    /// Measure what the runtime's own work costs.
    #[command(subcommand)]
    Bench(BenchCommand),
}

const EVAL_EXAMPLES: &str = "\
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
    /// Launch file of a simulated robot.
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

const BIN_EXAMPLES: &str = "\
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

const COLLECT_EXAMPLES: &str = "\
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

const SIMULATE_EXAMPLES: &str = "\
Examples:
  visuomotor simulate --seeds 0..1000 --faults all --jobs 2
  visuomotor simulate --seeds 17..18 --faults camera-stall,drive-fault
      Each simulation draws one or two faults from these kinds.
  visuomotor simulate --seeds 17..18 --faults camera-stall@1200+400:7
      Exactly this fault: after 1200 ms, for 400 ms, with the number 7, from which sizes and joints follow.

Every simulation is a function of its seed and its faults. A failure prints the command that repeats it, with the fewest
and shortest faults that were found to fail alike. A kind that does not exist is answered with the names of all.

JSON: seeds, failures [{seed, checker, tick, what, plan, replay (a command)}], faults_injected (simulations in which each
kind happened), dropped_uncounted (records neither in a file nor counted as lost), ticks, realtime_factor. Exit code 1
when a seed fails.";

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_EXAMPLES)]
pub struct SimulateArgs {
    /// Launch file of a simulated robot.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// Seeds from A up to, and without, B.
    #[arg(long, value_name = "A..B", default_value = "0..100")]
    pub seeds: Seeds,
    /// `all`, `none`, kinds, or exactly planned faults; separated by commas.
    #[arg(long, value_name = "FAULTS", default_value = "all")]
    pub faults: crate::simulate::plan::Choice,
    /// Write the episode of every simulation to this directory.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Begin no new seed after so many have failed; a failure takes some time to be made small.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = episodes())]
    pub max_failures: u32,
    /// Plant this bug first: the simulation must find it.
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "BUG", value_parser = bug)]
    pub plant: Option<visuomotor_runtime::planted::Bug>,
    /// Threads that share the seeds.
    #[arg(long, value_name = "J", default_value_t = 1, value_parser = jobs())]
    pub jobs: u32,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[cfg(feature = "planted-bugs")]
fn bug(name: &str) -> Result<visuomotor_runtime::planted::Bug, String> {
    use visuomotor_runtime::planted::Bug;
    let found = Bug::ALL.iter().find(|bug| bug.name() == name);
    let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    found
        .copied()
        .ok_or_else(|| format!("one of {}", names.join(", ")))
}

/// A range of seeds, `A..B`.
#[derive(Clone, Debug)]
pub struct Seeds(pub std::ops::Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = text.split_once("..");
        let ends = ends.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match ends {
            Some((start, end)) if start < end => Ok(Self(start..end)),
            _ => Err("seeds are A..B with A below B, such as 0..1000".into()),
        }
    }
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  visuomotor replay episodes/1763662800-1.mcap
  visuomotor replay episodes/1763662800-1.mcap --json - | jq .identical
  visuomotor replay episodes/1763662800-1.mcap --on sim
      Its actions once more, open loop, in simulated time: does it end as it did? Ask that before anything is trained on it.
  visuomotor replay episodes/1763662800-1.mcap --on robot --launch launch/robots/sim_iiwa14.toml
      The same on the arm of a launch file, at reduced speed, and only from where the recorded episode began.

Everything that a tick depended on is in the episode, the launch file and the robot description too. Exit code 1 when a
tick differs, or when records are missing; JSON: ticks, identical, first_difference {tick, field, recorded, replayed},
skipped (ticks before the controller's state is known), damage (why the file ends early), lost_steps, recorded_by (version and
commit), replayed_by. With --on: actions, recorded_success, replayed_success, replayed_class (as of `visuomotor eval`), repeats,
path_difference_m_max; exit code 1 when the outcome does not repeat.";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// The recorded episode, an MCAP file.
    pub episode: PathBuf,
    /// Repeat its actions here instead of feeding its inputs to the controller.
    #[arg(long, value_enum, value_name = "WHERE")]
    pub on: Option<Stage>,
    /// The arm, instead of the recorded one.
    #[arg(long, value_name = "LAUNCH", requires = "on")]
    pub launch: Option<PathBuf>,
    /// On a robot: not at reduced speed. Only after it has repeated so.
    #[arg(long, requires = "on")]
    pub full_speed: bool,
    /// On a robot: directory for the record of the repetition instead of the launch file's.
    #[arg(long, value_name = "DIR", requires = "on")]
    pub record: Option<PathBuf>,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Where recorded actions are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// In simulated time.
    Sim,
    /// On the arm of the launch file, in real time.
    Robot,
}

/// Who may be near the arm.
#[derive(Debug, Args)]
pub struct ModeArgs {
    /// Manual mode: the arm keeps reduced speed, 250 mm/s, whatever the launch file allows.
    #[arg(long)]
    pub manual: bool,
}

impl ModeArgs {
    pub fn chosen(&self) -> OperatingMode {
        if self.manual {
            OperatingMode::Manual
        } else {
            OperatingMode::Automatic
        }
    }
}

/// How a process tells its children which share of the episodes is theirs.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[arg(long = "worker", value_name = "FIRST:COUNT", hide = true)]
    pub share: Option<Share>,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Load a policy as a robot would: shapes, hashes, opset, self-test. Says what it is, or why it refuses.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The policy's manifest.
    pub model: PathBuf,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const FUZZ_EXAMPLES: &str = "\
Examples:
  visuomotor fuzz-safety
      A short attack on the simulated arm's limits.
  visuomotor fuzz-safety --joint-ticks 1000000000 --arm-ticks 10000000 --seed 1 --json -
      The figure of a release.

Below 0 means that the limit was never reached. `borders` are workspace, table, planes and boxes; `capsules` are the arm
against itself; `benign` is the share of ticks on which an ordinary reachable task met a stop.

The JSON has joint_ticks, arm_ticks, late_ticks (ticks that were left out on purpose), stops (inputs that were cut on
purpose, to see whether the arm comes to rest), violations and fallback_share_benign (0 to 1); max_excess and
near_limit_ticks by limit: q, dq, ddq, dddq (rad and seconds), tcp_speed (m/s), tcp_rotation (rad/s), plane_m (borders),
capsule_m, and capsule_speed (m/s, in manual mode). max_excess is null where there is no such limit or no ticks.

Exit code 1 when a limit was exceeded.";

#[derive(Debug, Args)]
#[command(after_help = FUZZ_EXAMPLES)]
pub struct FuzzArgs {
    /// Launch file whose arm and limits are attacked.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// Ticks of single joints, with the whole arm free to move.
    #[arg(long, value_name = "N", default_value_t = 7_000_000)]
    pub joint_ticks: u64,
    /// Ticks of the whole arm in its workspace.
    #[arg(long, value_name = "M", default_value_t = 200_000)]
    pub arm_ticks: u64,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
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

/// Small enough that counting up never overflows, and that JSON readers keep it exact.
fn seed() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..1 << 52)
}

fn episodes() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

fn jobs() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=256)
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if (0.0..=1e6).contains(&value) {
        Ok(value)
    } else {
        Err("expected 0 to 1000000".to_owned())
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err("expected 0 to 1".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bad_arguments_are_refused() {
        for line in [
            "",
            "eval",
            "eval a.toml --episodes 0",
            "eval a.toml --perturb 1.5",
            "eval a.toml --perturb NaN",
            "eval a.toml --jobs 0",
            "eval a.toml --seed -1",
            "bin a.toml --picks 0",
            "eval a.toml --seed 18446744073709551615",
            "collect-sim a.toml --episodes 3 --seed 1",
            "collect-sim a.toml --episodes 3 --seed 1 --out d --explore 0,2",
            "eval a.toml --unknown",
            "policy check",
            "forward d",
            "forward d --robot ../a",
            "collect",
            "collect --out s3:///a",
            "collect --out d --episodes 0",
            "export lerobot a.mcap",
            "export lerobot --out d",
            "export lerobot a.mcap --out d --fps 0",
            "export parquet --out d",
            "import lerobot d",
            "lint",
            "bench lint a --episodes 0",
        ] {
            let words = std::iter::once("visuomotor").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn documented_lines_parse() {
        let help = [
            EXAMPLES,
            live::RUN_EXAMPLES,
            live::DOCTOR_EXAMPLES,
            mend::RECOVER_EXAMPLES,
            mend::TRIM_EXAMPLES,
            verify::VERIFY_EXAMPLES,
            look::SHOW_EXAMPLES,
            look::EPISODES_EXAMPLES,
            look::LINEAGE_EXAMPLES,
            lint::LINT_EXAMPLES,
            lint::BENCH_LINT_EXAMPLES,
            EVAL_EXAMPLES,
            BIN_EXAMPLES,
            COLLECT_EXAMPLES,
            datasets::EXPORT_LEROBOT_EXAMPLES,
            datasets::EXPORT_PARQUET_EXAMPLES,
            datasets::IMPORT_LEROBOT_EXAMPLES,
        ]
        .into_iter()
        .chain(bench::EXAMPLES);
        #[cfg(feature = "fleet")]
        let help = help.chain(fleet::EXAMPLES);
        let help: Vec<_> = help.collect();
        let help = help.join("\n").replace("\\\n", " ");
        let lines: Vec<_> = help
            .lines()
            .filter(|l| l.starts_with("  visuomotor "))
            .collect();
        assert!(lines.len() >= 11);
        for line in lines {
            let words = line.split('|').next().unwrap_or("").split_whitespace();
            Cli::try_parse_from(words).expect(line);
        }
    }

    #[test]
    fn levels_and_policies_are_read() {
        let line = "visuomotor collect-sim a.toml --policy weak --episodes 3 --seed 1 --out d --explore 0,0.25";
        let Command::CollectSim(args) = Cli::parse_from(line.split_whitespace()).command else {
            panic!("not collect-sim");
        };
        assert_eq!(
            (args.policy, args.explore),
            (Some(PolicyChoice::Weak), vec![0.0, 0.25])
        );
    }
}
