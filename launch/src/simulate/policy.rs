//! A policy that misbehaves on schedule: what it answers, and how long it thinks.

use super::plan::{Kind, Planned};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// Answers that look at old frames look at ones of this long ago.
const STALE: Duration = Duration::from_millis(400);

pub struct Misbehaving {
    policy: Box<dyn Policy>,
    faults: Vec<Planned>,
    /// How long a healthy decision takes, drawn between the two.
    thinking_ms: [f64; 2],
    rng: Xoshiro256PlusPlus,
    /// Of each fault, how often it was played.
    pub injected: Vec<u64>,
}

impl Misbehaving {
    pub fn new(
        policy: Box<dyn Policy>,
        plan: &[Planned],
        thinking_ms: [f64; 2],
        seed: u64,
    ) -> Self {
        let concerns = |planned: &&Planned| {
            matches!(
                planned.kind,
                Kind::PolicySlow
                    | Kind::PolicyStuck
                    | Kind::PolicyNan
                    | Kind::PolicyOutOfRange
                    | Kind::PolicyWrongShape
                    | Kind::PolicyStale
            )
        };
        let faults: Vec<Planned> = plan.iter().filter(concerns).copied().collect();
        Self {
            policy,
            injected: vec![0; faults.len()],
            faults,
            thinking_ms,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    pub fn faults(&self) -> impl Iterator<Item = (Kind, u64)> {
        let kinds = self.faults.iter().map(|planned| planned.kind);
        kinds.zip(self.injected.iter().copied())
    }

    pub fn reset(&mut self, seed: u64) {
        self.policy.reset(seed);
    }

    /// What is decided at `now`, and how long that takes.
    pub fn decide(
        &mut self,
        now: Instant,
        observation: &Observation<'_>,
    ) -> (Result<Decision, PolicyError>, Duration) {
        let [least, most] = self.thinking_ms;
        let ms = least + (most - least) * self.rng.random::<f64>();
        let mut thinking = Duration::from_ticks((ms * 1e6) as u64);
        let mut decided = self.policy.decide(observation);
        for (planned, injected) in self.faults.iter().zip(&mut self.injected) {
            if !planned.contains(now) {
                continue;
            }
            *injected += 1;
            match (planned.kind, &mut decided) {
                (Kind::PolicySlow, _) => {
                    thinking += Duration::from_millis(u64::from(planned.number));
                }
                (Kind::PolicyStuck, _) => thinking += planned.window().until - now,
                (Kind::PolicyWrongShape, decided) => {
                    let image = &observation.frame.image;
                    *decided = Err(PolicyError::WrongImage {
                        got_width: image.width,
                        got_height: image.height,
                        expected_width: 472,
                        expected_height: 472,
                    });
                }
                (Kind::PolicyNan, Ok(decision)) => match planned.number % 2 {
                    0 => decision.action.translation_m.y = f64::NAN,
                    _ => decision.action.yaw_rad = f64::INFINITY,
                },
                (Kind::PolicyOutOfRange, Ok(decision)) => {
                    let far = 10_f64.powi(planned.number as i32 % 6);
                    decision.action.translation_m *= far;
                    decision.action.translation_m.z -= far;
                    decision.action.yaw_rad = far;
                }
                (Kind::PolicyStale, Ok(decision)) => {
                    decision.frame_captured_at -= STALE;
                }
                _ => {}
            }
        }
        (decided, thinking)
    }
}
