//! A policy that misbehaves on schedule: what it answers, and how long it thinks.

use super::plan::{Kind, Planned};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::clock::{Duration, Instant, SimMono};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// Answers that look at old frames look at ones of this long ago, or, one plan in four, of this far in the future.
const STALE: Duration = Duration::from_millis(400);

/// What is planned of these kinds, and how often each was played.
fn concerning(plan: &[Planned], kinds: &[Kind]) -> Vec<(Planned, u64)> {
    let concerns = plan.iter().filter(|planned| kinds.contains(&planned.kind));
    concerns.map(|planned| (*planned, 0)).collect()
}

fn counts(faults: &[(Planned, u64)]) -> impl Iterator<Item = (Kind, u64)> {
    faults
        .iter()
        .map(|(planned, played)| (planned.kind, *played))
}

/// A policy whose answers are wrong at times.
pub struct Misbehaving {
    policy: Box<dyn Policy>,
    faults: Vec<(Planned, u64)>,
}

impl Misbehaving {
    pub fn new(policy: Box<dyn Policy>, plan: &[Planned]) -> Self {
        let kinds = [
            Kind::PolicyNan,
            Kind::PolicyOutOfRange,
            Kind::PolicyWrongShape,
            Kind::PolicyStale,
        ];
        Self {
            policy,
            faults: concerning(plan, &kinds),
        }
    }

    pub fn faults(&self) -> impl Iterator<Item = (Kind, u64)> {
        counts(&self.faults)
    }
}

impl Policy for Misbehaving {
    fn reset(&mut self, seed: u64) {
        self.policy.reset(seed);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let mut decided = self.policy.decide(observation);
        for (planned, played) in &mut self.faults {
            if !planned.contains(SimMono::now()) {
                continue;
            }
            *played += 1;
            match (planned.kind, &mut decided) {
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
                (Kind::PolicyStale, Ok(decision)) => match planned.number % 4 {
                    0 => decision.frame_captured_at += STALE,
                    _ => decision.frame_captured_at -= STALE,
                },
                _ => {}
            }
        }
        decided
    }
}

/// How long decisions take: a healthy time, drawn anew for each, and at times more.
pub struct Thinking {
    range_ms: [f64; 2],
    rng: Xoshiro256PlusPlus,
    faults: Vec<(Planned, u64)>,
}

impl Thinking {
    pub fn new(plan: &[Planned], range_ms: [f64; 2], seed: u64) -> Self {
        Self {
            range_ms,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            faults: concerning(plan, &[Kind::PolicySlow, Kind::PolicyStuck]),
        }
    }

    pub fn faults(&self) -> impl Iterator<Item = (Kind, u64)> {
        counts(&self.faults)
    }

    pub fn time(&mut self, now: Instant) -> Duration {
        let [least, most] = self.range_ms;
        let ms = least + (most - least) * self.rng.random::<f64>();
        let mut time = Duration::from_ticks((ms * 1e6) as u64);
        for (planned, played) in &mut self.faults {
            if !planned.contains(now) {
                continue;
            }
            *played += 1;
            time += match planned.kind {
                Kind::PolicySlow => Duration::from_millis(u64::from(planned.number)),
                _ => planned.window().until - now,
            };
        }
        time
    }
}
