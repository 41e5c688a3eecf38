//! From the tool's reference to a joint motion: which velocities keep the commanded tool on its path, and how fast it may
//! go on there.
//!
//! Not responsible for the reference ([`crate::setpoint`]), nor for what of the motion is safe ([`crate::safety`]).

use crate::kinematics::ik::{self, JointMotion, Tuning};
use crate::kinematics::{Chain, pose};
use crate::observation::TcpPose;
use crate::safety::CommandState;
use crate::setpoint::TcpReference;
use crate::units::{JointPositions, JointVelocities};
use nalgebra::Isometry3;

/// Pose error is corrected with this time constant's inverse, 1/s: fast against the actions, slow against the tick.
pub const POSE_GAIN_PER_S: f64 = 30.0;
/// So far the reference leads the tool without waiting for it.
const LAG_FREE_M: f64 = 0.003;
/// So far ahead of the tool it stands still.
const LAG_MAX_M: f64 = 0.010;
/// Fastest joint on the way inward from outside the limits.
const INWARD_DQ_RAD_PER_S: f64 = 0.1;
/// A motion whose reference rests and whose joints move less than this, rad/s and rad/s², has come to its end.
const SETTLED_DQ: f64 = 1e-3;
const SETTLED_DDQ: f64 = 0.1;

// T_a_b is the field's own name for the pose of frame b in frame a.
#[allow(non_snake_case)]
#[derive(Clone, Debug)]
pub struct Follower<const N: usize> {
    pub chain: Chain<N>,
    /// The task frame in the robot's base frame.
    pub T_base_task: Isometry3<f64>,
    pub tuning: Tuning<N>,
}

/// What a tick of following asks for.
#[derive(Clone, Copy, Debug)]
pub struct Following<const N: usize> {
    pub joints: JointMotion<N>,
    /// Share of the tick, in [0, 1], by which the reference goes on; for the rest it waits on its path, because a joint is
    /// too slow or the filter holds the arm back.
    pub progress: f64,
    /// Reference and command have come to their end.
    pub settled: bool,
}

impl<const N: usize> Follower<N> {
    /// The measured or commanded tool, task frame.
    pub fn tool(&self, q: &JointPositions<N>) -> TcpPose {
        pose::tcp_pose(&self.T_base_task, &self.chain.fk(q))
    }

    /// From what was commanded last towards the reference. Who is `holding` still does not tidy up the elbow either.
    pub fn follow(
        &self,
        reference: &TcpReference,
        command: &CommandState<N>,
        holding: bool,
    ) -> Following<N> {
        let pace = self.pace(&reference.pose, &command.q);
        let reference = reference.at_pace(pace);
        let mut tuning = self.tuning;
        if holding {
            tuning.posture_gain_per_s.fill(0.0);
        }
        let motion = pose::tool_motion(
            &self.T_base_task,
            &reference.pose,
            &reference.velocity,
            &reference.acceleration,
        );
        let joints = ik::differential(&self.chain, &command.q, &command.dq, &motion, &tuning);
        Following {
            progress: joints.speed_scale * pace,
            settled: reference.is_at_rest()
                && command.dq.0.amax() < SETTLED_DQ
                && command.ddq.0.amax() < SETTLED_DDQ,
            joints,
        }
    }

    /// Toward the posture, which lies inside all limits: whatever on the way leads further out is not made.
    pub fn inward(&self, q: &JointPositions<N>) -> JointVelocities<N> {
        let way = self.tuning.posture.0 - q.0;
        let pace = (INWARD_DQ_RAD_PER_S / way.amax().max(f64::MIN_POSITIVE)).min(1.0);
        JointVelocities(way * pace)
    }

    /// How fast the reference goes on, in [0, 1]: slower the further it is ahead of the commanded tool.
    fn pace(&self, reference: &TcpPose, q: &JointPositions<N>) -> f64 {
        let ahead_m = (reference.position_m - self.tool(q).position_m).norm();
        1.0 - ((ahead_m - LAG_FREE_M) / (LAG_MAX_M - LAG_FREE_M)).clamp(0.0, 1.0)
    }
}
