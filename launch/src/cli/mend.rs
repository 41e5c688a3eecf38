//! What may be asked of episodes that are not as they should be: recovered from what somebody left behind, or cut.
//!
//! Not responsible for doing it ([`crate::recover`], [`crate::trim`]).

use clap::Args;
use std::path::PathBuf;

pub const RECOVER_EXAMPLES: &str = "\
Examples:
  visuomotor recover episodes/1763662800-1.mcap.open --out rescued/1763662800-1.mcap
      A killed program left it behind: every whole chunk becomes an episode that all tools open.

Chunks that are damaged in the middle are left out; what is lost is stated, here and by the new episode, which names its
parent. The parent stays as it is; delete it when you have what you need. A file that is being written at this moment is
refused. Without its end a recovered episode has no outcome: lint and export say so.

JSON: file, out, was_whole, steps, frames, observations, decisions, duration_s, first_tick, last_tick, missing_ticks
(numbers that are not there between the first and the last), lost_bytes, lost_chunks, indecipherable (messages), outcome
(whether the end is there), lost {steps, frames, events} (as the recording counted them; null without an end).
Exit code 2 when nothing can be recovered.";

pub const TRIM_EXAMPLES: &str = "\
Examples:
  visuomotor trim episodes/1763662800-1.mcap --out trimmed/1763662800-1.mcap
      Cuts off the ends in which nothing moves, but for half a second.
  visuomotor trim episodes/1763662800-1.mcap --from 2.5 --to 9 --out trimmed/1763662800-1.mcap

The new episode names its parent by id and SHA-256, keeps the outcome, and says which span it is. The parent stays as it is. A
damaged file is refused: recover it first. A part can be looked at and exported; only the whole can be replayed or verified.
JSON: file, out, from_s, to_s (from the parent's first tick), steps, cut_s (what was
cut off). Exit code 1, and nothing is written, when nothing moves at all or nothing is to be cut.";

#[derive(Debug, Args)]
#[command(after_help = TRIM_EXAMPLES)]
pub struct TrimArgs {
    /// The episode.
    pub file: PathBuf,
    /// The new episode; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Begin so long after the first tick, s, instead of where the arm begins to move.
    #[arg(long, value_name = "S", value_parser = super::seconds)]
    pub from: Option<f64>,
    /// End so long after the first tick, s, instead of where the arm has come to rest.
    #[arg(long, value_name = "S", value_parser = super::seconds)]
    pub to: Option<f64>,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = RECOVER_EXAMPLES)]
pub struct RecoverArgs {
    /// The episode that was left behind or is damaged.
    pub file: PathBuf,
    /// The new episode; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
