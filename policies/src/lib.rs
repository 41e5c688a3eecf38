//! Policies for visuomotor.

pub mod features;
pub mod grasp_planner;
pub mod random;
pub mod scripted;
pub mod task;
#[cfg(test)]
mod toy_scene;
pub mod weak;
