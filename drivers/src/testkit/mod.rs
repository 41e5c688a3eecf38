//! What devices are tested with: faults on schedule behind the same traits, emulated devices, the suite that all drivers
//! pass, and their figures.
//!
//! Responsible for misbehaving on schedule, the same way for the same seed. Not responsible for choosing the schedule.

mod arm;
mod camera;
pub mod conformance;
pub mod emulate;
pub mod figures;
mod serial_port;

pub use arm::{ArmFault, FaultyArm};
pub use camera::{CameraFault, FaultyCamera};
pub use serial_port::FaultySerialPort;

use visuomotor_runtime::clock::Instant;

/// From `from`, until just before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Instant,
    pub until: Instant,
}

impl Window {
    pub fn contains(&self, now: Instant) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// What goes wrong, when, and how often it did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled<F> {
    pub window: Window,
    pub fault: F,
    /// Calls that were not answered as the device did.
    pub injected: u64,
}

impl<F> Scheduled<F> {
    pub fn new(window: Window, fault: F) -> Self {
        Self {
            window,
            fault,
            injected: 0,
        }
    }
}
