//! Devices as software: each speaks its wire protocol to the last byte, in virtual or in real time.
//!
//! Sans I/O: an emulator is handed bytes or frames with their time of arrival and says what it answers when. Not responsible for
//! lines ([`crate::port`]) nor for the mechanics behind the drives, which are a [`Plant`].

#[cfg(feature = "v4l")]
pub mod camera;
#[cfg(feature = "can")]
pub mod can;
mod plant;
#[cfg(feature = "servo-bus")]
pub mod servo;

pub use plant::{Inertias, Plant};
