//! The privileged expert: grasps with the simulator's knowledge of every object's shape and pose.
//!
//! It exists to judge scenes and to test everything around a policy; it cannot run on a physical arm, where
//! [`PolicyError::NoTruth`] is its only answer. It looks at nothing but the observation.

use crate::grasp_planner::{self, Grasp};
use crate::task::{ACTION_SCALE, APERTURE_EMPTY_M, SUCCESS_HEIGHT_M, Workspace};
use nalgebra::Vector3;
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::observation::{GripperObservation, Observation, SceneTruth};
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// Height in which the empty gripper travels at least, m.
const TRAVEL_M: f64 = 0.09;
/// Free height above the objects on the way, m.
const CLEARANCE_M: f64 = 0.015;
/// The goal is above the grasp when it is this close: horizontally, m, and in angle, rad.
const ALIGNED_M: f64 = 0.008;
const ALIGNED_RAD: f64 = 0.12;
/// The tool itself may lag its goal by this much while it descends, m.
const FOLLOWED_M: f64 = 0.02;
/// The fingers close when goal and tool are this close above the grasp, m.
const REACHED_M: f64 = 0.006;
/// An object whose grasp failed looks this much worse, m of cost.
const FAILED_COST: f64 = 0.04;

/// Success needs the object above [`SUCCESS_HEIGHT_M`]; the expert ends the episode this much higher, m.
const MARGIN_M: f64 = 0.01;

/// See the module.
#[derive(Debug, Default)]
pub struct PrivilegedExpert {
    workspace: Workspace,
    /// Index of the object that the last grasp was aimed at.
    target: Option<usize>,
    /// Index of the object that the last empty grasp was aimed at.
    failed: Option<usize>,
}

impl PrivilegedExpert {
    pub fn new(workspace: Workspace) -> Self {
        Self {
            workspace,
            ..Self::default()
        }
    }

    fn approach(&mut self, gripper: &GripperObservation, truth: &SceneTruth) -> ([f64; 4], Verb) {
        let goal = &gripper.goal;
        let grasps = grasp_planner::plan(truth, goal.yaw_rad, &self.workspace);
        let worth = |(i, grasp): (usize, &Option<Grasp>)| {
            let grasp = (*grasp)?;
            let failed = if self.failed == Some(i) {
                FAILED_COST
            } else {
                0.0
            };
            let distance = (grasp.position_m - goal.position_m).xy().norm();
            Some((
                distance + 3.0 * (grasp.cost + failed - 0.05).max(0.0),
                i,
                grasp,
            ))
        };
        let best = grasps
            .iter()
            .enumerate()
            .filter_map(worth)
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, i, grasp)) = best else {
            return ([0.0, 0.0, 1.0, 0.0], Verb::Move);
        };
        self.target = Some(i);

        let reach = reach(gripper, &grasp, &self.workspace);
        let tallest = grasps.iter().flatten().map(|g| g.top_m).fold(0.0, f64::max);
        let travel_m = (tallest + CLEARANCE_M).clamp(TRAVEL_M, self.workspace.z_max_m);
        let hover_m = (grasp.top_m + CLEARANCE_M).max(0.07);
        let to_height = |z_m: f64| (z_m - goal.position_m.z) / ACTION_SCALE.z_m;
        let lag_m = (grasp.position_m - gripper.measured.position_m).xy().norm();
        let [x, y, yaw] = reach.motion;
        if reach.distance_m < ALIGNED_M && reach.turn_rad.abs() < ALIGNED_RAD && lag_m < FOLLOWED_M
        {
            let above_m = goal.position_m.z.max(gripper.measured.position_m.z) - grasp.position_m.z;
            let verb = if above_m < REACHED_M {
                Verb::Close
            } else {
                Verb::Move
            };
            ([x, y, to_height(grasp.position_m.z), yaw], verb)
        } else if reach.distance_m < 1.1 * ACTION_SCALE.xy_m
            && reach.turn_rad.abs() < 1.2 * ACTION_SCALE.yaw_rad
        {
            ([x, y, to_height(hover_m), yaw], Verb::Move)
        } else {
            ([x, y, to_height(travel_m), yaw], Verb::Move)
        }
    }

    fn lift(&mut self, gripper: &GripperObservation, truth: &SceneTruth) -> ([f64; 4], Verb) {
        let near = truth.objects.iter().filter(|object| object.near_gripper);
        let height_m = near
            .map(|object| object.bottom_m)
            .fold(f64::NEG_INFINITY, f64::max);
        let lost = gripper.measured.position_m.z > 0.06 && height_m < 0.01;
        if gripper.aperture_m < APERTURE_EMPTY_M || lost {
            self.failed = self.target;
            return ([0.0, 0.0, 1.0, 0.0], Verb::Open);
        }
        if height_m > SUCCESS_HEIGHT_M + MARGIN_M {
            return ([0.0; 4], Verb::Terminate);
        }
        ([0.0, 0.0, 1.0, 0.0], Verb::Move)
    }
}

