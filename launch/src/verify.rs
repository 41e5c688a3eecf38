//! `visuomotor verify`: recorded episodes through today's controller and policy, and what of their lineage explains a
//! difference.
//!
//! Responsible for saying what *today* is, for running both links of the chain, and for the verdict. Not responsible for the
//! comparison of ticks ([`visuomotor_runtime::replay`]).

mod changes;
mod policy;

use crate::cli::VerifyArgs;
use crate::config::{Launch, LaunchFile};
use crate::error::{CommandError, Grade};
use crate::output;
use crate::recorded;
use crate::source::InputError;
use crate::wiring;
use changes::{Change, Entry};
use policy::{Decided, Today};
use serde::Serialize;
use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use visuomotor_data::paths;
use visuomotor_runtime::episode::{Code, Episode, EpisodeError, Sha256};
use visuomotor_runtime::replay::{Difference, replay};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Every answer of the controller is the same bit for bit, and every decision but for rounding.
    Identical,
    Differs,
    /// What is there is identical, but something is missing.
    Incomplete,
    /// Today's program cannot say.
    Unverifiable,
}

#[derive(Debug, Serialize)]
struct Report {
    episodes: Vec<Verified>,
    identical: usize,
    differing: usize,
    incomplete: usize,
    unverifiable: usize,
}

#[derive(Debug, Serialize)]
struct Verified {
    episode: PathBuf,
    verdict: Verdict,
    /// Whose limits and settings were today's.
    launch: String,
    controller: Option<Replayed>,
    policy: Option<Decided>,
    /// Entries of the lineage that are others today, whether or not that made a difference.
    changed: Vec<Change>,
    /// Those that explain the difference; `code` where only the program is another, `unknown` where not even that.
    explained_by: Vec<String>,
    /// Why it is incomplete or unverifiable.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Replayed {
    ticks: u64,
    skipped: u64,
    first_difference: Option<Difference>,
}

pub fn run(args: &VerifyArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let unreadable = |(path, error): (PathBuf, std::io::Error)| {
        CommandError::input(InputError::file(&path, format!("cannot be read: {error}")))
    };
    let files = paths::episodes(&args.paths, true).map_err(unreadable)?;
    if files.is_empty() {
        return Err(CommandError::input("there are no episodes"));
    }
    let executable = std::env::current_exe().and_then(std::fs::read);
    let executable = executable.map_err(CommandError::failed)?;
    let code = Code::of_this_build(Sha256::of(&executable));
    let verified = files.iter().map(|file| verify(file, args, &code));
    let report = Report::of(verified.collect());
    output::report(&report, &report, args.json.as_deref())?;
    Ok(match report.identical == report.episodes.len() {
        true => Grade::Good,
        false => Grade::Short,
    })
}

fn verify(file: &Path, args: &VerifyArgs, code: &Code) -> Verified {
    let verified = match Episode::<7>::open(file) {
        Err(EpisodeError::Joints { expected: 6, .. }) => {
            of(Episode::<6>::open(file), file, args, code)
        }
        Err(EpisodeError::Joints { expected: 5, .. }) => {
            of(Episode::<5>::open(file), file, args, code)
        }
        episode => of(episode, file, args, code),
    };
    verified.unwrap_or_else(|problem| Verified {
        episode: file.to_owned(),
        verdict: Verdict::Unverifiable,
        launch: String::new(),
        controller: None,
        policy: None,
        changed: Vec::new(),
        explained_by: Vec::new(),
        problem: Some(problem),
    })
}

fn of<const N: usize>(
    episode: Result<Episode<N>, EpisodeError>,
    file: &Path,
    args: &VerifyArgs,
    code: &Code,
) -> Result<Verified, String> {
    let episode = episode.map_err(|error| error.to_string())?;
    let version = episode.header.origin.schema_version;
    if version < 3 {
        return Err(format!(
            "schema version {version} does not say what each tick depended on; from version 3 on episodes can be verified"
        ));
    }
    let (launch, whose) = todays_launch(&episode, file, args).map_err(|error| error.to_string())?;
    let mut changed = changes::of_robot(&episode.header, &launch, code);
    let mode = episode.steps.first().map(|step| step.mode);
    let controller = wiring::controller(&launch, mode.unwrap_or_default())
        .map_err(|error| format!("today's robot cannot run it: {error}"))?;
    let replayed = replay(&episode.steps, controller)
        .map_err(|error| recorded::because(&episode, error.to_string()))?;
    let mut decided = None;
    // Policies are for seven joints so far.
    let seven = (&episode as &dyn Any).downcast_ref::<Episode<7>>();
    let launch = (&launch as &dyn Any).downcast_ref::<Launch>();
    if let (Some(episode), Some(launch), true) = (seven, launch, episode.header.policy.is_some()) {
        let today = Today::open(episode, launch, args.policy.as_deref());
        if today.has_manifest() {
            changed.extend(changes::of_policy(
                &episode.header,
                today.identity.as_ref(),
                &today.files,
            ));
        }
        decided = Some(today.decide_again(episode));
    }
    let lost = episode.outcome.map(|(_, lost)| lost.steps);
    let problem = match (&episode.damage, lost) {
        (Some(damage), _) => Some(format!("the file is damaged or ends early: {damage}")),
        (None, Some(lost)) if lost > 0 => {
            Some(format!("{lost} steps were lost when it was recorded"))
        }
        _ => None,
    };
    let mut verified = Verified {
        episode: file.to_owned(),
        verdict: Verdict::Identical,
        launch: whose,
        controller: Some(Replayed {
            ticks: replayed.ticks,
            skipped: replayed.skipped,
            first_difference: replayed.first_difference,
        }),
        policy: decided,
        changed,
        explained_by: Vec::new(),
        problem,
    };
    verified.judge();
    Ok(verified)
}

