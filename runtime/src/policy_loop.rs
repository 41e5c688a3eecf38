//! The policy's task: looks, decides and hands over, once a period, for an episode.
//!
//! Responsible for the order and the times of an episode's decisions. Not responsible for what a policy looks at or decides
//! ([`crate::policy::Policy`]), nor for whether anything moves ([`crate::controller`], which drops decisions that come too late).

use crate::action::Verb;
use crate::clock::{Clock, Duration, Instant};
use crate::observation::Observation;
use crate::policy::{Decision, PolicyError};

/// The policy task's side of every hand-over to another thread or task.
pub trait PolicyExchange {
    /// What there is to look at before decision number `step`, from 0; `None` where something is missing.
    fn observe(&mut self, now: Instant, step: u32) -> Option<Observation<'_>>;
    /// Takes what was decided about the last observation, as soon as it takes effect.
    fn deliver(&mut self, now: Instant, decided: Result<Decision, PolicyError>);
    /// Whether the episode is over, for a reason that the policy does not know.
    fn ended(&self) -> bool;
}

/// When decisions of an episode fall due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub first: Instant,
    pub period: Duration,
    /// Decisions at most.
    pub steps_max: u32,
}

/// Runs for an episode, and until its last action had its period.
///
/// `decide` is asked at this instant about what there is to look at; it says what was decided, and how long that took beyond
/// the time that has really passed: where time is simulated, it passes while others run. Where something is missing or
/// nothing is decided the controller's watchdog counts the silence. A policy that took too long looks again at once, and
/// does not hurry through what it has missed.
pub async fn play<C: Clock>(
    schedule: Schedule,
    mut decide: impl FnMut(Instant, &Observation<'_>) -> (Result<Decision, PolicyError>, Duration),
    exchange: &mut impl PolicyExchange,
) {
    let (mut due, mut step) = (schedule.first, 0);
    for _ in 0..schedule.steps_max {
        C::delay_until(due).await;
        if exchange.ended() {
            return;
        }
        let mut terminated = false;
        let now = C::now();
        if let Some(observation) = exchange.observe(now, step) {
            let span = tracing::debug_span!("decision", step);
            let (decided, thinking) = span.in_scope(|| decide(now, &observation));
            C::delay_until(C::now() + thinking).await;
            if let Ok(decision) = &decided {
                step += 1;
                terminated = decision.action.verb == Verb::Terminate;
            }
            exchange.deliver(C::now(), decided);
        }
        due = (due + schedule.period).max(C::now());
        if terminated {
            break;
        }
    }
    C::delay_until(due).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;
    use crate::arm::Fingers;
    use crate::camera::Frame;
    use crate::clock::{SimMono, ThreadMono, block_on, executor};
    use crate::observation::{GripperObservation, TcpPose};
    use nalgebra::Vector3;
    use rtic_monotonics::Timebase;
    use std::pin::pin;

    const PERIOD: Duration = Duration::from_millis(10);

    /// Decides one verb after the other; `None` is a failure.
    struct Scripted(Vec<Option<Verb>>);

    impl Scripted {
        fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
            let verb = self.0.remove(0).ok_or(PolicyError::Inference)?;
            Ok(Decision {
                action: Action {
                    verb,
                    ..Action::hold()
                },
                q_value: f64::NAN,
                frame_captured_at: observation.frame.captured_at,
                step: observation.step,
            })
        }
    }

    /// Notes when there was something to look at, and what was delivered when, in ms since the start.
    struct Notes {
        start: Instant,
        frame: Frame,
        observed: Vec<(u64, u32)>,
        delivered: Vec<(u64, Option<u32>)>,
        /// Looks that find nothing, by number.
        blind: Vec<usize>,
        looks: usize,
        ends_after: usize,
    }

    impl Notes {
        fn new(start: Instant) -> Self {
            Self {
                start,
                frame: Frame::default(),
                observed: Vec::new(),
                delivered: Vec::new(),
                blind: Vec::new(),
                looks: 0,
                ends_after: usize::MAX,
            }
        }
    }

    impl PolicyExchange for Notes {
        fn observe(&mut self, now: Instant, step: u32) -> Option<Observation<'_>> {
            self.looks += 1;
            if self.blind.contains(&(self.looks - 1)) {
                return None;
            }
            self.observed.push(((now - self.start).as_millis(), step));
            Some(Observation {
                frame: &self.frame,
                gripper: GripperObservation {
                    sampled_at: now,
                    measured: TcpPose {
                        position_m: Vector3::zeros(),
                        yaw_rad: 0.0,
                    },
                    goal: TcpPose {
                        position_m: Vector3::zeros(),
                        yaw_rad: 0.0,
                    },
                    fingers: Fingers::Open,
                    aperture_m: 0.08,
                },
                step,
                truth: None,
            })
        }

        fn deliver(&mut self, now: Instant, decided: Result<Decision, PolicyError>) {
            let step = decided.ok().map(|decision| decision.step);
            self.delivered.push(((now - self.start).as_millis(), step));
        }

        fn ended(&self) -> bool {
            self.looks == self.ends_after
        }
    }

    fn schedule(first: Instant, steps_max: u32) -> Schedule {
        Schedule {
            first,
            period: PERIOD,
            steps_max,
        }
    }

    /// Plays the verbs in simulated time, thinking for so many ms each time; gives when it ended, in ms, as well.
    fn simulated(verbs: &[Option<Verb>], thinking_ms: &[u64], notes: &mut Notes) -> u64 {
        SimMono::reset();
        let mut policy = Scripted(verbs.to_vec());
        let mut thinking_ms = thinking_ms.iter().cycle();
        let decide = |_: Instant, observation: &Observation<'_>| {
            let ms = *thinking_ms.next().expect("a cycle");
            (policy.decide(observation), Duration::from_millis(ms))
        };
        let schedule = schedule(SimMono::EPOCH, verbs.len() as u32);
        executor::run::<SimMono>(&mut [pin!(play::<SimMono>(schedule, decide, notes))]);
        (SimMono::now() - SimMono::EPOCH).as_millis()
    }

    const MOVE: Option<Verb> = Some(Verb::Move);

    #[test]
    fn decisions_take_effect_after_the_thinking_and_the_next_falls_due_on_the_grid() {
        let mut notes = Notes::new(SimMono::EPOCH);
        let end = simulated(&[MOVE; 3], &[3, 0, 9], &mut notes);
        assert_eq!(notes.observed, [(0, 0), (10, 1), (20, 2)]);
        let delivered = [(3, Some(0)), (10, Some(1)), (29, Some(2))];
        assert_eq!(
            (notes.delivered.as_slice(), end),
            (delivered.as_slice(), 30)
        );
    }

    #[test]
    fn a_policy_that_took_too_long_looks_again_at_once_and_makes_nothing_up() {
        let mut notes = Notes::new(SimMono::EPOCH);
        let end = simulated(&[MOVE; 4], &[35, 1, 1, 1], &mut notes);
        assert_eq!(notes.observed, [(0, 0), (35, 1), (45, 2), (55, 3)]);
        assert_eq!(end, 65);
    }

    #[test]
    fn failures_and_missing_inputs_give_no_decision_and_no_number() {
        let mut notes = Notes::new(SimMono::EPOCH);
        notes.blind = vec![1];
        simulated(&[MOVE, None, MOVE, MOVE], &[2], &mut notes);
        assert_eq!(notes.observed, [(0, 0), (20, 1), (30, 1)]);
        let delivered = [(2, Some(0)), (22, None), (32, Some(1))];
        assert_eq!(notes.delivered, delivered);
    }

    #[test]
    fn an_episode_ends_after_the_last_action_had_its_period() {
        let mut notes = Notes::new(SimMono::EPOCH);
        let end = simulated(&[MOVE, Some(Verb::Terminate), MOVE], &[0], &mut notes);
        assert_eq!((notes.delivered.len(), end), (2, 20));
        // And when somebody else ends it, nothing more is looked at.
        let mut notes = Notes::new(SimMono::EPOCH);
        notes.ends_after = 2;
        let end = simulated(&[MOVE; 9], &[0], &mut notes);
        assert_eq!((notes.observed.len(), end), (2, 20));
    }

    #[test]
    fn the_same_task_plays_alone_on_a_thread() {
        let verbs = [MOVE, None, MOVE, Some(Verb::Terminate), MOVE];
        let mut in_simulation = Notes::new(SimMono::EPOCH);
        simulated(&verbs, &[0], &mut in_simulation);
        let start = ThreadMono::now();
        let mut notes = Notes::new(start);
        let mut policy = Scripted(verbs.to_vec());
        let decide = |_: Instant, observation: &Observation<'_>| {
            (policy.decide(observation), Duration::ZERO)
        };
        block_on(play::<ThreadMono>(schedule(start, 5), decide, &mut notes));
        let steps = |notes: &Notes| -> Vec<_> { notes.delivered.iter().map(|d| d.1).collect() };
        assert_eq!(steps(&notes), steps(&in_simulation));
        assert_eq!(steps(&notes), [Some(0), None, Some(1), Some(2)]);
        // Never early.
        let early = notes.observed.iter().zip(&in_simulation.observed);
        assert!(early.clone().all(|(real, due)| real >= due), "{early:?}");
        assert!(ThreadMono::now() >= start + PERIOD * 4);
    }
}
