//! Arms of servos on one serial line: Feetech STS/SMS (SO-100, SO-101) and Dynamixel X (Koch, ALOHA-class), N joints and a gripper.
//!
//! ```text
//! ServoBus::connect  pings, compares with the calibration, no power   (bring_up)
//!   .enable()        limits, watchdog, goal = where it stands, power  (bring_up)
//! ServoArm::read     one group read: every servo answers, or an error (bus)
//! ServoArm::write    one group write: power, goal, torque limit       (arm)
//! ```
//!
//! Encoder ticks stay in here ([`calibration`]). `README.md` beside this file has wiring, safety and figures. Not responsible for
//! limits of motion, nor for keeping an arm up whose servos have no power: a SO-101 falls.

mod arm;
mod bring_up;
mod bus;
pub mod calibration;
pub mod config;
pub mod fault;
pub mod lerobot;
mod line;
mod requests;
mod stall;
pub mod tables;
pub mod wire;

pub use arm::{ServoArm, ServoBus};
pub use bus::io_time_max;
pub(crate) use bus::line_time;
pub use calibration::Calibration;
pub use config::{ServoBusConfig, StallConfig};
pub use fault::Fault;
pub use line::SerialLine;

/// Joints and gripper together.
pub const SERVOS_MAX: usize = 8;
