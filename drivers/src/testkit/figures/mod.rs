//! What a driver does on its bench, in figures: how fast it is, how long it keeps the caller, what a loss costs, what silence
//! does, and what random faults bring out. In the bench's time, so the same on every machine.
//!
//! Not responsible for demands that hold whatever happens: those are [`super::conformance`]'s.

mod arm;
#[cfg(feature = "v4l")]
mod camera;
mod schedules;

pub use arm::{ArmFigures, LostAnswer, Silence, arm};
#[cfg(feature = "v4l")]
pub use camera::{CameraFigures, camera};
pub use schedules::{Violation, violations};

use visuomotor_runtime::clock::Duration;

fn ms(duration: Duration) -> f64 {
    duration.as_ticks() as f64 * 1e-6
}
