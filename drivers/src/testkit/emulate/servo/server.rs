//! Emulated servos in real time, behind a pseudo terminal, which a driver opens like an adapter (what `visuomotor emulate`
//! serves), or at the far end of a serial line.
//!
//! A pseudo terminal has no baud rate: answers leave when their last byte would have. Not responsible for what is served.

use super::bus::ServoDevice;
use crate::servo_bus::SerialLine;
use crate::testkit::emulate::Plant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use visuomotor_runtime::arm::BringUpError;
use visuomotor_runtime::clock::{Duration, LinuxMono};

/// Whether it shall stop is looked at this often, and the mechanics move on as often.
const TURN: Duration = Duration::from_ticks(1_000_000);

pub struct SerialServer<P> {
    device: SharedServos<P>,
    line: OwnedFd,
    terminal: Option<Terminal>,
}

/// The servos of a server, for others to look at and to break while it serves. A clone is another handle.
pub struct SharedServos<P>(Arc<Mutex<ServoDevice<P>>>);

impl<P> Clone for SharedServos<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P> SharedServos<P> {
    /// Until this is dropped nothing is answered. Whoever panicked meanwhile has left them as they were.
    pub fn lock(&self) -> MutexGuard<'_, ServoDevice<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The users' side of a pseudo terminal.
struct Terminal {
    /// Kept open, so that the terminal outlives each of its users.
    side: OwnedFd,
    /// Where the terminal is, as the system named it.
    path: PathBuf,
    link: PathBuf,
}

impl<P: Plant> SerialServer<P> {
    fn new(device: ServoDevice<P>, line: OwnedFd, terminal: Option<Terminal>) -> Self {
        Self {
            device: SharedServos(Arc::new(Mutex::new(device))),
            line,
            terminal,
        }
    }

    /// This device at the far end of the line that `path` is one end of.
    ///
    /// # Errors
    /// As [`SerialLine::open`].
    pub fn open_line(device: ServoDevice<P>, path: &str) -> Result<Self, BringUpError> {
        let line = SerialLine::open(path, device.baud())?;
        Ok(Self::new(device, line.into_fd(), None))
    }

    /// A new pseudo terminal for this device, to be found at `link`. A symbolic link to something that is gone is replaced.
    ///
    /// # Errors
    /// Of the system; and when there is something at `link`, as another server's terminal.
    pub fn open_pty(device: ServoDevice<P>, link: &Path) -> io::Result<Self> {
        // Before there is a new terminal: it may get the name of the one that is gone.
        if link.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        let side = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        // Before anybody sets it: nothing shall be echoed nor changed.
        let mut termios = rustix::termios::tcgetattr(&side)?;
        termios.input_modes = InputModes::empty();
        termios.output_modes = OutputModes::empty();
        termios.local_modes = LocalModes::empty();
        rustix::termios::tcsetattr(&side, OptionalActions::Now, &termios)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        if link.is_symlink() {
            std::fs::remove_file(link)?;
        }
        symlink(&path, link)?;
        let link = link.to_owned();
        Ok(Self::new(
            device,
            master,
            Some(Terminal { side, path, link }),
        ))
    }

    pub fn device(&self) -> &SharedServos<P> {
        &self.device
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// Of the system. A driver that goes away is none: the servos go on as they would.
    pub fn serve(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut waiting = None;
        while !stop.load(Ordering::Relaxed) {
            self.device.lock().advance(LinuxMono::now());
            if let Some(terminal) = &self.terminal {
                // A user that was killed while it had the terminal for itself leaves that behind; its lock is gone with it.
                rustix::termios::ioctl_tiocnxcl(&terminal.side)?;
            }
            self.hear()?;
            waiting = waiting.or_else(|| self.device.lock().answer());
            while let Some((_, frame)) = waiting.filter(|(due, _)| *due <= LinuxMono::now()) {
                self.tell(frame.bytes())?;
                waiting = self.device.lock().answer();
            }
            let turn = LinuxMono::now() + TURN;
            let until = waiting.map_or(turn, |(due, _)| due.min(turn));
            self.wait(
                until
                    .checked_duration_since(LinuxMono::now())
                    .unwrap_or(Duration::ZERO),
            )?;
        }
        Ok(())
    }

    fn hear(&mut self) -> io::Result<()> {
        let mut bytes = [0; 512];
        match rustix::io::read(&self.line, &mut bytes) {
            // A line with nothing to read.
            Ok(0) => {}
            Ok(count) => self
                .device
                .lock()
                .receive(&bytes[..count], LinuxMono::now()),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// What nobody reads is lost, as on a wire.
    fn tell(&mut self, bytes: &[u8]) -> io::Result<()> {
        match rustix::io::write(&self.line, bytes) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn wait(&self, left: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: left.as_ticks().min(TURN.as_ticks()) as _,
        };
        let mut fds = [PollFd::from_borrowed_fd(self.line.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let is_ours = std::fs::read_link(&self.link).is_ok_and(|target| target == self.path);
        if is_ours {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(&self.link);
        }
    }
}
