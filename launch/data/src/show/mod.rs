//! One episode to look at: a page for a browser, a text for a terminal, facts for programs.
//!
//! Not responsible for reading the episode ([`Timeline`]), nor for judging it.

mod chart;
mod decimate;
mod facts;
mod film;
mod lanes;
mod page;
mod terminal;
#[cfg(test)]
mod tests;
mod timescale;
mod tracks;

use crate::robot::RobotModel;
use crate::timeline::Timeline;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub use facts::Facts;

pub struct Report {
    timeline: Timeline,
    model: Option<RobotModel>,
    pub facts: Facts,
}

impl Report {
    pub fn of(timeline: Timeline) -> Self {
        let model = RobotModel::of(&timeline);
        let facts = Facts::of(&timeline, model.as_ref());
        Self {
            timeline,
            model,
            facts,
        }
    }

    /// `path` is what the page calls the file.
    pub fn html(&self, path: &str) -> Result<String, fmt::Error> {
        page::html(&self.timeline, &self.facts, self.model.as_ref(), path)
    }

    pub fn text(&self) -> Result<String, fmt::Error> {
        terminal::text(&self.timeline, &self.facts)
    }
}

/// Beside the episode: `a.mcap` and `a.mcap.open` have `a.html`.
pub fn default_path(episode: &Path) -> PathBuf {
    let name = episode.file_name().unwrap_or_default().to_string_lossy();
    let stem = [crate::paths::OPEN, crate::paths::FINISHED]
        .into_iter()
        .find_map(|end| name.strip_suffix(end));
    episode.with_file_name(format!("{}.html", stem.unwrap_or(&name)))
}

/// Writes the page, over an earlier report but over nothing else. Whoever reads meanwhile sees the old page or the new one.
///
/// # Errors
/// Of kind `AlreadyExists` when something else is there.
pub fn write(page: &str, path: &Path) -> io::Result<()> {
    if path.exists() && !is_report(path)? {
        let why = "something that is no report is there already; choose another place with --out";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::File::create_new(&beside)
        .and_then(|mut file| file.write_all(page.as_bytes()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // What remains is of no use; that it cannot be removed says nothing more than the first error.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn is_report(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    let length = page::BEGINNING.len() as u64;
    fs::File::open(path)?
        .take(length)
        .read_to_end(&mut beginning)?;
    Ok(beginning == page::BEGINNING.as_bytes())
}
