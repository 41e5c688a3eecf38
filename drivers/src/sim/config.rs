//! What a scene may contain: the `[scene]` table of a launch file. Ranges are `[low, high]`, drawn uniformly.
//!
//! Not responsible for drawing: [`super::Scene`] does, from one seed.

use super::SceneError;
use super::mesh::{self, MeshError, MeshLibrary};
use super::robot::Robot;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::exactly::exactly;

/// Bound of the state that is handed between threads.
pub const OBJECTS_MAX: usize = 32;

/// A randomised tray of objects and the camera that looks at it. Lengths in m, task frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneConfig {
    /// Who stands at the tray.
    pub robot: Robot,
    pub objects: ObjectConfig,
    pub camera: CameraConfig,
    pub latency: LatencyConfig,
    /// Position of the task frame (centre of the tray's floor) in the robot's base frame; the axes are parallel.
    #[serde(deserialize_with = "exactly")]
    pub tray_in_base_m: [f64; 3],
    /// Inner half width of the square tray, m. Scripted policies plan with the default.
    pub tray_half_m: f64,
    /// Height of the tray's walls above its floor, m.
    pub wall_height_m: f64,
    /// Mean grey of the tray's floor, 0 to 1; each channel varies by ±0.1 around it.
    #[serde(deserialize_with = "exactly")]
    pub tray_grey: [f64; 2],
    /// Mean grey of the tray's walls, 0 to 1.
    #[serde(deserialize_with = "exactly")]
    pub wall_grey: [f64; 2],
    /// Mean grey of the table, 0 to 1.
    #[serde(deserialize_with = "exactly")]
    pub table_grey: [f64; 2],
    /// Brightness of the lamp above the table, 0 to 1.
    #[serde(deserialize_with = "exactly")]
    pub lamp: [f64; 2],
    /// The lamp's place varies by this much in each direction, m.
    pub lamp_jitter_m: f64,
    /// Standard deviation of the encoders' noise, rad.
    pub encoder_noise_rad: f64,
    /// Physics time step, µs. Contacts are tuned for 5000 and stay stable below.
    pub timestep_us: u32,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            robot: Robot::default(),
            objects: ObjectConfig::default(),
            camera: CameraConfig::default(),
            latency: LatencyConfig::default(),
            tray_in_base_m: [0.60, 0.0, 0.02],
            tray_half_m: 0.14,
            wall_height_m: 0.03,
            tray_grey: [0.3, 0.8],
            wall_grey: [0.2, 0.8],
            table_grey: [0.2, 0.8],
            lamp: [0.35, 0.65],
            lamp_jitter_m: 0.2,
            encoder_noise_rad: 0.0,
            timestep_us: 5000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Box,
    Cylinder,
    Capsule,
    Ellipsoid,
    /// Two or three of the others, grown together.
    Union,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectConfig {
    /// How many objects lie in the tray, both ends included.
    #[serde(deserialize_with = "exactly")]
    pub count: [u32; 2],
    /// The kinds, all equally likely; a kind that is listed twice is twice as likely.
    pub kinds: Vec<ObjectKind>,
    /// Directory of OBJ and STL meshes that replace the kinds, all equally likely. One directory serves all splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meshes: Option<PathBuf>,
    /// Longest edge of a mesh's bounding box, m; less where the mesh would be too wide for the fingers.
    #[serde(deserialize_with = "exactly")]
    pub mesh_size_m: [f64; 2],
    /// What was read from `meshes`; see [`Self::load`].
    #[serde(skip)]
    pub(super) library: Option<Arc<MeshLibrary>>,
    /// Edge lengths and diameters of single shapes, m.
    #[serde(deserialize_with = "exactly")]
    pub size_m: [f64; 2],
    /// Edge lengths and diameters of the parts of a union, m.
    #[serde(deserialize_with = "exactly")]
    pub part_size_m: [f64; 2],
    #[serde(deserialize_with = "exactly")]
    pub density_kg_m3: [f64; 2],
    /// Coulomb friction against the fingers and the tray.
    #[serde(deserialize_with = "exactly")]
    pub friction: [f64; 2],
    /// Each colour channel, 0 to 1.
    #[serde(deserialize_with = "exactly")]
    pub colour: [f64; 2],
    /// Objects fall into the square of this half width around the tray's centre, m.
    pub spawn_half_width_m: f64,
    /// Objects fall at least this far apart (between centres) while there is room, m.
    pub spacing_m: f64,
}

