//! A deliberately bad privileged policy: the first training data.
//!
//! It knows where the objects are, but aims at a random one with noise, often with a wrong angle, sometimes closes too
//! early, gives up, or moves blindly. About a quarter of its episodes succeed, and failures of every kind are among
//! the rest, which is what a first critic learns from. Simulation only, like [`crate::scripted`].

use crate::grasp_planner::{self, Grasp};
use crate::random::{Rng, SeedableRng, chance, choose, normal, uniform};
use crate::scripted::{decision, reach};
use crate::task::{ACTION_SCALE, APERTURE_EMPTY_M, Workspace};
use std::f64::consts::FRAC_PI_2;
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::observation::{GripperObservation, Observation, SceneTruth};
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// Share of the episodes that move blindly.
const BLIND: f64 = 0.12;

/// How bad this episode is; drawn at reset.
#[derive(Clone, Copy, Debug)]
struct Character {
    blind: bool,
    /// Downward drift of blind motion, share of the action scale.
    sink: f64,
    /// Multiplies the aiming noise.
    aim_noise: f64,
    /// Standard deviation added to every motion.
    motion_noise: f64,
    /// Ends the episode after the first lift instead of trying again when the fingers are empty.
    ends_anyway: bool,
    /// Lifts to this height, m.
    lift_m: f64,
}

impl Character {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            blind: chance(rng, BLIND),
            sink: uniform(rng, 0.1, 0.8),
            aim_noise: match uniform(rng, 0.0, 1.0) {
                u if u < 0.40 => 0.3,
                u if u < 0.75 => 1.0,
                u if u < 0.92 => 2.0,
                _ => 3.0,
            },
            motion_noise: choose(rng, &[0.0, 0.1, 0.25]),
            ends_anyway: chance(rng, 0.6),
            lift_m: uniform(rng, 0.08, 0.13),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct PrivilegedWeak {
    workspace: Workspace,
    rng: Rng,
    character: Character,
    /// What it aims at and the height from which it descends, m.
    aim: Option<(Grasp, f64)>,
}

impl PrivilegedWeak {
    pub fn new(workspace: Workspace) -> Self {
        let mut rng = Rng::seed_from_u64(0);
        let character = Character::draw(&mut rng);
        Self {
            workspace,
            rng,
            character,
            aim: None,
        }
    }

    fn take_aim(
        &mut self,
        gripper: &GripperObservation,
        truth: &SceneTruth,
    ) -> Option<(Grasp, f64)> {
        let grasps = grasp_planner::plan(truth, gripper.goal.yaw_rad, &self.workspace);
        let grasps: Vec<Grasp> = grasps.into_iter().flatten().collect();
        let distance = |g: &Grasp| (g.position_m - gripper.goal.position_m).xy().norm();
        let nearest = *grasps
            .iter()
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        let rng = &mut self.rng;
        let mut grasp = if chance(rng, 0.6) {
            choose(rng, &grasps)
        } else {
            nearest
        };
        let noise = self.character.aim_noise;
        grasp.position_m.x += 0.009 * noise * normal(rng);
        grasp.position_m.y += 0.009 * noise * normal(rng);
        grasp.position_m.z += 0.006 * noise * normal(rng).abs() - 0.003;
        grasp.yaw_rad = if chance(rng, 0.15 * noise) {
            uniform(rng, -FRAC_PI_2, FRAC_PI_2)
        } else {
            grasp.yaw_rad + 0.12 * noise * normal(rng)
        };
        Some((grasp, uniform(rng, 0.07, 0.11)))
    }

    fn approach(&mut self, gripper: &GripperObservation, truth: &SceneTruth) -> ([f64; 4], Verb) {
        self.aim = self.aim.or_else(|| self.take_aim(gripper, truth));
        let Some((grasp, hover_m)) = self.aim else {
            return ([0.0; 4], Verb::Move);
        };
        let reach = reach(gripper, &grasp, &self.workspace);
        let [x, y, yaw] = reach.motion;
        let height_m = gripper.goal.position_m.z;
        let mut verb = Verb::Move;
        let aligned = reach.distance_m < 0.008 && reach.turn_rad.abs() < 0.12;
        let above_m = height_m - grasp.position_m.z;
        if aligned && (above_m < 0.006 || (above_m < 0.05 && chance(&mut self.rng, 0.3))) {
            verb = Verb::Close;
        }
        let target_m = if aligned { grasp.position_m.z } else { hover_m };
        ([x, y, (target_m - height_m) / ACTION_SCALE.z_m, yaw], verb)
    }

