//! `visuomotor show`: a recorded episode for people to look at.
//!
//! Not responsible for the report itself ([`visuomotor_data::show`]).

use crate::cli::ShowArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use std::io;
use std::path::{Path, PathBuf};
use visuomotor_data::Timeline;
use visuomotor_data::show::{self, Report};
use visuomotor_runtime::episode::EpisodeError;

pub fn run(args: &ShowArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let path = &args.episode;
    let timeline = Timeline::open(path).map_err(|error| refused(path, error))?;
    let report = Report::of(timeline);
    let written = match (&args.out, args.text || args.json.is_some()) {
        (None, true) => None,
        (out, _) => Some(page(&report, path, out.as_deref())?),
    };
    let text = match (args.text, written) {
        (true, _) => report.text().map_err(CommandError::failed)?,
        (false, Some(written)) => format!("{}\n", written.display()),
        (false, None) => String::new(),
    };
    output::report(&text, &report.facts, args.json.as_deref())?;
    let is_whole = report.facts.damage.is_none() && report.facts.outcome.is_some();
    Ok(if is_whole { Grade::Good } else { Grade::Short })
}

fn page(report: &Report, episode: &Path, out: Option<&Path>) -> Result<PathBuf, CommandError> {
    let out = out.map_or_else(|| show::default_path(episode), Path::to_owned);
    let name = episode.display().to_string();
    let page = report.html(&name).map_err(CommandError::failed)?;
    show::write(&page, &out).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CommandError::input(InputError::file(&out, error)),
        _ => CommandError::failed(InputError::file(
            &out,
            format!("cannot be written: {error}"),
        )),
    })?;
    Ok(out)
}

fn refused(path: &Path, error: EpisodeError) -> CommandError {
    CommandError::input(match error {
        EpisodeError::File { source, .. } => {
            InputError::file(path, format!("cannot be read: {source}"))
        }
        error => InputError::file(path, error),
    })
}
