//! `visuomotor replay EPISODE --on …`: the recorded actions once more, open loop, from where the recorded episode began, and
//! whether it ends as it did: what a data set must show before anything is trained on it.
//!
//! Responsible for the policy that repeats and for the comparison. Not responsible for the physics ([`crate::rig`]) nor for
//! an arm in real time ([`crate::session`]).

use crate::cli::{ReplayArgs, Stage};
use crate::config::{JOINTS, Launch};
use crate::error::{CommandError, Grade};
use crate::film::Observer;
use crate::output;
use crate::policy::{Identity, OpenPolicy};
use crate::recorded;
use crate::rig::{Drawn, Rig};
use crate::session::{self, Plan, Repeat};
use crate::source::InputError;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use visuomotor_drivers::sim::Split;
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::episode::{ClockSource, Episode, Sha256, TextMap};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};
use visuomotor_runtime::safety::OperatingMode;
use visuomotor_runtime::units::JointPositions;

#[derive(Debug, Serialize)]
struct Report {
    on: Stage,
    actions: usize,
    /// What the recording says; `null` where nobody judged it.
    recorded_success: Option<bool>,
    replayed_success: bool,
    /// How the repetition ended, in the words of `visuomotor eval`.
    replayed_class: &'static str,
    repeats: bool,
    /// The most that the tool was elsewhere when it looked, m; `null` in real time.
    path_difference_m_max: Option<f64>,
}

pub fn run(args: &ReplayArgs, stage: Stage) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let refused = |problem: String| CommandError::input(InputError::file(&args.episode, problem));
    let episode =
        Episode::<JOINTS>::open(&args.episode).map_err(|error| refused(error.to_string()))?;
    if episode.decisions.is_empty() {
        return Err(refused(
            "it has no actions that could be repeated".to_owned(),
        ));
    }
    if let Some(derivation) = &episode.header.derivation
        && derivation.how == "trimmed"
    {
        let parent = &derivation.parent_id;
        return Err(refused(format!(
            "it was cut and no longer has its start; repeat its parent {parent}"
        )));
    }
    let scene = episode.header.scene.as_ref();
    let scene = scene.ok_or_else(|| {
        refused("it does not say what lay in front of the arm: only simulated episodes do".into())
    })?;
    let split = Split::of_name(&scene.split)
        .ok_or_else(|| refused(format!("no objects are called `{}`", scene.split)))?;
    let mut launch = match &args.launch {
        Some(path) => Launch::read(path),
        None => recorded::with_scene(&episode, &args.episode),
    }
    .map_err(CommandError::input)?;
    if let (Some(config), false) = (&mut launch.scene, scene.objects.is_empty()) {
        let meshes = Path::new(&scene.objects);
        config.objects.load(meshes).map_err(CommandError::input)?;
    }
    let played = match stage {
        Stage::Sim => in_simulation(&launch, &episode, split, scene.seed)?,
        Stage::Robot => on_the_arm(args, &launch, &episode, split, scene.seed)?,
    };
    let recorded_success = episode.outcome.and_then(|(outcome, _)| outcome.success);
    let report = Report {
        on: stage,
        actions: episode.decisions.len(),
        recorded_success,
        replayed_success: played.success,
        replayed_class: played.class,
        repeats: recorded_success == Some(played.success),
        path_difference_m_max: played.path_difference_m_max,
    };
    output::report(&report, &report, args.json.as_deref())?;
    Ok(match report.repeats {
        true => Grade::Good,
        false => Grade::Short,
    })
}

struct Repeated {
    success: bool,
    class: &'static str,
    path_difference_m_max: Option<f64>,
}

fn in_simulation(
    launch: &Launch,
    episode: &Episode<JOINTS>,
    split: Split,
    seed: u64,
) -> Result<Repeated, CommandError> {
    let mut drawn = Drawn::of(launch, seed, 0.0).map_err(CommandError::input)?;
    if episode.header.clock.source == ClockSource::Monotonic {
        // In real time the arm came from somewhere else, and thinking took what it took.
        drawn.q = start(episode)?;
        drawn.latency.action = thinking(episode);
    }
    let policy = Box::new(Repeating::of(episode));
    let mut rig = Rig::new(launch, split, policy, None).map_err(CommandError::input)?;
    if let Some(first) = episode.steps.first() {
        rig.set_mode(first.mode);
    }
    let mut path = ToolPath::of(episode);
    let result = rig
        .repeat(seed, drawn, &mut path)
        .map_err(CommandError::failed)?;
    Ok(Repeated {
        success: result.success(),
        class: result.class.name(),
        path_difference_m_max: Some(path.difference_m_max),
    })
}

