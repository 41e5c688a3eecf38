//! `visuomotor bench realtime`: how punctual the control loop is on a machine that has everything else to do as well.
//!
//! Not responsible for the slices themselves ([`slices`]) nor for the load ([`load`]). What a shared host takes away hits
//! everybody in turn, so ratios count, and no time is judged.

mod load;
mod slices;

use crate::cli::BenchRealtimeArgs;
use crate::config::Launch;
use crate::dry_run::{Directory, DryRun, PatternCamera};
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::Quantiles;
use load::Load;
use serde::Serialize;
use slices::Slice;
use std::fmt;
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::realtime::Granted;

/// Its field names are those of `bench realtime --json`.
#[derive(Debug, Serialize)]
struct Findings {
    cpus: usize,
    rounds: u64,
    slice_s: u32,
    fifo: bool,
    memory_locked: bool,
    cpu_latency: bool,
    ours: Contender,
    bare: Contender,
    /// `null` where it cannot run.
    cyclictest: Option<Contender>,
    /// Of the slices of all rounds together.
    ratios: Ratios,
    /// Of each round.
    ratios_of_rounds: Vec<Ratios>,
}

#[derive(Debug, Serialize)]
struct Contender {
    pooled: Figures,
    slices: Vec<Figures>,
}

/// What there is no figure for is `null`.
#[derive(Debug, Serialize)]
struct Figures {
    ticks: u64,
    missed: u64,
    allocations: Option<u64>,
    voluntary_switches_per_tick: Option<f64>,
    involuntary_switches: Option<u64>,
    minor_faults: Option<u64>,
    run_delay_us: Option<Quantiles>,
    wake_us: Quantiles,
    compute_us: Option<Quantiles>,
    dropped: Option<u64>,
}

/// Below 1: ours waits less.
#[derive(Debug, Serialize)]
struct Ratios {
    run_delay_p999: Option<f64>,
    wake_p50: Option<f64>,
    wake_p999: Option<f64>,
    wake_p999_to_cyclictest: Option<f64>,
}

pub fn run(args: &BenchRealtimeArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    let directory = Directory::new("bench-realtime")?;
    // Locks the memory: before the load's threads start.
    let dry = DryRun::new(
        &launch,
        directory.path(),
        args.seed,
        PatternCamera::of(&launch),
    )?;
    let missing = slices::cyclictest_missing();
    if let Some(why) = missing {
        tracing::warn!("cyclictest {why}: measured without it");
    }
    let has_cyclictest = missing.is_none();
    let _load = Load::start(directory.path()).map_err(CommandError::failed)?;
    let contenders = if has_cyclictest { 3.0 } else { 2.0 };
    let rounds = (args.seconds / (contenders * f64::from(args.slice))).max(1.0) as u64;
    let span = Duration::from_secs(u64::from(args.slice));
    let (mut ours, mut bare, mut cyclictest) = (Vec::new(), Vec::new(), Vec::new());
    let mut granted = Granted::default();
    for _ in 0..rounds {
        let slice = slices::ours(&dry, &launch, span)?;
        granted = slice.1;
        let compute = slice.0.median_compute();
        ours.push(slice.0);
        bare.push(slices::bare(&launch, span, compute)?);
        if has_cyclictest {
            cyclictest.push(slices::cyclictest(args.slice, &launch, directory.path())?);
        }
    }
    let findings = Findings {
        cpus: load::cpus(),
        rounds,
        slice_s: args.slice,
        fifo: granted.fifo,
        memory_locked: granted.memory_locked,
        cpu_latency: granted.cpu_latency,
        ratios: Ratios::of(&ours, &bare, &cyclictest),
        ratios_of_rounds: (0..ours.len())
            .map(|i| {
                let peer = cyclictest.get(i..=i).unwrap_or_default();
                Ratios::of(&ours[i..=i], &bare[i..=i], peer)
            })
            .collect(),
        ours: Contender::of(&ours),
        bare: Contender::of(&bare),
        cyclictest: has_cyclictest.then(|| Contender::of(&cyclictest)),
    };
    output::report(&findings, &findings, args.json.as_deref())?;
    Ok(match findings.ours.pooled.allocations {
        Some(0) => Grade::Good,
        _ => Grade::Short,
    })
}

