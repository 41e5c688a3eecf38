//! Emulated drives on a real bus, in real time: `visuomotor emulate can_arm --can vcan0`.
//!
//! Not responsible for timing on the wire: that is the bus's own.

use super::arm::CanDrives;
use crate::can::wire::REGISTERS_ID;
use crate::can::{CanConfig, SocketCan};
use crate::port::{CanPort, PortError};
use crate::testkit::emulate::Plant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use visuomotor_runtime::arm::BringUpError;
use visuomotor_runtime::clock::Duration;

/// The mechanics move on at least so often.
const BREATH: Duration = Duration::from_micros(1_000);

pub struct CanServer<P, L> {
    port: P,
    drives: SharedDrives<L>,
}

/// The drives of a server, for others to look at and to break while it serves. A clone is another handle.
pub struct SharedDrives<L>(Arc<Mutex<CanDrives<L>>>);

impl<L> Clone for SharedDrives<L> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<L> SharedDrives<L> {
    /// Until this is dropped nothing is answered. Whoever panicked meanwhile has left them as they were.
    pub fn lock(&self) -> MutexGuard<'_, CanDrives<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Plant> CanServer<SocketCan, L> {
    /// The drives of this arm on the interface that its launch file names.
    ///
    /// # Errors
    /// As [`SocketCan::open`].
    pub fn open(config: &CanConfig, plant: L) -> Result<Self, BringUpError> {
        let joints = config.joint.iter().map(|joint| joint.id);
        let ids: Vec<u16> = joints.chain([config.gripper.id, REGISTERS_ID]).collect();
        let port = SocketCan::open(&config.interface, &ids)?;
        Ok(Self::new(port, config, plant))
    }
}

impl<P: CanPort, L: Plant> CanServer<P, L> {
    pub fn new(port: P, config: &CanConfig, plant: L) -> Self {
        let drives = CanDrives::new(config, plant, port.now());
        let drives = SharedDrives(Arc::new(Mutex::new(drives)));
        Self { port, drives }
    }

    pub fn drives(&self) -> &SharedDrives<L> {
        &self.drives
    }

    /// Answers until `stop`. An answer that the bus does not take is lost, as a drive's would be.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn serve(&mut self, stop: &AtomicBool) -> Result<(), PortError> {
        while !stop.load(Ordering::Relaxed) {
            let until = self.port.now() + BREATH;
            let frame = self.port.receive(until)?;
            let mut drives = self.drives.lock();
            let now = self.port.now();
            drives.advance(now);
            if let Some(frame) = frame {
                let port = &mut self.port;
                drives.receive(&frame, now, |_, answer| {
                    let _ = port.send(&answer);
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::can::wire::{Access, Command, Feedback, Status};
    use crate::port::CanFrame;
    use crate::testkit::conformance::can::example_config;
    use crate::testkit::emulate::Inertias;
    use visuomotor_runtime::clock::Instant;

    /// Frames at their times, and then the end.
    struct Script<'a> {
        now: Instant,
        frames: Vec<CanFrame>,
        sent: Vec<CanFrame>,
        stop: &'a AtomicBool,
    }

    impl CanPort for &mut Script<'_> {
        fn now(&self) -> Instant {
            self.now
        }

        fn send(&mut self, frame: &CanFrame) -> Result<(), PortError> {
            self.sent.push(*frame);
            Ok(())
        }

        fn receive(&mut self, until: Instant) -> Result<Option<CanFrame>, PortError> {
            self.now = until;
            self.stop.store(self.frames.len() <= 1, Ordering::Relaxed);
            Ok(self.frames.pop())
        }
    }

    #[test]
    fn a_server_answers_every_frame_that_is_for_its_drives_and_ends_when_told() {
        let stop = AtomicBool::new(false);
        let foreign = CanFrame {
            id: 0x0F,
            data: [0; 8],
            len: 8,
        };
        let mut script = Script {
            now: Instant::from_ticks(1_000_000_000),
            frames: vec![Access::Status.encode(3), foreign, Command::Enable.encode(8)],
            sent: Vec::new(),
            stop: &stop,
        };
        let config = example_config();
        let plant = Inertias::at(&[0.3; 8], 0.1, 0.1, 1e-3);
        let mut server = CanServer::new(&mut script, &config, plant);
        assert_eq!(server.serve(&stop), Ok(()));
        assert_eq!(server.drives().lock().drives[7].status(), Status::ENABLED);
        let [enabled, asked] = script.sent[..] else {
            panic!("{:?}", script.sent);
        };
        let feedback = Feedback::decode(&asked, 3, &config.joint[2].actuator.ranges()).unwrap();
        assert_eq!((enabled.id, asked.id), (0x18, 0x13));
        assert!((feedback.q - 0.3).abs() < 1e-3, "{feedback:?}");
    }
}
