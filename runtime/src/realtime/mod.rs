//! What a process and its threads ask of Linux so that a tick is on time, and what they got.
//!
//! Responsible for locked memory, CPU latency, SCHED_FIFO, affinity, for saying what keeps them from being had
//! ([`checks`]), and for reading how a thread was scheduled ([`ThreadUsage`]). Not responsible for time itself
//! ([`crate::clock`]) or for what runs in a tick.
//!
//! Order matters: [`Process::prepare`] before any thread starts (memory that is locked later is not resident in time),
//! then [`Thread::enter`] first thing on each thread that needs it.

mod checks;
mod machine;
mod system;
mod usage;

pub use checks::{Check, checks};
pub use system::utc_is_synchronised;
pub use usage::{RunDelay, SwitchesAndFaults, ThreadUsage};

use std::fs::File;

/// What to do about a right that the kernel does not grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// Refuse to start. For physical arms.
    #[default]
    Required,
    /// Go on and record it. For simulation and development.
    Preferred,
}

/// What the control thread asked for and really got, for the episode's header.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Granted {
    /// Whether the session would not have started without all of it.
    pub required: bool,
    pub memory_locked: bool,
    pub fifo: bool,
    /// Whether it has the CPU of its own that was asked for.
    pub affinity: bool,
    pub cpu_latency: bool,
    /// Names of the checks that failed.
    pub missing: Vec<&'static str>,
}

/// Everything that was required and is missing, at once.
#[derive(Debug, thiserror::Error)]
#[error("real-time rights are missing:{}", lines(.0))]
pub struct NotGranted(pub Vec<Check>);

fn lines(missing: &[Check]) -> String {
    let line = |check: &Check| format!("\n  - {check}");
    missing.iter().map(line).collect()
}

impl Preference {
    fn judge(self, missing: Vec<Check>) -> Result<Vec<Check>, NotGranted> {
        match self {
            Self::Required if !missing.is_empty() => Err(NotGranted(missing)),
            _ => Ok(missing),
        }
    }
}

/// The rights of the whole process, held until it is dropped (memory stays locked).
#[derive(Debug)]
pub struct Process {
    preference: Preference,
    memory_locked: bool,
    cpu_latency: Option<File>,
    /// What was preferred and not granted, to the process or to the thread that is to come.
    pub missing: Vec<Check>,
}

impl Process {
    /// Looks at everything that a thread with this plan needs, locks all memory, present and future, and keeps the CPUs
    /// out of deep sleep. Call it before any thread starts.
    ///
    /// # Errors
    /// Everything that is required and missing, each with its remedy; then nothing has been changed.
    pub fn prepare(preference: Preference, plan: &ThreadPlan) -> Result<Self, NotGranted> {
        let is_missing = |check: &Check| check.required && !check.ok;
        let found = checks(plan).into_iter().filter(is_missing).collect();
        let mut missing = preference.judge(found)?;
        let memory_locked = keep(checks::lock_memory(), &mut missing).is_some();
        if memory_locked {
            system::keep_heap();
        }
        let cpu_latency = keep(checks::hold_cpu_latency(), &mut missing);
        Ok(Self {
            preference,
            memory_locked,
            cpu_latency,
            missing: preference.judge(missing)?,
        })
    }

    /// The process's rights together with those of its control thread.
    pub fn granted(&self, thread: &Thread) -> Granted {
        let mut missing: Vec<_> = self.missing.iter().chain(&thread.missing).collect();
        missing.sort_by_key(|check| check.name);
        missing.dedup_by_key(|check| check.name);
        Granted {
            required: self.preference == Preference::Required,
            memory_locked: self.memory_locked,
            cpu_latency: self.cpu_latency.is_some(),
            fifo: thread.fifo,
            affinity: thread.affinity,
            missing: missing.iter().map(|check| check.name).collect(),
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

impl ThreadPlan {
    /// The control thread's; `cpu` is that of the launch file.
    pub fn control(cpu: Option<usize>) -> Self {
        Self {
            fifo_priority: Some(80),
            cpu,
        }
    }

    /// Below the control thread.
    pub fn camera() -> Self {
        Self {
            fifo_priority: Some(60),
            cpu: None,
        }
    }
}

/// What the thread that called [`Thread::enter`] got.
#[derive(Debug)]
pub struct Thread {
    pub fifo: bool,
    pub affinity: bool,
    /// What was preferred and not granted.
    pub missing: Vec<Check>,
}

impl Thread {
    /// Touches the stack of the calling thread, pins it to a CPU and raises its priority; where that is refused, its
    /// sleeps at least end when they should.
    ///
    /// # Errors
    /// Everything that is required and missing, each with its remedy.
    pub fn enter(preference: Preference, plan: ThreadPlan) -> Result<Self, NotGranted> {
        system::prefault_stack();
        let mut missing = Vec::new();
        let mut got = |wish: Option<Result<(), Check>>| {
            wish.and_then(|result| keep(result, &mut missing)).is_some()
        };
        let affinity = got(plan.cpu.map(checks::pin_to_cpu));
        let fifo = got(plan.fifo_priority.map(checks::enter_fifo));
        if !fifo {
            system::tighten_timer();
        }
        Ok(Self {
            fifo,
            affinity,
            missing: preference.judge(missing)?,
        })
    }
}

/// What was got; otherwise the failed check joins the others, once.
fn keep<T>(result: Result<T, Check>, missing: &mut Vec<Check>) -> Option<T> {
    result
        .map_err(|check| {
            missing.retain(|known| known.name != check.name);
            missing.push(check);
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_refuses_with_every_remedy_and_preferred_records() {
        let missing = || {
            let failed = |name, remedy: &str| Check {
                name,
                ok: false,
                required: true,
                detail: format!("{name} is refused"),
                remedy: remedy.into(),
            };
            vec![failed("memory", "unlock it"), failed("fifo", "allow it")]
        };
        assert_eq!(Preference::default(), Preference::Required);
        assert_eq!(Preference::Preferred.judge(missing()).unwrap().len(), 2);
        assert!(Preference::Required.judge(Vec::new()).is_ok());
        let text = Preference::Required
            .judge(missing())
            .unwrap_err()
            .to_string();
        for part in [
            "memory is refused: unlock it",
            "\n  - fifo is refused: allow it",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
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
                let refused = Process::prepare(Preference::Required, &plan).unwrap_err();
                let named: Vec<_> = refused.0.iter().map(|check| check.name).collect();
                assert!(
                    named.contains(&"fifo") && named.contains(&"affinity"),
                    "{refused}"
                );
                let thread = Thread::enter(Preference::Preferred, plan).unwrap();
                assert!(!thread.affinity && !thread.fifo);
                assert_eq!(thread.missing.len(), 2);
                assert!(Thread::enter(Preference::Required, plan).is_err());
            }
            let nothing = Thread::enter(Preference::Required, ThreadPlan::default()).unwrap();
            assert!(!nothing.affinity && !nothing.fifo);
        })
        .join()
        .unwrap();
    }
}
