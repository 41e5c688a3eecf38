//! The devices that a launch file names: are they there, are they quick enough, and do they answer?
//!
//! Nothing is given power and nothing moves; a camera is opened as a session opens it, with its fixed settings.

use super::usb::UsbDevice;
use super::{can, serial};
use crate::config::{ArmConfig, CameraConfig, CameraDevice, Launch};
use crate::policy::{self, OpenError, Pictures};
use crate::wiring;
use std::fs;
use std::path::Path;
use visuomotor_drivers::v4l::{Opened, V4lCamera, V4lConfig, probe};
use visuomotor_runtime::arm::Connected;
use visuomotor_runtime::camera::{Camera, Frame};
use visuomotor_runtime::clock::LinuxMono;
use visuomotor_runtime::realtime::Check;

/// An arm may need a while for the answer to its first question.
const READS: usize = 20;
/// And a camera for its first picture.
const CAPTURES: usize = 20;
/// Of a USB link, what pictures get at most; the rest is for headers and for others.
const USB_SHARE: f64 = 0.6;

pub fn checks<const N: usize>(root: &Path, launch: &Launch<N>) -> Vec<Check> {
    let limits =
        format!("{N} joints; every limit of the launch file is within the robot description's");
    let mut checks = vec![Check::good("limits", limits)];
    match &launch.arm {
        None => checks.push(Check::good("arm", "the arm is simulated")),
        Some(config) => {
            checks.extend(match config {
                ArmConfig::ServoBus(config, _) => serial::checks(root, Path::new(&config.port)),
                ArmConfig::Can(config) => can::checks(root, &config.interface),
            });
            // Whoever cannot be opened cannot answer either.
            if checks.iter().all(|check| check.ok || !check.required) {
                checks.extend(answers(launch, config));
            }
        }
    }
    match &launch.camera {
        None if launch.arm.is_some() => checks.push(Check::failed(
            "camera",
            "a physical arm needs a camera".to_owned(),
            "add [camera.v4l]",
        )),
        None => checks.push(Check::good("camera", "the camera is simulated")),
        Some(CameraConfig {
            device: CameraDevice::Replay(config),
            ..
        }) => checks.push(match fs::metadata(&config.path) {
            Ok(_) => Check::good("camera", format!("plays {}", config.path.display())),
            Err(error) => Check::failed(
                "camera",
                format!("{} cannot be read: {error}", config.path.display()),
                "let [camera.replay] path name an episode, a picture or a folder of pictures",
            ),
        }),
        Some(CameraConfig {
            device: CameraDevice::V4l(config),
            ..
        }) => checks.extend(camera(root, config)),
    }
    checks.push(policy(launch));
    checks
}

/// Opens the launch file's own as a session would.
fn policy<const N: usize>(launch: &Launch<N>) -> Check {
    const NAME: &str = "policy";
    if launch.policy.is_none() {
        let problem = "the launch file names none".to_owned();
        return Check::failed(NAME, problem, "add [policy], or start with `run --policy`")
            .into_advice();
    }
    match policy::open(launch, None, Pictures::Live) {
        Ok(opened) => Check::good(NAME, format!("{} fits this robot", opened.identity.name)),
        Err(error) => {
            let problem = match error {
                OpenError::Launch(error) => error.message,
                other => other.to_string(),
            };
            let remedy =
                "correct the launch file, or start with `run --policy path/to/manifest.toml`";
            Check::failed(NAME, problem, remedy)
        }
    }
}

fn answers<const N: usize>(launch: &Launch<N>, config: &ArmConfig) -> Vec<Check> {
    const NAME: &str = "arm_answers";
    let mut arm = match wiring::connect(launch, config) {
        Ok(arm) => arm,
        Err(error) => {
            let (problem, remedy) = match &error {
                wiring::WiringError::BringUp(error) => (
                    format!("{}: {}", error.device, error.problem),
                    error.remedy.clone(),
                ),
                other => (other.to_string(), "correct the launch file".to_owned()),
            };
            return vec![Check::failed(NAME, problem, remedy)];
        }
    };
    let mut read = || (0..READS).find_map(|_| arm.read(LinuxMono::now()).ok());
    let Some(state) = read() else {
        let remedy = "check its power and its wires";
        return vec![Check::failed(
            NAME,
            "it was found and cannot be read".to_owned(),
            remedy,
        )];
    };
    let q: Vec<String> = state.q.0.iter().map(|q| format!("{q:.3}")).collect();
    vec![Check::good(
        NAME,
        format!(
            "all {N} joints and the fingers answer; q = [{}] rad",
            q.join(", ")
        ),
    )]
}

