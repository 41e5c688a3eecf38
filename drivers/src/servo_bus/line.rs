//! The real line: a serial adapter's device file, or a pseudo terminal.
//!
//! Raw, non-blocking, ours alone (TIOCEXCL and a lock), at any speed (termios2's BOTHER), and with the driver's latency timer as
//! short as it goes where there is one. Waits in `ppoll` and reads the clock; no other call waits. Not responsible for protocols.

use crate::port::{PortError, SerialPort};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector,
    SpecialCodeIndex,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use visuomotor_runtime::arm::BringUpError;
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};

const NS_PER_S: u64 = 1_000_000_000;

#[derive(Debug)]
pub struct SerialLine {
    fd: OwnedFd,
}

impl SerialLine {
    /// # Errors
    /// When the device is missing, busy, not ours, or no serial line: with what to do.
    pub fn open(path: &str, baud: u32) -> Result<Self, BringUpError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let refuse = |errno: Errno| refusal(path, errno);
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(refuse)?;
        let lock = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive);
        lock.map_err(refuse)?;
        rustix::termios::ioctl_tiocexcl(&fd).map_err(refuse)?;
        set_raw(&fd, baud).map_err(refuse)?;
        set_low_latency(&fd);
        let mut line = Self { fd };
        // What came before is nobody's answer.
        let cleared = line.clear();
        cleared.map_err(|error| BringUpError {
            device: path.to_owned(),
            problem: error.to_string(),
            remedy: "plug the adapter in again".to_owned(),
        })?;
        Ok(line)
    }

    /// The open file, for who has another use for a line that is set up.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

fn refusal(path: &str, errno: Errno) -> BringUpError {
    let remedy = match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            "plug the adapter in, and name its file: ls /dev/serial/by-id"
        }
        Errno::ACCESS | Errno::PERM => "join the group that owns it (dialout), and log in again",
        Errno::AGAIN | Errno::BUSY => {
            "end the program that uses it; ModemManager is one that likes such adapters"
        }
        Errno::NOTTY | Errno::INVAL => "name a serial line that can do this baud rate",
        _ => "plug the adapter in again",
    };
    BringUpError {
        device: path.to_owned(),
        problem: errno.to_string(),
        remedy: remedy.to_owned(),
    }
}

/// Bytes as they are: eight bits, no parity, no flow control, no echo.
fn set_raw(fd: &OwnedFd, baud: u32) -> Result<(), Errno> {
    let mut termios = rustix::termios::tcgetattr(fd)?;
    termios.input_modes = InputModes::IGNBRK | InputModes::IGNPAR;
    termios.output_modes = OutputModes::empty();
    termios.local_modes = LocalModes::empty();
    termios.control_modes = ControlModes::CS8 | ControlModes::CREAD | ControlModes::CLOCAL;
    termios.special_codes[SpecialCodeIndex::VMIN] = 0;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios.set_speed(baud)?;
    rustix::termios::tcsetattr(fd, OptionalActions::Now, &termios)?;
    // A speed that the port cannot have is taken all the same, and another one is set. Ten bits a byte bear 3 %.
    let speed = rustix::termios::tcgetattr(fd)?.output_speed();
    match speed.abs_diff(baud) <= baud / 32 {
        true => Ok(()),
        false => Err(Errno::INVAL),
    }
}

/// Adapters of FTDI's wait for 16 ms before they deliver an answer that is shorter than their buffer, unless told otherwise.
/// Other drivers do not know the flag: then there is nothing to shorten.
fn set_low_latency(fd: &OwnedFd) {
    /// `struct serial_struct` of linux/serial.h, whose flags follow four ints.
    #[repr(C)]
    struct SerialStruct {
        before: [libc::c_int; 4],
        flags: libc::c_int,
        /// More than there is on any architecture.
        after: [u64; 16],
    }
    const ASYNC_LOW_LATENCY: libc::c_int = 1 << 13;
    let mut serial = SerialStruct {
        before: [0; 4],
        flags: 0,
        after: [0; 16],
    };
    // SAFETY: the kernel fills a `serial_struct`, which is shorter than `serial`.
    let known = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGSERIAL as _, &mut serial) } == 0;
    if known {
        serial.flags |= ASYNC_LOW_LATENCY;
        // SAFETY: `serial` is what the kernel filled, but for the flag.
        unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSSERIAL as _, &serial) };
    }
}

/// What an error of a read, a write or a wait means to whoever uses the line.
fn port_error(errno: Errno) -> PortError {
    match errno {
        Errno::AGAIN => PortError::Full,
        Errno::NODEV | Errno::NXIO | Errno::IO => PortError::Gone,
        errno => PortError::System {
            errno: errno.raw_os_error(),
        },
    }
}

impl SerialPort for SerialLine {
    fn now(&self) -> Instant {
        LinuxMono::now()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        loop {
            match rustix::io::write(&self.fd, bytes) {
                Ok(count) if count == bytes.len() => return Ok(()),
                // The rest would wait: whoever hears the beginning drops it as garbage.
                Ok(_) => {
                    let _ = rustix::termios::tcflush(&self.fd, QueueSelector::OFlush);
                    return Err(PortError::Full);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(port_error(errno)),
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8], until: Instant) -> Result<usize, PortError> {
        loop {
            match rustix::io::read(&self.fd, &mut *buffer) {
                // With nothing to read a terminal says 0 (VMIN is 0) or EAGAIN.
                Ok(0) | Err(Errno::AGAIN) => {}
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(port_error(errno)),
            }
            let left = until.checked_duration_since(self.now());
            let left = left.unwrap_or(Duration::ZERO).as_ticks();
            let timeout = Timespec {
                tv_sec: (left / NS_PER_S) as _,
                tv_nsec: (left % NS_PER_S) as _,
            };
            let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_)
                    if fds[0]
                        .revents()
                        .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) =>
                {
                    return Err(PortError::Gone);
                }
                Ok(_) | Err(Errno::INTR) if left == 0 => return Ok(0),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(port_error(errno)),
            }
        }
    }

    fn clear(&mut self) -> Result<(), PortError> {
        rustix::termios::tcflush(&self.fd, QueueSelector::IFlush).map_err(port_error)
    }
}
