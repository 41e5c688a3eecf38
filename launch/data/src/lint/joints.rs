//! What was measured and commanded: numbers that are none, jumps of an encoder, old samples, failed reads.
//!
//! Not responsible for how well the one follows the other ([`super::follow`]).

use super::{Finding, Kind, View, joined};
use crate::timeline::{Measured, Tick};

/// Twice what the fastest joints of the arms that this runtime drives reach, rad/s.
const SPEED_MAX_RAD_PER_S: f64 = 6.0;
/// What an encoder's noise may add between two samples, rad.
const NOISE_RAD: f64 = 0.01;
/// Events nearer than this have one cause, s.
const ONE_CAUSE_S: f64 = 0.1;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let ticks = &view.timeline.ticks;
    let at = |tick: &Tick| view.timeline.seconds(tick.due);
    let spans = |is_bad: &dyn Fn(&Tick) -> bool| {
        let bad = ticks.iter().filter(|tick| is_bad(tick));
        joined(bad.map(|tick| (at(tick), at(tick))), ONE_CAUSE_S)
    };
    let mut findings = Vec::new();
    for span in spans(&|tick| !is_finite(tick)) {
        findings.push(Finding::new(Kind::NotFinite, span));
    }
    let silence_s = view.expectations.arm_silence_max_s;
    let age_s = |tick: &Tick| {
        let sampled = tick.measured.ok().map(|measured| measured.sampled_at);
        sampled.map_or(0.0, |sampled| at(tick) - view.timeline.seconds(sampled))
    };
    for span in spans(&|tick| age_s(tick) > silence_s) {
        let within = ticks
            .iter()
            .filter(|tick| (span.0..=span.1).contains(&at(tick)));
        let oldest_s = within.map(age_s).fold(0.0, f64::max);
        // It began to be old when it was taken; what is wrong begins there.
        let span = ((span.0 - silence_s).max(0.0).min(span.1), span.1);
        findings.push(Finding::new(Kind::StaleSamples, span).measured("age_ms", 1e3 * oldest_s));
    }
    for span in spans(&|tick| tick.measured.is_err()) {
        if span.1 - span.0 >= silence_s {
            findings.push(Finding::new(Kind::FailedReads, span));
        }
    }
    findings.extend(jumps(view));
    findings
}

fn is_finite(tick: &Tick) -> bool {
    let all = |values: &[f64]| values.iter().all(|value| value.is_finite());
    let measured = tick.measured.is_ok_and(
        |Measured {
             q,
             dq,
             tau,
             aperture_m,
             ..
         }| { all(&q) && all(&dq) && all(&tau) && aperture_m.is_finite() },
    );
    let commanded = tick
        .commanded
        .is_none_or(|command| all(&command.q) && all(&command.dq));
    (measured || tick.measured.is_err()) && commanded
}

fn jumps(view: &View<'_>) -> Vec<Finding> {
    let period_s = view.tick_period_s.unwrap_or(0.0);
    let mut largest = 0.0_f64;
    let mut spans = Vec::new();
    let measured = view
        .timeline
        .ticks
        .iter()
        .filter_map(|tick| Some((tick, tick.measured.ok()?)));
    let measured: Vec<_> = measured.collect();
    for pair in measured.windows(2) {
        let ((earlier, a), (later, b)) = (&pair[0], &pair[1]);
        let (from_s, to_s) = (
            view.timeline.seconds(earlier.due),
            view.timeline.seconds(later.due),
        );
        let sampled_s = view.timeline.seconds(b.sampled_at) - view.timeline.seconds(a.sampled_at);
        let dt_s = sampled_s.max(to_s - from_s).max(period_s);
        let steps = a.q.iter().zip(b.q.iter()).map(|(a, b)| (b - a).abs());
        let step = steps.filter(|step| step.is_finite()).fold(0.0, f64::max);
        if step > NOISE_RAD + SPEED_MAX_RAD_PER_S * dt_s {
            spans.push((to_s, to_s));
            largest = largest.max(step);
        }
    }
    let finding = |span| Finding::new(Kind::JointJump, span).measured("largest_rad", largest);
    joined(spans, ONE_CAUSE_S)
        .into_iter()
        .map(finding)
        .collect()
}
