//! What a launch file says of it: `[camera.replay]`.

use crate::picture::Crop;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A camera that plays what was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// An episode (`.mcap`), a JPEG or PNG, or a directory of those, which are played in the order of their names.
    pub path: PathBuf,
    /// Begins again after the end, as if a period had passed. Without it the camera is gone then.
    #[serde(default)]
    pub repeat: bool,
    /// Stills a second; an episode has its own times.
    #[serde(default = "ten")]
    pub stills_hz: f64,
    /// The part of the picture that is used: x, y, width, height; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_px: Option<[u32; 4]>,
    /// Width and height that the policy gets; without it, those of the crop of the first picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_px: Option<[u32; 2]>,
}

fn ten() -> f64 {
    10.0
}

impl ReplayConfig {
    /// With everything optional left out.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            repeat: false,
            stills_hz: ten(),
            crop_px: None,
            output_px: None,
        }
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
}
