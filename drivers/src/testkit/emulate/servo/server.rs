//! Emulated servos in real time, behind a pseudo terminal: what `visuomotor emulate` serves and a driver opens like an adapter.
//!
//! A pseudo terminal has no baud rate: answers leave when their last byte would have. Not responsible for what is served.

use super::bus::ServoDevice;
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
use visuomotor_runtime::clock::{Duration, LinuxMono};

/// Whether it shall stop is looked at this often, and the mechanics move on as often.
const TURN: Duration = Duration::from_ticks(1_000_000);

pub struct SerialServer<P> {
    device: ServoDevice<P>,
    master: OwnedFd,
    /// Kept open, so that the terminal outlives each of its users.
    user_side: OwnedFd,
    /// Where the terminal is, as the system named it.
    path: PathBuf,
    link: PathBuf,
}

impl<P: Plant> SerialServer<P> {
    /// A new pseudo terminal for this device, to be found at `link`. Whatever symbolic link was there is replaced.
    ///
    /// # Errors
    /// Of the system; and when `link` is a file that is no symbolic link.
    pub fn open_pty(device: ServoDevice<P>, link: &Path) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        let user_side = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        // Before anybody sets it: nothing shall be echoed nor changed.
        let mut termios = rustix::termios::tcgetattr(&user_side)?;
        termios.input_modes = InputModes::empty();
        termios.output_modes = OutputModes::empty();
        termios.local_modes = LocalModes::empty();
        rustix::termios::tcsetattr(&user_side, OptionalActions::Now, &termios)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        if link.is_symlink() {
            std::fs::remove_file(link)?;
        }
        symlink(&path, link)?;
        Ok(Self {
            device,
            master,
            user_side,
            path,
            link: link.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// Of the system. A driver that goes away is none: the servos go on as they would.
    pub fn serve(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut waiting = None;
        while !stop.load(Ordering::Relaxed) {
            let now = LinuxMono::now();
            self.device.advance(now);
            // A user that was killed while it had the terminal for itself leaves that behind; its lock is gone with it.
            rustix::termios::ioctl_tiocnxcl(&self.user_side)?;
            self.hear()?;
            waiting = waiting.or_else(|| self.device.answer());
            while let Some((_, frame)) = waiting.filter(|(due, _)| *due <= LinuxMono::now()) {
                self.tell(frame.bytes())?;
                waiting = self.device.answer();
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
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(count) => self.device.receive(&bytes[..count], LinuxMono::now()),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// What nobody reads is lost, as on a wire.
    fn tell(&mut self, bytes: &[u8]) -> io::Result<()> {
        match rustix::io::write(&self.master, bytes) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::IO) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn wait(&self, left: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: left.as_ticks().min(TURN.as_ticks()) as _,
        };
        let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl<P> Drop for SerialServer<P> {
    fn drop(&mut self) {
        let is_ours = std::fs::read_link(&self.link).is_ok_and(|target| target == self.path);
        if is_ours {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(&self.link);
        }
    }
}
