//! Findings against labels: precision and recall.
//!
//! Responsible for the rule by which a finding is true ([`is_found_by`]). Not responsible for either.

use super::Label;
use crate::lint::{Finding, Kind, Severity};
use serde::Serialize;
use std::collections::BTreeMap;

/// Both spans are taken this much longer at both ends, s: a defect of one tick has no length to compare.
const MARGIN_S: f64 = 0.1;
/// What they share is at least this part of the longer one.
const SHARED_MIN: f64 = 0.5;

/// Whether this finding says what the label says: the same kind, and spans that share at least half of the longer one, each
/// taken 0.1 s longer at both ends.
pub fn is_found_by(label: &Label, finding: &Finding) -> bool {
    let widened = |from_s: f64, to_s: f64| (from_s - MARGIN_S, to_s + MARGIN_S);
    let (a, b) = (
        widened(label.from_s, label.to_s),
        widened(finding.from_s, finding.to_s),
    );
    let shared = a.1.min(b.1) - a.0.max(b.0);
    let longer = (a.1 - a.0).max(b.1 - b.0);
    label.kind == finding.kind && shared >= SHARED_MIN * longer
}

/// What was found of what was planted, of one kind or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    pub planted: u32,
    pub found: u32,
    /// Warnings and errors.
    pub findings: u32,
    /// Those of them that say what a label says.
    pub right: u32,
}

impl Score {
    /// Adds an episode. Returns what was missed and what was wrongly found.
    pub fn add<'a>(
        by_kind: &mut BTreeMap<Kind, Score>,
        labels: &'a [Label],
        findings: &'a [Finding],
    ) -> (Vec<&'a Label>, Vec<&'a Finding>) {
        let serious = findings
            .iter()
            .filter(|finding| finding.severity > Severity::Info);
        let serious: Vec<&Finding> = serious.collect();
        let mut missed = Vec::new();
        for label in labels {
            let score = by_kind.entry(label.kind).or_default();
            score.planted += 1;
            match serious.iter().any(|finding| is_found_by(label, finding)) {
                true => score.found += 1,
                false => missed.push(label),
            }
        }
        let mut wrong = Vec::new();
        for finding in serious {
            let score = by_kind.entry(finding.kind).or_default();
            score.findings += 1;
            match labels.iter().any(|label| is_found_by(label, finding)) {
                true => score.right += 1,
                false => wrong.push(finding),
            }
        }
        (missed, wrong)
    }

    pub fn sum<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Self {
        let mut sum = Self::default();
        for score in scores {
            sum.planted += score.planted;
            sum.found += score.found;
            sum.findings += score.findings;
            sum.right += score.right;
        }
        sum
    }

    /// 1 where nothing was found.
    pub fn precision(&self) -> f64 {
        share(self.right, self.findings)
    }

    /// 1 where nothing was planted.
    pub fn recall(&self) -> f64 {
        share(self.found, self.planted)
    }
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        return 1.0;
    }
    f64::from(part) / f64::from(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_right_when_kind_and_span_are() {
        let label = Label {
            kind: Kind::Idle,
            from_s: 1.0,
            to_s: 5.0,
        };
        for (kind, from_s, to_s, is_right) in [
            (Kind::Idle, 1.0, 5.0, true),
            (Kind::Idle, 1.1, 4.0, true),
            (Kind::Idle, 1.0, 2.5, false),
            (Kind::Idle, 0.0, 12.0, false),
            (Kind::Idle, 6.0, 9.0, false),
            (Kind::FrozenCamera, 1.0, 5.0, false),
        ] {
            let finding = Finding::new(kind, (from_s, to_s));
            assert_eq!(is_found_by(&label, &finding), is_right, "{finding}");
        }
        let mut scores = BTreeMap::new();
        let findings = [
            Finding::new(Kind::Idle, (1.0, 5.0)),
            Finding::new(Kind::JointJump, (2.0, 2.0)),
        ];
        let labels = [label];
        let (missed, wrong) = Score::add(&mut scores, &labels, &findings);
        assert!(missed.is_empty() && wrong.len() == 1);
        let sum = Score::sum(scores.values());
        assert_eq!((sum.precision(), sum.recall()), (0.5, 1.0));
    }
}
