//! One slice of each contender: our whole loop, a bare one, and cyclictest.
//!
//! Not responsible for their order nor for what is made of them ([`super`]).

use crate::allocations;
use crate::config::Launch;
use crate::dry_run::DryRun;
use crate::error::CommandError;
use crate::threads;
use hdrhistogram::Histogram;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::health::{HealthMeter, HealthSummary};
use visuomotor_runtime::realtime::{Granted, Preference, Thread, ThreadPlan};

/// Longest latency that cyclictest tells apart, us.
const CYCLICTEST_MAX_US: u32 = 100_000;
/// Locked memory and real-time priority as ours, one quiet thread.
const RIGHTS: [&str; 6] = ["-m", "-q", "-t", "1", "-p", "80"];

/// What one thread did in a slice, or several together.
#[derive(Default)]
pub struct Slice {
    pub threads: u64,
    pub missed: u64,
    pub health: HealthSummary,
    /// Whether `health` has more than wake-ups.
    pub is_metered: bool,
    pub allocations: Option<u64>,
    pub dropped: Option<u64>,
}

impl Slice {
    pub fn pooled(slices: &[Self]) -> Self {
        let mut pooled = Self::default();
        for slice in slices {
            pooled.add(slice);
        }
        pooled
    }

    fn add(&mut self, other: &Self) {
        self.threads += other.threads;
        self.missed += other.missed;
        self.is_metered |= other.is_metered;
        for (mine, theirs) in [
            (&mut self.allocations, other.allocations),
            (&mut self.dropped, other.dropped),
        ] {
            if let Some(theirs) = theirs {
                *mine = Some(mine.unwrap_or(0) + theirs);
            }
        }
        let (mine, theirs) = (&mut self.health, &other.health);
        mine.ticks += theirs.ticks;
        mine.counts.voluntary_switches += theirs.counts.voluntary_switches;
        mine.counts.involuntary_switches += theirs.counts.involuntary_switches;
        mine.counts.minor_faults += theirs.counts.minor_faults;
        mine.counts.major_faults += theirs.counts.major_faults;
        for (mine, theirs) in [
            (&mut mine.run_delay_ns, &theirs.run_delay_ns),
            (&mut mine.wake_ns, &theirs.wake_ns),
            (&mut mine.compute_ns, &theirs.compute_ns),
        ] {
            // Their bounds are the same.
            let _ = mine.add(theirs);
        }
    }

    pub fn median_compute(&self) -> Duration {
        Duration::from_ticks(self.health.compute_ns.value_at_quantile(0.5))
    }
}

/// The whole control loop, everything recorded.
pub fn ours(
    dry: &DryRun<'_>,
    launch: &Launch,
    span: Duration,
) -> Result<(Slice, Granted), CommandError> {
    let ended = dry.run(span, |arm, controller, link, ready| {
        threads::control(launch, arm, controller, link, ready)
    })?;
    let report = ended
        .control
        .ok_or_else(|| CommandError::failed("the control thread could not start"))?;
    let lost = ended.recorded.lost;
    let slice = Slice {
        threads: 1,
        missed: ended.last.counters.missed_ticks,
        health: report.health,
        is_metered: true,
        allocations: Some(report.allocations),
        dropped: Some(lost.steps + lost.frames + lost.events),
    };
    Ok((slice, ended.granted))
}

/// Nothing but a sleep until each deadline, the measurement, and computing for this long.
pub fn bare(launch: &Launch, span: Duration, compute: Duration) -> Result<Slice, CommandError> {
    let (cpu, period) = (launch.control.cpu, launch.control_period());
    let thread = std::thread::Builder::new().name("bare".into());
    let running = thread.spawn(move || {
        // What is missing has been said for ours.
        let _ = Thread::enter(Preference::Preferred, ThreadPlan::control(cpu));
        let mut slice = Slice {
            threads: 1,
            is_metered: true,
            ..Slice::default()
        };
        let mut meter = HealthMeter::of_this_thread();
        let act = || bare_loop(&mut slice, &mut meter, span, period, compute);
        let ((), allocations) = allocations::count(act);
        slice.allocations = Some(allocations);
        slice
    });
    let slice = running.map_err(CommandError::failed)?.join();
    slice.map_err(|_| CommandError::failed("the bare loop panicked"))
}

fn bare_loop(
    slice: &mut Slice,
    meter: &mut HealthMeter,
    span: Duration,
    period: Duration,
    compute: Duration,
) {
    let mut due = LinuxMono::now();
    let end = due + span;
    while due < end {
        due += period;
        LinuxMono::sleep_until(due);
        let woken = LinuxMono::now();
        let lateness = woken - due;
        let missed = lateness.as_ticks() / period.as_ticks();
        slice.missed += missed;
        due += Duration::from_ticks(missed * period.as_ticks());
        let health = meter.tick(woken, LinuxMono::now);
        slice.health.add(lateness, &health);
        spin_until(woken + compute);
    }
}

