//! `visuomotor simulate`: the whole system in simulated time, by seed, with what can go wrong going wrong.
//!
//! Responsible for sharing the seeds between threads, for the report, and for the command that replays a failure. Not
//! responsible for one simulation ([`system`]) nor for what must be true of it ([`check`]).

mod check;
mod handover;
mod ledger;
mod operator;
pub mod plan;
mod policy;
mod shrink;
mod system;

use crate::cli::SimulateArgs;
use crate::config::Launch;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::policy::Identity;
use crate::recording::Lineage;
use crate::wiring;
use check::Violation;
use plan::{Choice, Kind, Plan};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use system::SimulationError;
use tracing::subscriber::NoSubscriber;
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::clock::linux::thread_cpu_time;
use visuomotor_runtime::episode::{Sha256, TextMap};
use visuomotor_runtime::replay::replay;
use visuomotor_runtime::safety::OperatingMode;

/// Its field names are those of `simulate --json`.
#[derive(Debug, Default, Serialize)]
struct Report {
    seeds: u64,
    failures: Vec<Failure>,
    /// Simulations in which each kind really happened.
    faults_injected: BTreeMap<&'static str, u64>,
    /// Records that are neither in an episode's file nor counted there as lost.
    dropped_uncounted: u64,
    ticks: u64,
    /// Simulated time by CPU time.
    realtime_factor: f64,
    #[serde(skip)]
    simulated_ns: u64,
    #[serde(skip)]
    cpu_ns: u64,
}

#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    #[serde(flatten)]
    violation: Violation,
    /// The smallest plan that was found to fail alike.
    plan: String,
    replay: String,
}

/// What one seed came to.
struct Verdict {
    violation: Option<Violation>,
    injected: Vec<(Kind, u64)>,
    uncounted: u64,
    record: Vec<u8>,
    ticks: u64,
    simulated: Duration,
}

pub fn run(args: &SimulateArgs) -> Result<Grade, CommandError> {
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    output::check_json(args.json.as_deref())?;
    #[cfg(feature = "planted-bugs")]
    if let Some(bug) = args.plant {
        visuomotor_runtime::planted::plant(bug);
    }
    if let Some(directory) = &args.record {
        output::directory(directory)?;
    }
    let lineage = lineage(&launch).map_err(CommandError::failed)?;
    let mut report = share(args, &launch, &lineage).map_err(|error| match error {
        SimulationError::Wiring(_) => CommandError::input(error),
        _ => CommandError::failed(error),
    })?;
    report.failures.sort_by_key(|failure| failure.seed);
    report.realtime_factor = report.simulated_ns as f64 / report.cpu_ns.max(1) as f64;
    output::report(&report, &report, args.json.as_deref())?;
    Ok(match report.failures.is_empty() {
        true => Grade::Good,
        false => Grade::Short,
    })
}

