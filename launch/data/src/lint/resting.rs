//! Stretches in which the robot does nothing.
//!
//! Not responsible for telling rest from motion ([`crate::idle`]).

use super::{Finding, Kind, View};
use crate::idle;
use visuomotor_runtime::clock::Duration;

/// Grasps wait half a second for fingers and objects to come to rest, people think for two; longer teaches waiting.
const LEAST: Duration = Duration::from_millis(2500);
/// A rest this near to the first or the last tick is at that end: a tool that is pulled away moves for less.
const END_S: f64 = 0.25;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let (_, end_s) = view.all();
    let of = |(from, to)| {
        let span = (view.timeline.seconds(from), view.timeline.seconds(to));
        let place = match (span.0 < END_S, span.1 > end_s - END_S) {
            (true, true) => "all",
            (true, false) => "start",
            (false, true) => "end",
            (false, false) => "middle",
        };
        Finding::new(Kind::Idle, span).with("where", place)
    };
    idle::stretches(&view.poses, LEAST)
        .into_iter()
        .map(of)
        .collect()
}
