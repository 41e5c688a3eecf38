//! What may be asked of the whole system by seed.
//!
//! Not responsible for simulating it ([`crate::simulate`]).

use super::{episodes, jobs};
use clap::Args;
use std::path::PathBuf;
use std::str::FromStr;

pub const SIMULATE_EXAMPLES: &str = "\
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
