//! What a process and its threads ask of Linux so that a tick is on time, and what they got.
//!
//! Responsible for locked memory, CPU latency, SCHED_FIFO, affinity, and for reading how a thread was scheduled. Not
//! responsible for time itself ([`crate::clock`]) or for what runs in a tick.
//!
//! Order matters: [`Process::prepare`] before any thread starts (memory that is locked later is not resident in time),
//! then [`Thread::enter`] first thing on each thread that needs it.

use crate::clock::Duration;
use crate::clock::linux::thread_cpu_time;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What to do about a right that the kernel does not grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// Refuse to start. For physical arms.
    Required,
    /// Go on and record it. For simulation and development.
    #[default]
    Preferred,
}

/// What the control thread really got, for the episode's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct Granted {
    pub memory_locked: bool,
    pub fifo: bool,
    pub affinity: bool,
    pub cpu_latency: bool,
}

/// A right that the kernel did not grant, and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error(
        "memory is not locked ({cause}): set `LimitMEMLOCK=infinity` in the systemd unit, or `ulimit -l unlimited`, or \
         give the program CAP_IPC_LOCK (`setcap cap_ipc_lock,cap_sys_nice+ep PROGRAM`)"
    )]
    MemoryLock { cause: io::Error },
    #[error(
        "the soft limit of locked memory is {limit_bytes} bytes, which a later allocation would hit: set \
         `LimitMEMLOCK=infinity` in the systemd unit, or `ulimit -l unlimited`, or give the program CAP_IPC_LOCK \
         (`setcap cap_ipc_lock,cap_sys_nice+ep PROGRAM`)"
    )]
    MemoryLimit { limit_bytes: u64 },
    #[error(
        "CPUs may sleep deeply between ticks ({}: {cause}): run as root, or with the udev rule \
         `KERNEL==\"cpu_dma_latency\", GROUP=\"realtime\", MODE=\"0660\"`; where the device \
         is missing, boot with `cpuidle.off=1`",
        path.display()
    )]
    CpuLatency { path: PathBuf, cause: io::Error },
    #[error(
        "SCHED_FIFO priority {priority} is refused ({cause}): set `LimitRTPRIO={priority}` in the systemd unit, or \
         `@realtime - rtprio {priority}` in /etc/security/limits.d, or give the program CAP_SYS_NICE \
         (`setcap cap_ipc_lock,cap_sys_nice+ep PROGRAM`)"
    )]
    Fifo { priority: i32, cause: io::Error },
    #[error(
        "CPU {cpu} is refused ({cause}): choose one of `Cpus_allowed_list` in /proc/self/status, or widen \
         `AllowedCPUs=` of the systemd unit"
    )]
    Affinity { cpu: usize, cause: io::Error },
}

/// Everything that was required and denied, at once.
#[derive(Debug, thiserror::Error)]
#[error("real-time rights are missing:{}", lines(.0))]
pub struct NotGranted(pub Vec<Denied>);

fn lines(denied: &[Denied]) -> String {
    denied
        .iter()
        .map(|denied| format!("\n  - {denied}"))
        .collect()
}

impl Preference {
    fn judge(self, denied: Vec<Denied>) -> Result<Vec<Denied>, NotGranted> {
        match self {
            Self::Required if !denied.is_empty() => Err(NotGranted(denied)),
            _ => Ok(denied),
        }
    }
}

/// The rights of the whole process, held until it is dropped (memory stays locked).
#[derive(Debug)]
pub struct Process {
    pub memory_locked: bool,
    cpu_latency: Option<File>,
    /// What was preferred and not granted.
    pub denied: Vec<Denied>,
}

impl Process {
    /// Locks all memory, present and future, and keeps the CPUs out of deep sleep. Call it before any thread starts.
    pub fn prepare(preference: Preference) -> Result<Self, NotGranted> {
        let mut denied = Vec::new();
        let memory_locked = keep(lock_memory(), &mut denied).is_some();
        let cpu_latency = keep(
            hold_cpu_latency(Path::new("/dev/cpu_dma_latency")),
            &mut denied,
        );
        Ok(Self {
            memory_locked,
            cpu_latency,
            denied: preference.judge(denied)?,
        })
    }

