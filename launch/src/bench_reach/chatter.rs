//! Whether an arm that is held against a limit rests: the largest jerk that is commanded there.

use super::course::{Keeps, armed, period_s};
use crate::config::{JOINTS, Launch};
use crate::error::CommandError;
use crate::wiring;
use nalgebra::SVector;
use rand::Rng;
use serde::Serialize;
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::kinematics::ik::{self, Tuning};
use visuomotor_runtime::kinematics::pose;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::safety::{CommandState, Request};
use visuomotor_runtime::units::{JointAccelerations, JointPositions, JointVelocities};

/// The posture takes its time to settle, at the launch file's `posture_gain_per_s`; then the arm is watched, s.
const SETTLING_S: f64 = 20.0;
const WATCHED_S: f64 = 2.0;
/// How far beyond its workspace the tool is asked to go, m, and how hard, 1/s.
const BEYOND_M: f64 = 0.1;
const POSE_GAIN_PER_S: f64 = 30.0;

/// The largest jerk of any joint while the arm is held against each kind of limit, rad/s³.
#[derive(Debug, Serialize)]
pub struct Chatter {
    /// Every joint at its upper end, then at its lower.
    pub joint: f64,
    /// Each side of the box, and its top.
    pub workspace: f64,
    pub table: f64,
}

impl Chatter {
    pub fn measure(launch: &Launch, rng: &mut impl Rng) -> Result<Self, CommandError> {
        let mut start = || {
            let start = wiring::draw_start(launch, rng);
            let q = wiring::start_joints(launch, &start, rng).map_err(CommandError::input)?;
            Ok((start, q))
        };
        let mut joint = 0.0f64;
        for sign in [1.0, -1.0] {
            let dq = JointVelocities(launch.limits.dq_max().0 * sign);
            let ddq = JointAccelerations::zeros();
            let ask = |_: &CommandState<JOINTS>| Request::Motion { dq, ddq };
            joint = joint.max(largest_jerk(launch, Keeps::Joints, &start()?.1, &ask)?);
        }
        let mut against = |axis: usize, sign: f64| {
            let (mut goal, q) = start()?;
            let box_ = &launch.tool_limits.workspace;
            let border = if sign > 0.0 { box_.max_m } else { box_.min_m };
            goal.position_m[axis] = border[axis] + sign * BEYOND_M;
            let ask = |state: &CommandState<JOINTS>| toward(launch, state, &goal);
            largest_jerk(launch, Keeps::Everything, &q, &ask)
        };
        let mut workspace = 0.0f64;
        for (axis, sign) in [(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0), (2, 1.0)] {
            workspace = workspace.max(against(axis, sign)?);
        }
        Ok(Self {
            joint,
            workspace,
            table: against(2, -1.0)?,
        })
    }

    pub fn max(&self) -> f64 {
        self.joint.max(self.workspace).max(self.table)
    }
}

/// What the controller asks for when the tool's goal rests.
fn toward(launch: &Launch, state: &CommandState<JOINTS>, goal: &TcpPose) -> Request<JOINTS> {
    let tuning = Tuning {
        posture: launch.home(),
        posture_gain_per_s: SVector::from(launch.robot.posture_gain_per_s),
        pose_gain_per_s: POSE_GAIN_PER_S,
        dq_max: launch.limits.dq_max(),
    };
    let motion = pose::tool_motion(&launch.T_base_task(), goal, &[0.0; 4], &[0.0; 4]);
    let joints = ik::differential(&launch.chain, &state.q, &state.dq, &motion, &tuning);
    Request::Motion {
        dq: joints.dq,
        ddq: joints.ddq,
    }
}

fn largest_jerk(
    launch: &Launch,
    keeps: Keeps,
    from: &JointPositions<JOINTS>,
    ask: &dyn Fn(&CommandState<JOINTS>) -> Request<JOINTS>,
) -> Result<f64, CommandError> {
    let mut safety = armed(launch, keeps, from)?;
    let dt = period_s(launch);
    let mut largest = 0.0f64;
    for tick in 0..((SETTLING_S + WATCHED_S) / dt) as u64 {
        let Some(before) = safety.command() else {
            break;
        };
        safety.filter(ask(&before), Fingers::Open);
        let Some(after) = safety.command() else { break };
        if tick as f64 * dt > SETTLING_S {
            largest = largest.max((after.ddq.0 - before.ddq.0).amax() / dt);
        }
    }
    Ok(largest)
}