fn spin_until(instant: Instant) {
    while LinuxMono::now() < instant {
        std::hint::spin_loop();
    }
}

/// Why cyclictest cannot be measured here, from one cycle of it.
pub fn cyclictest_missing() -> Option<&'static str> {
    let mut tried = Command::new("cyclictest");
    tried
        .args(RIGHTS)
        .args(["-l", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match tried.status() {
        Ok(status) if status.success() => None,
        Ok(_) => Some("is refused its priority or locked memory (`visuomotor doctor` says more)"),
        Err(_) => Some("is not installed (Debian: rt-tests)"),
    }
}

/// What cyclictest writes, as far as it is read here.
#[derive(Deserialize)]
struct Report {
    thread: BTreeMap<String, Latencies>,
}

#[derive(Deserialize)]
struct Latencies {
    /// How often each latency was seen, by us.
    histogram: BTreeMap<String, u64>,
    cycles: u64,
    /// Also where it is beyond the histogram, us.
    max: u64,
}

/// Real-time priority, locked memory and period as ours.
pub fn cyclictest(seconds: u32, launch: &Launch, directory: &Path) -> Result<Slice, CommandError> {
    let file = directory.join("cyclictest.json");
    let mut command = Command::new("cyclictest");
    command
        .args(RIGHTS)
        .args(["-i", &launch.control_period().as_micros().to_string()])
        .args(["-D", &seconds.to_string()])
        .args(["-h", &CYCLICTEST_MAX_US.to_string()])
        .arg(format!("--json={}", file.display()))
        .stdout(Stdio::null());
    if let Some(cpu) = launch.control.cpu {
        command.args(["-a", &cpu.to_string()]);
    }
    let status = command.status().map_err(CommandError::failed)?;
    if !status.success() {
        return Err(CommandError::failed(format!("cyclictest: {status}")));
    }
    let text = std::fs::read(&file).map_err(CommandError::failed)?;
    let report: Report = serde_json::from_slice(&text)
        .map_err(|error| CommandError::failed(format!("cyclictest's report: {error}")))?;
    slice_of(&report)
}

fn slice_of(report: &Report) -> Result<Slice, CommandError> {
    let mut slice = Slice {
        threads: report.thread.len() as u64,
        ..Slice::default()
    };
    for latencies in report.thread.values() {
        slice.health.ticks += latencies.cycles;
        let mut seen = 0;
        for (us, &count) in &latencies.histogram {
            let us: u64 = us.parse().map_err(CommandError::failed)?;
            note(&mut slice.health.wake_ns, us, count);
            seen += count;
        }
        let beyond = latencies.cycles.saturating_sub(seen);
        note(&mut slice.health.wake_ns, latencies.max, beyond);
    }
    Ok(slice)
}

fn note(wake_ns: &mut Histogram<u64>, us: u64, count: u64) {
    wake_ns.saturating_record_n(us * 1_000, count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cyclictest_reports_are_read() {
        let text = r#"{"file_version": 2, "thread": {"0": {
            "histogram": {"3": 6, "10": 3}, "cycles": 10, "min": 3, "max": 700, "avg": 70.0, "cpu": 0}}}"#;
        let slice = slice_of(&serde_json::from_str(text).unwrap()).unwrap();
        let wake = &slice.health.wake_ns;
        assert_eq!((slice.health.ticks, wake.len()), (10, 10));
        assert_eq!(wake.value_at_quantile(0.5), 3_001);
        assert!(wake.max() >= 700_000);
    }

    #[test]
    fn slices_add_up() {
        let slice = |allocations| {
            let mut slice = Slice {
                threads: 1,
                missed: 2,
                is_metered: true,
                allocations,
                ..Slice::default()
            };
            slice.health.ticks = 5;
            slice.health.counts.minor_faults = 3;
            slice.health.wake_ns.saturating_record(1_000);
            slice
        };
        let pooled = Slice::pooled(&[slice(Some(4)), slice(None)]);
        assert_eq!((pooled.threads, pooled.missed), (2, 4));
        assert_eq!((pooled.allocations, pooled.dropped), (Some(4), None));
        assert_eq!(pooled.health.ticks, 10);
        assert_eq!(pooled.health.counts.minor_faults, 6);
        assert_eq!(pooled.health.wake_ns.len(), 2);
    }
}
