//! `visuomotor recover`: what a killed program left behind, or what damage has spared, as an episode again.
//!
//! Not responsible for finding what is whole ([`visuomotor_runtime::episode::derive`]).

use crate::cli::RecoverArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use serde::Serialize;
use std::fmt;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use visuomotor_data::Timeline;
use visuomotor_runtime::episode::{
    Derived, Disk, EpisodeError, EpisodeFile, How, derive, is_being_written,
};

#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    out: PathBuf,
    was_whole: bool,
    steps: usize,
    frames: usize,
    observations: usize,
    decisions: usize,
    duration_s: f64,
    first_tick: Option<u64>,
    last_tick: Option<u64>,
    /// Between the first and the last.
    missing_ticks: u64,
    lost_bytes: u64,
    lost_chunks: u64,
    indecipherable: u64,
    outcome: bool,
    lost: Option<Lost>,
}

#[derive(Debug, Serialize)]
struct Lost {
    steps: u64,
    frames: u64,
    events: u64,
}

pub fn run(args: &RecoverArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let refused = |problem: String| CommandError::input(InputError::file(&args.file, problem));
    let unreadable = |error: std::io::Error| refused(format!("cannot be read: {error}"));
    if is_being_written(&args.file).map_err(unreadable)? {
        return Err(refused(
            "is being written at this moment; recover it when its program has ended".to_owned(),
        ));
    }
    let parent = std::fs::read(&args.file).map_err(unreadable)?;
    let derived = derive(&parent, How::Recovered).map_err(|error| refused(error.to_string()))?;
    let timeline =
        Timeline::read(Cursor::new(&derived.file)).map_err(|error| refused(error.to_string()))?;
    write_new(&args.out, &derived.file)?;
    let report = Report::of(args, &derived, &timeline);
    output::report(&report, &report, args.json.as_deref())?;
    Ok(Grade::Good)
}

/// Writes a whole episode under a name that is not taken.
pub fn write_new(path: &Path, episode: &[u8]) -> Result<(), CommandError> {
    if let Some(directory) = path.parent().filter(|parent| *parent != Path::new("")) {
        output::directory(directory)?;
    }
    let mut file = EpisodeFile::create(path).map_err(CommandError::input)?;
    let written = file.write_all(episode).map_err(EpisodeError::from);
    written
        .and_then(|()| Box::new(file).commit())
        .map_err(|error| {
            // A part of a copy is of no use to anybody, and would be in the way of the next attempt.
            let _ = std::fs::remove_file(format!("{}.open", path.display()));
            CommandError::failed(error)
        })
}

impl Report {
    fn of(args: &RecoverArgs, derived: &Derived, timeline: &Timeline) -> Self {
        let ticks = || timeline.ticks.iter().map(|tick| tick.tick);
        let span = ticks().min().zip(ticks().max());
        let numbers = span.map_or(0, |(first, last)| last - first + 1);
        Self {
            file: args.file.clone(),
            out: args.out.clone(),
            was_whole: derived.parent_is_whole,
            steps: timeline.ticks.len(),
            frames: timeline.frames.len(),
            observations: timeline.observations.len(),
            decisions: timeline.decisions.len(),
            duration_s: timeline.duration_s(),
            first_tick: span.map(|(first, _)| first),
            last_tick: span.map(|(_, last)| last),
            missing_ticks: numbers.saturating_sub(timeline.ticks.len() as u64),
            lost_bytes: derived.unreadable.bytes,
            lost_chunks: derived.unreadable.chunks,
            indecipherable: derived.indecipherable,
            outcome: timeline.outcome.is_some(),
            lost: timeline.outcome.map(|(_, lost)| Lost {
                steps: lost.steps,
                frames: lost.frames,
                events: lost.events,
            }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            frames,
            observations,
            decisions,
            duration_s,
            ..
        } = self;
        writeln!(
            f,
            "{steps} steps over {duration_s:.3} s, {frames} frames, {observations} observations, {decisions} decisions: {}",
            self.out.display()
        )?;
        if self.was_whole {
            return writeln!(f, "nothing was lost: the file was whole");
        }
        if self.lost_bytes > 0 {
            writeln!(
                f,
                "{} bytes could not be read ({} damaged or unfinished chunks)",
                self.lost_bytes, self.lost_chunks
            )?;
        }
        if self.indecipherable > 0 {
            let count = self.indecipherable;
            writeln!(f, "{count} messages lost what says how to read them")?;
        }
        if self.missing_ticks > 0 {
            writeln!(f, "{} ticks are missing in between", self.missing_ticks)?;
        }
        match (&self.lost, self.last_tick) {
            (Some(lost), _) => writeln!(
                f,
                "the recording itself counted as lost: {} steps, {} frames, {} observations and decisions",
                lost.steps, lost.frames, lost.events
            ),
            (None, Some(tick)) => {
                writeln!(
                    f,
                    "the end is missing: everything after tick {tick} is lost"
                )
            }
            (None, None) => writeln!(f, "the end is missing, and no tick is there"),
        }
    }
}
