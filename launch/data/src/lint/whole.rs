//! The file as a whole: damaged, without an end, with losses, without a label, too short.
//!
//! Not responsible for what is in it.

use super::{Finding, Kind, View};
use visuomotor_runtime::episode::Losses;

/// A policy that decides a few times a second has hardly begun.
const LEAST_S: f64 = 1.0;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let timeline = view.timeline;
    let mut findings = Vec::new();
    let all = view.all();
    if let Some(damage) = &timeline.damage {
        let finding = Finding::new(Kind::Damaged, all);
        findings.push(finding.with("reason", damage.as_str()));
    } else if timeline.outcome.is_none() {
        findings.push(Finding::new(Kind::Incomplete, all));
    }
    if let Some((outcome, lost)) = timeline.outcome {
        if lost != Losses::default() {
            let finding = Finding::new(Kind::LostRecords, all).with("lost_steps", lost.steps);
            let finding = finding.with("lost_frames", lost.frames);
            findings.push(finding.with("lost_events", lost.events));
        }
        // Without an outcome the label is not missing but lost, which is said above.
        if outcome.success.is_none() && timeline.annotations.is_empty() {
            findings.push(Finding::new(Kind::NoLabel, all));
        }
    }
    if all.1 < LEAST_S {
        findings.push(Finding::new(Kind::TooShort, all).measured("duration_s", all.1));
    }
    findings
}
