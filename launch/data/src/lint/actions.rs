//! How much of what was asked was done: clipped actions, limited commands.
//!
//! Not responsible for the limits themselves: an episode that fights them all the time teaches what the robot does not do.

use super::{Finding, Kind, View};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::Intervention;

/// Of the actions; policies that fail near the edge of the workspace clip up to 64 % of theirs, good ones few.
const CLIPPED_SHARE_MAX: f64 = 0.7;
/// Of the commands while somebody wants something; accelerating within limits takes up to a quarter of them.
const LIMITED_SHARE_MAX: f64 = 0.5;
/// Shares of fewer say nothing.
const ACTIONS_MIN: usize = 3;
const COMMANDS_MIN: usize = 200;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let ticks = &view.timeline.ticks;
    let mut findings = Vec::new();
    let clamped = |tick: Option<&crate::Tick>| tick.map_or(0, |tick| tick.counters.clamped_actions);
    let clipped = clamped(ticks.last()).saturating_sub(clamped(ticks.first()));
    // Decisions may be lost; then the outcome knows how many actions there were.
    let taken = view
        .timeline
        .outcome
        .map_or(0, |(outcome, _)| outcome.actions as usize);
    let actions = view.timeline.decisions.len().max(taken);
    let share = clipped as f64 / actions.max(1) as f64;
    if actions >= ACTIONS_MIN && share > CLIPPED_SHARE_MAX {
        let finding = Finding::new(Kind::ClippedActions, view.all()).with("clipped", clipped);
        findings.push(finding.measured("share", share));
    }
    let wanted = ticks
        .iter()
        .filter(|tick| matches!(tick.phase, Phase::Policy | Phase::Teleop));
    let (mut commands, mut limited) = (0_usize, 0_usize);
    for tick in wanted {
        commands += 1;
        let changed = [Intervention::Limited, Intervention::Shrunk];
        limited += usize::from(changed.contains(&tick.report.intervention));
    }
    let share = limited as f64 / commands.max(1) as f64;
    if commands >= COMMANDS_MIN && share > LIMITED_SHARE_MAX {
        let finding = Finding::new(Kind::LimitedCommands, view.all());
        findings.push(finding.measured("share", share));
    }
    findings
}
