//! How each tick fared with the operating system: how long it waited for a CPU, how long it computed, how often the
//! kernel took the CPU away or had to fetch memory.
//!
//! Responsible for measuring that on the control thread, in two system calls a tick without allocation, and for summing it
//! up. Not responsible for what a tick decides: the controller knows nothing of it. Simulated ticks have none.

use crate::clock::{Duration, Instant};
use crate::realtime::{RunDelay, SwitchesAndFaults};
use hdrhistogram::Histogram;

/// Longest span that a histogram tells apart, ns.
const SPAN_MAX_NS: u64 = 1_000_000_000;

/// One tick's: from the end of the tick before to the end of its own work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Time in which the thread was ready and waited for a CPU; `None` where the kernel does not keep it.
    pub run_delay: Option<Duration>,
    /// From the wake-up until the step was ready for the recorder.
    pub compute: Duration,
    /// One for the sleep before the tick; none where the deadline had already passed.
    pub voluntary_switches: u32,
    /// The thread was preempted.
    pub involuntary_switches: u32,
    pub minor_faults: u32,
    pub major_faults: u32,
}

/// Measures one thread, tick by tick.
#[derive(Debug)]
pub struct HealthMeter {
    source: Option<RunDelay>,
    run_delay: Option<Duration>,
    counts: SwitchesAndFaults,
}

impl HealthMeter {
    /// For the calling thread, from here on. Opens a file: call it before the first tick.
    pub fn of_this_thread() -> Self {
        let source = RunDelay::of_this_thread();
        Self {
            run_delay: source.as_ref().and_then(RunDelay::read),
            source,
            counts: SwitchesAndFaults::of_this_thread(),
        }
    }

    /// What has happened since the last call, in a tick that woke at `woken` and has done its work at `now()`, which is
    /// asked last, so that `compute` has the measurement in it.
    pub fn tick(&mut self, woken: Instant, now: impl FnOnce() -> Instant) -> Health {
        let run_delay = self.source.as_ref().and_then(RunDelay::read);
        let counts = SwitchesAndFaults::of_this_thread();
        let used = counts.since(&self.counts);
        let waited = run_delay.zip(self.run_delay);
        (self.run_delay, self.counts) = (run_delay, counts);
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Health {
            run_delay: waited.and_then(|(now, before)| now.checked_sub(before)),
            compute: now()
                .checked_duration_since(woken)
                .unwrap_or(Duration::ZERO),
            voluntary_switches: small(used.voluntary_switches),
            involuntary_switches: small(used.involuntary_switches),
            minor_faults: small(used.minor_faults),
            major_faults: small(used.major_faults),
        }
    }
}

/// The health of many ticks. The first tick stands apart: it touches its data for the first time, and nothing that it
/// cost may hide in, or colour, the sums of the others.
#[derive(Clone, Debug)]
pub struct HealthSummary {
    pub ticks: u64,
    pub first: Option<Health>,
    /// Of every tick after the first.
    pub counts: SwitchesAndFaults,
    /// Spans of all ticks, the first included. Wake: from the first deadline since the tick before to
    /// the wake-up, so that a late one counts in full.
    pub run_delay_ns: Histogram<u64>,
    pub wake_ns: Histogram<u64>,
    pub compute_ns: Histogram<u64>,
}

impl Default for HealthSummary {
    fn default() -> Self {
        let spans = span_histogram();
        Self {
            ticks: 0,
            first: None,
            counts: SwitchesAndFaults::default(),
            run_delay_ns: spans.clone(),
            wake_ns: spans.clone(),
            compute_ns: spans,
        }
    }
}

impl HealthSummary {
    /// `lateness`: from the first deadline since the tick before to the wake-up. Allocates nothing.
    pub fn add(&mut self, lateness: Duration, health: &Health) {
        self.ticks += 1;
        self.wake_ns.saturating_record(lateness.as_nanos());
        self.compute_ns.saturating_record(health.compute.as_nanos());
        if let Some(run_delay) = health.run_delay {
            self.run_delay_ns.saturating_record(run_delay.as_nanos());
        }
        if self.first.is_none() {
            self.first = Some(*health);
            return;
        }
        self.counts.voluntary_switches += u64::from(health.voluntary_switches);
        self.counts.involuntary_switches += u64::from(health.involuntary_switches);
        self.counts.minor_faults += u64::from(health.minor_faults);
        self.counts.major_faults += u64::from(health.major_faults);
    }
}

