//! x
pub mod calibration;
pub mod lerobot;
pub mod tables;
pub mod wire;
