//! Why a camera cannot be opened, and what to do about it; and what is not as it should be though it could be opened.

use super::modes::Mode;
use crate::picture::PictureError;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("rate_hz = {0}: write the frames a second, from 0.1 to 1000")]
    Rate(f64),
    #[error(
        "latency_ms must be from 0 to 1000: a negative one would make frames look younger than they are"
    )]
    Latency,
    #[error("power_line_hz must be 50 or 60, or 0 for no filter")]
    PowerLine,
    #[error("timeout_ms must be at least {at_least_ms}, two frames: every shorter one is a stall")]
    Timeout { at_least_ms: u64 },
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("[camera]: {0}")]
    Config(#[from] ConfigError),
    #[error("cannot open {device}: {source}. {}", remedy(.source))]
    Open { device: PathBuf, source: io::Error },
    #[error(
        "{device} ({card}) is no camera that streams into memory; cameras often have a second node for metadata: \
         try the other"
    )]
    NoCamera { device: PathBuf, card: String },
    #[error("{device} ({card}) has no mode `{wanted}`. It has:\n{}", list(.modes))]
    NoMode {
        device: PathBuf,
        card: String,
        wanted: String,
        modes: Vec<Mode>,
    },
    #[error(
        "{device} took `{got}` instead of `{wanted}`; write a mode that `visuomotor doctor` lists"
    )]
    OtherMode {
        device: PathBuf,
        wanted: String,
        got: String,
    },
    #[error("[camera]: {0}")]
    Picture(#[from] PictureError),
    #[error("{device}: {doing} failed: {source}. {}", remedy(.source))]
    Device {
        device: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            "Is it plugged in? `ls -l /dev/v4l/by-id` shows the cameras that are there"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "Add the user to the group `video` (`usermod -aG video USER`) and log in again"
        }
        Some(libc::EBUSY) => "Another program uses the camera: `fuser -v` on the device names it",
        Some(libc::ENOSPC) => {
            "The USB bus has no bandwidth left: use \"MJPG\", a smaller picture, a lower rate or another bus"
        }
        _ => "`dmesg` may say more",
    }
}

fn list(modes: &[Mode]) -> String {
    let mut lines = String::new();
    for mode in modes {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "    {mode}");
    }
    lines
}

/// A setting that is not what a policy needs. Automatic settings drift with light and scene: pictures then differ from
/// those that the policy learned from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "{setting} is automatic and will drift; write [camera] {key} = {now} (what the camera has chosen just now) \
         or another fixed value"
    )]
    LeftAutomatic {
        setting: &'static str,
        key: &'static str,
        /// In the key's unit.
        now: i64,
    },
    #[error("{setting} may be automatic, and the camera does not let itself be asked")]
    Unknown { setting: &'static str },
    #[error("[camera] {key} = {wanted} was not taken: {why}")]
    NotTaken {
        key: &'static str,
        wanted: i64,
        why: String,
    },
    #[error("the camera says {got} frames a second, not {wanted}")]
    Rate { wanted: String, got: String },
}
