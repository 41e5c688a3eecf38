//! Cameras of the kernel's Video4Linux2: USB cameras, and whatever else is a `/dev/video*`.
//!
//! Responsible for the newest whole frame in the size and colours of the policy, with an age that is never
//! under-estimated; for fixing the camera's own settings; and for coming back after anything that can happen to a cable.
//! Not responsible for when it is asked (`visuomotor_runtime::camera_loop`, at whose pace it sets: it owns its cycle) nor
//! for how old a frame may be.
//!
//! ```text
//! V4lConfig -> V4lCamera::open -> probe, modes (what there is, what is taken), controls (fixed, or a warning)
//!   capture -> Device: wait, dequeue all, keep the newest -> stamps (when was the light measured?)
//!                                                         -> picture::Converter -> frame
//!           -> Port:   after anything that went wrong, closes and opens on a thread of its own, again and again
//! ```
//!
//! The kernel's structures and request numbers are those of `moq-v4l`, the fork of `v4l` with its bindings checked in:
//! `v4l` needs libclang to build. Of both, the streams could not be used: they queue the last buffer again before they
//! wait and so cannot take the newest of several frames, hide the stamp of what they dequeue, and panic when a device
//! that failed is dropped.
//!
//! Memory: with a raw format that is not resized a capture allocates nothing; otherwise see [`crate::picture`].
//!
//! How late the driver is and how late this camera is: [`V4lCamera::timing`], after every frame.

mod camera;
mod config;
mod controls;
mod device;
mod error;
mod ioctl;
mod kernel;
mod modes;
mod output;
mod port;
mod probe;
mod stamps;
#[cfg(test)]
mod tests;

pub use camera::{Counters, Opened, Timing, V4lCamera};
pub use config::V4lConfig;
pub use device::{Device, DeviceError, Facts, Finished, Port, StampSource};
pub use error::{ConfigError, OpenError, Warning};
pub use modes::{FourCc, Mode, Size};
pub use output::OutputDevice;
pub use port::KernelPort;
pub use probe::{Probe, probe};