impl Contender {
    fn of(slices: &[Slice]) -> Self {
        Self {
            pooled: Figures::of(&Slice::pooled(slices)),
            slices: slices.iter().map(Figures::of).collect(),
        }
    }
}

impl Figures {
    fn of(slice: &Slice) -> Self {
        let health = &slice.health;
        let counts = slice.is_metered.then_some(health.counts);
        // The first tick of a thread is not in its counts.
        let counted = health.ticks.saturating_sub(slice.threads).max(1);
        let per_tick = |count: u64| count as f64 / counted as f64;
        let quantiles = |ns: &hdrhistogram::Histogram<u64>| {
            (!ns.is_empty()).then(|| Quantiles::microseconds(ns))
        };
        Self {
            ticks: health.ticks,
            missed: slice.missed,
            allocations: slice.allocations,
            voluntary_switches_per_tick: counts.map(|counts| per_tick(counts.voluntary_switches)),
            involuntary_switches: counts.map(|counts| counts.involuntary_switches),
            minor_faults: counts.map(|counts| counts.minor_faults),
            run_delay_us: quantiles(&health.run_delay_ns),
            wake_us: Quantiles::microseconds(&health.wake_ns),
            compute_us: quantiles(&health.compute_ns),
            dropped: slice.dropped,
        }
    }
}

impl Ratios {
    fn of(ours: &[Slice], bare: &[Slice], cyclictest: &[Slice]) -> Self {
        let [ours, bare, peer] =
            [ours, bare, cyclictest].map(|slices| Figures::of(&Slice::pooled(slices)));
        let ratio = |ours: f64, theirs: f64| (theirs > 0.0).then(|| ours / theirs);
        let waits = ours.run_delay_us.zip(bare.run_delay_us);
        Self {
            run_delay_p999: waits.and_then(|(ours, bare)| ratio(ours.p999, bare.p999)),
            wake_p50: ratio(ours.wake_us.p50, bare.wake_us.p50),
            wake_p999: ratio(ours.wake_us.p999, bare.wake_us.p999),
            wake_p999_to_cyclictest: ratio(ours.wake_us.p999, peer.wake_us.p999),
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rounds of {} s slices; {} CPUs, all of them busy, and a disk writer",
            self.rounds, self.slice_s, self.cpus
        )?;
        let contenders = [("ours", Some(&self.ours)), ("bare", Some(&self.bare))];
        let peer = ("cyclictest", self.cyclictest.as_ref());
        for (name, contender) in contenders.into_iter().chain([peer]) {
            let Some(Contender { pooled, .. }) = contender else {
                continue;
            };
            writeln!(
                f,
                "{name}: {} ticks, {} missed",
                pooled.ticks, pooled.missed
            )?;
            if let Some(delay) = &pooled.run_delay_us {
                writeln!(f, "  run delay   {delay}")?;
            }
            writeln!(f, "  wake-up     {}", pooled.wake_us)?;
            if let Some(compute) = &pooled.compute_us {
                writeln!(f, "  compute     {compute}")?;
            }
            if let (Some(voluntary), Some(involuntary), Some(faults)) = (
                pooled.voluntary_switches_per_tick,
                pooled.involuntary_switches,
                pooled.minor_faults,
            ) {
                write!(
                    f,
                    "  {voluntary:.3} voluntary switches a tick, {involuntary} involuntary, {faults} minor faults"
                )?;
            }
            if let (Some(allocations), Some(dropped)) = (pooled.allocations, pooled.dropped) {
                write!(f, ", {allocations} allocations, {dropped} records dropped")?;
            }
            writeln!(f)?;
        }
        let show = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        writeln!(
            f,
            "ours to bare: run delay 99.9 % {}, wake-up 99.9 % {}; to cyclictest: wake-up 99.9 % {}",
            show(self.ratios.run_delay_p999),
            show(self.ratios.wake_p999),
            show(self.ratios.wake_p999_to_cyclictest)
        )
    }
}
