//! `visuomotor run`: a session in real time, and what to say when it has ended.
//!
//! Not responsible for the session itself ([`crate::session`]).

use crate::any_arm::{self, AnyArm};
use crate::cli::RunArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::policy::{self, Pictures};
use crate::quantiles::Quantiles;
use crate::session::{self, Plan, SessionError, Summary};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use visuomotor_runtime::camera_loop::CameraCounters;
use visuomotor_runtime::health::Health;
use visuomotor_runtime::realtime::Preference;

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
    /// Calls of the allocator on the control thread, from its first tick to its last.
    allocations: u64,
    /// Of the control thread, in all ticks after the first, whose own follow.
    voluntary_switches: u64,
    involuntary_switches: u64,
    minor_faults: u64,
    major_faults: u64,
    first_tick: FirstTick,
    /// CPU time of the control thread a tick, its own measurement included; physics too where they are simulated.
    cpu_us_per_tick: f64,
    /// Time a tick in which the control thread was ready and waited for a CPU; `null` where the kernel does not count it.
    run_delay_us: Option<Quantiles>,
    /// From each tick's first deadline, skipped ones included, to the wake-up.
    wake_us: Quantiles,
    /// From each wake-up until the step was ready for the recorder, physics included where they are simulated.
    compute_us: Quantiles,
    dropped: Dropped,
    /// Episodes that the disk did not take as a whole.
    incomplete_episodes: u32,
    camera: CameraCounters,
    policy_tick_ms: Quantiles,
    late_decisions: u64,
    failed_reads: u64,
    refused_requests: u64,
    clamped_actions: u64,
}

/// What the first tick cost, which touches everything for the first time.
#[derive(Debug, Default, Serialize)]
struct FirstTick {
    voluntary_switches: u32,
    involuntary_switches: u32,
    minor_faults: u32,
    major_faults: u32,
}

/// What found its queue full, by stream.
#[derive(Debug, Serialize)]
struct Dropped {
    /// Steps that are in no episode.
    steps: u64,
    /// Frames that are in no episode.
    frames: u64,
    /// Observations and decisions that are in no episode.
    events: u64,
    /// Decisions that did not reach the control thread.
    decisions: u64,
}

pub fn run(args: &RunArgs) -> Result<Grade, CommandError> {
    any_arm::run(args, &args.launch)
}

impl AnyArm for RunArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        session(self, launch.clone())
    }
}

fn session<const N: usize>(args: &RunArgs, mut launch: Launch<N>) -> Result<Grade, CommandError> {
    if args.allow_non_realtime {
        launch.control.real_time = Preference::Preferred;
    }
    let policy =
        policy::open(&launch, args.policy.as_ref(), Pictures::Live).map_err(CommandError::input)?;
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
        repeat: None,
        recover: args.recover,
    };
    let summary =
        session::run(&launch, policy, plan, &interrupted).map_err(|error| match error {
            SessionError::Wiring(_)
            | SessionError::NotGranted(_)
            | SessionError::Control(_)
            | SessionError::NotAtStart { .. }
            | SessionError::Stopped { .. }
            | SessionError::StaysOutside(_)
            | SessionError::Camera(_) => CommandError::input(error),
            other => CommandError::failed(other),
        })?;
    let stats = Stats::of(&summary);
    output::report(&stats, &stats, args.stats.as_deref())?;
    for thread in &summary.hanging {
        eprintln!("the {thread} thread hangs and is left behind; the arm is at rest");
    }
    let well = !summary.interrupted && summary.hanging.is_empty() && summary.incomplete == 0;
    Ok(
        if (stats.successes > 0 || stats.is_unjudged(&summary)) && well {
            Grade::Good
        } else {
            Grade::Short
        },
    )
}

impl Stats {
    /// There were episodes, and nobody could say how they ended.
    fn is_unjudged<const N: usize>(&self, summary: &Summary<N>) -> bool {
        let mut finished = summary.finished.iter();
        self.episodes > 0 && finished.all(|episode| episode.judged().is_none())
    }

    fn of<const N: usize>(summary: &Summary<N>) -> Self {
        let Summary {
            finished,
            control,
            last,
            ..
        } = summary;
        let health = &control.health;
        let ticks_ms = finished
            .iter()
            .flat_map(|episode| &episode.policy_tick_ms)
            .map(|&ms| f64::from(ms));
        let policy_tick_ms = Quantiles::of(ticks_ms.collect());
        Self {
            interrupted: summary.interrupted,
            episodes: finished.len(),
            successes: finished.iter().filter(|episode| episode.success()).count(),
            ticks: health.ticks,
            missed: last.counters.missed_ticks,
            allocations: control.allocations,
            voluntary_switches: health.counts.voluntary_switches,
            involuntary_switches: health.counts.involuntary_switches,
            minor_faults: health.counts.minor_faults,
            major_faults: health.counts.major_faults,
            first_tick: health.first.map(FirstTick::from).unwrap_or_default(),
            cpu_us_per_tick: control.cpu_time.as_ticks() as f64 * 1e-3 / health.ticks as f64,
            run_delay_us: (!health.run_delay_ns.is_empty())
                .then(|| Quantiles::microseconds(&health.run_delay_ns)),
            wake_us: Quantiles::microseconds(&health.wake_ns),
            compute_us: Quantiles::microseconds(&health.compute_ns),
            dropped: Dropped {
                steps: summary.dropped.steps,
                frames: summary.dropped.frames,
                events: summary.dropped.events,
                decisions: summary.dropped_decisions,
            },
            incomplete_episodes: summary.incomplete,
            camera: summary.camera,
            policy_tick_ms,
            late_decisions: last.counters.late_decisions,
            failed_reads: last.counters.failed_reads,
            refused_requests: last.counters.refused_requests,
            clamped_actions: last.counters.clamped_actions,
        }
    }
}

impl From<Health> for FirstTick {
    fn from(health: Health) -> Self {
        Self {
            voluntary_switches: health.voluntary_switches,
            involuntary_switches: health.involuntary_switches,
            minor_faults: health.minor_faults,
            major_faults: health.major_faults,
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = [
            ("steps that no episode has", self.steps),
            ("frames that no episode has", self.frames),
            (
                "observations and decisions that no episode has",
                self.events,
            ),
            (
                "decisions that did not reach the control loop",
                self.decisions,
            ),
        ];
        let lost: Vec<_> = streams
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(stream, count)| format!("{count} {stream}"))
            .collect();
        if lost.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&lost.join(", "))
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
            "         {p50:.0} us of work a tick (p99 {p99:.0}, max {max:.0}), {} allocations, {} page faults, {} preemptions",
            self.allocations,
            self.minor_faults + self.major_faults,
            self.involuntary_switches
        )?;
        if let Some(Quantiles { p50, p99, max, .. }) = self.run_delay_us {
            writeln!(
                f,
                "         {p50:.1} us ready without a CPU (p99 {p99:.1}, max {max:.0})"
            )?;
        }
        writeln!(
            f,
            "camera: {} frames, {} refused, {} times none came",
            self.camera.frames,
            self.camera.refused(),
            self.camera.failed()
        )?;
        let Quantiles { p50, p99, .. } = self.policy_tick_ms;
        writeln!(
            f,
            "policy: {p50:.1} ms CPU a decision (p99 {p99:.1}), {} late",
            self.late_decisions
        )?;
        writeln!(f, "dropped: {}", self.dropped)
    }
}