impl Default for ObjectConfig {
    fn default() -> Self {
        use ObjectKind::{Box, Capsule, Cylinder, Ellipsoid, Union};
        Self {
            count: [3, 5],
            kinds: vec![Box, Cylinder, Capsule, Ellipsoid, Union, Union],
            meshes: None,
            mesh_size_m: [0.04, 0.07],
            library: None,
            size_m: [0.02, 0.06],
            part_size_m: [0.016, 0.044],
            density_kg_m3: [400.0, 900.0],
            friction: [0.7, 1.1],
            colour: [0.05, 1.0],
            spawn_half_width_m: 0.095,
            spacing_m: 0.075,
        }
    }
}

impl ObjectConfig {
    /// Reads and checks every mesh of `directory`; the objects of the scenes that follow are drawn from them.
    pub fn load(&mut self, directory: &Path) -> Result<(), MeshError> {
        self.library = Some(Arc::new(MeshLibrary::load(directory)?));
        self.meshes = Some(directory.to_owned());
        Ok(())
    }
}

/// A pinhole camera that looks over the robot's shoulder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    #[serde(deserialize_with = "exactly")]
    pub position_m: [f64; 3],
    /// The point at the centre of the image; up in the image is +z.
    #[serde(deserialize_with = "exactly")]
    pub target_m: [f64; 3],
    /// Vertical field of view, degrees.
    pub fovy_deg: f64,
    /// Width and height of the image, pixels.
    #[serde(deserialize_with = "exactly")]
    pub size_px: [u32; 2],
    /// The position varies by this much in each direction from scene to scene, m.
    pub jitter_m: f64,
    /// Standard deviation of the pixels' noise, in levels of 0 to 255.
    pub pixel_noise: f64,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            position_m: [-0.42, -0.16, 0.52],
            target_m: [-0.01, 0.0, 0.0],
            fovy_deg: 34.0,
            size_px: [64, 64],
            jitter_m: 0.01,
            pixel_noise: 1.5,
        }
    }
}

/// How old things are when they arrive; drawn once an episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencyConfig {
    /// From a frame's capture until the policy sees it, ms.
    #[serde(deserialize_with = "exactly")]
    pub image_ms: [f64; 2],
    /// From the policy's look until its action takes effect, ms.
    #[serde(deserialize_with = "exactly")]
    pub action_ms: [f64; 2],
}

impl Default for LatencyConfig {
    fn default() -> Self {
        Self {
            image_ms: [5.0, 40.0],
            action_ms: [10.0, 40.0],
        }
    }
}

/// One episode's latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub image: Duration,
    pub action: Duration,
}

impl LatencyConfig {
    pub fn draw(&self, rng: &mut impl Rng) -> Latency {
        let mut span =
            |range| Duration::from_ticks((super::object::uniform(range, rng) * 1e6) as u64);
        Latency {
            image: span(self.image_ms),
            action: span(self.action_ms),
        }
    }
}