/// The launch file that a person names, else the one that it was recorded with as it is today, else as it was.
fn todays_launch<const N: usize>(
    episode: &Episode<N>,
    file: &Path,
    args: &VerifyArgs,
) -> Result<(Launch<N>, String), InputError> {
    let recorded_path = Path::new(&episode.header.origin.launch);
    let path = match &args.launch {
        Some(path) => Some(path.as_path()),
        None if args.recorded => None,
        None => Some(recorded_path).filter(|path| path.is_file()),
    };
    match path {
        Some(path) => {
            let launch = Launch::new(LaunchFile::read(path)?)?;
            Ok((launch, path.display().to_string()))
        }
        None => Ok((recorded::launch(episode, file)?, "as recorded".to_owned())),
    }
}

impl Verified {
    fn judge(&mut self) {
        let moved = self
            .controller
            .as_ref()
            .is_some_and(|replayed| replayed.first_difference.is_some());
        let decided = self.policy.as_ref().is_some_and(|policy| !policy.agrees());
        let swapped = |change: &Change| change.entry == Entry::Checkpoint;
        // A checkpoint that does not even load any more is no reason to call an episode verified.
        let gone = self
            .policy
            .as_ref()
            .is_some_and(|policy| policy.not_verified.is_some())
            && self.changed.iter().any(swapped);
        let differs = moved || decided || gone;
        self.verdict = match (differs, &self.problem) {
            (true, _) => Verdict::Differs,
            (false, Some(_)) => Verdict::Incomplete,
            (false, None) => Verdict::Identical,
        };
        if moved {
            self.explain(Entry::concerns_controller);
        }
        if decided || gone {
            self.explain(Entry::concerns_policy);
        }
    }

    fn explain(&mut self, concerns: fn(Entry) -> bool) {
        let mut causes: Vec<Entry> = self.changed.iter().map(|change| change.entry).collect();
        let code = causes.contains(&Entry::Code);
        causes.retain(|entry| concerns(*entry));
        causes.dedup();
        let names = causes.iter().map(|entry| entry.name().to_owned());
        self.explained_by.extend(names);
        if causes.is_empty() {
            let cause = if code { Entry::Code.name() } else { "unknown" };
            self.explained_by.push(cause.to_owned());
        }
    }
}

impl Report {
    fn of(episodes: Vec<Verified>) -> Self {
        let count = |verdict| {
            let those = episodes.iter().filter(|episode| episode.verdict == verdict);
            those.count()
        };
        Self {
            identical: count(Verdict::Identical),
            differing: count(Verdict::Differs),
            incomplete: count(Verdict::Incomplete),
            unverifiable: count(Verdict::Unverifiable),
            episodes,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for episode in &self.episodes {
            write!(f, "{episode}")?;
        }
        writeln!(
            f,
            "{} identical, {} differ, {} incomplete, {} could not be verified",
            self.identical, self.differing, self.incomplete, self.unverifiable
        )
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Identical => "identical",
            Verdict::Differs => "DIFFERS",
            Verdict::Incomplete => "INCOMPLETE",
            Verdict::Unverifiable => "UNVERIFIABLE",
        };
        write!(f, "{word:12} {}", self.episode.display())?;
        if let Some(controller) = &self.controller {
            write!(f, "  {} ticks", controller.ticks)?;
        }
        match &self.policy {
            Some(Decided {
                not_verified: None,
                decisions,
                ..
            }) => writeln!(f, ", {decisions} decisions")?,
            _ => writeln!(f)?,
        }
        let controller = self.controller.as_ref();
        if let Some(difference) = controller.and_then(|it| it.first_difference.as_ref()) {
            let Difference {
                tick,
                field,
                recorded,
                replayed,
                magnitude,
            } = difference;
            writeln!(f, "    tick {tick}, `{field}`{}", by(*magnitude))?;
            writeln!(f, "      recorded {recorded}\n      today    {replayed}")?;
        }
        if let Some(policy) = &self.policy {
            if let Some(difference) = &policy.first_difference {
                let (step, field) = (difference.step, difference.field);
                writeln!(
                    f,
                    "    decision {step}, `{field}`{}",
                    by(difference.magnitude)
                )?;
                writeln!(
                    f,
                    "      recorded {}\n      today    {}",
                    difference.recorded, difference.today
                )?;
            }
            if let Some(why) = &policy.not_verified {
                writeln!(f, "    policy not verified: {why}")?;
            }
        }
        if let Some(problem) = &self.problem {
            writeln!(f, "    {problem}")?;
        }
        if !self.explained_by.is_empty() {
            writeln!(f, "    because of: {}", self.explained_by.join(", "))?;
        }
        // Another build alone says nothing as long as everything is the same.
        let told = self
            .changed
            .iter()
            .filter(|change| change.entry != Entry::Code || self.verdict == Verdict::Differs);
        for Change {
            entry,
            part,
            recorded,
            today,
        } in told
        {
            let part = part
                .as_ref()
                .map_or_else(String::new, |part| format!(" {part}"));
            writeln!(
                f,
                "    changed {}{part}: {recorded} -> {today}",
                entry.name()
            )?;
        }
        Ok(())
    }
}

fn by(magnitude: Option<f64>) -> String {
    magnitude.map_or_else(String::new, |magnitude| format!(", by {magnitude:.3e}"))
}
