//! What all learned policies have in common beyond deciding, and how fast they decide.

use crate::cem::CemConfig;
use crate::manifest::Manifest;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Policy, PolicyError};

pub trait Learned: Policy {
    fn manifest(&self) -> &Manifest;

    /// The search settings in force: the manifest's with the launch file's changes.
    fn cem(&self) -> &CemConfig;

    /// Runs the graphs of one decision on the last inputs, and nothing else: what a decision costs at least.
    fn run_graphs(&mut self) -> Result<(), PolicyError>;
}

/// Durations of ticks, in the order in which they ran.
#[derive(Clone, Debug, Default)]
pub struct TickTimes {
    /// Of the whole decision.
    pub decide: Vec<Duration>,
    /// Of its graphs alone.
    pub graphs: Vec<Duration>,
}

/// Times `ticks` decisions for `observation`, each beside a bare run of its graphs, so that a busy machine slows both.
/// `now` reads the clock.
pub fn time_ticks(
    policy: &mut dyn Learned,
    observation: &Observation<'_>,
    ticks: usize,
    mut now: impl FnMut() -> Instant,
) -> Result<TickTimes, PolicyError> {
    let mut times = TickTimes::default();
    for _ in 0..ticks {
        let start = now();
        policy.decide(observation)?;
        let decided = now();
        policy.run_graphs()?;
        times.decide.push(decided - start);
        times.graphs.push(now() - decided);
    }
    Ok(times)
}