    fn lift(&mut self, gripper: &GripperObservation) -> ([f64; 4], Verb) {
        let empty = gripper.aperture_m < APERTURE_EMPTY_M;
        let mut up = uniform(&mut self.rng, 0.5, 1.0);
        let mut verb = Verb::Move;
        if gripper.goal.position_m.z > self.character.lift_m {
            if !empty || self.character.ends_anyway {
                (up, verb) = (0.0, Verb::Terminate);
            } else {
                (verb, self.aim) = (Verb::Open, None);
            }
        } else if empty && !self.character.ends_anyway && chance(&mut self.rng, 0.35) {
            (verb, self.aim) = (Verb::Open, None);
        }
        ([0.0, 0.0, up, 0.0], verb)
    }

    fn blind(&mut self, gripper: &GripperObservation) -> ([f64; 4], Verb) {
        let height_m = gripper.goal.position_m.z;
        let rng = &mut self.rng;
        let mut motion: [f64; 4] = std::array::from_fn(|_| uniform(rng, -1.0, 1.0));
        let (verb, chance_of_verb, chance_of_end) = match gripper.fingers {
            Fingers::Closed => {
                motion[2] = uniform(rng, -0.2, 1.0);
                (Verb::Open, 0.12, if height_m > 0.1 { 0.4 } else { 0.03 })
            }
            Fingers::Open => {
                motion[2] -= self.character.sink;
                (Verb::Close, if height_m < 0.03 { 0.45 } else { 0.08 }, 0.03)
            }
        };
        if chance(rng, chance_of_end) {
            (motion, Verb::Terminate)
        } else {
            (
                motion,
                if chance(rng, chance_of_verb) {
                    verb
                } else {
                    Verb::Move
                },
            )
        }
    }

    fn disturb(&mut self, mut motion: [f64; 4], mut verb: Verb) -> ([f64; 4], Verb) {
        let rng = &mut self.rng;
        let spread = self.character.motion_noise * if verb == Verb::Close { 0.3 } else { 1.0 };
        motion = motion.map(|m| m.clamp(-1.0, 1.0) + spread * normal(rng));
        if verb != Verb::Terminate && chance(rng, 0.03) {
            verb = choose(rng, &[Verb::Move, Verb::Close, Verb::Open]);
        }
        if chance(rng, 0.015) {
            verb = Verb::Terminate;
        }
        if chance(rng, 0.03) {
            motion = std::array::from_fn(|_| uniform(rng, -1.0, 1.0));
        }
        (motion, verb)
    }
}

impl Policy for PrivilegedWeak {
    fn reset(&mut self, seed: u64) {
        self.rng = Rng::seed_from_u64(seed);
        self.character = Character::draw(&mut self.rng);
        self.aim = None;
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let truth = observation.truth.ok_or(PolicyError::NoTruth)?;
        let gripper = &observation.gripper;
        let (motion, verb) = if self.character.blind {
            self.blind(gripper)
        } else {
            let (motion, verb) = match gripper.fingers {
                Fingers::Open => self.approach(gripper, truth),
                Fingers::Closed => self.lift(gripper),
            };
            self.disturb(motion, verb)
        };
        Ok(decision(observation, motion, verb))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy_scene::ToyScene;
    use visuomotor_runtime::camera::Frame;

    #[test]
    fn sometimes_grasps() {
        let mut weak = PrivilegedWeak::new(Workspace::default());
        let successes = (0..400)
            .filter(|&seed| ToyScene::new(seed).run(&mut weak, seed, 25).success)
            .count();
        assert!((60..240).contains(&successes), "{successes} of 400");
    }

    #[test]
    fn the_seed_alone_decides() {
        let run = |reset_twice: bool| {
            let mut weak = PrivilegedWeak::new(Workspace::default());
            if reset_twice {
                ToyScene::new(1).run(&mut weak, 1, 25);
            }
            ToyScene::new(2).run(&mut weak, 7, 25)
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn needs_the_truth() {
        let scene = ToyScene::new(0);
        let frame = Frame::default();
        let observation = Observation {
            truth: None,
            ..scene.observation(&frame, 0)
        };
        let mut weak = PrivilegedWeak::new(Workspace::default());
        assert_eq!(weak.decide(&observation), Err(PolicyError::NoTruth));
    }
}
