//! What is done with episodes after they were recorded.
//!
//! Responsible for reading them whatever the robot ([`Timeline`]), and for everything that looks at them, judges them, cuts
//! them or turns them into data sets. Not responsible for recording them ([`visuomotor_runtime::episode`]), nor for running
//! anything: what needs a controller, a policy or a simulator is in the command's own crate.

pub mod idle;
pub mod lint;
mod motion;
pub mod paths;
pub mod picture;
pub mod plant;
#[cfg(test)]
mod staged;
mod timeline;

pub use timeline::{Commanded, Joints, Measured, Tick, Timeline};
