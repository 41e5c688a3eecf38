//! What a camera is to the runtime. Drivers implement [`Camera`].

use crate::clock::Instant;

/// RGB, 8 bit a channel, row-major, top row first: `rgb.len() == 3 * width * height`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When the light was measured (not when the image was processed or delivered).
    pub captured_at: Instant,
    /// Counts every frame that the device took, so a gap is a drop.
    pub sequence: u64,
    pub image: Image,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            captured_at: Instant::from_ticks(0),
            sequence: 0,
            image: Image::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum CameraError {
    #[error("no frame within the time-out")]
    NoFrame,
    #[error("the camera is gone")]
    Disconnected,
    #[error("a frame of {got} bytes where {expected} were expected")]
    WrongSize { got: usize, expected: usize },
}

pub trait Camera {
    /// Width and height in pixels of every frame that will come.
    fn size(&self) -> (u32, u32);

    /// Waits for the newest frame at time `now` and writes it into `frame`, whose buffer is reused. An error leaves nothing
    /// in `frame` that may be looked at.
    fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError>;

    /// Whether frames come in a cycle of the camera's own, for which [`Camera::capture`] waits in bounded time. Such a
    /// camera is asked again as soon as it gave a frame: on a timer of its own, the loop would be up to a whole period
    /// late.
    fn owns_cycle(&self) -> bool {
        false
    }
}
