//! Arms of quasi-direct-drive actuators on SocketCAN, in the dialect of Damiao's drives. README.md beside this file says how
//! to wire one.
//!
//! Responsible for one frame a drive and tick, for honest ages, and for the share of the torque that weight and inertia take. Not responsible for limits
//! or for the path: the drives' impedance follows what `safety` lets through.

mod arm;
mod bus;
mod config;
mod connect;
#[cfg(test)]
mod live_tests;
mod socket;
#[cfg(test)]
mod tests;
pub mod timing;
pub mod wire;

pub use arm::{CanArm, DriveState, fault_code};
pub use config::{Actuator, CanConfig, GripperDrive, JointDrive, Model};
pub use connect::ConnectedCanArm;
pub use socket::{BusErrors, SocketCan};
