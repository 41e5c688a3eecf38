//! Exploration noise around any policy, for on-policy training data.
//!
//! At level `l`: with probability 0.5 Gaussian noise of standard deviation `l` (in shares of the action scale), with
//! probability 0.4 `l` a random motion, with probability 0.2 `l` a random verb other than terminate, and with
//! probability 0.25 a termination is suppressed. Level 0 leaves the policy as it is.

use crate::random::{Rng, SeedableRng, chance, choose, normal, uniform};
use visuomotor_runtime::action::{ActionScale, Verb};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// Keeps the noise's random numbers apart from those of the policy inside, which gets the same seed.
const STREAM: u64 = 0x9e37_79b9_7f4a_7c15;

pub struct Explore<P> {
    policy: P,
    scale: ActionScale,
    level: f64,
    rng: Rng,
}

impl<P: Policy> Explore<P> {
    pub fn new(policy: P, scale: ActionScale) -> Self {
        Self {
            policy,
            scale,
            level: 0.0,
            rng: Rng::seed_from_u64(STREAM),
        }
    }

    /// Takes effect at once; usually set before a reset.
    pub fn set_level(&mut self, level: f64) {
        self.level = level;
    }
}

impl<P: Policy> Policy for Explore<P> {
    fn reset(&mut self, seed: u64) {
        self.policy.reset(seed);
        self.rng = Rng::seed_from_u64(seed ^ STREAM);
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let decision = self.policy.decide(observation)?;
        let level = self.level;
        if level <= 0.0 {
            return Ok(decision);
        }
        let rng = &mut self.rng;
        let mut motion = self.scale.motion(&decision.action);
        let mut verb = decision.action.verb;
        if chance(rng, 0.5) {
            motion = motion.map(|m| m + level * normal(rng));
        }
        if chance(rng, 0.4 * level) {
            motion = std::array::from_fn(|_| uniform(rng, -1.0, 1.0));
        }
        if chance(rng, 0.25) && verb == Verb::Terminate {
            verb = Verb::Move;
        }
        if chance(rng, 0.2 * level) && verb != Verb::Terminate {
            verb = choose(rng, &[Verb::Move, Verb::Close, Verb::Open]);
        }
        if verb == Verb::Terminate {
            return Ok(decision);
        }
        Ok(Decision {
            action: self.scale.action(motion, verb),
            ..decision
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ACTION_SCALE;
    use crate::toy_scene::ToyScene;
    use visuomotor_runtime::action::Action;
    use visuomotor_runtime::camera::Frame;

    struct Fixed(Verb);

    impl Policy for Fixed {
        fn reset(&mut self, _seed: u64) {}

        fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
            Ok(crate::scripted::decision(observation, [0.0; 4], self.0))
        }
    }

    fn actions(verb: Verb, level: f64, seed: u64) -> Vec<Action> {
        let mut explore = Explore::new(Fixed(verb), ACTION_SCALE);
        explore.set_level(level);
        explore.reset(seed);
        let (scene, frame) = (ToyScene::new(0), Frame::default());
        (0..1000)
            .map(|step| {
                explore
                    .decide(&scene.observation(&frame, step))
                    .unwrap()
                    .action
            })
            .collect()
    }

    #[test]
    fn level_zero_changes_nothing() {
        assert!(
            actions(Verb::Move, 0.0, 1)
                .iter()
                .all(|a| *a == Action::hold())
        );
    }

    #[test]
    fn noise_has_the_stated_shares_and_keeps_the_scale() {
        let all = actions(Verb::Move, 0.2, 1);
        let moved = all.iter().filter(|a| a.translation_m.norm() > 0.0).count();
        let verbs = all.iter().filter(|a| a.verb != Verb::Move).count();
        // 1 - 0.5 * 0.92 of the motions; 2/3 of 0.04 of the verbs.
        assert!((480..600).contains(&moved), "{moved}");
        assert!((10..50).contains(&verbs), "{verbs}");
        for a in all {
            assert!(
                a.translation_m.x.abs() <= ACTION_SCALE.xy_m
                    && a.translation_m.z.abs() <= ACTION_SCALE.z_m
            );
        }
    }

    #[test]
    fn a_quarter_of_the_terminations_is_suppressed() {
        let kept = actions(Verb::Terminate, 0.2, 1)
            .iter()
            .filter(|a| a.verb == Verb::Terminate)
            .count();
        assert!((700..800).contains(&kept), "{kept}");
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(actions(Verb::Move, 0.2, 1), actions(Verb::Move, 0.2, 1));
        assert_ne!(actions(Verb::Move, 0.2, 1), actions(Verb::Move, 0.2, 2));
    }
}