/// The horizontal part of the way from the goal to a grasp.
pub(crate) struct Reach {
    /// x, y and yaw in [-1, 1], along the straight line; yaw not clamped.
    pub motion: [f64; 3],
    pub distance_m: f64,
    pub turn_rad: f64,
}

pub(crate) fn reach(gripper: &GripperObservation, grasp: &Grasp, workspace: &Workspace) -> Reach {
    let error = grasp.position_m - gripper.goal.position_m;
    let turn_rad = workspace.turn_rad(&gripper.goal, grasp.yaw_rad);
    let (x, y) = (error.x / ACTION_SCALE.xy_m, error.y / ACTION_SCALE.xy_m);
    let scale = x.abs().max(y.abs()).max(1.0);
    Reach {
        motion: [x / scale, y / scale, turn_rad / ACTION_SCALE.yaw_rad],
        distance_m: error.xy().norm(),
        turn_rad,
    }
}

/// The decision of a policy without a network: no value.
pub(crate) fn decision(observation: &Observation<'_>, motion: [f64; 4], verb: Verb) -> Decision {
    let action = match verb {
        Verb::Terminate => Action {
            translation_m: Vector3::zeros(),
            yaw_rad: 0.0,
            verb,
        },
        _ => ACTION_SCALE.action(motion, verb),
    };
    Decision {
        action,
        q_value: f64::NAN,
        frame_captured_at: observation.frame.captured_at,
        step: observation.step,
    }
}

impl Policy for PrivilegedExpert {
    fn reset(&mut self, _seed: u64) {
        self.target = None;
        self.failed = None;
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let truth = observation.truth.ok_or(PolicyError::NoTruth)?;
        let gripper = &observation.gripper;
        let (motion, verb) = match gripper.fingers {
            Fingers::Open => self.approach(gripper, truth),
            Fingers::Closed => self.lift(gripper, truth),
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
    fn grasps_in_a_toy_scene() {
        let mut failures = vec![];
        for seed in 0..100 {
            let mut expert = PrivilegedExpert::default();
            let outcome = ToyScene::new(seed).run(&mut expert, seed, 25);
            if !outcome.success {
                failures.push((seed, outcome));
            }
        }
        assert!(failures.len() <= 5, "{failures:#?}");
    }

    #[test]
    fn opens_after_an_empty_grasp_and_tries_again() {
        let mut scene = ToyScene::new(3);
        scene.slips = 1;
        let outcome = scene.run(&mut PrivilegedExpert::default(), 0, 25);
        assert!(outcome.success && outcome.closes == 2, "{outcome:?}");
    }

    #[test]
    fn needs_the_truth() {
        let scene = ToyScene::new(0);
        let frame = Frame::default();
        let observation = Observation {
            truth: None,
            ..scene.observation(&frame, 0)
        };
        assert_eq!(
            PrivilegedExpert::default().decide(&observation),
            Err(PolicyError::NoTruth)
        );
    }
}
