//! What may be asked of a session in real time, and of the machine that is to run it.
//!
//! Not responsible for doing it ([`crate::run`], [`crate::doctor`]).

use super::{ModeArgs, episodes, seconds, seed};
use crate::policy::PolicyChoice;
use clap::Args;
use std::path::PathBuf;

pub const RUN_EXAMPLES: &str = "\
Examples:
  visuomotor run launch/robots/sim_iiwa14.toml
      The simulated arm grasps in real time. Ctrl-C stops it under control.
  visuomotor run launch/robots/sim_iiwa14.toml --seconds 60 --stats -
      For a minute; then the control loop's own figures as JSON.

JSON: quantiles are p50, p99, p999 and max. missed: deadlines that were skipped. Of the control thread: allocations,
switches, page faults (minor, major), run_delay_us (ready without a CPU), wake_us (lateness), compute_us (own work); of
the policy: policy_tick_ms, CPU time. first_tick is not in the totals. dropped: records that are not in the files.

Nobody judges the episodes of a physical arm: they end as `unjudged`, which is neither success nor failure.
Exit code 0 when an episode succeeded, or when all are unjudged; 1 when none succeeded, when it was interrupted, or when an
episode is not on the disk as a whole; 2 when it could not start or the arm is stopped.";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// Launch file: robot, limits, camera, policy.
    pub launch: PathBuf,
    /// Stop after this many episodes; without it, run until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = episodes())]
    pub episodes: Option<u32>,
    /// Begin no new episode after this time, s.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Seed of the first episode; the next ones count up from it.
    #[arg(long, value_name = "SEED", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Policy instead of the launch file's: a manifest, `scripted` (privileged) or `weak`.
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PolicyChoice>,
    #[command(flatten)]
    pub mode: ModeArgs,
    /// Directory for the recorded episodes instead of the launch file's.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Let an arm that starts outside its limits come slowly back inside, once; a simulated one always does.
    #[arg(long)]
    pub recover: bool,
    /// Go on without the real-time rights that the launch file requires; every episode says so.
    #[arg(long)]
    pub allow_non_realtime: bool,
    /// Write the control loop's figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,
}

pub const DOCTOR_EXAMPLES: &str = "\
Examples:
  visuomotor doctor
  visuomotor doctor launch/robots/sim_iiwa14.toml --json -
      With the devices, the CPU and the wishes of this launch file.

Nothing is changed: a check reads, or tries what it undoes. JSON: checks [{name, ok, required, detail, remedy}].
Exit code 1 when something is missing that real time requires, also where the launch file only prefers real time, or when
a device is not ready.";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct DoctorArgs {
    /// Launch file whose arm, camera and disk are asked, and whose control thread is meant; without it only the machine is.
    pub launch: Option<PathBuf>,
    /// Write the findings as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
