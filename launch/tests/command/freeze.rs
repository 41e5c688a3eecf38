//! A thread of a running session stands still for five seconds: control keeps its rate, stops where the watchdogs say so,
//! counts what was lost, and goes on when it is asked to.
//!
//! Judged by counts in the recorded episodes alone, since machines are shared.

use crate::scratch::{Scratch, changed, visuomotor};
use crate::tracer::{Frozen, freeze, thread_named};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::episode::Episode;
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::step::Step;

const FREEZE: Duration = Duration::from_ticks(5_000_000_000);
const PERIOD_NS: u64 = 1_000_000;
/// From a fault to rest; a stop from full speed takes some 200.
const STOPPING_TICKS_MAX: usize = 500;

/// What is left of a session one of whose threads stood still in an episode.
struct Session {
    frozen: Frozen,
    /// In the order of time.
    episodes: Vec<Episode<7>>,
}

impl Session {
    /// `None`, and a loud word about it, where the kernel permits no tracing.
    fn run(name: &str, launch: impl AsRef<[u8]>, words: &[&str]) -> Option<Self> {
        let scratch = Scratch::new(&format!("freeze-{name}"));
        let (launch, record) = (scratch.write("launch.toml", launch), scratch.path("record"));
        let mut session = Ended(
            visuomotor()
                .env("RUST_LOG", "error")
                .args(["run", "--seconds", "12"])
                .args(words)
                .arg(launch)
                .arg("--record")
                .arg(&record)
                .stdout(Stdio::null())
                .spawn()
                .expect("the program starts"),
        );
        while !has_begun(&record) {
            let ended = session.0.try_wait().expect("a child");
            assert!(ended.is_none(), "no episode began: {ended:?}");
            wait(20);
        }
        wait(200);
        let thread = thread_named(session.0.id(), name).expect("a thread of this name");
        let frozen = match freeze(thread, FREEZE) {
            Ok(frozen) => frozen,
            Err(error) => {
                // Not by a macro, whose output a passing test would keep to itself.
                let _ = writeln!(
                    std::io::stderr(),
                    "\nSKIPPED: the {name} thread could not be frozen, ptrace is refused: {error}\n"
                );
                return None;
            }
        };
        session.0.wait().expect("a child");
        let mut episodes: Vec<Episode<7>> = std::fs::read_dir(&record)
            .expect("a directory of episodes")
            .map(|entry| Episode::open(&entry.expect("an entry").path()).expect("an episode"))
            .collect();
        episodes.retain(|episode| !episode.steps.is_empty());
        episodes.sort_by_key(|episode| episode.steps[0].due);
        for episode in &episodes {
            assert!(episode.damage.is_none() && episode.outcome.is_some());
        }
        let session = Self { frozen, episodes };
        session.control_kept_its_rate();
        Some(session)
    }

    fn steps(&self) -> impl Iterator<Item = &Step<7>> {
        self.episodes.iter().flat_map(|episode| &episode.steps)
    }

    /// Every period was served or counted as missed, recorded or not; and most were served, also while the thread stood
    /// still.
    fn control_kept_its_rate(&self) {
        let steps: Vec<&Step<7>> = self.steps().collect();
        for pair in steps.windows(2) {
            let periods = (pair[1].due - pair[0].due).as_nanos() / PERIOD_NS;
            let missed = pair[1].counters.missed_ticks - pair[0].counters.missed_ticks;
            assert_eq!(pair[1].tick - pair[0].tick + missed, periods, "{pair:?}");
        }
        let before = steps.iter().rfind(|step| step.due <= self.frozen.from);
        let after = steps.iter().find(|step| step.due >= self.frozen.to);
        let (before, after) = (before.expect("steps before"), after.expect("steps after"));
        let periods = (after.due - before.due).as_nanos() / PERIOD_NS;
        let served = after.tick - before.tick;
        assert!(periods >= FREEZE.as_nanos() / PERIOD_NS);
        assert!(2 * served >= periods, "{served} of {periods} served");
    }

    /// What the episodes say was lost of them, and what is missing in them.
    fn lost_and_missing_steps(&self) -> (u64, u64) {
        let lost = self.episodes.iter().filter_map(|episode| episode.outcome);
        let missing = self.episodes.iter().flat_map(|episode| {
            let pairs = episode.steps.windows(2);
            pairs.map(|pair| pair[1].tick - pair[0].tick - 1)
        });
        (lost.map(|(_, losses)| losses.steps).sum(), missing.sum())
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = self.steps().filter_map(|step| step.fault).collect();
        faults.dedup();
        faults
    }

