//! What a policy was trained with and the robot does otherwise makes it blind, not merely worse.
//!
//! Responsible for comparing a manifest with a launch file, and for telling all differences at once. Not responsible for the
//! manifest itself ([`visuomotor_policies::manifest`]).

use super::Pictures;
use crate::config::{CameraConfig, CameraDevice, Launch};
use crate::source::InputError;
use visuomotor_policies::manifest::{CameraMount, Manifest};

/// # Errors
/// On every difference; points to the first.
pub fn check<const N: usize>(
    launch: &Launch<N>,
    manifest: &Manifest,
    pictures: Pictures,
) -> Result<(), InputError> {
    let mut fit = Fit {
        name: &manifest.name,
        differences: Vec::new(),
    };
    fit.task(launch, manifest);
    match (pictures, &launch.camera) {
        (Pictures::Recorded, _) => {}
        (Pictures::Live, Some(camera)) => fit.camera(camera, manifest),
        // What lacks its camera is refused where the robot is put together.
        (Pictures::Live, None) if launch.arm.is_some() => {}
        #[cfg(feature = "sim")]
        (Pictures::Live | Pictures::Scene, _) => {
            if let Some(scene) = &launch.scene {
                fit.scene(&scene.camera, manifest);
            }
        }
        #[cfg(not(feature = "sim"))]
        (Pictures::Live | Pictures::Scene, _) => {}
    }
    let mut errors = fit
        .differences
        .into_iter()
        .map(|(key, problem)| launch.source.error_in(&key, problem));
    let Some(mut first) = errors.next() else {
        return Ok(());
    };
    for other in errors {
        let line = other.place.map_or(0, |place| place.line);
        first.message += &format!("\nalso line {line}: {}", other.message);
    }
    first.message += "\nchange the robot and write that here, or name a policy that was trained so: `--policy \
                      path/to/manifest.toml`";
    Err(first)
}

/// What differs so far.
struct Fit<'a> {
    name: &'a str,
    /// Dotted key of the launch file, and what is wrong with its value.
    differences: Vec<(String, String)>,
}

impl Fit<'_> {
    fn differs(&mut self, key: impl Into<String>, policy: String, robot: String) {
        let problem = format!("{robot} here, but {} was trained with {policy}", self.name);
        self.differences.push((key.into(), problem));
    }

    fn task<const N: usize>(&mut self, launch: &Launch<N>, manifest: &Manifest) {
        let task = &launch.task;
        if manifest.rate_hz != task.action_rate_hz {
            let (policy, robot) = (manifest.rate_hz, task.action_rate_hz);
            self.differs("task.action_rate_hz", policy.to_string(), robot.to_string());
        }
        if manifest.max_steps < task.steps_max {
            let policy = format!("at most {}", manifest.max_steps);
            self.differs("task.steps_max", policy, task.steps_max.to_string());
        }
        let (low, high) = (task.goal_low_m, task.goal_high_m);
        let known = &manifest.workspace;
        let reach = [low[0], low[1], high[0], high[1]].map(f64::abs);
        if reach.iter().any(|&reach| reach > known.xy_max_m)
            || low[2] < known.z_min_m
            || high[2] > known.z_max_m
        {
            let robot = format!("a goal from {low:?} to {high:?}");
            self.differs("task.goal_low_m", format!("at most {known:?}"), robot);
        }
    }

    fn camera(&mut self, camera: &CameraConfig, manifest: &Manifest) {
        let device = match &camera.device {
            CameraDevice::V4l(_) => "camera.v4l",
            CameraDevice::Replay(_) => "camera.replay",
        };
        let size = [manifest.image.width, manifest.image.height];
        match camera.output_px() {
            Ok(robot) if robot != size => {
                let policy = format!("{size:?}; write output_px = {size:?} in [{device}]");
                let robot = format!("pictures of {robot:?}");
                self.differs(format!("{device}.output_px"), policy, robot);
            }
            Ok(_) => {}
            Err(error) => self.differences.push((device.into(), error.to_string())),
        }
        match &camera.mount {
            Some(mount) => self.mount("camera.mount", &manifest.camera, mount),
            None => {
                let CameraMount {
                    position_m,
                    target_m,
                    fovy_deg,
                } = &manifest.camera;
                let problem = format!(
                    "missing, so nobody knows whether the camera is where {} was trained: there, at position_m = \
                     {position_m:?}, target_m = {target_m:?}, fovy_deg = {fovy_deg}; measure where yours is and write it in \
                     [camera.mount]",
                    self.name
                );
                self.differences.push(("camera.mount".into(), problem));
            }
        }
    }

    #[cfg(feature = "sim")]
    fn scene(&mut self, camera: &visuomotor_drivers::sim::CameraConfig, manifest: &Manifest) {
        let size = [manifest.image.width, manifest.image.height];
        if camera.size_px != size {
            let (policy, robot) = (format!("{size:?}"), format!("{:?}", camera.size_px));
            self.differs("scene.camera.size_px", policy, robot);
        }
        let mount = CameraMount {
            position_m: camera.position_m,
            target_m: camera.target_m,
            fovy_deg: camera.fovy_deg,
        };
        self.mount("scene.camera", &manifest.camera, &mount);
    }

    fn mount(&mut self, table: &str, trained: &CameraMount, robot: &CameraMount) {
        for (key, policy, robot) in [
            ("position_m", trained.position_m, robot.position_m),
            ("target_m", trained.target_m, robot.target_m),
        ] {
            if policy != robot {
                let (policy, robot) = (format!("{policy:?}"), format!("{robot:?}"));
                self.differs(format!("{table}.{key}"), policy, robot);
            }
        }
        let (policy, robot) = (trained.fovy_deg, robot.fovy_deg);
        if policy != robot {
            let key = format!("{table}.fovy_deg");
            self.differs(key, policy.to_string(), robot.to_string());
        }
    }
}
