//! A batch of simulated episodes: in this process, or shared between several, with progress and Ctrl-C.
//!
//! Not responsible for what an episode is ([`crate::rig`]) nor for what becomes of its result.

use crate::cli::Share;
use crate::error::CommandError;
use crate::jobs::{self, Event, Outcome};
use crate::progress::Progress;
use crate::report::EpisodeResult;

/// Runs the episode of one seed.
pub type RunEpisode<'a> = dyn FnMut(u64) -> Result<EpisodeResult, CommandError> + 'a;

/// Runs a share of the episodes for a parent process and tells it every result.
pub fn work(share: Share, episode: &mut RunEpisode<'_>) -> Result<(), CommandError> {
    jobs::end_with_parent();
    for seed in seeds(share) {
        jobs::tell_parent(&episode(seed)?).map_err(CommandError::failed)?;
    }
    Ok(())
}

/// Runs all of the episodes here, or with `jobs` child processes. Results come in any order.
///
/// # Errors
/// When an episode cannot be run. An interrupt is none: it leaves fewer results.
pub fn run(all: Share, jobs: u32, episode: &mut RunEpisode<'_>) -> Result<Outcome, CommandError> {
    let events = jobs::interruptible();
    let mut progress = Progress::new(all.count);
    if jobs > 1 {
        let shares = jobs::shares(all, jobs);
        return jobs::run(&shares, events, &mut |result| progress.add(result))
            .map_err(CommandError::failed);
    }
    let mut outcome = Outcome {
        results: Vec::new(),
        interrupted: false,
    };
    for seed in seeds(all) {
        if matches!(events.1.try_recv(), Ok(Event::Interrupted)) {
            outcome.interrupted = true;
            break;
        }
        let result = episode(seed)?;
        progress.add(&result);
        outcome.results.push(result);
    }
    Ok(outcome)
}

fn seeds(share: Share) -> impl Iterator<Item = u64> {
    share.first..share.first + u64::from(share.count)
}
