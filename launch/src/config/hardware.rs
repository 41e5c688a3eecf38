//! The tables `[arm]` and `[camera]`: which devices a physical robot is made of. Without them it is simulated.
//!
//! Not responsible for the keys of a device: its driver documents and checks them.

use crate::source::{InputError, Source};
use serde::Deserialize;
use std::path::Path;
use visuomotor_drivers::can::CanConfig;
use visuomotor_drivers::replay_camera::ReplayConfig;
use visuomotor_drivers::servo_bus::{Calibration, ServoBusConfig};
use visuomotor_drivers::v4l::V4lConfig;
use visuomotor_policies::manifest::CameraMount;

/// `[arm.servo_bus]` or `[arm.can]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmTable {
    ServoBus(ServoBusConfig),
    Can(CanConfig),
}

/// An arm that is there.
#[derive(Clone, Debug)]
pub enum ArmConfig {
    ServoBus(ServoBusConfig, Calibration),
    Can(CanConfig),
}

impl ArmTable {
    /// Reads what the table refers to.
    ///
    /// # Errors
    /// When a calibration is missing, is none, or is another arm's.
    pub(super) fn complete(self, source: &Source, joints: usize) -> Result<ArmConfig, InputError> {
        let config = match self {
            Self::Can(config) => return Ok(ArmConfig::Can(config)),
            Self::ServoBus(config) => config,
        };
        const KEY: &str = "arm.servo_bus.calibration";
        let directory = source.path.parent().unwrap_or(Path::new(""));
        let file = Source::read(&directory.join(&config.calibration))
            .map_err(|error| source.error_in(KEY, error))?;
        let calibration =
            Calibration::parse(&file.text).map_err(|error| InputError::file(&file.path, error))?;
        let found = calibration.joints.len();
        if found != joints {
            let problem = format!("it has {found} joints, and the arm has {joints}");
            return Err(source.error_in(KEY, problem));
        }
        Ok(ArmConfig::ServoBus(config, calibration))
    }
}

/// `[camera]`, with `[camera.v4l]` or `[camera.replay]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraTable {
    mount: Option<CameraMount>,
    v4l: Option<V4lConfig>,
    replay: Option<ReplayConfig>,
}

/// A camera that is there.
#[derive(Clone, Debug)]
pub struct CameraConfig {
    /// Where it is, as far as a person has said it; a policy that was trained with another mount is refused.
    pub mount: Option<CameraMount>,
    pub device: CameraDevice,
}

#[derive(Clone, Debug)]
pub enum CameraDevice {
    V4l(V4lConfig),
    Replay(ReplayConfig),
}

impl CameraTable {
    pub(super) fn complete(self, source: &Source) -> Result<CameraConfig, InputError> {
        let directory = source.path.parent().unwrap_or(Path::new(""));
        let device = match (self.v4l, self.replay) {
            (Some(config), None) => {
                config
                    .validate()
                    .map_err(|error| source.error_in("camera.v4l", error))?;
                CameraDevice::V4l(config)
            }
            (None, Some(mut config)) => {
                config.path = directory.join(config.path);
                CameraDevice::Replay(config)
            }
            _ => {
                let problem = "say either [camera.v4l] or [camera.replay]";
                return Err(source.error_in("camera", problem));
            }
        };
        Ok(CameraConfig {
            mount: self.mount,
            device,
        })
    }
}

impl CameraConfig {
    /// Width and height that the policy gets, where the launch file says it.
    pub fn output_px(&self) -> Option<[u32; 2]> {
        match &self.device {
            CameraDevice::V4l(config) => {
                let crop = config.crop_px.map(|[_, _, width, height]| [width, height]);
                Some(config.output_px.or(crop).unwrap_or(config.size_px))
            }
            CameraDevice::Replay(config) => config.output_px,
        }
    }
}
