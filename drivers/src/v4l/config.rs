//! What a launch file says of a camera: `[camera] driver = "v4l"`.

use super::error::ConfigError;
use crate::picture::Crop;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use visuomotor_runtime::clock::Duration;

/// A camera of the kernel's Video4Linux2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V4lConfig {
    /// Device node. Better a link of `/dev/v4l/by-id`: `/dev/video0` is another camera after the next replug.
    pub device: PathBuf,
    /// Width and height that the sensor delivers.
    pub size_px: [u32; 2],
    /// Frames a second.
    pub rate_hz: f64,
    /// `"YUYV"`, `"UYVY"`, `"RGB3"`, `"GREY"` or `"MJPG"`; without it, uncompressed where the camera has the rate, else
    /// `"MJPG"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The part of the picture that is used: x, y, width, height; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_px: Option<[u32; 4]>,
    /// Width and height that the policy gets; without it, those of the crop. The aspect ratio is whoever crops to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_px: Option<[u32; 2]>,
    /// Fixed exposure time, µs. Without it exposure stays automatic, with a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_us: Option<u32>,
    /// Fixed gain, in the device's own units. Without it gain stays automatic where the device has such a thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<i32>,
    /// Fixed white balance: colour temperature of the light, K. Without it, automatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub white_balance_k: Option<i32>,
    /// Fixed focus, in the device's own units. Without it, automatic where the device can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus: Option<i32>,
    /// Of the mains that feed the lamps, 50 or 60: exposure avoids their flicker. 0 switches that off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_line_hz: Option<u32>,
    /// From the light to the driver's stamp (exposure, read-out), ms: subtracted from every stamp. Without it, what is
    /// surely enough: the exposure, and a period for reading out where the stamps say that they are of the end of a
    /// frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// A capture waits no longer, ms; without a frame for so long, the device is closed and opened anew. Without it 200, or
    /// four periods where those are longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

impl V4lConfig {
    /// With everything optional left out.
    pub fn new(device: impl Into<PathBuf>, size_px: [u32; 2], rate_hz: f64) -> Self {
        Self {
            device: device.into(),
            size_px,
            rate_hz,
            format: None,
            crop_px: None,
            output_px: None,
            exposure_us: None,
            gain: None,
            white_balance_k: None,
            focus: None,
            power_line_hz: None,
            latency_ms: None,
            timeout_ms: None,
        }
    }

    /// The nominal time between two frames.
    pub fn period(&self) -> Duration {
        Duration::from_ticks((1e9 / self.rate_hz) as u64)
    }

    /// A capture waits no longer.
    pub fn timeout(&self) -> Duration {
        let given = self.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        given.unwrap_or(Duration::from_millis(200).max(self.period() * 4))
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        let ms = self.latency_ms?;
        Some(Duration::from_ticks((ms * 1e6) as u64))
    }

    pub(super) fn crop(&self) -> Option<Crop> {
        let [x, y, width, height] = self.crop_px?;
        Some(Crop {
            x,
            y,
            width,
            height,
        })
    }

    /// What can be refused without the device.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(self.rate_hz >= 0.1 && self.rate_hz <= 1000.0) {
            return Err(ConfigError::Rate(self.rate_hz));
        }
        if self
            .latency_ms
            .is_some_and(|ms| !(0.0..=1000.0).contains(&ms))
        {
            return Err(ConfigError::Latency);
        }
        if self
            .power_line_hz
            .is_some_and(|hz| ![0, 50, 60].contains(&hz))
        {
            return Err(ConfigError::PowerLine);
        }
        let two_periods = self.period() * 2;
        if self.timeout() < two_periods {
            let at_least_ms = two_periods.as_millis() + 1;
            return Err(ConfigError::Timeout { at_least_ms });
        }
        Ok(())
    }
}
