//! What episodes there are: one row each, from what stands at the two ends of the file.
//!
//! Not responsible for what lies between the ends: damage there is found by whoever reads all of it. Only a file without an
//! index is read from end to end here.

use crate::timeline::Timeline;
use crate::{paths, words};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use visuomotor_runtime::episode::{
    End, EpisodeError, Glance, Header, Losses, Outcome, is_being_written,
};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct List {
    pub episodes: Vec<Row>,
    pub total: Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Finished, with its outcome.
    Whole,
    /// Reading ends before the outcome.
    Damaged,
    /// Somebody is writing it at this moment.
    Open,
    /// Whoever wrote it is no more.
    LeftBehind,
    /// Not even its header can be read.
    Unreadable,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub path: PathBuf,
    pub size_bytes: u64,
    pub state: State,
    /// Why it is damaged or unreadable.
    pub problem: Option<String>,
    /// Nothing of an unreadable file.
    #[serde(flatten)]
    pub facts: Option<Facts>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    pub id: String,
    /// RFC 3339; `None` in simulated time.
    pub started_at_utc: Option<String>,
    pub task: String,
    /// From the first tick to the last.
    pub duration_s: f64,
    pub ticks: u64,
    pub robot: String,
    pub policy: Option<String>,
    /// Of all model files together, see [`words::checkpoint`].
    pub checkpoint_sha256: Option<String>,
    pub ending: Option<&'static str>,
    /// Behind the stop that the episode ended in.
    pub fault: Option<String>,
    /// `None` where nothing judged it.
    pub success: Option<bool>,
    pub actions: u32,
    /// Since the first tick of the episode, as are the next two.
    pub missed_ticks: u64,
    pub late_decisions: u64,
    pub clamped_actions: u64,
    /// Steps, frames, observations and decisions that are not in the file.
    pub lost_records: u64,
    pub derived_from: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Total {
    pub episodes: usize,
    pub whole: usize,
    pub damaged: usize,
    pub open: usize,
    pub left_behind: usize,
    pub unreadable: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub duration_s: f64,
    pub actions: u64,
    pub missed_ticks: u64,
    pub late_decisions: u64,
    pub clamped_actions: u64,
    pub lost_records: u64,
    pub size_bytes: u64,
}

/// In the order of the files.
pub fn list(files: &[PathBuf]) -> List {
    let episodes: Vec<Row> = files.iter().map(|path| row(path)).collect();
    let total = Total::of(&episodes);
    List { episodes, total }
}

fn row(path: &Path) -> Row {
    let size_bytes = path.metadata().map_or(0, |metadata| metadata.len());
    let is_open = path.to_string_lossy().ends_with(paths::OPEN);
    let (mut state, problem, facts) = match read(path) {
        Ok((_, facts, None)) => (State::Whole, None, Some(facts)),
        Ok((_, facts, damage)) => (State::Damaged, damage, Some(facts)),
        Err(error) => (State::Unreadable, Some(error.to_string()), None),
    };
    if is_open {
        // A file system without locks cannot tell: then nobody is known to write it.
        state = match is_being_written(path) {
            Ok(true) => State::Open,
            _ => State::LeftBehind,
        };
    }
    Row {
        path: path.to_owned(),
        size_bytes,
        state,
        problem,
        facts,
    }
}

/// Header, facts, and why it is not whole.
pub(crate) fn read(path: &Path) -> Result<(Header, Facts, Option<String>), EpisodeError> {
    let file = File::open(path).map_err(|source| EpisodeError::File {
        doing: "open",
        path: path.to_owned(),
        source,
    })?;
    // Whatever is wrong with the ends of a file, reading all of it says what is, and what is left.
    match Glance::read(BufReader::new(file)) {
        Ok(Some(glance)) if glance.outcome.is_some() => {
            let facts = Facts::glanced(&glance);
            Ok((glance.header, facts, None))
        }
        _ => {
            let timeline = Timeline::open(path)?;
            let cut = || "it ends before its outcome".to_owned();
            let unfinished = timeline.outcome.is_none().then(cut);
            let facts = Facts::read(&timeline);
            Ok((timeline.header, facts, timeline.damage.or(unfinished)))
        }
    }
}

impl Facts {
    fn glanced(glance: &Glance) -> Self {
        Self::of(
            &glance.header,
            glance.ticks,
            glance.first.zip(glance.last),
            glance.outcome,
        )
    }

    fn read(timeline: &Timeline) -> Self {
        let end = |tick: &crate::timeline::Tick| End {
            due: tick.due,
            counters: tick.counters,
            fault: tick.fault,
        };
        let ends = timeline.ticks.first().zip(timeline.ticks.last());
        Self::of(
            &timeline.header,
            timeline.ticks.len() as u64,
            ends.map(|(first, last)| (end(first), end(last))),
            timeline.outcome,
        )
    }

    fn of(
        header: &Header,
        ticks: u64,
        ends: Option<(End, End)>,
        outcome: Option<(Outcome, Losses)>,
    ) -> Self {
        let since = |count: fn(&End) -> u64| {
            ends.map_or(0, |(first, last)| {
                count(&last).saturating_sub(count(&first))
            })
        };
        let (ended, lost) = outcome.unzip();
        let lost = lost.unwrap_or_default();
        let started = &header.origin.started_at_utc;
        let derivation = header.derivation.as_ref();
        Self {
            id: header.origin.id.clone(),
            started_at_utc: (!started.is_empty()).then(|| started.clone()),
            task: header.origin.task.clone(),
            duration_s: since(|end| end.due.as_ticks()) as f64 * 1e-9,
            ticks,
            robot: header.robot.name.clone(),
            policy: header.policy.as_ref().map(|policy| policy.name.clone()),
            checkpoint_sha256: words::checkpoint(&header.checkpoints).map(|hash| hash.to_string()),
            ending: ended.map(|outcome| words::ending(outcome.ending)),
            fault: ends.and_then(|(_, last)| Some(last.fault?.to_string())),
            success: ended.and_then(|outcome| outcome.success),
            actions: ended.map_or(0, |outcome| outcome.actions),
            missed_ticks: since(|end| end.counters.missed_ticks),
            late_decisions: since(|end| end.counters.late_decisions),
            clamped_actions: since(|end| end.counters.clamped_actions),
            lost_records: lost.steps + lost.frames + lost.events,
            derived_from: derivation.map(|from| format!("{} ({})", from.parent_id, from.how)),
        }
    }
}

impl Total {
    fn of(rows: &[Row]) -> Self {
        let mut total = Self {
            episodes: rows.len(),
            ..Self::default()
        };
        for row in rows {
            *match row.state {
                State::Whole => &mut total.whole,
                State::Damaged => &mut total.damaged,
                State::Open => &mut total.open,
                State::LeftBehind => &mut total.left_behind,
                State::Unreadable => &mut total.unreadable,
            } += 1;
            total.size_bytes += row.size_bytes;
            let Some(facts) = &row.facts else {
                continue;
            };
            total.succeeded += usize::from(facts.success == Some(true));
            total.failed += usize::from(facts.success == Some(false));
            total.duration_s += facts.duration_s;
            total.actions += u64::from(facts.actions);
            total.missed_ticks += facts.missed_ticks;
            total.late_decisions += facts.late_decisions;
            total.clamped_actions += facts.clamped_actions;
            total.lost_records += facts.lost_records;
        }
        total
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::Damaged => "DAMAGED",
            Self::Open => "open",
            Self::LeftBehind => "LEFT BEHIND",
            Self::Unreadable => "UNREADABLE",
        })
    }
}

