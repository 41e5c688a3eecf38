//! What is wrong with recorded episodes, before anybody trains on them.
//!
//! Responsible for the findings, their names and severities, and for running every check on every episode ([`Linter`]). Not
//! responsible for mending anything. A check is a pure function of one episode ([`View`]); only whether the camera moved
//! needs the episodes before.

mod actions;
mod camera_moved;
mod expectations;
mod exposure;
mod follow;
mod frames;
mod grey;
mod joints;
mod kind;
mod old_frames;
mod rates;
mod resting;
mod skew;
mod ticks;
mod view;
mod whole;

#[cfg(test)]
mod tests;

pub use kind::{KINDS, Kind, Severity};
pub(crate) use view::View;

use crate::timeline::Timeline;
use camera_moved::Cameras;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use visuomotor_runtime::episode::EpisodeError;

/// Something that is wrong, or worth knowing, in one span of one episode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub severity: Severity,
    /// From the first tick, s.
    pub from_s: f64,
    pub to_s: f64,
    /// Figures by name, the unit at the name's end.
    #[serde(flatten)]
    pub detail: Map<String, Value>,
}

impl Finding {
    pub fn new(kind: Kind, (from_s, to_s): (f64, f64)) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            from_s: to_us(from_s),
            to_s: to_us(to_s),
            detail: Map::new(),
        }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// With a measured number, rounded to what is worth reading.
    fn measured(self, name: &str, value: f64) -> Self {
        self.with(name, (value * 1e4).round() / 1e4)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            severity,
            from_s,
            to_s,
            detail,
        } = self;
        write!(f, "{from_s:9.3} to {to_s:.3} s  {severity} {kind}")?;
        for (name, value) in detail {
            match value {
                Value::String(text) => write!(f, "  {name} {text}")?,
                value => write!(f, "  {name} {value}")?,
            }
        }
        Ok(())
    }
}

/// All that look at one episode only.
const CHECKS: [fn(&View<'_>) -> Vec<Finding>; 11] = [
    whole::check,
    ticks::check,
    joints::check,
    follow::check,
    resting::check,
    actions::check,
    frames::check,
    exposure::check,
    rates::check,
    skew::check,
    old_frames::check,
];

/// Looks at episodes one after the other, in the order in which they were recorded.
#[derive(Debug, Default)]
pub struct Linter {
    cameras: Cameras,
}

impl Linter {
    /// What is wrong with the episode that was read, or that could not be; in order of time.
    pub fn look(&mut self, read: &Result<Timeline, EpisodeError>) -> Vec<Finding> {
        let timeline = match read {
            Ok(timeline) => timeline,
            Err(error) => {
                let finding = Finding::new(Kind::Unreadable, (0.0, 0.0));
                return vec![finding.with("reason", error.to_string())];
            }
        };
        let view = View::of(timeline);
        let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&view)).collect();
        findings.extend(self.cameras.look(&view));
        findings.sort_by(|a, b| {
            let by_time = a
                .from_s
                .total_cmp(&b.from_s)
                .then(a.to_s.total_cmp(&b.to_s));
            by_time.then(a.kind.cmp(&b.kind))
        });
        findings
    }
}

/// Clocks count finer than is worth reading.
fn to_us(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Joins spans of one kind that are closer than `gap_s`.
fn joined(spans: impl IntoIterator<Item = (f64, f64)>, gap_s: f64) -> Vec<(f64, f64)> {
    let mut found: Vec<(f64, f64)> = Vec::new();
    for (from, to) in spans {
        match found.last_mut() {
            Some(before) if from - before.1 <= gap_s => before.1 = before.1.max(to),
            _ => found.push((from, to)),
        }
    }
    found
}

/// The middle of what is finite; `None` of nothing.
fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}