fn camera(root: &Path, config: &V4lConfig) -> Vec<Check> {
    let shown = config.device.display();
    let mut checks = Vec::new();
    match probe(&config.device) {
        Ok(found) => checks.push(Check::good(
            "camera_device",
            format!(
                "{shown} is {} at {} ({})",
                found.card, found.bus, found.driver
            ),
        )),
        Err(error) => {
            let remedy = "plug it in, name it in [camera.v4l] device (`ls /dev/v4l/by-id`), and be in its group: \
                          `sudo usermod -aG video $USER`";
            return vec![Check::failed("camera_device", error.to_string(), remedy)];
        }
    }
    checks.extend(link(root, config));
    let Opened {
        mut camera,
        warnings,
    } = match V4lCamera::open(config) {
        Ok(opened) => opened,
        Err(error) => {
            let remedy = "change [camera.v4l] to what the camera has";
            checks.push(Check::failed("camera_mode", error.to_string(), remedy));
            return checks;
        }
    };
    let [width, height] = config.size_px;
    let mode = format!("{width} x {height} at {} Hz", config.rate_hz);
    checks.push(Check::good("camera_mode", mode));
    for warning in &warnings {
        let remedy =
            "say it in [camera.v4l]: what changes by itself ruins what a policy has learnt";
        checks.push(Check::failed("camera_settings", warning.to_string(), remedy).into_advice());
    }
    if warnings.is_empty() {
        let fixed = "exposure, gain and white balance are fixed";
        checks.push(Check::good("camera_settings", fixed));
    }
    let mut frame = Frame::default();
    let mut capture = |_| camera.capture(LinuxMono::now(), &mut frame).is_ok();
    checks.push(match (0..CAPTURES).any(&mut capture) {
        true => Check::good("camera_frame", "a picture came"),
        false => Check::failed(
            "camera_frame",
            "no picture came".to_owned(),
            "end the program that holds the camera, try another port or cable, or a mode with less data",
        ),
    });
    checks
}

/// Whether the link carries what is asked of it.
fn link(root: &Path, config: &V4lConfig) -> Vec<Check> {
    let node = fs::canonicalize(&config.device).ok();
    let name = node.as_deref().and_then(Path::file_name);
    let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let Some(usb) = UsbDevice::behind(root, "video4linux", &name) else {
        return Vec::new();
    };
    let [width, height] = config.size_px.map(f64::from);
    // Two bytes a pixel, or a JPEG of a tenth of it.
    let is_jpeg = config.format.as_deref() == Some("MJPG");
    let bytes = if is_jpeg { 0.2 } else { 2.0 };
    let needed_mbit = width * height * bytes * 8.0 * config.rate_hz * 1e-6;
    let room_mbit = usb.speed_mbit as f64 * USB_SHARE;
    let detail = format!(
        "needs {needed_mbit:.0} of {room_mbit:.0} Mbit/s on USB bus {}",
        usb.bus
    );
    let others = usb.neighbours(root);
    let mut checks = vec![serial::asleep("camera_usb", &usb, &name)];
    checks.push(if needed_mbit > room_mbit {
        let remedy = "plug it into a faster port, or ask for format = \"MJPG\", fewer pixels or a lower rate";
        Check::failed("camera_bandwidth", detail, remedy)
    } else if others.is_empty() {
        Check::good("camera_bandwidth", detail)
    } else {
        let detail = format!("{detail}, which {} uses as well", others.join(", "));
        Check::failed("camera_bandwidth", detail, "give each camera a bus of its own").into_advice()
    });
    checks
}
