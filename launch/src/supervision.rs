//! Feeds the watchdog of the service manager while every task of a session is alive, and only then.
//!
//! Responsible for telling a task that stands still from one that works. Not responsible for what happens then: the unit in
//! `launch/systemd` says it. Without a service manager nobody is told, and nothing else changes.

use sd_notify::NotifyState;
use visuomotor_runtime::clock::{Duration, Instant};

/// A task that has shown no sign of life for longer than this stands still.
const STILL_MAX: Duration = Duration::from_ticks(1_000_000_000);
/// A policy may think for longer than a loop may stand still: its silence is the control loop's business first.
const POLICY_STILL_MAX: Duration = Duration::from_ticks(5_000_000_000);
/// The watchdog is fed so many times as often as it must be.
const FED_PER_PERIOD: u64 = 4;

/// Signs of life, as counters that grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Of the control loop.
    pub ticks: u64,
    /// Of the camera, whatever it gave.
    pub polls: u64,
    /// Actions of the policy in this episode; `None` while it has nothing to decide.
    pub actions: Option<u64>,
    /// Records that the recorder did not take: it stands still when these grow.
    pub lost: u64,
}

/// One task, and when it last showed that it is alive.
#[derive(Clone, Copy, Debug)]
struct Task {
    name: &'static str,
    still_max: Duration,
    alive_at: Instant,
}

/// Says something to the service manager.
type Tell = fn(&[NotifyState<'_>]) -> std::io::Result<()>;

pub struct Supervision {
    tell: Tell,
    tasks: [Task; 4],
    seen: Signs,
    /// How often the service manager wants to hear of it; `None` without one.
    period: Option<Duration>,
    fed_at: Option<Instant>,
    /// What was told to stand still last.
    still: Option<&'static str>,
}

impl Supervision {
    /// By the wishes that the service manager has put into the environment.
    pub fn from_environment(now: Instant) -> Self {
        let wished = sd_notify::watchdog_enabled();
        let period = wished.map(|period| Duration::from_ticks(period.as_nanos() as u64));
        Self::new(now, period, sd_notify::notify)
    }

    fn new(now: Instant, period: Option<Duration>, tell: Tell) -> Self {
        let task = |name, still_max| Task {
            name,
            still_max,
            alive_at: now,
        };
        Self {
            tell,
            tasks: [
                task("control", STILL_MAX),
                task("camera", STILL_MAX),
                task("policy", POLICY_STILL_MAX),
                task("recorder", STILL_MAX),
            ],
            seen: Signs::default(),
            period,
            fed_at: None,
            still: None,
        }
    }

    /// Looks at the signs of life; feeds the watchdog when it is time and nobody stands still.
    pub fn look(&mut self, now: Instant, signs: Signs) {
        self.still = self.standing_still(now, signs);
        if let Some(name) = self.still {
            tracing::debug!("{name} stands still: the watchdog is not fed");
            return;
        }
        let Some(period) = self.period else { return };
        let every = Duration::from_ticks(period.as_ticks() / FED_PER_PERIOD);
        let due = self.fed_at.is_none_or(|fed| now - fed >= every);
        if !due {
            return;
        }
        let first = self.fed_at.replace(now).is_none();
        let states: &[NotifyState<'_>] = match first {
            true => &[NotifyState::Ready, NotifyState::Watchdog],
            false => &[NotifyState::Watchdog],
        };
        if let Err(error) = (self.tell)(states) {
            tracing::warn!("the service manager cannot be told that all is well: {error}");
        }
    }

    fn standing_still(&mut self, now: Instant, signs: Signs) -> Option<&'static str> {
        let Signs {
            ticks,
            polls,
            actions,
            lost,
        } = self.seen;
        let alive = [
            signs.ticks != ticks,
            signs.polls != polls,
            signs.actions.is_none() || signs.actions != actions,
            signs.lost == lost,
        ];
        self.seen = signs;
        for (task, alive) in self.tasks.iter_mut().zip(alive) {
            if alive {
                task.alive_at = now;
            }
        }
        let still = |task: &&Task| now - task.alive_at > task.still_max;
        self.tasks.iter().find(still).map(|task| task.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Signs of life over time, ms.
    type Course<'a> = &'a dyn Fn(u64) -> Signs;

    fn at(ms: u64) -> Instant {
        Instant::from_ticks(ms * 1_000_000)
    }

    /// Looks every 20 ms until `until_ms`, with these signs; says when whom it found standing still first.
    fn found(until_ms: u64, signs: impl Fn(u64) -> Signs) -> Option<(u64, &'static str)> {
        let mut supervision = Supervision::new(at(0), None, hear);
        (0..until_ms).step_by(20).find_map(|ms| {
            supervision.look(at(ms), signs(ms));
            supervision.still.map(|name| (ms, name))
        })
    }

    #[test]
    fn a_task_that_stands_still_is_found_and_nobody_else() {
        let well = |ms: u64| Signs {
            ticks: ms,
            polls: ms / 33,
            actions: Some(ms / 250),
            lost: 0,
        };
        assert_eq!(found(20_000, well), None);
        let frozen = |ms: u64| ms.min(5_000);
        let cases: [(&str, u64, Course<'_>); 4] = [
            ("control", 6_020, &|ms| Signs {
                ticks: frozen(ms),
                ..well(ms)
            }),
            ("camera", 6_000, &|ms| Signs {
                polls: frozen(ms) / 33,
                ..well(ms)
            }),
            ("policy", 10_020, &|ms| Signs {
                actions: Some(frozen(ms) / 250),
                ..well(ms)
            }),
            ("recorder", 6_020, &|ms| Signs {
                lost: ms.max(5_000),
                ..well(ms)
            }),
        ];
        for (name, about_ms, signs) in cases {
            let (ms, found) = found(20_000, signs).expect(name);
            assert_eq!(found, name);
            assert!(ms.abs_diff(about_ms) <= 40, "{name}: {ms} ms");
        }
        // A policy that has nothing to decide stands not still, and one loss is no standstill.
        let idle = |ms: u64| Signs {
            actions: None,
            lost: u64::from(ms > 3_000),
            ..well(ms)
        };
        assert_eq!(found(20_000, idle), None);
    }

    thread_local! {
        static HEARD: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    fn hear(states: &[NotifyState<'_>]) -> std::io::Result<()> {
        let name = |state: &NotifyState<'_>| match state {
            NotifyState::Ready => "ready",
            NotifyState::Watchdog => "well",
            _ => "something else",
        };
        HEARD.with_borrow_mut(|heard| heard.extend(states.iter().map(name)));
        Ok(())
    }

    #[test]
    fn the_service_manager_hears_of_it_only_while_all_are_alive() {
        let period = Some(Duration::from_ticks(2_000_000_000));
        let mut supervision = Supervision::new(at(0), period, hear);
        let signs = |ticks: u64, polls: u64| Signs {
            ticks,
            polls,
            ..Signs::default()
        };
        for ms in (0..=2_000).step_by(20) {
            supervision.look(at(ms), signs(1 + ms, 1 + ms));
        }
        assert_eq!(
            HEARD.take(),
            ["ready", "well", "well", "well", "well", "well"]
        );
        // The control loop stands still from here on: as long as that may be a hiccup, all counts as well.
        for ms in (2_020..=10_000).step_by(20) {
            supervision.look(at(ms), signs(2_001, ms));
        }
        assert_eq!(HEARD.take(), ["well"; 2]);
        // And comes back.
        supervision.look(at(10_020), signs(2_002, 10_020));
        assert_eq!(HEARD.take(), ["well"]);
    }
}
