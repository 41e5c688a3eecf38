//! A camera that plays what was recorded: the frames of an episode, with the times between them as they were, or still
//! images.
//!
//! Responsible for which picture is due when, and for stamps that are as true as those of the recording: the start of
//! playing plus the recorded offset. Not responsible for arms: nothing else of an episode is played.
//!
//! In simulated time nobody may wait inside a task: [`AsAsked`] answers with what is due, or that nothing is. In real
//! time ([`RealTime`]) a capture waits for the next picture, as a real camera's does. A video file is not played:
//! `ffmpeg -i VIDEO %06d.jpg` makes stills of it.
//!
//! Everything is read when the camera is opened, and decoded when it is due, so a capture allocates.

mod config;
mod recording;
#[cfg(test)]
mod tests;

pub use config::ReplayConfig;
pub use recording::ReplayError;

use crate::picture::{self, Crop};
use recording::Recording;
use visuomotor_runtime::camera::{Camera, CameraError, Frame, Image};
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};

/// How a capture waits for a picture that is not due yet.
pub trait Waiting {
    const WAITS: bool;

    /// Lets time pass until `until`; what the time is then, `None` where it may not wait.
    fn wait(&mut self, until: Instant) -> Option<Instant>;
}

/// Sleeps. For a thread of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealTime;

impl Waiting for RealTime {
    const WAITS: bool = true;

    fn wait(&mut self, until: Instant) -> Option<Instant> {
        let mut now = LinuxMono::now();
        while now < until {
            LinuxMono::sleep_until(until);
            now = LinuxMono::now();
        }
        Some(now)
    }
}

/// Never waits. For simulated time.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsAsked;

impl Waiting for AsAsked {
    const WAITS: bool = false;

    fn wait(&mut self, _until: Instant) -> Option<Instant> {
        None
    }
}

/// No capture waits longer.
pub const TIMEOUT: Duration = Duration::from_millis(200);

pub struct ReplayCamera<W> {
    recording: Recording,
    repeat: bool,
    crop: Option<Crop>,
    output_px: [u32; 2],
    start: Instant,
    /// Of the next picture, counted over all repetitions.
    next: u64,
    decoded: Image,
    waiting: W,
}

impl<W: Waiting> ReplayCamera<W> {
    /// Reads everything, decodes the first picture, and plays it at `start`.
    pub fn open(config: &ReplayConfig, start: Instant, waiting: W) -> Result<Self, ReplayError> {
        let recording = Recording::read(config)?;
        let mut decoded = Image::default();
        recording.decode(0, &mut decoded)?;
        let size_px = [decoded.width, decoded.height];
        let crop = config.crop();
        let output_px = crop.map_or(size_px, |crop| [crop.width, crop.height]);
        let output_px = config.output_px.unwrap_or(output_px);
        // Refuses a crop that is no part of the picture.
        picture::fit(
            &decoded.rgb,
            size_px,
            crop,
            output_px,
            &mut Image::default(),
        )?;
        Ok(Self {
            recording,
            repeat: config.repeat,
            crop,
            output_px,
            start,
            next: 0,
            decoded,
            waiting,
        })
    }

    /// When a picture is due; `None` after the end.
    fn due(&self, number: u64) -> Option<Instant> {
        let pictures = self.recording.pictures();
        let (round, picture) = (number / pictures, number % pictures);
        if round > 0 && !self.repeat {
            return None;
        }
        let of_round = self.recording.length().as_ticks() * round;
        Some(self.start + Duration::from_ticks(of_round) + self.recording.offset(picture))
    }

    /// The newest picture that is due, if it has not been played.
    fn newest(&self, now: Instant) -> Option<u64> {
        let since_start = now.checked_duration_since(self.start)?.as_ticks();
        let length = self.recording.length().as_ticks();
        let pictures = self.recording.pictures();
        let number = match self.repeat {
            true => {
                let within = Duration::from_ticks(since_start % length);
                (since_start / length) * pictures + self.recording.newest(within)
            }
            false => self.recording.newest(Duration::from_ticks(since_start)),
        };
        (number >= self.next).then_some(number)
    }
}

impl<W: Waiting> Camera for ReplayCamera<W> {
    fn size(&self) -> (u32, u32) {
        self.output_px.into()
    }

    fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
        let mut number = self.newest(now);
        if number.is_none() {
            let due = self.due(self.next).ok_or(CameraError::Disconnected)?;
            let until = due.min(now + TIMEOUT);
            let woken = self.waiting.wait(until).ok_or(CameraError::NoFrame)?;
            number = self.newest(woken);
        }
        let number = number.ok_or(CameraError::NoFrame)?;
        let captured_at = self.due(number).ok_or(CameraError::Disconnected)?;
        self.next = number + 1;
        let picture = number % self.recording.pictures();
        let decoded = self.recording.decode(picture, &mut self.decoded);
        decoded.map_err(|_| CameraError::NoFrame)?;
        let size_px = [self.decoded.width, self.decoded.height];
        let (rgb, image) = (&self.decoded.rgb, &mut frame.image);
        picture::fit(rgb, size_px, self.crop, self.output_px, image)
            .map_err(|_| CameraError::NoFrame)?;
        (frame.captured_at, frame.sequence) = (captured_at, number);
        Ok(())
    }

    /// Only where it may wait for what is due.
    fn owns_cycle(&self) -> bool {
        W::WAITS
    }
}
