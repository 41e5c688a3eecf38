//! Where the tool is, how it moves with the joints, which joints bring it somewhere, and what torques that takes.
//!
//! Responsible for geometry and masses alone. Not responsible for limits on the result: [`crate::safety`] has the last word.

mod angles;
pub mod chain;
pub mod dynamics;
mod frames;
pub mod ik;
mod inverse;
pub mod pose;
mod urdf;

pub use chain::{Chain, JointLimit};
pub use dynamics::Dynamics;
pub use frames::{Frames, Mount};
pub use inverse::rotations;
pub use urdf::ChainError;
