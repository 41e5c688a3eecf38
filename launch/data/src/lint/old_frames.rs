//! Frames that were too old when the policy looked at them.
//!
//! Responsible for stretches of an episode. Not responsible for a camera whose frames all are, or become it more and more:
//! that is another clock, or a wrong limit ([`super::skew`]).

use super::skew::{drift, frame_ages};
use super::{Finding, Kind, View, joined, median};

/// Old frames of neighbouring observations are one finding: in the usual time between two of them.
const PERIODS: f64 = 1.5;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let ages = frame_ages(view);
    let most_s = view.expectations.frame_age_max_s;
    let usual_s = median(ages.iter().map(|(_, age_s)| *age_s));
    if usual_s.is_none_or(|usual_s| usual_s > most_s) || drift(view).is_some() {
        return Vec::new();
    }
    let period_s = median(ages.windows(2).map(|pair| pair[1].0 - pair[0].0)).unwrap_or(0.0);
    let old: Vec<_> = ages.iter().filter(|(_, age_s)| *age_s > most_s).collect();
    let mut spans: Vec<_> = old.iter().map(|(at_s, _)| (*at_s, *at_s)).collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let finding = |(from_s, to_s)| {
        let within = old
            .iter()
            .filter(|(at_s, _)| (from_s..=to_s).contains(at_s));
        let oldest_s = within.map(|(_, age_s)| *age_s).fold(0.0, f64::max);
        let finding = Finding::new(Kind::OldFrames, (from_s, to_s));
        finding.measured("frame_age_ms", 1e3 * oldest_s)
    };
    joined(spans, PERIODS * period_s)
        .into_iter()
        .map(finding)
        .collect()
}
