//! What is baked into everything that a robot does, as its episodes say it: limits and settings by hash, the solver's own
//! constants, the camera's mount.
//!
//! Not responsible for the policy ([`crate::policy`]) nor for the file ([`crate::recording`]).

use crate::config::Launch;
use visuomotor_runtime::episode::{JointNames, Robot, Sha256, TextMap};
use visuomotor_runtime::follow::POSE_GAIN_PER_S;
use visuomotor_runtime::kinematics::ik;

/// What is baked into the motion of this robot.
pub fn robot<const N: usize>(launch: &Launch<N>) -> Robot {
    let Launch {
        task,
        action,
        setpoint,
        watchdogs,
        limits,
        tool_limits,
        collision,
        ..
    } = launch;
    // The rights of a thread are no settings of its controller.
    let rate_hz = launch.control.rate_hz;
    let settings = format!("{task:?} {action:?} {rate_hz:?} {setpoint:?} {watchdogs:?}");
    let limits = format!("{limits:?} {tool_limits:?} {collision:?}");
    Robot {
        name: launch.robot.name(),
        joint_names: JointNames(launch.chain.joint_names().to_vec()),
        controller_sha256: Sha256::of(settings.as_bytes()),
        limits_sha256: Sha256::of(limits.as_bytes()),
        description_sha256: Sha256::of(launch.urdf_text.as_bytes()),
    }
}

/// The camera's mount and calibration, in the launch file's words.
pub fn camera<const N: usize>(launch: &Launch<N>) -> TextMap {
    #[cfg(feature = "sim")]
    let camera = launch
        .scene
        .as_ref()
        .map(|scene| toml::Table::try_from(&scene.camera));
    #[cfg(not(feature = "sim"))]
    let camera: Option<Result<toml::Table, toml::ser::Error>> = None;
    let table = camera.and_then(Result::ok).unwrap_or_default();
    table
        .into_iter()
        .map(|(key, value)| (key, value.to_string()))
        .collect()
}

/// What the code itself fixes in inverse kinematics and in how the reference is followed.
pub fn solver() -> TextMap {
    let follower = [("follow.pose_gain_per_s", POSE_GAIN_PER_S)];
    let constants = ik::constants().chain(follower);
    constants
        .map(|(name, value)| (name.to_owned(), value.to_string()))
        .collect()
}
