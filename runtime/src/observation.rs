//! What a policy sees: one frame and the state of the gripper, both with their capture times.
//!
//! The *task frame* has its origin at the centre of the tray's floor and its z axis up; the launch file places it in
//! the robot's base frame.

use crate::arm::Fingers;
use crate::camera::Frame;
use crate::clock::Instant;
use nalgebra::Vector3;

/// The pose of a tool that always points straight down: position and rotation about the vertical, task frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TcpPose {
    /// Point between the fingertips, m.
    pub position_m: Vector3<f64>,
    /// Angle from the task frame's y axis to the direction in which the fingers close, rad, not wrapped.
    pub yaw_rad: f64,
}

/// How that tool should move, task frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TcpVelocity {
    pub linear_m_per_s: Vector3<f64>,
    pub yaw_rad_per_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GripperObservation {
    /// When the encoders behind `measured` and `aperture_m` were sampled.
    pub sampled_at: Instant,
    pub measured: TcpPose,
    /// Where the actions so far asked the tool to be.
    pub goal: TcpPose,
    pub fingers: Fingers,
    /// Distance between the finger pads, m.
    pub aperture_m: f64,
}

/// Everything that a policy may look at when it chooses one action.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub frame: &'a Frame,
    pub gripper: GripperObservation,
    /// Actions taken so far in this episode.
    pub step: u32,
    /// The simulator's own knowledge; `None` on every physical arm. Only scripted experts look at it.
    pub truth: Option<&'a SceneTruth>,
}

/// Privileged: what a simulator knows and a camera does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SceneTruth {
    pub objects: Vec<ObjectTruth>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectTruth {
    /// Points whose convex hull is close to the object's, m, task frame.
    pub points_m: Vec<Vector3<f64>>,
    /// The object's lowest point above the tray's floor, m.
    pub bottom_m: f64,
    /// Whether it is near the fingers and so may be held.
    pub near_gripper: bool,
}
