//! One set of tests that every device passes, each on its bench: the real driver, an emulated device, and a line with faults
//! between them, in virtual time.
//!
//! Not responsible for what a device does beyond the traits; its own tests are beside its driver.

pub mod arm;
mod bench;
pub mod camera;
#[cfg(feature = "can")]
pub mod can;
mod commands;
mod drive;
pub mod schedule;
#[cfg(feature = "servo-bus")]
pub mod servo;
#[cfg(feature = "v4l")]
pub mod v4l;

pub use bench::{Bench, LineFault, Metered};
pub use commands::Commands;
pub(super) use drive::{Arms, Drive};

/// What was found wrong, with the numbers.
pub type Outcome = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what()) }
}
