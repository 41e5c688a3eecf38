//! Devices that exist in memory alone and behave as real ones do, faults included; each knows the truth about itself.

#[cfg(feature = "v4l")]
pub mod camera;
