//! Ages: what is too old moves nothing, and who is silent for too long stops the arm within one tick more.

use super::orders::{Orders, fingers};
use super::{Found, Pair, demand};
use crate::config::{JOINTS, Launch, duration_ms};
use visuomotor_runtime::arm::{ArmError, ArmState};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::safety::StopCategory;
use visuomotor_runtime::watchdogs::Watchdogs;

pub struct Ladder<'a> {
    pub period: Duration,
    pub dogs: Watchdogs,
    orders: Orders<'a>,
    /// The newest sample that is finite.
    pub newest: Option<ArmState<JOINTS>>,
    /// What the newest good sample says of its time.
    heard_arm_at: Option<Instant>,
    pub began: Option<Instant>,
    /// The newest tick after which a command was not known to be lost.
    pub sent_at: Option<Instant>,
    pub heard_policy_at: Option<Instant>,
    pub heard_operator_at: Option<Instant>,
    next_decision: u32,
}

impl<'a> Ladder<'a> {
    pub fn new(launch: &'a Launch) -> Self {
        let dogs = &launch.watchdogs;
        Self {
            period: launch.control_period(),
            dogs: Watchdogs {
                arm_silence_max: duration_ms(dogs.arm_silence_ms_max),
                loop_gap_max: duration_ms(dogs.loop_gap_ms_max),
                policy_silence_max: duration_ms(dogs.policy_silence_ms_max),
                teleop_silence_max: duration_ms(dogs.teleop_silence_ms_max),
                frame_age_max: duration_ms(dogs.frame_age_ms_max),
                tracking_max_rad: dogs.tracking_rad_max,
            },
            orders: Orders::new(launch),
            newest: None,
            heard_arm_at: None,
            began: None,
            sent_at: None,
            heard_policy_at: None,
            heard_operator_at: None,
            next_decision: 0,
        }
    }

    pub fn check(&mut self, pair: Pair<'_>) -> Found {
        self.orders.check(pair)?;
        self.arm(pair)?;
        self.policy(pair)?;
        self.operator(pair)
    }

    fn arm(&mut self, pair: Pair<'_>) -> Found {
        let Pair { last, step } = pair;
        let now = pair.now();
        let began = *self.began.get_or_insert(last.due + last.jitter);
        let latched = step.phase.latched();
        match step.inputs.arm {
            Ok(state) if state.not_finite().is_none() => {
                self.newest = Some(state);
                let future = state.sampled_at > now + self.period;
                demand(!future || latched.is_some(), "ages", || {
                    "a sample from the future".into()
                })?;
                if !future {
                    self.heard_arm_at = Some(state.sampled_at);
                }
                if let (Some((q, ..)), false) = (last.command, pair.begins_again())
                    && let lag_rad = (q.0 - state.q.0).amax()
                {
                    let fine = lag_rad <= self.dogs.tracking_max_rad || latched.is_some();
                    demand(fine, "tracking", || format!("a lag of {lag_rad} rad"))?;
                }
            }
            Ok(_) => demand(
                latched <= Some(StopCategory::One) && latched.is_some(),
                "finite",
                || "an encoder that is not finite stops nothing".into(),
            )?,
            Err(_) => {}
        }
        for error in [step.inputs.arm.err(), step.inputs.write_error] {
            if let Some(ArmError::Drive { .. }) = error {
                demand(latched == Some(StopCategory::Zero), "latch", || {
                    "a drive fault does not remove power".into()
                })?;
            }
        }
        if step.inputs.write_error.is_none() {
            self.sent_at = Some(now);
        }
        for (checker, since, most) in [
            (
                "link",
                self.heard_arm_at.or(Some(began)),
                self.dogs.arm_silence_max,
            ),
            (
                "link",
                self.sent_at.or(Some(began)),
                self.dogs.arm_silence_max,
            ),
            (
                "loop-gap",
                Some(last.due + last.jitter),
                self.dogs.loop_gap_max,
            ),
        ] {
            let silence = since.and_then(|since| now.checked_duration_since(since));
            let fine = silence.is_none_or(|silence| silence <= most + self.period);
            demand(fine || latched.is_some(), checker, || {
                format!("{silence:?} of silence stop nothing")
            })?;
        }
        Ok(())
    }

    /// Whether this decision may move anything now.
    fn is_good(&self, decision: &Decision, now: Instant) -> bool {
        let age = now.checked_duration_since(decision.frame_captured_at);
        age.is_some_and(|age| age <= self.dogs.frame_age_max)
            && decision.step >= self.next_decision
            && decision.action.is_finite()
    }

    fn policy(&mut self, pair: Pair<'_>) -> Found {
        let Pair { last, step } = pair;
        let now = pair.now();
        let starts = step.inputs.request == Some(Request::StartPolicy)
            && last.phase != Phase::Policy
            && step.phase != last.phase;
        if starts {
            (self.heard_policy_at, self.next_decision) = (Some(now), 0);
        }
        if let Some(decision) = &step.inputs.decision {
            if self.is_good(decision, now) && (last.phase == Phase::Policy || starts) {
                self.heard_policy_at = Some(now);
                self.next_decision = decision.step + 1;
                let plays = last.phase == Phase::Policy && step.phase == Phase::Policy;
                if plays && step.inputs.request.is_none() {
                    self.orders.obeyed(pair, decision)?;
                }
            } else if step.inputs.request.is_none() && last.phase == step.phase {
                let untouched = step.goal == last.goal && fingers(step) == fingers(last);
                demand(untouched, "ages", || format!("{decision:?} moved the goal"))?;
                let counted = step.counters.late_decisions == last.counters.late_decisions + 1;
                demand(counted, "counters", || {
                    "a late decision is not counted".into()
                })?;
            }
        }
        silence(
            step.phase == Phase::Policy,
            "policy-silence",
            pair,
            self.heard_policy_at,
            self.dogs.policy_silence_max + self.period,
        )
    }

    fn operator(&mut self, pair: Pair<'_>) -> Found {
        if matches!(pair.step.inputs.request, Some(Request::Jog(_))) {
            self.heard_operator_at = Some(pair.now());
        }
        let most = self.dogs.teleop_silence_max + self.period;
        silence(
            pair.step.phase == Phase::Teleop,
            "operator-silence",
            pair,
            self.heard_operator_at,
            most,
        )
    }
}

fn silence(
    concerns: bool,
    checker: &'static str,
    pair: Pair<'_>,
    heard_at: Option<Instant>,
    most: Duration,
) -> Found {
    let silence = heard_at.and_then(|at| pair.now().checked_duration_since(at));
    let fine = silence.is_some_and(|silence| silence <= most);
    demand(!concerns || fine, checker, || {
        format!("{silence:?} of silence stop nothing")
    })
}
