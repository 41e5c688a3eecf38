//! The command `visuomotor` from the outside: what it refuses, what it reports, and what it leaves behind.

mod bad_input;
mod bench;
mod calibration;
mod drives;
mod eval;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(feature = "sim")]
mod freeze;
mod fuzz;
#[cfg(feature = "sim")]
mod hardware;
mod look;
#[cfg(feature = "planted-bugs")]
mod planted;
mod recover;
mod replay;
mod robots;
#[cfg(feature = "sim")]
mod run;
mod scratch;
mod simulate;
#[cfg(feature = "sim")]
mod tracer;
mod verify;
