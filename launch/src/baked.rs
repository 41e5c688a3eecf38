//! What is baked into everything that a robot does, as its episodes say it: limits and settings by hash, the solver's own
//! constants, the camera's mount.
//!
//! Not responsible for the policy ([`crate::policy`]) nor for the file ([`crate::recording`]).

use crate::config::{CameraDevice, Launch};
use visuomotor_runtime::episode::{ClockSource, JointNames, Robot, Sha256, TextMap};
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

/// The camera's mount and calibration, in the launch file's words. In simulated time it is always the scene's.
pub fn camera<const N: usize>(launch: &Launch<N>, clock: ClockSource) -> TextMap {
    let mut said = TextMap::new();
    let mut say = |prefix: &str, table: Result<toml::Table, toml::ser::Error>| {
        let entries = table.unwrap_or_default().into_iter();
        said.extend(entries.map(|(key, value)| (format!("{prefix}{key}"), value.to_string())));
    };
    match (&launch.camera, clock) {
        (Some(camera), ClockSource::Monotonic) => {
            if let Some(mount) = &camera.mount {
                say("", toml::Table::try_from(mount));
            }
            match &camera.device {
                CameraDevice::V4l(config) => say("v4l.", toml::Table::try_from(config)),
                CameraDevice::Replay(config) => say("replay.", toml::Table::try_from(config)),
            }
        }
        #[cfg(feature = "sim")]
        _ => {
            if let Some(scene) = &launch.scene {
                say("", toml::Table::try_from(&scene.camera));
            }
        }
        #[cfg(not(feature = "sim"))]
        _ => {}
    }
    said
}

/// What the code itself fixes in inverse kinematics and in how the reference is followed.
pub fn solver() -> TextMap {
    let follower = [("follow.pose_gain_per_s", POSE_GAIN_PER_S)];
    let constants = ik::constants().chain(follower);
    constants
        .map(|(name, value)| (name.to_owned(), value.to_string()))
        .collect()
}
