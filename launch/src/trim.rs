//! `visuomotor trim`: the part of an episode in which something happens, as an episode of its own.
//!
//! Not responsible for where an arm moves ([`visuomotor_data::idle`]) nor for the copy ([`visuomotor_runtime::episode::derive`]).

use crate::cli::TrimArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::recover::write_new;
use crate::source::InputError;
use serde::Serialize;
use std::fmt;
use std::io::Cursor;
use std::path::PathBuf;
use visuomotor_data::{Timeline, idle};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::episode::{How, derive};

#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    out: PathBuf,
    /// From the parent's first tick.
    from_s: f64,
    to_s: f64,
    steps: usize,
    cut_s: f64,
}

pub fn run(args: &TrimArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let refused = |problem: String| CommandError::input(InputError::file(&args.file, problem));
    let parent =
        std::fs::read(&args.file).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let timeline =
        Timeline::read(Cursor::new(&parent)).map_err(|error| refused(error.to_string()))?;
    if let Some(damage) = &timeline.damage {
        return Err(refused(format!(
            "is damaged or ends early ({damage}); `visuomotor recover` makes a whole file of it"
        )));
    }
    let (Some(first), Some(last)) = (timeline.ticks.first(), timeline.ticks.last()) else {
        return Err(refused("has no ticks".to_owned()));
    };
    let busy = idle::busy_span(&timeline);
    let given = |seconds: f64| timeline.start() + Duration::from_ticks((seconds * 1e9) as u64);
    let from = args.from.map(given).or(busy.map(|(from, _)| from));
    let to = args.to.map(given).or(busy.map(|(_, to)| to));
    let (Some(from), Some(to)) = (from, to) else {
        eprintln!("{}: nothing moves in it", args.file.display());
        return Ok(Grade::Short);
    };
    let (from, to) = (from.max(first.due), to.min(last.due));
    if from >= to {
        return Err(refused("nothing is left between these times".to_owned()));
    }
    if (from, to) == (first.due, last.due) {
        eprintln!("{}: nothing is to be cut", args.file.display());
        return Ok(Grade::Short);
    }
    let derived =
        derive(&parent, How::Trimmed { from, to }).map_err(|error| refused(error.to_string()))?;
    write_new(&args.out, &derived.file)?;
    let inside = |due: Instant| (from..=to).contains(&due);
    let (from_s, to_s) = (timeline.seconds(from), timeline.seconds(to));
    let report = Report {
        file: args.file.clone(),
        out: args.out.clone(),
        from_s,
        to_s,
        steps: timeline
            .ticks
            .iter()
            .filter(|tick| inside(tick.due))
            .count(),
        cut_s: timeline.duration_s() - (to_s - from_s),
    };
    output::report(&report, &report, args.json.as_deref())?;
    Ok(Grade::Good)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} steps from {:.3} s to {:.3} s, {:.3} s cut off: {}",
            self.steps,
            self.from_s,
            self.to_s,
            self.cut_s,
            self.out.display()
        )
    }
}
