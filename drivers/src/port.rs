//! The lines that devices hang on, as drivers see them: bytes on a serial line, frames on a CAN bus.
//!
//! A driver is written against these traits alone. The real line is a file of the kernel's; in tests it is an emulated device in
//! virtual time, with or without faults. That is why a port also tells the time. Not responsible for protocols.

use visuomotor_runtime::arm::ArmError;
use visuomotor_runtime::clock::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("the device is gone")]
    Gone,
    #[error("the line takes nothing at the moment")]
    Full,
    #[error("error {errno} of the operating system")]
    System { errno: i32 },
}

impl From<PortError> for ArmError {
    fn from(_: PortError) -> Self {
        ArmError::NoAnswer
    }
}

/// A serial line. No call allocates, and none waits for longer than it says.
pub trait SerialPort {
    /// The time by which `until` is meant.
    fn now(&self) -> Instant;

    /// Hands all bytes to the line without waiting until they are sent, or none.
    fn send(&mut self, bytes: &[u8]) -> Result<(), PortError>;

    /// Waits until bytes have come, at the latest until `until`, and tells how many it wrote; 0 when none came.
    fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize, PortError>;

    /// Forgets what has come and was not read.
    fn clear(&mut self) -> Result<(), PortError>;
}

/// A data frame of classical CAN with an 11-bit identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanFrame {
    pub id: u16,
    pub data: [u8; 8],
    /// How many bytes of `data` are sent, at most 8.
    pub len: u8,
}

/// A CAN bus. No call allocates, and none waits for longer than it says.
pub trait CanPort {
    /// The time by which `until` is meant.
    fn now(&self) -> Instant;

    /// Hands a frame to the controller without waiting until it is sent.
    fn send(&mut self, frame: &CanFrame) -> Result<(), PortError>;

    /// The next frame that comes, at the latest until `until`; `None` when none came.
    fn receive(&mut self, until: Instant) -> Result<Option<CanFrame>, PortError>;
}