fn on_the_arm(
    args: &ReplayArgs,
    launch: &Launch,
    episode: &Episode<JOINTS>,
    split: Split,
    seed: u64,
) -> Result<Repeated, CommandError> {
    let directory = match &args.record {
        Some(directory) => directory,
        None => launch.episode_dir().map_err(CommandError::input)?,
    };
    output::directory(directory)?;
    let name = format!("repeats {}", episode.header.origin.id);
    let identity = Identity {
        manifest: None,
        manifest_sha256: Sha256::of(name.as_bytes()),
        name,
        checkpoints: TextMap::new(),
        settings: TextMap::new(),
    };
    let policy = OpenPolicy {
        policy: Box::new(Repeating::of(episode)),
        identity,
    };
    let first = episode.observations.first();
    let first = first.ok_or_else(|| CommandError::input("it does not say where it began"))?;
    let plan = Plan {
        episodes: Some(1),
        seconds: None,
        seed,
        // At reduced speed first: nobody has seen yet whether it repeats.
        mode: match args.full_speed {
            true => OperatingMode::Automatic,
            false => OperatingMode::Manual,
        },
        directory: directory.to_owned(),
        quiet: args.json.as_deref() == Some(Path::new("-")),
        repeat: Some(Repeat {
            start: first.gripper.measured,
            split: split.name(),
        }),
        recover: false,
    };
    let summary = session::run(launch, policy, plan, &Arc::<AtomicBool>::default())
        .map_err(CommandError::failed)?;
    let result = summary.finished.first();
    let result =
        result.ok_or_else(|| CommandError::failed("the arm did not come to the recorded start"))?;
    Ok(Repeated {
        success: result.success(),
        class: result.class.name(),
        path_difference_m_max: None,
    })
}

/// Where the arm was when the policy began.
fn start(episode: &Episode<JOINTS>) -> Result<JointPositions<JOINTS>, CommandError> {
    let mut playing = episode.steps.iter();
    let first = playing.find(|step| step.phase == Phase::Policy);
    let state = first.and_then(|step| step.measured());
    let state = state.ok_or_else(|| CommandError::input("it does not say where the arm began"))?;
    Ok(state.q)
}

/// The median of the times from looking to deciding.
fn thinking(episode: &Episode<JOINTS>) -> Duration {
    let looks = episode.observations.iter().zip(&episode.decisions);
    let spans = looks
        .filter_map(|(look, decided)| decided.decided_at.checked_duration_since(look.observed_at));
    let mut spans: Vec<_> = spans.collect();
    spans.sort_unstable();
    let middle = spans.get(spans.len() / 2);
    middle.copied().unwrap_or(Duration::ZERO)
}

/// Decides what was decided, whatever it sees; then ends the episode.
struct Repeating {
    actions: Vec<(Action, f64)>,
    next: usize,
}

impl Repeating {
    fn of(episode: &Episode<JOINTS>) -> Self {
        let decisions = episode.decisions.iter().map(|record| record.decision);
        Self {
            actions: decisions.map(|it| (it.action, it.q_value)).collect(),
            next: 0,
        }
    }
}

impl Policy for Repeating {
    fn reset(&mut self, _: u64) {
        self.next = 0;
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let end = Action {
            verb: Verb::Terminate,
            ..Action::hold()
        };
        let (action, q_value) = *self.actions.get(self.next).unwrap_or(&(end, f64::NAN));
        self.next += 1;
        Ok(Decision {
            action,
            q_value,
            frame_captured_at: observation.frame.captured_at,
            step: observation.step,
        })
    }
}

/// Where the tool was at each look, then and now.
struct ToolPath<'a> {
    episode: &'a Episode<JOINTS>,
    difference_m_max: f64,
}

impl<'a> ToolPath<'a> {
    fn of(episode: &'a Episode<JOINTS>) -> Self {
        Self {
            episode,
            difference_m_max: 0.0,
        }
    }
}

impl Observer for ToolPath<'_> {
    fn decided(&mut self, observation: &Observation<'_>, _: &Decision, _: Instant) {
        let looks = &self.episode.observations;
        if let Some(then) = looks.get(observation.step as usize) {
            let now = observation.gripper.measured.position_m;
            let off = (now - then.gripper.measured.position_m).norm();
            self.difference_m_max = self.difference_m_max.max(off);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |success| if success { "success" } else { "failure" };
        let then = self.recorded_success.map_or("not judged", word);
        writeln!(f, "{} recorded actions, open loop", self.actions)?;
        writeln!(f, "recorded  {then}")?;
        writeln!(
            f,
            "repeated  {} ({})",
            word(self.replayed_success),
            self.replayed_class
        )?;
        if let Some(off) = self.path_difference_m_max {
            writeln!(f, "the tool was at most {:.2} mm elsewhere", 1e3 * off)?;
        }
        let verdict = match (self.repeats, self.recorded_success) {
            (true, _) => "the outcome repeats",
            (false, Some(_)) => "THE OUTCOME DOES NOT REPEAT",
            (false, None) => "there is no recorded outcome to repeat",
        };
        writeln!(f, "{verdict}")
    }
}