    pub fn granted(&self, thread: &Thread) -> Granted {
        Granted {
            memory_locked: self.memory_locked,
            cpu_latency: self.cpu_latency.is_some(),
            fifo: thread.fifo,
            affinity: thread.affinity,
        }
    }
}

/// What a thread asks for; `None` asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ThreadPlan {
    /// 1 (lowest) to 99.
    pub fifo_priority: Option<i32>,
    /// The one CPU to run on, counted from 0.
    pub cpu: Option<usize>,
}

/// What the thread that called [`Thread::enter`] got.
#[derive(Debug)]
pub struct Thread {
    pub fifo: bool,
    pub affinity: bool,
    /// What was preferred and not granted.
    pub denied: Vec<Denied>,
}

impl Thread {
    /// Touches the stack of the calling thread, pins it to a CPU and raises its priority.
    pub fn enter(preference: Preference, plan: ThreadPlan) -> Result<Self, NotGranted> {
        prefault_stack();
        let mut denied = Vec::new();
        let affinity = plan
            .cpu
            .and_then(|cpu| keep(pin_to_cpu(cpu), &mut denied))
            .is_some();
        let fifo = plan
            .fifo_priority
            .and_then(|priority| keep(enter_fifo(priority), &mut denied))
            .is_some();
        Ok(Self {
            fifo,
            affinity,
            denied: preference.judge(denied)?,
        })
    }
}

fn keep<T>(result: Result<T, Denied>, denied: &mut Vec<Denied>) -> Option<T> {
    result.map_err(|reason| denied.push(reason)).ok()
}

fn lock_memory() -> Result<(), Denied> {
    // Under a finite limit the call may pass while the process is small, and a later allocation fails instead.
    if !has_capability(CAP_IPC_LOCK) {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `limit` is a valid rlimit that outlives the call.
        let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
        if result != 0 {
            return Err(Denied::MemoryLock {
                cause: io::Error::last_os_error(),
            });
        }
        if limit.rlim_cur != libc::RLIM_INFINITY {
            return Err(Denied::MemoryLimit {
                limit_bytes: limit.rlim_cur,
            });
        }
    }
    // SAFETY: takes flags only.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } {
        0 => Ok(()),
        _ => Err(Denied::MemoryLock {
            cause: io::Error::last_os_error(),
        }),
    }
}

/// Number of the capability that lifts RLIMIT_MEMLOCK (linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;

fn has_capability(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_capabilities(&status).is_some_and(|set| set >> number & 1 == 1)
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

/// The request for 0 us of wake-up latency lasts for as long as the file is open (kernel: PM QoS).
fn hold_cpu_latency(path: &Path) -> Result<File, Denied> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(&0_i32.to_ne_bytes()).map(|()| file))
        .map_err(|cause| Denied::CpuLatency {
            path: path.to_owned(),
            cause,
        })
}

fn enter_fifo(priority: i32) -> Result<(), Denied> {
    // SAFETY: a sched_param is plain integers, for which zero is valid.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = priority;
    // SAFETY: acts on the calling thread; `param` outlives the call.
    match unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &param) } {
        0 => Ok(()),
        error => Err(Denied::Fifo {
            priority,
            cause: io::Error::from_raw_os_error(error),
        }),
    }
}

fn pin_to_cpu(cpu: usize) -> Result<(), Denied> {
    if cpu >= libc::CPU_SETSIZE as usize {
        let cause = io::Error::from_raw_os_error(libc::EINVAL);
        return Err(Denied::Affinity { cpu, cause });
    }
    // SAFETY: a cpu_set_t is an array of integers, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: 0 is the calling thread; the size is the set's, which outlives the call.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(Denied::Affinity {
            cpu,
            cause: io::Error::last_os_error(),
        }),
    }
}

/// Well below the 2 MiB that Rust gives a thread, well above what a tick needs.
const PREFAULT_BYTES: usize = 256 * 1024;

#[inline(never)]
fn prefault_stack() {
    std::hint::black_box([0_u8; PREFAULT_BYTES]);
}

/// How the calling thread was scheduled since it started. Take two and look at the difference.
///
/// Reading opens a file: at the ends of an episode, not in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadUsage {
    pub cpu_time: Duration,
    /// Time spent ready but waiting for a CPU; `None` where the kernel does not keep it (CONFIG_SCHED_INFO).
    pub run_delay: Option<Duration>,
    /// The thread gave up the CPU: one a tick for its sleep.
    pub voluntary_switches: u64,
    /// The thread was preempted.
    pub involuntary_switches: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

