//! Latched stops: the arm comes to rest in time, stays there, and only a person's request ends that.

use super::{Found, Pair, TrueVelocity, demand};
use crate::config::{JOINTS, Launch};
use visuomotor_runtime::arm::ArmState;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{JointBounds, StopCategory};
use visuomotor_runtime::units::JointVelocities;

/// An arm without power has come to rest this long after its brakes have closed, and an arm under power this long after
/// its last command.
const RUN_OUT: Duration = Duration::from_millis(500);
/// What an arm at rest does not exceed, rad/s: contact and gravity move it a little.
const REST_RAD_PER_S: f64 = 0.05;

/// Rounding to whole ticks, and the tick in which the stop was latched.
const SLACK: Duration = Duration::from_millis(4);

pub struct Latch {
    joints: [JointBounds; JOINTS],
    period: Duration,
    /// Commanded two ticks ago.
    before_last: Option<JointVelocities<JOINTS>>,
    /// Since when the stop is latched that is, and when its motion must have come to its end.
    since: Option<(Instant, Instant)>,
    /// Since when nothing has moved the arm.
    rests_since: Option<Instant>,
}

impl Latch {
    pub fn new(launch: &Launch) -> Self {
        Self {
            joints: *launch.limits.joints(),
            period: launch.control_period(),
            before_last: None,
            since: None,
            rests_since: None,
        }
    }

    /// The longest that a stop takes from the last two commanded velocities, if it begins at once: each joint takes its
    /// acceleration back, then builds a deceleration up, keeps it and takes it back.
    fn stop_time(&self, last: &JointVelocities<JOINTS>) -> Duration {
        let dt = self.period.as_nanos() as f64 * 1e-9;
        let before = self.before_last.unwrap_or(*last);
        let slowest_s = self.joints.iter().enumerate().map(|(i, limit)| {
            let acceleration = ((last[i] - before[i]) / dt).abs() + limit.dddq_max * dt;
            let back_s = acceleration / limit.dddq_max;
            let fastest = last[i].abs() + 0.5 * acceleration * back_s;
            let ramp_s = (limit.ddq_max / limit.dddq_max).min((fastest / limit.dddq_max).sqrt());
            back_s + fastest / limit.ddq_max + 2.0 * ramp_s
        });
        Duration::from_ticks((slowest_s.fold(0.0, f64::max) * 1e9) as u64) + SLACK
    }

    pub fn check(&mut self, pair: Pair<'_>, velocity: &TrueVelocity) -> Found {
        let Pair { last, step } = pair;
        let (before, after) = (last.phase.latched(), step.phase.latched());
        demand(step.fault.is_none() || after.is_some(), "latch", || {
            format!("{:?} without a stop", step.fault)
        })?;
        if before.is_some() && !pair.begins_again() {
            demand(after.is_some(), "latch", || {
                "nobody cleared the stop".into()
            })?;
            demand(after <= before, "latch", || {
                format!("{before:?} was weakened to {after:?}")
            })?;
            demand(last.fault.is_none() || same(last, step), "latch", || {
                format!("{:?} became {:?}", last.fault, step.fault)
            })?;
        }
        if before.is_some() && after.is_none() {
            demand(last.is_stopped(), "latch", || {
                "it was cleared in motion".into()
            })?;
        }
        if let (Phase::Stopping(_), Phase::Stopped(_), None) =
            (last.phase, step.phase, last.command)
        {
            let slow = |state: ArmState<JOINTS>| state.dq.0.amax() <= REST_RAD_PER_S;
            demand(last.measured().is_some_and(slow), "latch", || {
                "an arm without power passes for resting in motion".into()
            })?;
        }
        let found = self.rest(pair, velocity);
        self.before_last = last.command.map(|(_, dq, _)| dq);
        found
    }

    fn rest(&mut self, pair: Pair<'_>, velocity: &TrueVelocity) -> Found {
        let Pair { last, step } = pair;
        let now = pair.now();
        let Some(category) = step.phase.latched() else {
            (self.since, self.rests_since) = (None, None);
            return Ok(());
        };
        // Latched anew where it was cleared and something is wrong still.
        if last.phase.latched().is_none() || (pair.begins_again() && last.is_stopped()) {
            (self.since, self.rests_since) = (None, None);
        }
        let time = last.command.map_or(SLACK, |(_, dq, _)| self.stop_time(&dq));
        let (since, until) = self.since.get_or_insert((now, now + time));
        // A tick that was skipped takes as long as others and moves nothing.
        *until += self.period * step.missed as u32;
        if let Some((_, dq, _)) = step.command {
            demand(category != StopCategory::Zero, "latch", || {
                "a command without power".into()
            })?;
            let moving = dq.0.amax() > 0.0;
            demand(!moving || now <= *until, "stops-in-time", || {
                let (moves, most) = (now - *since, *until - *since);
                format!("it moves {moves} after the stop, not {most}")
            })?;
            if let (Phase::Stopped(_), Some((q, ..))) = (step.phase, last.command)
                && last.phase == step.phase
                && !pair.begins_again()
            {
                let held = step.command.is_some_and(|(now_q, ..)| now_q == q);
                demand(held && !moving, "latch", || "it moves after a stop".into())?;
            }
        }
        let rests = step.command.is_none_or(|(_, dq, _)| dq.0.amax() == 0.0);
        match (rests, self.rests_since) {
            (false, _) => self.rests_since = None,
            (true, None) => self.rests_since = Some(now),
            (true, Some(rests_since)) => {
                let run_out = now - rests_since > RUN_OUT;
                let fastest = velocity.amax();
                demand(!run_out || fastest <= REST_RAD_PER_S, "rests", || {
                    format!("the arm itself moves at {fastest} rad/s")
                })?;
            }
        }
        Ok(())
    }
}

fn same(
    last: &visuomotor_runtime::step::Step<7>,
    step: &visuomotor_runtime::step::Step<7>,
) -> bool {
    let code = |fault: Option<visuomotor_runtime::fault::Fault>| fault.map(|fault| fault.code());
    code(last.fault) == code(step.fault)
}
