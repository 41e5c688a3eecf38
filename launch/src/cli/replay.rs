//! What may be asked of a recorded episode's actions and inputs once more.
//!
//! Not responsible for repeating them ([`crate::replay`], [`crate::replay_on`]).

use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub const REPLAY_EXAMPLES: &str = "\
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
