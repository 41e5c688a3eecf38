//! A real CAN bus: a raw socket of Linux's SocketCAN.
//!
//! Responsible for waiting to the nanosecond, for taking only the frames of this arm's drives, and for knowing when the controller
//! has left the bus. The `socketcan` crate makes the socket; rustix waits, because the crate's own waiting knows milliseconds
//! only. Not responsible for bit rates: `ip link` sets them, as root, before anything starts.

use crate::port::{CanFrame, CanPort, PortError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socketcan::{CanFilter, CanSocket, EmbeddedFrame, Frame, Socket, SocketOptions, StandardId};
use std::fs;
use std::io;
use visuomotor_runtime::arm::BringUpError;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::clock::linux::LinuxMono;

/// Frames that the kernel must queue for sending: a stop on top of a command to every drive.
const QUEUE_MIN: u32 = 32;
const NS_PER_S: u64 = 1_000_000_000;

/// What the controller reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusErrors {
    /// It left the bus after too many errors.
    pub bus_off: u64,
    /// It came back.
    pub restarted: u64,
    /// Warnings, error-passive, overflows.
    pub controller: u64,
    /// Frames of another kind than ours: remote, extended.
    pub foreign: u64,
}

/// A CAN interface. Receives only the identifiers that it was opened with, and never its own frames.
pub struct SocketCan {
    socket: CanSocket,
    errors: BusErrors,
}

impl SocketCan {
    /// Opens `interface` for frames with these identifiers.
    ///
    /// # Errors
    /// When there is no such interface, it is down, its queue is too short for an arm, or the kernel refuses.
    pub fn open(interface: &str, ids: &[u16]) -> Result<Self, BringUpError> {
        let error = |problem: String, remedy: String| BringUpError {
            device: interface.to_owned(),
            problem,
            remedy,
        };
        // By its name: a virtual bus has no bit rate, and nothing to plug in.
        let is_virtual = interface.starts_with("vcan");
        let up = match is_virtual {
            true => format!("run `sudo ip link set {interface} up`"),
            false => format!(
                "run `sudo ip link set {interface} up type can bitrate 1000000 restart-ms 100`"
            ),
        };
        let of_kernel =
            |name: &str| fs::read_to_string(format!("/sys/class/net/{interface}/{name}"));
        let flags = of_kernel("flags").map_err(|_| {
            let remedy = match is_virtual {
                true => format!(
                    "run `sudo ip link add dev {interface} type vcan && sudo ip link set {interface} up`"
                ),
                false => "plug the adapter in, load its driver, and look for its name in `ip link`"
                    .to_owned(),
            };
            error("there is no such interface".into(), remedy)
        })?;
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
        if flags & 1 == 0 {
            return Err(error("it is down".into(), up));
        }
        let queue: u32 = of_kernel("tx_queue_len")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        if queue < QUEUE_MIN {
            let problem =
                format!("it queues {queue} frames, and an arm sends up to {QUEUE_MIN} at once");
            return Err(error(
                problem,
                format!("run `sudo ip link set {interface} txqueuelen 128`"),
            ));
        }
        let refused =
            |failure: io::Error| error(format!("the kernel refuses it: {failure}"), up.clone());
        let socket = CanSocket::open(interface).map_err(refused)?;
        let mask = libc::CAN_SFF_MASK | libc::CAN_EFF_FLAG | libc::CAN_RTR_FLAG;
        let filters: Vec<CanFilter> = ids
            .iter()
            .map(|&id| CanFilter::new(id.into(), mask))
            .collect();
        socket.set_filters(&filters).map_err(refused)?;
        let seen = libc::CAN_ERR_BUSOFF | libc::CAN_ERR_RESTARTED | libc::CAN_ERR_CRTL;
        socket.set_error_filter(seen).map_err(refused)?;
        Self::on(socket).map_err(refused)
    }

    fn on(socket: CanSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            errors: BusErrors::default(),
        })
    }

    pub fn errors(&self) -> BusErrors {
        self.errors
    }

    /// The next frame that is there, or an error with `WouldBlock`.
    fn read(&mut self) -> io::Result<Option<CanFrame>> {
        let frame = match self.socket.read_frame()? {
            socketcan::CanFrame::Data(frame) if !frame.is_extended() => frame,
            socketcan::CanFrame::Error(error) => {
                let is = |bit: u32| u64::from(error.error_bits() & bit != 0);
                self.errors.bus_off += is(libc::CAN_ERR_BUSOFF);
                self.errors.restarted += is(libc::CAN_ERR_RESTARTED);
                self.errors.controller += is(libc::CAN_ERR_CRTL);
                let is_off = is(libc::CAN_ERR_BUSOFF) == 1;
                return if is_off {
                    Err(Errno::NETDOWN.into())
                } else {
                    Ok(None)
                };
            }
            _ => {
                self.errors.foreign += 1;
                return Ok(None);
            }
        };
        let mut data = [0; 8];
        let sent = frame.data();
        let len = sent.len().min(8);
        data[..len].copy_from_slice(&sent[..len]);
        Ok(Some(CanFrame {
            id: frame.raw_id() as u16,
            data,
            len: len as u8,
        }))
    }
}

