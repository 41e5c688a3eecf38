//! `visuomotor run`: a session in real time, and what to say when it has ended.
//!
//! Not responsible for the session itself ([`crate::session`]).

use crate::cli::RunArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::policy;
use crate::quantiles::Quantiles;
use crate::session::{self, Plan, SessionError, Summary};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The control loop's figures.
#[derive(Debug, Serialize)]
struct Stats {
    /// A person ended the session.
    interrupted: bool,
    episodes: usize,
    successes: usize,
    ticks: u64,
    /// Deadlines that were skipped because the one after had passed too.
    missed: u64,
    voluntary_switches: u64,
    involuntary_switches: u64,
    minor_faults: u64,
    /// Time that the control thread was ready to run and did not, over the whole session, µs.
    run_delay_us: Option<f64>,
    /// From each deadline to the wake-up.
    wake_us: Quantiles,
    /// From each wake-up to the end of the tick's work, physics included where they are simulated.
    compute_us: Quantiles,
    policy_tick_ms: Quantiles,
    late_decisions: u64,
    failed_reads: u64,
    refused_requests: u64,
    clamped_actions: u64,
}

pub fn run(args: &RunArgs) -> Result<Grade, CommandError> {
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    let policy = policy::open(&launch, args.policy.as_ref()).map_err(CommandError::input)?;
    output::check_json(args.stats.as_deref())?;
    let directory = match &args.record {
        Some(directory) => directory,
        None => launch.episode_dir().map_err(CommandError::input)?,
    };
    output::directory(directory)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let stop = interrupted.clone();
    ctrlc::set_handler(move || {
        // The second time the person means it.
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
    })
    .map_err(CommandError::failed)?;
    let plan = Plan {
        episodes: args.episodes,
        seconds: args.seconds,
        seed: args.seed,
        mode: args.mode.chosen(),
        directory: directory.to_owned(),
        quiet: args.stats.as_deref() == Some(Path::new("-")),
    };
    let summary =
        session::run(&launch, policy, plan, &interrupted).map_err(|error| match error {
            SessionError::Wiring(_)
            | SessionError::NotGranted(_)
            | SessionError::Control(_)
            | SessionError::Camera(_) => CommandError::input(error),
            other => CommandError::failed(other),
        })?;
    let stats = Stats::of(&summary);
    output::report(&stats, &stats, args.stats.as_deref())?;
    Ok(if stats.successes > 0 && !summary.interrupted {
        Grade::Good
    } else {
        Grade::Short
    })
}

impl Stats {
    fn of(summary: &Summary) -> Self {
        let Summary {
            finished,
            control,
            last,
            ..
        } = summary;
        let ticks_ms = finished
            .iter()
            .flat_map(|episode| &episode.policy_tick_ms)
            .map(|&ms| f64::from(ms));
        let policy_tick_ms = Quantiles::of(ticks_ms.collect());
        Self {
            interrupted: summary.interrupted,
            episodes: finished.len(),
            successes: finished.iter().filter(|episode| episode.success()).count(),
            ticks: control.ticks,
            missed: last.counters.missed_ticks,
            voluntary_switches: control.usage.voluntary_switches,
            involuntary_switches: control.usage.involuntary_switches,
            minor_faults: control.usage.minor_faults,
            run_delay_us: control
                .usage
                .run_delay
                .map(|delay| delay.as_nanos() as f64 * 1e-3),
            wake_us: microseconds(&control.wake_ns),
            compute_us: microseconds(&control.compute_ns),
            policy_tick_ms,
            late_decisions: last.counters.late_decisions,
            failed_reads: last.counters.failed_reads,
            refused_requests: last.counters.refused_requests,
            clamped_actions: last.counters.clamped_actions,
        }
    }
}

fn microseconds(ns: &Histogram<u64>) -> Quantiles {
    let us = |ns: u64| ns as f64 * 1e-3;
    Quantiles {
        p50: us(ns.value_at_quantile(0.5)),
        p99: us(ns.value_at_quantile(0.99)),
        p999: us(ns.value_at_quantile(0.999)),
        max: us(ns.max()),
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quantiles { p50, p99, max, .. } = self.wake_us;
        if self.interrupted {
            writeln!(f, "interrupted; the arm was stopped under control")?;
        }
        writeln!(f, "grasped {} of {}", self.successes, self.episodes)?;
        writeln!(
            f,
            "control: {} ticks, {} missed; woken {p50:.0} us late (p99 {p99:.0}, max {max:.0})",
            self.ticks, self.missed
        )?;
        let Quantiles { p50, p99, max, .. } = self.compute_us;
        writeln!(
            f,
            "         {p50:.0} us of work a tick (p99 {p99:.0}, max {max:.0})"
        )?;
        let Quantiles { p50, p99, .. } = self.policy_tick_ms;
        writeln!(
            f,
            "policy: {p50:.1} ms CPU a decision (p99 {p99:.1}), {} late",
            self.late_decisions
        )
    }
}
