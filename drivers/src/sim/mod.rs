//! A simulated arm with a gripper, a tray of objects and a camera, on MuJoCo.
//!
//! Responsible for the physics, for the images, for randomised scenes that one number reproduces, and for judging from
//! the physics alone whether an object is held. Not responsible for pacing: time is an argument, so the same parts run
//! in real time (each on its own thread) and as fast as possible (all in one).
//!
//! ```text
//! SceneConfig, Split, seed -> World -> Rig -> SimArm       control thread: steps the physics
//!                                          or SimPlant    the mechanics behind an emulator's drives
//!                                          -> SceneFeeder  prepares the next scene elsewhere
//!                                          -> CameraSeat   opened as SimCamera on the thread that renders
//!                                          -> SimObserver  truth and judgement, for experts and for evaluation
//! ```
//!
//! The world frame of the simulation is the task frame: origin at the centre of the tray's floor, z up.

mod arm;
mod camera;
mod can_arm;
mod config;
mod error;
mod iiwa14;
mod mesh;
mod mjcf;
mod noise;
mod object;
mod plant;
mod rig;
mod robot;
mod scene;
mod seed;
mod snapshot;
mod so101;
mod stage;
#[cfg(test)]
mod tests;
mod world;

pub use arm::SimArm;
pub use camera::{CameraSeat, SimCamera, View};
pub use config::{CameraConfig, Latency, LatencyConfig, ObjectConfig, ObjectKind, SceneConfig};
pub use error::{RenderError, SceneError};
pub use iiwa14::START_Q;
pub use mesh::{MeshError, MeshLibrary};
pub use plant::SimPlant;
pub use rig::{Rig, SceneFeeder, SimObserver};
pub use robot::{Gripper, Robot};
pub use scene::Scene;
pub use seed::{SEED_MAX, Split};
pub use snapshot::{Judgement, SUCCESS_HEIGHT_M, Snapshot};
pub use world::World;