const HEADINGS: [&str; 14] = [
    "episode",
    "start (UTC)",
    "s",
    "robot",
    "policy",
    "ending",
    "success",
    "actions",
    "missed",
    "late",
    "clamped",
    "lost",
    "size",
    "state",
];

/// Columns that are numbers stand at the right.
const RIGHT: [usize; 7] = [2, 7, 8, 9, 10, 11, 12];

impl Row {
    fn cells(&self) -> [String; 14] {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let Some(facts) = &self.facts else {
            let mut cells: [String; 14] = Default::default();
            cells[0] = words::printable(&name);
            cells[12] = words::size(self.size_bytes);
            cells[13] = self.state.to_string();
            return cells;
        };
        let policy = facts.policy.as_deref().unwrap_or("-");
        let checkpoint = facts.checkpoint_sha256.as_deref().map(words::short);
        let started = facts.started_at_utc.as_deref().unwrap_or("-");
        let success = facts
            .success
            .map(|success| if success { "yes" } else { "no" });
        // To the second: whoever needs more asks for the JSON.
        let started = started.get(..19).unwrap_or(started).replace('T', " ");
        [
            words::printable(&facts.id),
            words::printable(&started),
            format!("{:.1}", facts.duration_s),
            words::printable(&facts.robot),
            words::printable(&[policy, checkpoint.unwrap_or("")].join(" "))
                .trim_end()
                .to_owned(),
            facts.ending.unwrap_or("-").to_owned(),
            success.unwrap_or("-").to_owned(),
            facts.actions.to_string(),
            facts.missed_ticks.to_string(),
            facts.late_decisions.to_string(),
            facts.clamped_actions.to_string(),
            facts.lost_records.to_string(),
            words::size(self.size_bytes),
            self.state.to_string(),
        ]
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![HEADINGS.map(str::to_owned)];
        table.extend(self.episodes.iter().map(Row::cells));
        let width = |column: usize| {
            let widths = table.iter().map(|cells| cells[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
        let problems =
            std::iter::once(None).chain(self.episodes.iter().map(|row| row.problem.as_ref()));
        for (cells, problem) in table.iter().zip(problems) {
            let mut line = String::new();
            for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) = match RIGHT.contains(&column) {
                    true => (padding.as_str(), ""),
                    false => ("", padding.as_str()),
                };
                line.extend([before, cell, after, "  "]);
            }
            writeln!(f, "{}", line.trim_end())?;
            if let Some(problem) = problem {
                writeln!(f, "    {}", words::printable(problem))?;
            }
        }
        let total = &self.total;
        write!(
            f,
            "{} episodes, {:.0} s, {} actions, {} of {} judged succeeded, {}",
            total.episodes,
            total.duration_s,
            total.actions,
            total.succeeded,
            total.succeeded + total.failed,
            words::size(total.size_bytes)
        )?;
        for (count, what) in [
            (total.damaged, "damaged"),
            (total.open, "open"),
            (total.left_behind, "left behind"),
            (total.unreadable, "unreadable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
