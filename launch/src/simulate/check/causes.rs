//! Causes: nothing stops the arm without one, each cause stops it as strictly as it should, and no more strictly.

use super::ladder::Ladder;
use super::{Found, Pair, demand};
use visuomotor_runtime::arm::ArmError;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::StopCategory::{self, One, Two, Zero};

/// What is wrong in this tick, and how it should stop the arm. Said anew here: [`visuomotor_runtime::fault::Fault`] is
/// what is judged.
pub fn check(pair: Pair<'_>, ladder: &Ladder<'_>) -> Found {
    let Pair { last, step } = pair;
    let causes = causes(pair, ladder);
    let strictest = causes.iter().min().copied();
    let (before, after) = (last.phase.latched(), step.phase.latched());
    demand(
        strictest.is_none() || (after.is_some() && after <= strictest),
        "causes",
        || format!("{strictest:?} is due and {after:?} latched"),
    )?;
    let fresh = step.measured().is_some_and(|state| {
        let age = pair.now().checked_duration_since(state.sampled_at);
        state.not_finite().is_none() && age.is_some_and(|age| age <= ladder.dogs.arm_silence_max)
    });
    demand(!fresh || step.phase != Phase::Idle, "causes", || {
        "a start is neither made nor refused".into()
    })?;
    if after.is_none() || after == before {
        return Ok(());
    }
    // What was refused as a start, or could not be planned, is known to the controller alone.
    let starts = last.phase == Phase::Idle || pair.begins_again();
    let asked = step.inputs.request.is_some() || step.inputs.decision.is_some();
    let unseen = (starts || asked) && after == Some(Two) && step.fault.is_some();
    demand(after == strictest || unseen, "causes", || {
        format!("{after:?} with {:?}, and {strictest:?} is due", step.fault)
    })
}

fn causes(pair: Pair<'_>, ladder: &Ladder<'_>) -> Vec<StopCategory> {
    let Pair { last, step } = pair;
    let now = pair.now();
    let dogs = &ladder.dogs;
    let older = |heard_at: Option<Instant>, most: Duration| {
        let age = heard_at.and_then(|at| now.checked_duration_since(at));
        age.is_some_and(|age| age > most)
    };
    let future = ladder
        .newest
        .is_some_and(|state| state.sampled_at > now + ladder.period);
    let silent = older(
        ladder.newest.map(|state| state.sampled_at).or(ladder.began),
        dogs.arm_silence_max,
    );
    let unsent = older(ladder.sent_at.or(ladder.began), dogs.arm_silence_max);
    let lags = ladder
        .newest
        .zip(last.command)
        .is_some_and(|(state, (q, ..))| {
            !pair.begins_again() && (q.0 - state.q.0).amax() > dogs.tracking_max_rad
        });
    let errors = [step.inputs.arm.err(), step.inputs.write_error];
    let drive = |error: &Option<ArmError>| matches!(error, Some(ArmError::Drive { .. }));
    let mut causes = Vec::new();
    let mut add = |is_due: bool, category| causes.extend(is_due.then_some(category));
    add(errors.iter().any(drive), Zero);
    add(future || silent || unsent || lags, One);
    let measured = step.measured();
    add(
        measured.is_some_and(|state| state.not_finite().is_some()),
        One,
    );
    add(older(Some(last.due + last.jitter), dogs.loop_gap_max), Two);
    let by_policy = last.phase == Phase::Policy && step.inputs.request.is_none();
    add(
        by_policy && older(ladder.heard_policy_at, dogs.policy_silence_max),
        Two,
    );
    let by_hand = last.phase == Phase::Teleop && step.inputs.request.is_none();
    add(
        by_hand && older(ladder.heard_operator_at, dogs.teleop_silence_max),
        Two,
    );
    if let Some(Request::Stop(category)) = step.inputs.request {
        add(true, category);
    }
    causes
}
