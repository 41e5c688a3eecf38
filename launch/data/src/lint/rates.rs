//! Whether ticks, frames and decisions come as often as the launch file says.
//!
//! Not responsible for single gaps: a rate is the usual time between two.

use super::{Finding, Kind, View, median};

/// The loop's timer is exact.
const TICKS_OFF_MAX: f64 = 0.02;
/// A policy decides in time for its period, with the jitter of its search.
const DECISIONS_OFF_MAX: f64 = 0.1;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let timeline = view.timeline;
    let finding = |kind, rate_hz: f64, expected_hz: f64| {
        let finding = Finding::new(kind, view.all()).measured("rate_hz", rate_hz);
        finding.measured("expected_hz", expected_hz)
    };
    let is_off = |rate: f64, expected: f64, off_max: f64| (rate / expected - 1.0).abs() > off_max;
    if let (Some(period_s), Some(expected)) = (view.tick_period_s, view.expectations.tick_rate_hz)
        && is_off(1.0 / period_s, expected, TICKS_OFF_MAX)
    {
        findings.push(finding(Kind::TickRate, 1.0 / period_s, expected));
    }
    let Some(expected) = view.expectations.action_rate_hz else {
        return findings;
    };
    // A camera may be faster than the policy; how fast, nothing declares.
    if let Some(period_s) = view.frame_period_s
        && view.frames_s.len() > 2
        && 1.0 / period_s < expected * (1.0 - DECISIONS_OFF_MAX)
    {
        findings.push(finding(Kind::FrameRate, 1.0 / period_s, expected));
    }
    let decided_s = timeline
        .decisions
        .iter()
        .map(|record| timeline.seconds(record.decided_at));
    let decided_s: Vec<f64> = decided_s.collect();
    let period_s = median(decided_s.windows(2).map(|pair| pair[1] - pair[0]));
    if let Some(period_s) = period_s
        && decided_s.len() > 2
        && is_off(1.0 / period_s, expected, DECISIONS_OFF_MAX)
    {
        findings.push(finding(Kind::DecisionRate, 1.0 / period_s, expected));
    }
    findings
}
