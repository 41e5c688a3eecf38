//! Feetech and Dynamixel servos on a bus, as software.
//!
//! Registers, limits, refusals, error bytes, protection and timing are those of the manuals (sources in
//! [`crate::servo_bus::tables`]); how stiff a servo is and how it warms up is made up. Not responsible for the arm that the
//! servos move, which is a [`super::Plant`].

mod bus;
mod drive;
mod link;
mod registers;
mod server;

pub use bus::{ServoDevice, ServoSpec};
pub use drive::{Mounting, OVERHEATED, OVERLOADED, Servo};
pub use link::SerialLink;
pub use registers::{Memory, Refusal};
pub use server::{SerialServer, SharedServos};

#[cfg(test)]
mod tests;
