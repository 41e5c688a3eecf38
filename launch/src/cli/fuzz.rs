//! What may be asked of the attack on the safety filter.
//!
//! Not responsible for attacking ([`crate::fuzz`]).

use super::seed;
use clap::Args;
use std::path::PathBuf;

pub const FUZZ_EXAMPLES: &str = "\
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
