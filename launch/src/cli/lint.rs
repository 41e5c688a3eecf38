//! `visuomotor lint` and `visuomotor bench lint`: what may be asked about recorded episodes.
//!
//! Not responsible for judging them ([`visuomotor_data::lint`]).

use super::{episodes, seed};
use clap::Args;
use std::path::PathBuf;
use visuomotor_data::lint::KINDS;

pub const LINT_EXAMPLES: &str = "\
Examples:
  visuomotor lint episodes/
      Everything below the directory, also episodes that were left open.
  visuomotor lint episodes/ --json - | jq '.findings[] | select(.severity == \"error\") | .episode'

Episodes are compared with the launch file that they carry: its rates and watchdogs. Whether the camera moved is seen from
episode to episode of one robot and camera, in the order of the names.

JSON: episodes (their number), findings [{episode, kind, severity (error, warning, info), from_s, to_s (from the first
tick), and figures with their units at the end of their names}]. Exit code 1 when there are warnings or errors.

Kinds:
";

fn lint_help() -> String {
    format!("{LINT_EXAMPLES}{KINDS}")
}

#[derive(Debug, Args)]
#[command(after_help = lint_help())]
pub struct LintArgs {
    /// Episodes, and directories with episodes.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub const BENCH_LINT_EXAMPLES: &str = "\
Examples:
  visuomotor bench lint episodes/
  visuomotor bench lint episodes/ --episodes 200 --seed 2 --json -

Takes sound recordings, drawn again and again, plants one defect each into two thirds of them, writes them anew and lints
them. Kinds take turns; sizes are drawn, from near what is just harmless. A finding is right when the kind is the planted
one's and the spans, each 0.1 s longer at both ends, share half of the longer one. Every other warning or error is wrong, also
one that the recording itself deserves.

JSON: episodes, clean, precision, recall, kinds {name: {planted, found, findings, right}}, missed and wrong [{episode,
source, planted, kind, from_s, to_s}]. Exit code 1 when precision or recall is below 0.95.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_LINT_EXAMPLES)]
pub struct BenchLintArgs {
    /// Directory with sound recordings.
    pub recordings: PathBuf,
    /// Episodes to make and lint.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = episodes())]
    pub episodes: u32,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