/// Spans from 1 ns to 1 s to three digits; recording into it never allocates.
fn span_histogram() -> Histogram<u64> {
    match Histogram::new_with_max(SPAN_MAX_NS, 3) {
        Ok(spans) => spans,
        Err(error) => unreachable!("constant bounds are valid: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::linux::{LinuxMono, thread_cpu_time};

    fn health(of: u32) -> Health {
        Health {
            run_delay: Some(Duration::from_ticks(1000 * u64::from(of))),
            compute: Duration::from_ticks(2000 * u64::from(of)),
            voluntary_switches: 1,
            involuntary_switches: of,
            minor_faults: 2 * of,
            major_faults: 3 * of,
        }
    }

    #[test]
    fn the_first_tick_stands_apart_and_hides_nothing() {
        let mut summary = HealthSummary::default();
        for of in [100, 1, 2, 3] {
            summary.add(Duration::from_ticks(500), &health(of));
        }
        assert_eq!((summary.ticks, summary.first), (4, Some(health(100))));
        let expected = SwitchesAndFaults {
            voluntary_switches: 3,
            involuntary_switches: 6,
            minor_faults: 12,
            major_faults: 18,
        };
        assert_eq!(summary.counts, expected);
        assert_eq!(summary.run_delay_ns.len(), 4);
        assert!(summary.run_delay_ns.max() >= 100_000 && summary.compute_ns.max() >= 200_000);
        assert_eq!(summary.wake_ns.value_at_quantile(0.5), 500);
    }

    #[test]
    fn spans_beyond_all_bounds_count_as_the_longest() {
        let mut summary = HealthSummary::default();
        let endless = Health {
            compute: Duration::from_ticks(u64::MAX),
            run_delay: None,
            ..health(0)
        };
        summary.add(Duration::from_ticks(u64::MAX), &endless);
        assert!(summary.wake_ns.max() >= SPAN_MAX_NS && summary.compute_ns.max() >= SPAN_MAX_NS);
        assert!(summary.run_delay_ns.is_empty());
    }

    #[test]
    fn what_a_tick_does_is_in_its_health_and_in_no_other() {
        let mut meter = HealthMeter::of_this_thread();
        let mut tick = || meter.tick(LinuxMono::now(), LinuxMono::now);
        std::hint::black_box(vec![1_u8; 8 << 20]);
        assert!(tick().minor_faults > 100);
        let quiet = tick();
        assert!(
            quiet.minor_faults < 10 && quiet.voluntary_switches == 0,
            "{quiet:?}"
        );
        std::thread::park_timeout(std::time::Duration::from_millis(1));
        assert!(tick().voluntary_switches >= 1);
    }

    #[test]
    fn a_thread_that_waits_for_its_cpu_sees_it_in_the_run_delay() {
        // Twice as many busy threads as there are CPUs: each of them has to wait.
        let count = 2 * std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
        let busy = || {
            let mut meter = HealthMeter::of_this_thread();
            let start = thread_cpu_time();
            while thread_cpu_time() - start < Duration::from_millis(60) {}
            meter.tick(LinuxMono::now(), LinuxMono::now)
        };
        let ticks: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(busy)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        if ticks.iter().all(|health| health.run_delay.is_none()) {
            println!("NOT TESTED HERE: the kernel does not count run delay");
            return;
        }
        let waited = ticks.iter().filter_map(|health| health.run_delay).max();
        assert!(waited > Some(Duration::from_millis(1)), "{ticks:?}");
        assert!(
            ticks.iter().any(|health| health.involuntary_switches > 0),
            "{ticks:?}"
        );
    }

    #[test]
    fn measuring_costs_microseconds() {
        const TICKS: u32 = 20_000;
        let mut meter = HealthMeter::of_this_thread();
        let mut summary = HealthSummary::default();
        let start = thread_cpu_time();
        for _ in 0..TICKS {
            let health = meter.tick(LinuxMono::now(), LinuxMono::now);
            summary.add(Duration::from_ticks(1), &health);
        }
        let ns = (thread_cpu_time() - start).as_ticks() / u64::from(TICKS);
        println!("{ns} ns CPU a tick for its health");
        assert!(ns < 50_000, "{ns} ns");
    }
}
