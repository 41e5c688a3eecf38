//! What the camera needs of a streaming device and of whoever opens it: the kernel's ([`super::kernel`],
//! [`super::port`]), or an emulated one with faults on schedule (`testkit::emulate`).
//!
//! Time comes from here too, so that the camera is the same in real and in simulated time.

use crate::picture::Source;
use visuomotor_runtime::clock::{Duration, Instant};

/// Why a device has to be closed and opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("the device is gone")]
    Gone,
    #[error("the device failed")]
    Failed,
}

/// What the moment of a driver's stamp claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampSource {
    StartOfExposure,
    /// The last byte of the frame has come.
    EndOfFrame,
}

/// What was agreed on with the device when it was opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    pub source: Source,
    /// Between two frames.
    pub period: Duration,
    /// Where it is fixed.
    pub exposure: Option<Duration>,
    pub stamps: StampSource,
    /// A moment before the first frame could be finished.
    pub streaming_since: Instant,
    /// Buffers that the driver fills in turn.
    pub buffers: u32,
}

/// A buffer that the driver has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub index: u32,
    /// The driver says that its content is damaged.
    pub is_damaged: bool,
    /// Counts the frames since the stream began, lost ones too.
    pub sequence: u32,
    /// On the clock of [`Port::now`]; `None` where the driver's stamps are of another clock.
    pub stamp: Option<Instant>,
}

/// A device that streams. No method blocks but [`Device::wait`].
pub trait Device {
    fn facts(&self) -> &Facts;

    /// Waits until a buffer may be finished, until `until` at the latest; whether one may be.
    fn wait(&mut self, until: Instant) -> Result<bool, DeviceError>;

    /// The oldest finished buffer, or `None` where none is finished.
    fn dequeue(&mut self) -> Result<Option<Finished>, DeviceError>;

    /// What the driver wrote into a buffer that was dequeued and not given back since.
    fn bytes(&self, index: u32) -> &[u8];

    /// Gives a buffer back to the driver.
    fn requeue(&mut self, index: u32) -> Result<(), DeviceError>;
}

/// Opens the device again and again. Closing and opening can take seconds, so they happen elsewhere.
pub trait Port {
    type Device: Device;

    /// The clock of the drivers' monotonic stamps, and of the runtime.
    fn now(&self) -> Instant;

    /// Asks for `old` to be closed and the device to be opened, not before `not_before`. Returns at once.
    fn reopen(&mut self, old: Option<Self::Device>, not_before: Instant);

    /// What came of the last [`Port::reopen`]; waits for it until `until`.
    fn opened(&mut self, until: Instant) -> Option<Result<Self::Device, DeviceError>>;
}
