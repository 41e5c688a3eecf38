//! Frames that are black or saturated.
//!
//! Not responsible for lighting that is merely bad: nobody can say from here what a policy still sees in it.

use super::grey::Grey;
use super::{Finding, Kind, View};

/// Mean level of a black frame: a sensor's own noise and black level stay below.
const DARK_MEAN_MAX: f64 = 12.0;
/// Share of pixels at their end.
const SATURATED_SHARE: f64 = 0.5;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = runs(view, Kind::DarkFrames, is_dark);
    findings.extend(runs(view, Kind::BrightFrames, is_bright));
    findings
}

fn is_dark(grey: &Grey) -> bool {
    grey.mean < DARK_MEAN_MAX
}

fn is_bright(grey: &Grey) -> bool {
    grey.saturated > SATURATED_SHARE
}

/// Whether anything can be seen: what is the same in pictures without, nobody can tell.
pub fn shows_something(grey: &Grey) -> bool {
    !is_dark(grey) && !is_bright(grey)
}

fn runs(view: &View<'_>, kind: Kind, is_bad: impl Fn(&Grey) -> bool) -> Vec<Finding> {
    let mut runs: Vec<(f64, f64, u64)> = Vec::new();
    let mut goes_on = false;
    for (picture, at_s) in view.pictures.iter().zip(&view.frames_s) {
        let bad = picture.as_ref().is_some_and(&is_bad);
        match runs.last_mut() {
            Some(run) if bad && goes_on => *run = (run.0, *at_s, run.2 + 1),
            _ if bad => runs.push((*at_s, *at_s, 1)),
            _ => {}
        }
        goes_on = bad;
    }
    let finding = |(from, to, count)| Finding::new(kind, (from, to)).with("frames", count);
    runs.into_iter().map(finding).collect()
}
