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

pub use bench::{Bench, LineFault};
pub use commands::Commands;
