//! The control loop's ticks: missing ones, late ones, stamps that go backwards.
//!
//! Not responsible for what the ticks measured ([`super::joints`]) nor for their rate ([`super::rates`]).

use super::{Finding, Kind, View};

/// A gap is one when it is longer than the ticks explain by this share of a period: stamps have no such jitter.
const SLACK: f64 = 0.6;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(period_s) = view.tick_period_s else {
        return findings;
    };
    let (mut skipped, mut longest_s) = (0_u64, 0.0_f64);
    for pair in view.timeline.ticks.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let (from_s, to_s) = (
            view.timeline.seconds(before.due),
            view.timeline.seconds(after.due),
        );
        let gap_s = to_s - from_s;
        if after.due < before.due {
            let finding = Finding::new(Kind::ClockBackwards, (to_s, from_s));
            findings.push(
                finding
                    .measured("back_ms", -1e3 * gap_s)
                    .with("of", "ticks"),
            );
            continue;
        }
        let by_number = after.tick.saturating_sub(before.tick).saturating_sub(1);
        // Before the second of two recorded ticks the loop says itself how many deadlines it skipped.
        let by_time = (gap_s / period_s - 1.0 - after.missed as f64 - SLACK)
            .ceil()
            .max(0.0);
        let missing = by_number.max(by_time as u64);
        if missing > 0 {
            let finding = Finding::new(Kind::MissingTicks, (from_s, to_s));
            findings.push(
                finding
                    .with("missing", missing)
                    .measured("gap_ms", 1e3 * gap_s),
            );
        } else if after.missed > 0 {
            skipped = skipped.saturating_add(after.missed);
            longest_s = longest_s.max(gap_s);
            if gap_s > view.expectations.loop_gap_max_s {
                let finding = Finding::new(Kind::LoopStall, (from_s, to_s));
                findings.push(finding.measured("gap_ms", 1e3 * gap_s));
            }
        }
    }
    if skipped > 0 {
        let finding = Finding::new(Kind::MissedDeadlines, view.all()).with("deadlines", skipped);
        findings.push(finding.measured("longest_gap_ms", 1e3 * longest_s));
    }
    findings
}
