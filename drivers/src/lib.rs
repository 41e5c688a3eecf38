//! Arms and cameras for visuomotor. Each device is a feature.
//!
//! Responsible for speaking to devices, real or simulated, in bounded time and with honest time stamps.
//! Not responsible for what they are told to do: limits and stops are decided in `visuomotor_runtime::safety`.

#[cfg(feature = "can")]
pub mod can;
pub mod outstanding;
#[cfg(feature = "picture")]
pub mod picture;
pub mod port;
#[cfg(feature = "replay")]
pub mod replay_camera;
#[cfg(feature = "servo-bus")]
pub mod servo_bus;
#[cfg(feature = "sim")]
pub mod sim;
pub mod testkit;
#[cfg(feature = "v4l")]
pub mod v4l;