/// Every thread takes the next seed; simulated time belongs to its thread.
fn share(
    args: &SimulateArgs,
    launch: &Launch,
    lineage: &Lineage<'_>,
) -> Result<Report, SimulationError> {
    let Range { start, end } = args.seeds.0;
    let (next, failed) = (AtomicU64::new(start), AtomicU32::new(0));
    let report = Mutex::new(Report::default());
    let work = || -> Result<(), SimulationError> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || failed.load(Ordering::Relaxed) >= args.max_failures {
                return Ok(());
            }
            let before = thread_cpu_time();
            let plan = plan_of(&args.faults, seed);
            let verdict = simulate(launch, lineage, seed, &plan)?;
            let cpu = thread_cpu_time() - before;
            if let Some(directory) = &args.record {
                keep(directory, seed, &verdict.record)?;
            }
            let failure = match verdict.violation {
                None => None,
                Some(violation) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    Some(failure(args, launch, lineage, seed, &plan, violation)?)
                }
            };
            let mut report = report
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            report.seeds += 1;
            report.ticks += verdict.ticks;
            report.dropped_uncounted += verdict.uncounted;
            report.simulated_ns += verdict.simulated.as_nanos();
            report.cpu_ns += cpu.as_nanos();
            report.failures.extend(failure);
            for (kind, count) in verdict.injected {
                *report.faults_injected.entry(kind.name()).or_default() += u64::from(count > 0);
            }
        }
    };
    std::thread::scope(|scope| {
        // The recorder tells every fault, and here all of them are meant.
        let silent = || tracing::subscriber::with_default(NoSubscriber::new(), work);
        let threads: Vec<_> = (0..args.jobs).map(|_| scope.spawn(silent)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(report
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// What all simulations of this process have in common.
fn lineage(launch: &Launch) -> std::io::Result<Lineage<'_>> {
    let name = "simulated people and policies";
    let identity = Identity {
        name: name.into(),
        manifest: None,
        manifest_sha256: Sha256::of(name.as_bytes()),
        checkpoints: TextMap::new(),
        settings: TextMap::new(),
    };
    Lineage::new(launch, identity)
}

fn keep(directory: &Path, seed: u64, record: &[u8]) -> std::io::Result<()> {
    std::fs::write(directory.join(format!("{seed:08}.mcap")), record)
}

fn plan_of(faults: &Choice, seed: u64) -> Plan {
    // Not the simulation's own numbers: the same plan can then be asked for by itself.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(!seed);
    faults.plan(&mut rng)
}

/// One seed: everything that must be true, and the replay of its record.
fn simulate(
    launch: &Launch,
    lineage: &Lineage<'_>,
    seed: u64,
    plan: &Plan,
) -> Result<Verdict, SimulationError> {
    let simulated = system::simulate(launch, lineage, seed, plan)?;
    let mut violation = simulated.violation;
    if violation.is_none() {
        violation = replayed(launch, &simulated.steps)?;
    }
    let time = match (simulated.steps.first(), simulated.steps.last()) {
        (Some(first), Some(last)) => last.due - first.due,
        _ => Duration::ZERO,
    };
    Ok(Verdict {
        violation,
        injected: simulated.injected,
        uncounted: simulated.uncounted,
        record: simulated.record,
        ticks: simulated.steps.len() as u64,
        simulated: time,
    })
}

/// What a replay of the record gives that is not in it.
fn replayed(
    launch: &Launch,
    steps: &[visuomotor_runtime::step::Step<7>],
) -> Result<Option<Violation>, SimulationError> {
    let controller = wiring::controller(launch, OperatingMode::default())?;
    let found = match replay(steps, controller) {
        Ok(replayed) => replayed.first_difference.map(|difference| {
            let what = format!(
                "{}: {} was recorded and {} replayed",
                difference.field, difference.recorded, difference.replayed
            );
            (difference.tick, what)
        }),
        Err(error) => Some((0, error.to_string())),
    };
    Ok(found.map(|(tick, what)| Violation {
        checker: "replay",
        tick,
        what,
    }))
}

fn failure(
    args: &SimulateArgs,
    launch: &Launch,
    lineage: &Lineage<'_>,
    seed: u64,
    plan: &Plan,
    violation: Violation,
) -> Result<Failure, SimulationError> {
    let smallest = shrink::shrink(plan.clone(), |smaller| {
        let verdict = simulate(launch, lineage, seed, smaller)?;
        Ok::<_, SimulationError>(
            verdict
                .violation
                .is_some_and(|found| found.checker == violation.checker),
        )
    })?;
    let plan = plan::text(&smallest);
    Ok(Failure {
        seed,
        violation,
        replay: format!(
            "visuomotor simulate {} --seeds {seed}..{} --faults {plan}",
            args.launch.display(),
            seed + 1
        ),
        plan,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} ticks, {:.0} times as fast as real time on each core",
            self.seeds, self.ticks, self.realtime_factor
        )?;
        let faults: Vec<_> = self
            .faults_injected
            .iter()
            .map(|(kind, n)| format!("{kind} {n}"))
            .collect();
        writeln!(f, "faults played: {}", faults.join(", "))?;
        for Failure {
            seed,
            violation:
                Violation {
                    checker,
                    tick,
                    what,
                },
            replay,
            ..
        } in &self.failures
        {
            writeln!(f, "seed {seed}, tick {tick}: {checker}: {what}\n  {replay}")?;
        }
        writeln!(f, "{} failures", self.failures.len())
    }
}