fn port_error(error: &io::Error) -> PortError {
    match error.raw_os_error() {
        Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO | libc::ECONNRESET) => PortError::Gone,
        Some(libc::ENOBUFS | libc::EAGAIN) => PortError::Full,
        errno => PortError::System {
            errno: errno.unwrap_or(0),
        },
    }
}

impl CanPort for SocketCan {
    fn now(&self) -> Instant {
        LinuxMono::now()
    }

    fn send(&mut self, frame: &CanFrame) -> Result<(), PortError> {
        let data = &frame.data[..usize::from(frame.len.min(8))];
        let frame = StandardId::new(frame.id).and_then(|id| socketcan::CanDataFrame::new(id, data));
        let frame = frame.ok_or(PortError::System {
            errno: libc::EINVAL,
        })?;
        self.socket
            .write_frame(&frame)
            .map_err(|error| port_error(&error))
    }

    fn receive(&mut self, until: Instant) -> Result<Option<CanFrame>, PortError> {
        loop {
            match self.read() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(port_error(&error)),
            }
            let left = until
                .checked_duration_since(LinuxMono::now())
                .map_or(0, |left| left.as_ticks());
            if left == 0 {
                return Ok(None);
            }
            let timeout = Timespec {
                tv_sec: (left / NS_PER_S) as i64,
                tv_nsec: (left % NS_PER_S) as _,
            };
            let mut wanted = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut wanted, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(PortError::System {
                        errno: errno.raw_os_error(),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
impl SocketCan {
    /// Two ports that hear each other, over a pair of Unix sockets: they carry the kernel's frames as they are.
    pub(super) fn pair() -> (Self, Self) {
        let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let port = |socket| Self::on(CanSocket::from(std::os::fd::OwnedFd::from(socket))).unwrap();
        (port(one), port(other))
    }

    /// Another port on the same socket.
    pub(super) fn share(&self) -> Self {
        use std::os::fd::AsFd;
        let socket = self.socket.as_fd().try_clone_to_owned().unwrap();
        Self::on(CanSocket::from(socket)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;
    use visuomotor_runtime::clock::Duration;

    #[test]
    fn frames_cross_as_they_are() {
        let (mut one, mut other) = SocketCan::pair();
        for len in 0..=8 {
            let mut frame = CanFrame {
                id: 0x123,
                data: [0; 8],
                len,
            };
            frame.data[..usize::from(len)].fill(0xA5);
            one.send(&frame).unwrap();
            let until = other.now() + Duration::from_micros(1_000_000);
            assert_eq!(other.receive(until), Ok(Some(frame)));
        }
        let now = other.now();
        assert_eq!(other.receive(now), Ok(None));
        let until = other.now() + Duration::from_micros(2_000);
        assert_eq!(other.receive(until), Ok(None));
        assert!(other.now() >= until, "it waits until then");
    }

    #[test]
    fn error_frames_are_counted_and_a_controller_that_left_the_bus_is_gone() {
        let (mut one, other) = SocketCan::pair();
        let raw = UnixDatagram::from(other.socket.as_fd().try_clone_to_owned().unwrap());
        let kernel = |id: u32| {
            let mut bytes = [0_u8; 16];
            bytes[..4].copy_from_slice(&id.to_ne_bytes());
            bytes[4] = 8;
            bytes
        };
        let bits = |bit: u32| libc::CAN_ERR_FLAG | bit;
        for id in [
            bits(libc::CAN_ERR_CRTL),
            0x123 | libc::CAN_EFF_FLAG,
            bits(libc::CAN_ERR_BUSOFF),
            bits(libc::CAN_ERR_RESTARTED),
            0x124,
        ] {
            raw.send(&kernel(id)).unwrap();
        }
        let now = one.now();
        assert_eq!(one.receive(now), Err(PortError::Gone));
        assert_eq!(one.receive(now).unwrap().map(|frame| frame.id), Some(0x124));
        let expected = BusErrors {
            bus_off: 1,
            restarted: 1,
            controller: 1,
            foreign: 1,
        };
        assert_eq!(one.errors(), expected);
    }

    #[test]
    fn an_interface_that_cannot_serve_is_refused_with_a_remedy() {
        let refusal = |interface: &str| {
            SocketCan::open(interface, &[1])
                .err()
                .expect("must be refused")
                .to_string()
        };
        let nothing = refusal("nocan7");
        assert!(
            nothing.contains("there is no such interface") && nothing.contains("ip link"),
            "{nothing}"
        );
        let nothing = refusal("vcan77");
        assert!(
            nothing.contains("sudo ip link add dev vcan77 type vcan && sudo ip link set vcan77 up"),
            "{nothing}"
        );
        // The loopback is up, and no CAN.
        let other = refusal("lo");
        assert!(other.contains("lo: "), "{other}");
    }
}
