//! An arm of CAN drives: the drives with what they drive, a bus in virtual time, faults of it, and a server for a real one.

mod arm;
mod drive;
mod faults;
mod link;
mod server;

pub use arm::CanDrives;
pub use drive::{EmulatedDrive, Mounted};
pub use faults::{FaultsHandle, FaultyCanPort};
pub use link::CanLink;
pub use server::{CanServer, SharedDrives};
