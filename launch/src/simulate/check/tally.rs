//! Time and counters: ticks serve the grid of deadlines, and what is counted is what happened.

use super::{Found, Pair, demand};
use crate::config::JOINTS;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::step::{Counters, Step};

pub struct Tally {
    period: Duration,
    /// When the newest good sample was taken.
    newest: Option<Instant>,
}

impl Tally {
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            newest: None,
        }
    }

    pub fn check(&mut self, pair: Pair<'_>) -> Found {
        let Pair { last, step } = pair;
        let passed = (step.due - last.due).as_ticks();
        let skipped = (step.missed + 1) * self.period.as_ticks();
        demand(
            passed == skipped && step.jitter < self.period,
            "deadlines",
            || format!("{passed} ns after the last tick, {} missed", step.missed),
        )?;
        let newest = self.newest.or(sampled_at(last));
        let sampled_at = sampled_at(step);
        let reused = sampled_at.is_some() && sampled_at == newest;
        self.newest = sampled_at.or(newest);
        let (before, after) = (last.counters, step.counters);
        let expected = Counters {
            missed_ticks: before.missed_ticks + step.missed,
            failed_reads: before.failed_reads + u64::from(sampled_at.is_none()),
            reused_samples: before.reused_samples + u64::from(reused),
            // These have rules of their own.
            refused_requests: after.refused_requests,
            late_decisions: after.late_decisions,
            clamped_actions: after.clamped_actions,
            ..before
        };
        demand(after == expected, "counters", || {
            format!("{after:?} instead of {expected:?}")
        })?;
        for (name, before, after, most) in [
            (
                "refused requests",
                before.refused_requests,
                after.refused_requests,
                u64::from(step.inputs.request.is_some()),
            ),
            (
                "late decisions",
                before.late_decisions,
                after.late_decisions,
                u64::from(step.inputs.decision.is_some()),
            ),
            (
                "clamped actions",
                before.clamped_actions,
                after.clamped_actions,
                u64::from(step.inputs.decision.is_some()),
            ),
        ] {
            demand(
                (before..=before + most).contains(&after),
                "counters",
                || format!("{before} {name} became {after}"),
            )?;
        }
        let refused = after.refused_requests > before.refused_requests;
        demand(refused || !is_refused(pair), "counters", || {
            let (request, phase) = (step.inputs.request, last.phase);
            format!("{request:?} in {phase:?} is not refused")
        })
    }
}

/// Whether what a person asks must be refused, whatever else this tick brings.
fn is_refused(pair: Pair<'_>) -> bool {
    let (phase, moves) = (pair.last.phase, !pair.last.is_stopped());
    let stops = matches!(phase, Phase::Stopping(_));
    let is_latched = stops || matches!(phase, Phase::Stopped(_));
    let is_own = is_latched || matches!(phase, Phase::Ending | Phase::Inward);
    match pair.step.inputs.request {
        Some(Request::ClearFault | Request::Recover) => stops && moves,
        Some(Request::Rearm | Request::SetMode(_)) => is_own || (moves && phase == Phase::Hold),
        Some(Request::Approach(_) | Request::StartPolicy | Request::Jog(_)) => is_own,
        _ => false,
    }
}

/// Of a good sample.
fn sampled_at(step: &Step<JOINTS>) -> Option<Instant> {
    let good = step.measured().filter(|state| state.not_finite().is_none());
    good.map(|state| state.sampled_at)
}
