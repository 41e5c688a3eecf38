//! Whether this process on this machine can run a loop on time: one list of checks, each with what mends it.
//!
//! The refusals at start-up and `visuomotor doctor` both come from here, so they say the same. A check only reads, or tries
//! what it undoes. What the kernel's files say is in [`super::machine`].

use super::{ThreadPlan, machine, system};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

const CPU_LATENCY: &str = "/dev/cpu_dma_latency";

/// One thing that a loop needs, or that helps it, to be on time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Whether there is no real time without it; otherwise it is advice.
    pub required: bool,
    /// What was found.
    pub detail: String,
    /// What mends it; empty where nothing has to be mended.
    pub remedy: String,
}

impl Check {
    pub fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            required: true,
            detail: detail.into(),
            remedy: String::new(),
        }
    }

    pub fn failed(name: &'static str, detail: String, remedy: impl Into<String>) -> Self {
        Self {
            name,
            ok: false,
            required: true,
            detail,
            remedy: remedy.into(),
        }
    }

    pub fn into_advice(self) -> Self {
        Self {
            required: false,
            ..self
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if !self.ok {
            write!(f, ": {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that matters to a thread with this plan, required first.
pub fn checks(plan: &ThreadPlan) -> Vec<Check> {
    let mut checks = vec![
        memory().unwrap_or_else(|failed| failed),
        open_cpu_latency(Path::new(CPU_LATENCY)).map_or_else(
            |failed| failed,
            |_| Check::good("cpu_latency", format!("{CPU_LATENCY} can be held")),
        ),
        fifo(plan),
        affinity(plan),
    ];
    checks.extend(machine::checks(Path::new("/"), plan));
    checks
}

/// Whether all memory can be locked.
fn memory() -> Result<Check, Check> {
    // No file capabilities: the loader then ignores where the program says that its libraries are.
    let mend = "set `LimitMEMLOCK=infinity` in the systemd unit, or `@realtime - memlock unlimited` in \
                /etc/security/limits.d";
    match system::memory_limit() {
        Ok(None) => Ok(Check::good("memory_lock", "all memory can be locked")),
        // The call might pass while the process is small, and a later allocation fails instead.
        Ok(Some(bytes)) => Err(Check::failed(
            "memory_lock",
            format!("only {bytes} bytes of memory can be locked (RLIMIT_MEMLOCK)"),
            mend,
        )),
        Err(cause) => Err(Check::failed(
            "memory_lock",
            format!("the limit of locked memory is unknown ({cause})"),
            mend,
        )),
    }
}

pub(super) fn lock_memory() -> Result<(), Check> {
    memory()?;
    system::lock_memory().map_err(|cause| {
        Check::failed(
            "memory_lock",
            format!("memory is not locked ({cause})"),
            "free memory on this machine, or raise `memory.max` of this cgroup",
        )
    })
}

/// The request for 0 us of wake-up latency lasts for as long as the file is open (kernel: PM QoS).
pub(super) fn hold_cpu_latency() -> Result<File, Check> {
    let path = Path::new(CPU_LATENCY);
    let mut file = open_cpu_latency(path)?;
    file.write_all(&0_i32.to_ne_bytes())
        .map_err(|cause| latency_refused(path, &cause))?;
    Ok(file)
}

fn open_cpu_latency(path: &Path) -> Result<File, Check> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|cause| latency_refused(path, &cause))
}

fn latency_refused(path: &Path, cause: &io::Error) -> Check {
    let mend = if cause.kind() == io::ErrorKind::NotFound {
        "boot with `cpuidle.off=1`, or with a kernel that has CONFIG_CPU_IDLE"
    } else {
        "run as root, or with the udev rule `KERNEL==\"cpu_dma_latency\", GROUP=\"realtime\", MODE=\"0660\"` and as a \
         member of that group"
    };
    let detail = format!(
        "CPUs may sleep deeply between ticks ({}: {cause})",
        path.display()
    );
    Check::failed("cpu_latency", detail, mend)
}

/// Tries on a thread of its own, so that no other is changed.
fn tried(attempt: impl FnOnce() -> Result<(), Check> + Send, good: Check) -> Check {
    let result = std::thread::scope(|scope| scope.spawn(attempt).join());
    match result {
        Ok(Err(failed)) => failed,
        _ => good,
    }
}

fn fifo(plan: &ThreadPlan) -> Check {
    let Some(priority) = plan.fifo_priority else {
        return Check::good("fifo", "no real-time priority is asked for");
    };
    let granted = format!("SCHED_FIFO priority {priority} is granted");
    tried(move || enter_fifo(priority), Check::good("fifo", granted))
}

pub(super) fn enter_fifo(priority: i32) -> Result<(), Check> {
    system::enter_fifo(priority).map_err(|cause| {
        let limit = system::priority_limit().unwrap_or(0);
        Check::failed(
            "fifo",
            format!("SCHED_FIFO priority {priority} is refused ({cause}; RLIMIT_RTPRIO is {limit})"),
            format!(
                "set `LimitRTPRIO={priority}` in the systemd unit, or `@realtime - rtprio {priority}` in \
                 /etc/security/limits.d"
            ),
        )
    })
}

fn affinity(plan: &ThreadPlan) -> Check {
    let Some(cpu) = plan.cpu else {
        return Check::good("affinity", "no CPU of its own is asked for");
    };
    let granted = format!("CPU {cpu} is granted");
    tried(move || pin_to_cpu(cpu), Check::good("affinity", granted))
}

pub(super) fn pin_to_cpu(cpu: usize) -> Result<(), Check> {
    system::pin_to_cpu(cpu).map_err(|cause| {
        Check::failed(
            "affinity",
            format!("CPU {cpu} is refused ({cause})"),
            "change `cpu` in the launch file to one of `Cpus_allowed_list` in /proc/self/status, or widen `AllowedCPUs=` \
             of the systemd unit",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_whatever_fails_a_remedy() {
        for plan in [
            ThreadPlan::default(),
            ThreadPlan {
                fifo_priority: Some(80),
                cpu: Some(0),
            },
            ThreadPlan {
                fifo_priority: Some(1_000),
                cpu: Some(usize::MAX),
            },
        ] {
            let checks = checks(&plan);
            let mut names: Vec<_> = checks.iter().map(|check| check.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count);
            for check in &checks {
                assert_eq!(check.ok, check.remedy.is_empty(), "{check:?}");
                assert!(!check.detail.is_empty(), "{check:?}");
            }
            let ok = |name| checks.iter().any(|check| check.name == name && check.ok);
            if plan.fifo_priority == Some(1_000) {
                assert!(!ok("fifo") && !ok("affinity"));
            }
            if plan == ThreadPlan::default() {
                assert!(ok("fifo") && ok("affinity"));
            }
        }
    }

    #[test]
    fn trying_changes_no_thread_that_exists() {
        let policy = || {
            std::fs::read_to_string("/proc/thread-self/sched")
                .unwrap_or_default()
                .lines()
                .find(|line| line.starts_with("policy"))
                .map(str::to_owned)
        };
        let before = policy();
        checks(&ThreadPlan {
            fifo_priority: Some(80),
            cpu: Some(0),
        });
        assert_eq!(policy(), before);
    }

    #[test]
    fn a_refused_latency_device_is_named_with_what_mends_it() {
        let missing = open_cpu_latency(Path::new("/nonexistent/latency")).unwrap_err();
        let forbidden = open_cpu_latency(Path::new("/")).unwrap_err();
        for (failed, remedy) in [(missing, "cpuidle.off=1"), (forbidden, "udev")] {
            let text = failed.to_string();
            assert!(text.contains(remedy), "{text}");
        }
    }
}