impl ThreadUsage {
    pub fn of_this_thread() -> Self {
        // SAFETY: a rusage is plain integers, for which zero is valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` outlives the call, which cannot fail for RUSAGE_THREAD and a valid pointer.
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
        Self {
            cpu_time: thread_cpu_time(),
            run_delay: run_delay(),
            voluntary_switches: usage.ru_nvcsw as u64,
            involuntary_switches: usage.ru_nivcsw as u64,
            minor_faults: usage.ru_minflt as u64,
            major_faults: usage.ru_majflt as u64,
        }
    }

    /// What was used between `earlier` and this reading of the same thread.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_time: self.cpu_time - earlier.cpu_time,
            run_delay: self
                .run_delay
                .zip(earlier.run_delay)
                .map(|(now, then)| now - then),
            voluntary_switches: self.voluntary_switches - earlier.voluntary_switches,
            involuntary_switches: self.involuntary_switches - earlier.involuntary_switches,
            minor_faults: self.minor_faults - earlier.minor_faults,
            major_faults: self.major_faults - earlier.major_faults,
        }
    }
}

fn run_delay() -> Option<Duration> {
    let mut text = [0; 96];
    let length = File::open("/proc/thread-self/schedstat")
        .ok()?
        .read(&mut text)
        .ok()?;
    parse_run_delay(str::from_utf8(&text[..length]).ok()?)
}

/// "CPU time, run delay, time slices", ns (kernel: Documentation/scheduler/sched-stats.rst).
fn parse_run_delay(schedstat: &str) -> Option<Duration> {
    schedstat
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
        .map(Duration::from_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_refuses_with_every_remedy_and_preferred_records() {
        let denied = || {
            vec![
                Denied::MemoryLimit {
                    limit_bytes: 8_388_608,
                },
                Denied::Fifo {
                    priority: 80,
                    cause: io::Error::from_raw_os_error(libc::EPERM),
                },
            ]
        };
        assert_eq!(Preference::Preferred.judge(denied()).unwrap().len(), 2);
        assert!(Preference::Required.judge(Vec::new()).is_ok());
        let text = Preference::Required
            .judge(denied())
            .unwrap_err()
            .to_string();
        for remedy in [
            "LimitMEMLOCK=infinity",
            "LimitRTPRIO=80",
            "cap_sys_nice",
            "8388608",
        ] {
            assert!(text.contains(remedy), "{remedy} is missing in: {text}");
        }
    }

    #[test]
    fn impossible_rights_are_values() {
        // On a thread of its own: a granted right would change the test runner's thread.
        std::thread::spawn(|| {
            for cpu in [libc::CPU_SETSIZE as usize - 1, libc::CPU_SETSIZE as usize] {
                let plan = ThreadPlan {
                    cpu: Some(cpu),
                    fifo_priority: Some(1_000),
                };
                let thread = Thread::enter(Preference::Preferred, plan).unwrap();
                assert!(!thread.affinity && !thread.fifo);
                assert_eq!(thread.denied.len(), 2);
                assert!(Thread::enter(Preference::Required, plan).is_err());
            }
            let nothing = Thread::enter(Preference::Required, ThreadPlan::default()).unwrap();
            assert!(!nothing.affinity && !nothing.fifo);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_missing_latency_device_is_named() {
        let error = hold_cpu_latency(Path::new("/nonexistent/latency"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nonexistent/latency") && error.contains("udev"),
            "{error}"
        );
    }

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000004000\n";
        assert_eq!(effective_capabilities(status), Some(1 << CAP_IPC_LOCK));
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }

    #[test]
    fn run_delay_is_the_second_field_of_schedstat() {
        assert_eq!(
            parse_run_delay("52 345 7\n"),
            Some(Duration::from_ticks(345))
        );
        for malformed in ["", "52", "52 x 7"] {
            assert_eq!(parse_run_delay(malformed), None);
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
        assert!(used.voluntary_switches >= 5, "{used:?}");
        assert!(
            used.minor_faults > 0 && !used.cpu_time.is_zero(),
            "{used:?}"
        );
    }
}
