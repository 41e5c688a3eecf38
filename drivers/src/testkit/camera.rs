//! A camera with faults.

use super::Scheduled;
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::clock::{Duration, Instant};

/// What can be wrong with a camera or the link to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CameraFault {
    /// No frame comes.
    Stall,
    /// The device is gone from the bus.
    Disconnect,
    /// The last frame comes again and again, with its own stamp and number.
    Freeze,
    /// Half of the frame's bytes are missing.
    Truncate,
    /// The picture is another one: every byte inverted.
    Corrupt,
    /// Of three frames the first comes after the second, and the third never.
    Reorder,
    /// Stamps lie this far in the future.
    Future { by: Duration },
}

/// The camera `C`, with what is scheduled wrong about it.
pub struct FaultyCamera<C> {
    camera: C,
    faults: Vec<Scheduled<CameraFault>>,
    /// The last frame that was answered.
    answered: Option<Frame>,
    /// A frame that is held back, and whose turn it is.
    held: Option<Frame>,
    turn: u32,
}

impl<C: Camera> FaultyCamera<C> {
    pub fn new(camera: C, faults: Vec<Scheduled<CameraFault>>) -> Self {
        Self {
            camera,
            faults,
            answered: None,
            held: None,
            turn: 0,
        }
    }

    pub fn faults(&self) -> &[Scheduled<CameraFault>] {
        &self.faults
    }

    fn answer(&mut self, fault: CameraFault, frame: &mut Frame) -> Result<(), CameraError> {
        match fault {
            CameraFault::Stall => return Err(CameraError::NoFrame),
            CameraFault::Disconnect => return Err(CameraError::Disconnected),
            CameraFault::Freeze => *frame = self.answered.clone().ok_or(CameraError::NoFrame)?,
            CameraFault::Truncate => {
                let half = frame.image.rgb.len() / 2;
                frame.image.rgb.truncate(half);
            }
            CameraFault::Corrupt => frame.image.rgb.iter_mut().for_each(|byte| *byte = !*byte),
            CameraFault::Reorder => {
                self.turn = (self.turn + 1) % 3;
                match self.turn {
                    1 => {
                        self.held = Some(frame.clone());
                        return Err(CameraError::NoFrame);
                    }
                    2 => {}
                    _ => *frame = self.held.take().ok_or(CameraError::NoFrame)?,
                }
            }
            CameraFault::Future { by } => frame.captured_at += by,
        }
        Ok(())
    }
}

impl<C: Camera> Camera for FaultyCamera<C> {
    fn size(&self) -> (u32, u32) {
        self.camera.size()
    }

    fn capture(&mut self, now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
        let mut answer = self.camera.capture(now, frame);
        for i in 0..self.faults.len() {
            let Scheduled { window, fault, .. } = self.faults[i];
            if window.contains(now) && answer.is_ok() {
                answer = self.answer(fault, frame);
                self.faults[i].injected += 1;
            }
        }
        if answer.is_ok() {
            self.answered = Some(frame.clone());
        }
        answer
    }
    fn owns_cycle(&self) -> bool {
        self.camera.owns_cycle()
    }
}
