//! Policies for visuomotor: what chooses the next action from what the camera and the encoders say.
//!
//! Responsible for learned critics (their manifest, their ONNX graphs, the search for the best action), for scripted
//! policies in simulation, and for the numbers that a network sees. Not responsible for when a policy runs, for
//! moving anything, or for any device.
//!
//! Start at [`open`]: it turns the `[policy]` table of a launch file into a policy.

mod config;
mod error;
mod onnx_header;

pub mod cem;
pub mod critic;
pub mod explore;
pub mod features;
pub mod grasp_planner;
pub mod grasp_search;
pub mod hand_eye;
pub mod learned;
pub mod manifest;
pub mod model;
pub mod random;
pub mod scripted;
pub mod session;
pub mod task;
#[cfg(test)]
mod toy_scene;
pub mod weak;

pub use config::{CemOverrides, PolicyConfig, PolicyKind, open, open_learned};
pub use error::{Place, PolicyOpenError};
