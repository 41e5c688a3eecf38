//! `visuomotor replay`: a recorded episode once more through today's controller.
//!
//! Responsible for making the controller from what the episode says of itself, and for the report. Not responsible for
//! the comparison ([`visuomotor_runtime::replay`]).

use crate::cli::ReplayArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::recorded;
use crate::source::InputError;
use crate::wiring;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use visuomotor_runtime::episode::{Episode, EpisodeError};
use visuomotor_runtime::replay::{Difference, replay};

#[derive(Debug, Serialize)]
struct Report {
    ticks: u64,
    identical: bool,
    first_difference: Option<Difference>,
    /// Ticks before the first one from which on the controller's state is known.
    skipped: u64,
    /// Why the file is not whole; the ticks before that are replayed.
    damage: Option<String>,
    /// Steps that the episode itself counts as lost; where that was at its end, no tick is seen to be missing.
    lost_steps: u64,
    recorded_by: String,
    replayed_by: String,
}

pub fn run(args: &ReplayArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let path = &args.episode;
    let report = match Episode::<7>::open(path) {
        Err(EpisodeError::Joints { expected: 6, .. }) => of(Episode::<6>::open(path), path),
        Err(EpisodeError::Joints { expected: 5, .. }) => of(Episode::<5>::open(path), path),
        episode => of(episode, path),
    }
    .map_err(CommandError::input)?;
    output::report(&report, &report, args.json.as_deref())?;
    Ok(match report.identical {
        true => Grade::Good,
        false => Grade::Short,
    })
}

fn of<const N: usize>(
    episode: Result<Episode<N>, EpisodeError>,
    path: &Path,
) -> Result<Report, InputError> {
    let refused = |problem: String| InputError::file(path, problem);
    let episode = episode.map_err(|error| match error {
        EpisodeError::File { source, .. } => refused(format!("cannot be read: {source}")),
        error => refused(error.to_string()),
    })?;
    let version = episode.header.origin.schema_version;
    if version < 3 {
        return Err(refused(format!(
            "schema version {version} does not say what each tick depended on; from version 3 on episodes can be replayed"
        )));
    }
    let launch = recorded::launch(&episode, path)?;
    let mode = episode.steps.first().map(|step| step.mode);
    let controller = wiring::controller(&launch, mode.unwrap_or_default())
        .map_err(|error| refused(error.to_string()))?;
    let replayed = replay(&episode.steps, controller)
        .map_err(|error| refused(recorded::because(&episode, error.to_string())))?;
    let lost_steps = episode.outcome.map_or(0, |(_, lost)| lost.steps);
    let code = &episode.header.code;
    let dirty = if code.git_dirty { " and changes" } else { "" };
    Ok(Report {
        ticks: replayed.ticks,
        identical: replayed.first_difference.is_none()
            && episode.damage.is_none()
            && lost_steps == 0,
        lost_steps,
        first_difference: replayed.first_difference,
        skipped: replayed.skipped,
        damage: episode.damage,
        recorded_by: format!("{} ({}{dirty})", code.version, code.git_commit),
        replayed_by: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "recorded by {}", self.recorded_by)?;
        if self.skipped > 0 {
            writeln!(
                f,
                "{} ticks before the first re-arming are skipped",
                self.skipped
            )?;
        }
        match &self.first_difference {
            None => writeln!(f, "{} ticks, all identical", self.ticks)?,
            Some(Difference {
                tick,
                field,
                recorded,
                replayed,
                ..
            }) => writeln!(
                f,
                "differs after {} ticks, at tick {tick} in `{field}`:\n  recorded {recorded}\n  replayed {replayed}",
                self.ticks - 1
            )?,
        }
        if self.lost_steps > 0 {
            writeln!(
                f,
                "{} steps were lost when it was recorded",
                self.lost_steps
            )?;
        }
        if let Some(damage) = &self.damage {
            writeln!(f, "the file is damaged or ends early: {damage}")?;
        }
        Ok(())
    }
}
