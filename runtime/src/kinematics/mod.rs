//! Where the tool is, how it moves with the joints, and which joints bring it somewhere.
//!
//! Responsible for geometry alone. Not responsible for limits on the result: [`crate::safety`] has the last word.

mod angles;
pub mod chain;
mod frames;
pub mod gravity;
pub mod ik;
mod inverse;
pub mod pose;
mod urdf;

pub use chain::{Chain, JointLimit};
pub use frames::{Frames, Mount};
pub use gravity::Gravity;
pub use inverse::rotations;
pub use urdf::ChainError;
