//! The command line: what may be asked, and the help that teaches it.
//!
//! Not responsible for doing any of it ([`crate::main`] dispatches) nor for the launch file ([`crate::config`]).

mod bench;
mod calibration;
mod datasets;
mod emulate;
mod eval;
#[cfg(feature = "fleet")]
mod fleet;
mod fuzz;
mod lint;
mod live;
mod look;
mod mend;
mod replay;
#[cfg(feature = "sim")]
mod simulate;
mod verify;

pub use bench::*;
pub use calibration::ImportCalibrationArgs;
pub use datasets::{
    ExportCommand, ExportLerobotArgs, ExportParquetArgs, ImportCommand, ImportLerobotArgs,
};
pub use emulate::EmulateArgs;
#[cfg(feature = "sim")]
pub use eval::Share;
pub use eval::{BinArgs, CollectArgs, EvalArgs};
#[cfg(feature = "fleet")]
pub use fleet::{CollectFleetArgs, ForwardArgs, Output};
pub use fuzz::FuzzArgs;
pub use lint::{BenchLintArgs, LintArgs};
pub use live::{DoctorArgs, RunArgs};
pub use look::{EpisodesArgs, LineageArgs, ShowArgs};
pub use mend::{RecoverArgs, TrimArgs};
pub use replay::ReplayArgs;
#[cfg(feature = "sim")]
pub use replay::Stage;
#[cfg(feature = "sim")]
pub use simulate::SimulateArgs;
pub use verify::VerifyArgs;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
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
    /// Bring in what others made: episodes of a data set, the calibration of an arm.
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
    use crate::policy::PolicyChoice;
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
            "import calibration a.json --out b.toml",
            "import calibration a.json --aperture-m 0,0.1",
            "import calibration a.json --out b.toml --aperture-m 0,x",
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
            eval::EVAL_EXAMPLES,
            eval::BIN_EXAMPLES,
            eval::COLLECT_EXAMPLES,
            datasets::EXPORT_LEROBOT_EXAMPLES,
            datasets::EXPORT_PARQUET_EXAMPLES,
            datasets::IMPORT_LEROBOT_EXAMPLES,
            replay::REPLAY_EXAMPLES,
            fuzz::FUZZ_EXAMPLES,
            emulate::EXAMPLES,
            calibration::EXAMPLES,
        ]
        .into_iter()
        .chain(bench::EXAMPLES);
        #[cfg(feature = "fleet")]
        let help = help.chain(fleet::EXAMPLES);
        #[cfg(feature = "sim")]
        let help = help.chain([simulate::SIMULATE_EXAMPLES]);
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
