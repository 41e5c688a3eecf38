//! Latched stops: the arm comes to rest in time, stays there, and only a person's request ends that.

use super::{Found, Pair, TrueVelocity, demand};
use crate::config::Launch;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::{OperatingMode, StopCategory};

/// An arm without power has come to rest this long after its brakes have closed, and an arm under power this long after
/// its last command.
const RUN_OUT: Duration = Duration::from_millis(500);
/// What an arm at rest does not exceed, rad/s: contact and gravity move it a little.
const REST_RAD_PER_S: f64 = 0.05;

pub struct Latch {
    /// The longest that a motion within the limits takes to stop.
    stop_max: Duration,
    /// Since when the stop is latched that is.
    since: Option<Instant>,
    /// Since when nothing has moved the arm.
    rests_since: Option<Instant>,
}

impl Latch {
    pub fn new(launch: &Launch) -> Self {
        let slowest_s = launch.limits.joints().iter().fold(0.0, |most: f64, limit| {
            // At most: an acceleration is taken back, then a deceleration is built up, kept and taken back.
            let ramp_s = limit.ddq_max / limit.dddq_max;
            most.max(3.0 * ramp_s + limit.dq_max / limit.ddq_max + 0.5 * ramp_s)
        });
        Self {
            stop_max: Duration::from_ticks((slowest_s * 1e9) as u64) + Duration::from_millis(5),
            since: None,
            rests_since: None,
        }
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
        self.rest(pair, velocity)
    }

    fn rest(&mut self, pair: Pair<'_>, velocity: &TrueVelocity) -> Found {
        let Pair { last, step } = pair;
        let now = pair.now();
        let Some(category) = step.phase.latched() else {
            (self.since, self.rests_since) = (None, None);
            return Ok(());
        };
        // Latched anew where it was cleared and something is wrong still.
        if last.phase.latched().is_none() || pair.begins_again() {
            (self.since, self.rests_since) = (Some(now), None);
        }
        let since = *self.since.get_or_insert(now);
        if let Some((_, dq, _)) = step.command {
            demand(category != StopCategory::Zero, "latch", || {
                "a command without power".into()
            })?;
            // A manual mode's stop may be gentler than the joints could.
            let allowed = match step.mode {
                OperatingMode::Automatic => self.stop_max,
                OperatingMode::Manual => self.stop_max * 2,
            };
            let moving = dq.0.amax() > 0.0;
            let missed = self.period(pair) * step.missed as u32;
            demand(
                !moving || now - since <= allowed + missed,
                "stops-in-time",
                || format!("it moves {} after the stop", now - since),
            )?;
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

    fn period(&self, pair: Pair<'_>) -> Duration {
        (pair.step.due - pair.last.due) / (pair.step.missed as u32 + 1)
    }
}

fn same(
    last: &visuomotor_runtime::step::Step<7>,
    step: &visuomotor_runtime::step::Step<7>,
) -> bool {
    let code = |fault: Option<visuomotor_runtime::fault::Fault>| fault.map(|fault| fault.code());
    code(last.fault) == code(step.fault)
}