    /// The arm came to rest soon after the first fault, which fell into the time in which the thread stood still, and
    /// commands nothing else before its episode ends.
    fn came_to_rest(&self) {
        let faulty = |step: &Step<7>| step.fault.is_some();
        let stopping = self.episodes.iter().find_map(|episode| {
            let first = episode.steps.iter().position(faulty)?;
            Some(&episode.steps[first..])
        });
        let stopping = stopping.expect("a fault");
        let due = stopping[0].due;
        assert!(due > self.frozen.from && due < self.frozen.to, "at {due}");
        let rest = stopping.iter().position(Step::is_stopped).expect("at rest");
        assert!(rest <= STOPPING_TICKS_MAX, "{rest} ticks to rest");
        let speed = |step: &Step<7>| step.command.map_or(0.0, |(_, dq, _)| dq.0.amax());
        assert!(stopping[rest..].iter().all(|step| speed(step) == 0.0));
    }

    /// Episodes that began after the thread went on and had no fault.
    fn recovered(&self) -> impl Iterator<Item = &Episode<7>> {
        let after = |episode: &&Episode<7>| began(episode) >= self.frozen.to;
        let well = |episode: &&Episode<7>| episode.steps.iter().all(|step| step.fault.is_none());
        self.episodes.iter().filter(after).filter(well)
    }

    fn succeeded_afterwards(&self) -> bool {
        self.recovered().any(|episode| {
            let outcome = episode.outcome;
            outcome.is_some_and(|(outcome, _)| outcome.success == Some(true))
        })
    }
}

fn began(episode: &Episode<7>) -> Instant {
    episode.steps[0].due
}

/// A session that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has_begun(record: &Path) -> bool {
    std::fs::read_dir(record).is_ok_and(|entries| entries.count() > 0)
}

fn wait(ms: u64) {
    LinuxMono::sleep_until(LinuxMono::now() + Duration::from_millis(ms));
}

#[test]
fn long_a_frozen_writer_costs_records_and_every_one_is_counted() {
    // One action a second, so that an episode lasts longer than the writer stands still.
    let mut launch = Scratch::new("freeze-writer-launch").good();
    for (brisk, slow) in [
        ("action_rate_hz = 4.0", "action_rate_hz = 1.0"),
        (
            "policy_silence_ms_max = 500.0",
            "policy_silence_ms_max = 2000.0",
        ),
        ("frame_age_ms_max = 150.0", "frame_age_ms_max = 600.0"),
    ] {
        launch = changed(&launch, brisk, slow);
    }
    let Some(session) = Session::run("episode", launch, &["--policy", "scripted"]) else {
        return;
    };
    assert_eq!(session.faults(), []);
    let (lost, missing) = session.lost_and_missing_steps();
    assert_eq!(lost, missing);
    // 5,000 were due, and the ring holds 2,048 of them.
    assert!((500..4_000).contains(&lost), "{lost} lost");
    let frozen = session.episodes[0].steps.iter();
    assert!(frozen.clone().any(|step| step.due > session.frozen.to));
    assert!(session.episodes.len() > 1 && session.recovered().count() > 0);
}

#[test]
fn long_a_frozen_camera_stops_the_arm_until_it_is_asked_to_go_on() {
    let launch = Scratch::new("freeze-camera-launch").good();
    let Some(session) = Session::run("camera", launch, &["--policy", "scripted"]) else {
        return;
    };
    let faults = session.faults();
    let too_old = |fault: &Fault| matches!(fault, Fault::FrameTooOld { .. });
    assert!(faults.iter().all(too_old), "{faults:?}");
    session.came_to_rest();
    let last = session.steps().last().expect("steps");
    assert!(last.counters.late_decisions > 0);
    let (lost, missing) = session.lost_and_missing_steps();
    assert_eq!((lost, missing), (0, 0));
    assert!(session.succeeded_afterwards());
}

#[test]
fn long_a_frozen_policy_stops_the_arm_until_it_is_asked_to_go_on() {
    let launch = Scratch::new("freeze-policy-launch").good();
    let Some(session) = Session::run("policy", launch, &["--policy", "scripted"]) else {
        return;
    };
    let faults = session.faults();
    let silent = |fault: &Fault| matches!(fault, Fault::PolicySilent { .. });
    assert!(faults.iter().all(silent), "{faults:?}");
    session.came_to_rest();
    let (lost, missing) = session.lost_and_missing_steps();
    assert_eq!((lost, missing), (0, 0));
    assert!(session.succeeded_afterwards());
}
