//! The hand-eye policy: servo to the pose where a grasp is most likely, close, lift, end.
//!
//! The critic values grasp poses in the image (Levine et al., 2016); everything after the choice of a pose is a rule on
//! proprioception. The pose is chosen anew at every step, and changed only for a clearly better one.

use crate::cem::CemConfig;
use crate::error::PolicyOpenError;
use crate::features::state_vector;
use crate::grasp_search::{GraspPose, GraspSearch};
use crate::learned::Learned;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::random::{Rng, SeedableRng};
use crate::task::APERTURE_EMPTY_M;
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::observation::{GripperObservation, Observation};
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// A new pose must beat the previous one by this much, in units of log odds.
const HYSTERESIS: f32 = 2.5;
/// The gripper waits at this height until it is above the grasp, m.
const HOVER_M: f64 = 0.08;
/// It is above the grasp when it is this close: horizontally, m, and in angle, rad.
const ALIGNED_M: f64 = 0.015;
const ALIGNED_RAD: f64 = 0.25;
/// The fingers close this close above the grasp, m.
const REACHED_M: f64 = 0.008;
/// A held object is high enough when the TCP is, m.
const LIFTED_M: f64 = 0.115;

/// See the module.
pub struct HandEye {
    model: Model,
    search: GraspSearch,
    rng: Rng,
    aim: Option<(GraspPose, f32)>,
}

impl HandEye {
    /// `manifest` is of kind `critic-grasp`; `cem` has no [`CemConfig::problem`].
    pub fn open(manifest: Manifest, cem: CemConfig) -> Result<Self, PolicyOpenError> {
        let search = GraspSearch::new(cem, manifest.workspace);
        let model = Model::open(manifest, cem.samples)?;
        Ok(Self {
            model,
            search,
            rng: Rng::seed_from_u64(0),
            aim: None,
        })
    }

    /// Chooses where to grasp, and how likely that works.
    fn take_aim(&mut self, observation: &Observation<'_>) -> Result<(GraspPose, f32), PolicyError> {
        let Self {
            model, search, rng, ..
        } = self;
        let gripper = &observation.gripper;
        model.observe(&observation.frame.image, &state_vector(gripper))?;
        let p = gripper.goal.position_m;
        let goal = [p.x, p.y, p.z, gripper.goal.yaw_rad].map(|v| v as f32);
        let previous = self.aim.map(|(pose, _)| pose);
        let best = search.search(rng, goal, previous, |poses, values| {
            model.score(poses, values)
        })?;
        Ok(match (previous, best.previous_value) {
            (Some(pose), Some(value)) if log_odds(value) > log_odds(best.value) - HYSTERESIS => {
                (pose, value)
            }
            _ => (best.pose, best.value),
        })
    }

    fn servo(&self, gripper: &GripperObservation, pose: GraspPose) -> Action {
        let manifest = self.model.manifest();
        let scale = &manifest.action_scale;
        let [x, y, z, yaw] = pose.map(f64::from);
        let goal = &gripper.goal.position_m;
        let (dx, dy) = (x - goal.x, y - goal.y);
        let turn_rad = manifest.workspace.turn_rad(&gripper.goal, yaw);
        // On the straight line, also where the way is longer than one action.
        let shorten = (dx.abs().max(dy.abs()) / scale.xy_m).max(1.0);
        let aligned = dx.hypot(dy) < ALIGNED_M && turn_rad.abs() < ALIGNED_RAD;
        let height_m = if aligned { z } else { HOVER_M };
        let verb = if aligned && goal.z - z < REACHED_M {
            Verb::Close
        } else {
            Verb::Move
        };
        let motion = [
            dx / scale.xy_m / shorten,
            dy / scale.xy_m / shorten,
            (height_m - goal.z) / scale.z_m,
            turn_rad / scale.yaw_rad,
        ];
        scale.action(motion, verb)
    }

    fn lift(&self, gripper: &GripperObservation) -> Action {
        let up = |verb| {
            self.model
                .manifest()
                .action_scale
                .action([0.0, 0.0, 1.0, 0.0], verb)
        };
        if gripper.aperture_m < APERTURE_EMPTY_M {
            up(Verb::Open)
        } else if gripper.measured.position_m.z > LIFTED_M {
            Action {
                verb: Verb::Terminate,
                ..Action::hold()
            }
        } else {
            up(Verb::Move)
        }
    }
}

fn log_odds(p: f32) -> f32 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

impl Policy for HandEye {
    fn reset(&mut self, seed: u64) {
        self.rng = Rng::seed_from_u64(seed);
        self.aim = None;
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let gripper = &observation.gripper;
        let (action, q_value) = match gripper.fingers {
            Fingers::Open => {
                let (pose, value) = self.take_aim(observation)?;
                self.aim = Some((pose, value));
                (self.servo(gripper, pose), f64::from(value))
            }
            Fingers::Closed => {
                self.aim = None;
                (self.lift(gripper), f64::NAN)
            }
        };
        Ok(Decision {
            action,
            q_value,
            frame_captured_at: observation.frame.captured_at,
            step: observation.step,
        })
    }
}

impl Learned for HandEye {
    fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    fn cem(&self) -> &CemConfig {
        self.search.config()
    }

    fn run_graphs(&mut self) -> Result<(), PolicyError> {
        self.model.run_graphs(self.search.config().iterations)
    }
}
