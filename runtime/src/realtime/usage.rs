//! How a thread was scheduled: CPU time, run delay, context switches, page faults, counted by the kernel.
//!
//! Not responsible for what is made of it: per tick that is [`crate::health`].

use super::system::thread_rusage;
use crate::clock::Duration;
use crate::clock::linux::thread_cpu_time;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How the calling thread was scheduled since it started. Take two and look at the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadUsage {
    pub cpu_time: Duration,
    /// Time spent ready but waiting for a CPU; `None` where the kernel does not keep it (CONFIG_SCHED_INFO).
    pub run_delay: Option<Duration>,
    pub switches: SwitchesAndFaults,
}

/// Counted since the thread started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SwitchesAndFaults {
    /// The thread gave up the CPU: one a tick for its sleep.
    pub voluntary_switches: u64,
    /// The thread was preempted.
    pub involuntary_switches: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

impl ThreadUsage {
    /// Opens a file: at the ends of a session, not in a tick.
    pub fn of_this_thread() -> Self {
        Self {
            cpu_time: thread_cpu_time(),
            run_delay: RunDelay::of_this_thread().and_then(|run_delay| run_delay.read()),
            switches: SwitchesAndFaults::of_this_thread(),
        }
    }

    /// What was used between `earlier` and this reading of the same thread.
    pub fn since(&self, earlier: &Self) -> Self {
        let run_delay = self.run_delay.zip(earlier.run_delay);
        Self {
            cpu_time: self.cpu_time - earlier.cpu_time,
            run_delay: run_delay.map(|(now, then)| now - then),
            switches: self.switches.since(&earlier.switches),
        }
    }
}

impl SwitchesAndFaults {
    /// One system call.
    pub fn of_this_thread() -> Self {
        let usage = thread_rusage();
        Self {
            voluntary_switches: usage.ru_nvcsw as u64,
            involuntary_switches: usage.ru_nivcsw as u64,
            minor_faults: usage.ru_minflt as u64,
            major_faults: usage.ru_majflt as u64,
        }
    }

    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            voluntary_switches: self.voluntary_switches - earlier.voluntary_switches,
            involuntary_switches: self.involuntary_switches - earlier.involuntary_switches,
            minor_faults: self.minor_faults - earlier.minor_faults,
            major_faults: self.major_faults - earlier.major_faults,
        }
    }
}

/// A thread's run delay, kept open so that reading it is one system call.
#[derive(Debug)]
pub struct RunDelay(File);

impl RunDelay {
    pub const FILE: &str = "/proc/thread-self/schedstat";

    /// `None` where the kernel does not keep it.
    pub fn of_this_thread() -> Option<Self> {
        let file = Self(File::open(Self::FILE).ok()?);
        file.read().is_some().then_some(file)
    }

    /// Time since the thread started in which it was ready and waited for a CPU. Allocates nothing.
    pub fn read(&self) -> Option<Duration> {
        let mut text = [0; 96];
        let length = self.0.read_at(&mut text, 0).ok()?;
        parse(text.get(..length)?)
    }
}

/// "CPU time, run delay, time slices", ns (kernel: Documentation/scheduler/sched-stats.rst).
fn parse(schedstat: &[u8]) -> Option<Duration> {
    let mut fields = schedstat.split(|byte| byte.is_ascii_whitespace());
    let ns = str::from_utf8(fields.nth(1)?).ok()?;
    ns.parse().ok().map(Duration::from_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_delay_is_the_second_field_of_schedstat() {
        assert_eq!(parse(b"52 345 7\n"), Some(Duration::from_ticks(345)));
        for malformed in ["", "52", "52 x 7", "52 "] {
            assert_eq!(parse(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn usage_counts_what_the_thread_does() {
        let before = ThreadUsage::of_this_thread();
        for _ in 0..5 {
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        std::hint::black_box(vec![1_u8; 64 << 20]);
        let used = ThreadUsage::of_this_thread().since(&before);
        assert!(used.switches.voluntary_switches >= 5, "{used:?}");
        assert!(
            used.switches.minor_faults > 0 && !used.cpu_time.is_zero(),
            "{used:?}"
        );
    }
}