impl SceneConfig {
    /// Everything that MuJoCo would stop the process for, or that could not be drawn, is refused here.
    pub fn validate(&self) -> Result<(), SceneError> {
        let objects = &self.objects;
        let camera = &self.camera;
        let [low, high] = objects.count;
        check(
            "objects.count",
            low >= 1 && low <= high && high as usize <= OBJECTS_MAX,
            || format!("[{low}, {high}] is not a range within [1, {OBJECTS_MAX}]"),
        )?;
        check("objects.kinds", !objects.kinds.is_empty(), || {
            "no kind is listed".into()
        })?;
        check(
            "objects.meshes",
            objects.meshes.is_some() == objects.library.is_some(),
            || "the meshes have not been loaded".into(),
        )?;
        range(
            "objects.mesh_size_m",
            objects.mesh_size_m,
            mesh::SIZE_MIN_M,
            0.15,
        )?;
        range("objects.size_m", objects.size_m, 0.005, 0.2)?;
        range("objects.part_size_m", objects.part_size_m, 0.005, 0.2)?;
        range(
            "objects.density_kg_m3",
            objects.density_kg_m3,
            mesh::DENSITY_MIN_KG_M3,
            20_000.0,
        )?;
        range("objects.friction", objects.friction, 0.01, 5.0)?;
        range("objects.colour", objects.colour, 0.0, 1.0)?;
        range(
            "objects.spawn_half_width_m",
            [objects.spawn_half_width_m; 2],
            0.0,
            self.tray_half_m,
        )?;
        range("objects.spacing_m", [objects.spacing_m; 2], 0.0, 0.5)?;
        range("tray_half_m", [self.tray_half_m; 2], 0.05, 0.2)?;
        range("wall_height_m", [self.wall_height_m; 2], 0.001, 0.5)?;
        for (key, grey) in [
            ("tray_grey", self.tray_grey),
            ("wall_grey", self.wall_grey),
            ("table_grey", self.table_grey),
        ] {
            range(key, grey, 0.0, 1.0)?;
        }
        range("lamp", self.lamp, 0.0, 1.0)?;
        range("lamp_jitter_m", [self.lamp_jitter_m; 2], 0.0, 1.0)?;
        range("encoder_noise_rad", [self.encoder_noise_rad; 2], 0.0, 0.1)?;
        check(
            "timestep_us",
            (100..=10_000).contains(&self.timestep_us),
            || format!("{} is outside [100, 10000]", self.timestep_us),
        )?;
        for metres in self.tray_in_base_m {
            range("tray_in_base_m", [metres; 2], -2.0, 2.0)?;
        }
        for metres in camera.position_m.into_iter().chain(camera.target_m) {
            range("camera.position_m and target_m", [metres; 2], -5.0, 5.0)?;
        }
        range("latency.image_ms", self.latency.image_ms, 0.0, 95.0)?;
        range("latency.action_ms", self.latency.action_ms, 0.0, 95.0)?;
        range("camera.fovy_deg", [camera.fovy_deg; 2], 5.0, 120.0)?;
        check(
            "camera.size_px",
            camera.size_px.iter().all(|px| (8..=1024).contains(px)),
            || format!("{:?} is outside [8, 1024]", camera.size_px),
        )?;
        range("camera.jitter_m", [camera.jitter_m; 2], 0.0, 0.5)?;
        range("camera.pixel_noise", [camera.pixel_noise; 2], 0.0, 100.0)?;
        let [dx, dy] = [0, 1].map(|axis| camera.target_m[axis] - camera.position_m[axis]);
        check(
            "camera.position_m",
            dx.hypot(dy) > 2.0 * camera.jitter_m + 1e-3,
            || "the camera must not look straight down, because up in the image is +z".into(),
        )
    }
}

fn check(
    key: &'static str,
    holds: bool,
    reason: impl FnOnce() -> String,
) -> Result<(), SceneError> {
    if holds {
        Ok(())
    } else {
        Err(SceneError::Invalid {
            key,
            reason: reason(),
        })
    }
}

/// `low <= high`, both finite and within [`min`, `max`].
fn range(key: &'static str, [low, high]: [f64; 2], min: f64, max: f64) -> Result<(), SceneError> {
    check(key, min <= low && low <= high && high <= max, || {
        format!("[{low}, {high}] is not a range within [{min}, {max}]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_an_empty_table_gives_them() {
        SceneConfig::default().validate().unwrap();
        assert_eq!(
            toml::from_str::<SceneConfig>("").unwrap(),
            SceneConfig::default()
        );
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = toml::from_str::<SceneConfig>("[objects]\nfrictoin = [1.0, 1.0]").unwrap_err();
        assert!(error.to_string().contains("frictoin"), "{error}");
    }

    #[test]
    fn what_cannot_be_simulated_is_refused_by_name() {
        let cases = [
            ("[objects]\ncount = [0, 3]", "objects.count"),
            ("[objects]\ncount = [4, 3]", "objects.count"),
            ("[objects]\ncount = [1, 33]", "objects.count"),
            ("[objects]\nkinds = []", "objects.kinds"),
            ("[objects]\nsize_m = [0.05, nan]", "objects.size_m"),
            (
                "[objects]\ndensity_kg_m3 = [0.0, 1.0]",
                "objects.density_kg_m3",
            ),
            ("timestep_us = 20000", "timestep_us"),
            ("wall_height_m = 0.0", "wall_height_m"),
            ("[camera]\nsize_px = [0, 80]", "camera.size_px"),
            (
                "[camera]\nposition_m = [-0.01, 0.0, 0.5]",
                "camera.position_m",
            ),
        ];
        for (text, key) in cases {
            let error = toml::from_str::<SceneConfig>(text)
                .unwrap()
                .validate()
                .unwrap_err();
            assert!(error.to_string().contains(key), "{text}: {error}");
        }
    }
}
