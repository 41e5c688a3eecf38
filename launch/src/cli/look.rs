//! What may be asked about episodes that were recorded: one to look at, all in a list, and where they come from.
//!
//! Not responsible for answering ([`crate::show`], [`crate::episodes`], [`crate::lineage`]).

use clap::Args;
use std::path::PathBuf;

pub const SHOW_EXAMPLES: &str = "\
Examples:
  visuomotor show episodes/1763662800-1.mcap
      Writes episodes/1763662800-1.html and prints its path: film strip, joints, tool, limiter, faults, lineage on one time
      line. One file that needs no network; it opens in any browser.
  visuomotor show episodes/1763662800-1.mcap --text
  visuomotor show episodes/1763662800-1.mcap --json - | jq .outcome

JSON: id, task, started_at_utc, duration_s, ticks, frames, observations, damage (why the file ends early), outcome {ending,
success, actions, lost_steps, lost_frames, lost_events}, counters (since the first tick of the episode), phases [{phase,
from_s, to_s}], actions [{step, decided_s, frame_s, verb, x_m, y_m, z_m, yaw_rad, q_value}], events [{at_s, kind, text}],
limiter {interventions, limits} in ticks, joints [{name, lowest_rad, highest_rad, lag_rad_max, speed_share_max}], tool
{start_m, end_m, lowest_m, highest_m, path_m}, jitter_us and compute_us {p50, p99, max}, annotations, lineage (every record of
the header).

A damaged episode is shown as far as it goes, and says so. Exit code 1 for one that is damaged or has no outcome.";

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// The recorded episode, an MCAP file, also one that is damaged or still open.
    pub episode: PathBuf,
    /// Where to write the page [default: beside the episode]. Only an earlier page is written over.
    #[arg(long, value_name = "HTML", conflicts_with = "text")]
    pub out: Option<PathBuf>,
    /// Show it in the terminal, and write no page.
    #[arg(long)]
    pub text: bool,
    /// Write the facts as JSON, and no page unless --out asks for one; `-` is standard output, and then nothing else is
    /// printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub const EPISODES_EXAMPLES: &str = "\
Examples:
  visuomotor episodes
      What is in episodes/ and below.
  visuomotor episodes data/ other/17.mcap --json - | jq '.episodes[] | select(.state != \"whole\")'

JSON: episodes [{path, size_bytes, state, problem, id, started_at_utc, task, duration_s, ticks, robot, policy,
checkpoint_sha256 (SHA-256 over a line `NAME HASH` for each model file), ending, fault, success, actions, missed_ticks,
late_decisions, clamped_actions, lost_records, derived_from}], total {episodes, whole, damaged, open, left_behind, unreadable,
succeeded, failed, duration_s, actions, missed_ticks, late_decisions, clamped_actions, lost_records, size_bytes}. An
unreadable file has only the first four.

state: whole; damaged (it ends before its outcome); open (being written); left_behind (its writer is no more); unreadable (not
even a header). Of a finished file only the two ends are read: damage between them goes unseen here.

Exit code 1 when a file is damaged, left behind or unreadable.";

#[derive(Debug, Args)]
#[command(after_help = EPISODES_EXAMPLES)]
pub struct EpisodesArgs {
    /// Episodes, and directories of them; those below are looked into as well.
    #[arg(value_name = "DIR|FILE", default_value = "episodes")]
    pub paths: Vec<PathBuf>,
    /// Write the list as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub const LINEAGE_EXAMPLES: &str = "\
Examples:
  visuomotor lineage episodes/ policies/models/
      Which checkpoint collected which episodes, what it was trained on, and what was made of them.
  visuomotor lineage data/ policies/models/ --svg lineage.svg --dot - | head

Looked for below the directories: episodes (*.mcap), manifests of policies (*.toml with graphs), training shards
(shard-*/meta.json) and exported data sets (meta/visuomotor_lineage.json). What is only spoken of is there too, as unknown.

JSON: nodes [{id, kind (episodes, checkpoint, shards, dataset, unknown), label, count, members (names), facts}], edges [{from,
to, how (collected, trained, derived, exported), count}], sets [{name, episodes, mixed, differs [{what, values [{value, count,
episodes}]}]}], cycles [[id]], problems [{path, why}].

A set is a data set, or the episodes of one directory. It is mixed when they differ in what ought to be the same: solver,
limits, controller, robot description, camera mount, schema, policy checkpoint or code commit.

Exit code 1 when a set is mixed or a file unreadable.";

#[derive(Debug, Args)]
#[command(after_help = LINEAGE_EXAMPLES)]
pub struct LineageArgs {
    /// Directories to look below, and single episodes.
    #[arg(value_name = "DIR", required = true)]
    pub paths: Vec<PathBuf>,
    /// Write the graph as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the graph in the DOT language of Graphviz; `-` is standard output, instead of the tree.
    #[arg(long, value_name = "FILE")]
    pub dot: Option<PathBuf>,
    /// Draw the graph.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
