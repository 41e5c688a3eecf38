//! What may be asked when recorded episodes are put to the proof.
//!
//! Not responsible for doing it ([`crate::verify`]).

use clap::Args;
use std::path::PathBuf;

pub const VERIFY_EXAMPLES: &str = "\
Examples:
  visuomotor verify launch/golden
      Would today's controller and policy do the same? Exit code 1 when not: for every commit.
  visuomotor verify episodes/ --launch launch/robots/sim_iiwa14.toml --json - | jq '.episodes[].explained_by'
  visuomotor verify episodes/ --recorded
      With the launch file inside each episode: only the code is today's.

Every tick's recorded inputs go to the controller, which has to answer bit for bit; the very pixels that the policy looked at
go to today's checkpoint, which has to decide the same, up to 1e-5 that another processor may round away. What of the lineage
is another today (limits, controller settings, robot description, solver, camera, checkpoint, policy manifest, policy
settings, schema, code) is listed, and what explains a difference is named. Today's robot is the launch file at the path where
the episode was recorded with it; where that is gone, the one inside.

JSON: episodes [{episode, verdict (identical, differs, incomplete, unverifiable), launch, controller {ticks, skipped,
first_difference {tick, field, recorded, replayed, magnitude}}, policy {decisions, identical, difference_max,
first_difference {step, field, recorded, today, magnitude}, not_verified}, changed [{entry, part, recorded, today}],
explained_by, problem}], identical, differing, incomplete, unverifiable. Exit code 1 unless all are identical.";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArgs {
    /// Episodes, and directories of them.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Today's robot, whatever the episodes say.
    #[arg(long, value_name = "LAUNCH")]
    pub launch: Option<PathBuf>,
    /// The robot that each episode has inside.
    #[arg(long, conflicts_with = "launch")]
    pub recorded: bool,
    /// Today's policy, whatever the episodes say.
    #[arg(long, value_name = "MANIFEST")]
    pub policy: Option<PathBuf>,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
