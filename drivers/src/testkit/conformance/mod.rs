//! What every implementation of a trait has to show, whatever the device.

pub mod camera;
