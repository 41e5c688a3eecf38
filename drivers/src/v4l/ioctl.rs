//! The kernel's requests (ioctl) as functions of typed structures, and mapped memory: all that is unsafe about a camera.
//!
//! Source of every request: the kernel's userspace API documentation, "Part I - Video for Linux API". Not responsible for
//! the order in which they are made ([`super::kernel`]).

use moq_v4l::sys::{
    v4l2_buffer, v4l2_capability, v4l2_control, v4l2_fmtdesc, v4l2_format, v4l2_frmivalenum,
    v4l2_frmsizeenum, v4l2_queryctrl, v4l2_requestbuffers, v4l2_streamparm,
};
use moq_v4l::v4l2::{self, vidioc};
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use visuomotor_runtime::clock::{Instant, LinuxMono};

/// A request whose argument is a `T`.
pub struct Request<T>(Number, PhantomData<fn(T)>);

#[cfg(not(target_env = "musl"))]
type Number = std::ffi::c_ulong;
#[cfg(target_env = "musl")]
type Number = std::ffi::c_int;

impl<T: Plain> Request<T> {
    /// The kernel encodes its structure's size in the number: another structure does not compile.
    const fn new(number: Number) -> Self {
        assert!((number >> 16) as usize & 0x3fff == size_of::<T>());
        Self(number, PhantomData)
    }
}

pub const QUERYCAP: Request<v4l2_capability> = Request::new(vidioc::VIDIOC_QUERYCAP);
pub const ENUM_FMT: Request<v4l2_fmtdesc> = Request::new(vidioc::VIDIOC_ENUM_FMT);
pub const ENUM_FRAMESIZES: Request<v4l2_frmsizeenum> = Request::new(vidioc::VIDIOC_ENUM_FRAMESIZES);
pub const ENUM_FRAMEINTERVALS: Request<v4l2_frmivalenum> =
    Request::new(vidioc::VIDIOC_ENUM_FRAMEINTERVALS);
pub const S_FMT: Request<v4l2_format> = Request::new(vidioc::VIDIOC_S_FMT);
pub const S_PARM: Request<v4l2_streamparm> = Request::new(vidioc::VIDIOC_S_PARM);
pub const QUERYCTRL: Request<v4l2_queryctrl> = Request::new(vidioc::VIDIOC_QUERYCTRL);
pub const G_CTRL: Request<v4l2_control> = Request::new(vidioc::VIDIOC_G_CTRL);
pub const S_CTRL: Request<v4l2_control> = Request::new(vidioc::VIDIOC_S_CTRL);
pub const REQBUFS: Request<v4l2_requestbuffers> = Request::new(vidioc::VIDIOC_REQBUFS);
pub const QUERYBUF: Request<v4l2_buffer> = Request::new(vidioc::VIDIOC_QUERYBUF);
pub const QBUF: Request<v4l2_buffer> = Request::new(vidioc::VIDIOC_QBUF);
pub const DQBUF: Request<v4l2_buffer> = Request::new(vidioc::VIDIOC_DQBUF);
pub const STREAMON: Request<i32> = Request::new(vidioc::VIDIOC_STREAMON);
pub const STREAMOFF: Request<i32> = Request::new(vidioc::VIDIOC_STREAMOFF);

/// # Safety
/// All bits zero must be a value. No request of this module may follow a pointer in it.
pub unsafe trait Plain: Sized {
    fn zeroed() -> Self {
        // SAFETY: the implementer's promise.
        unsafe { std::mem::zeroed() }
    }
}

macro_rules! plain {
    ($($structure:ty),*) => {$(
        // SAFETY: a C structure of numbers, arrays of numbers, and unions of such; a pointer stands only in unions' parts
        // that the requests of this module do not read (user memory, planes, overlay windows).
        unsafe impl Plain for $structure {}
    )*};
}

plain!(
    v4l2_buffer,
    v4l2_capability,
    v4l2_control,
    v4l2_fmtdesc,
    v4l2_format,
    v4l2_frmivalenum,
    v4l2_frmsizeenum,
    v4l2_queryctrl,
    v4l2_requestbuffers,
    v4l2_streamparm,
    i32
);

/// An open device node.
pub struct Node(File);

impl Node {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK);
        Ok(Self(options.open(path)?))
    }

    pub fn call<T: Plain>(&self, request: Request<T>, argument: &mut T) -> io::Result<()> {
        loop {
            // SAFETY: the request takes a structure of just this type (`Request::new`), which outlives the call and through
            // which the kernel reaches no other memory (`Plain`).
            let called =
                unsafe { v4l2::ioctl(self.0.as_raw_fd(), request.0, (&raw mut *argument).cast()) };
            match called {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Waits until the device is readable, has failed, or `until`; false where only the time has come.
    pub fn wait(&self, until: Instant) -> io::Result<bool> {
        loop {
            let left = until.checked_duration_since(LinuxMono::now());
            let left_ns = left.map_or(0, |left| left.as_nanos());
            let mut poll = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            let timeout = libc::timespec {
                tv_sec: (left_ns / 1_000_000_000) as libc::time_t,
                tv_nsec: (left_ns % 1_000_000_000) as _,
            };
            // SAFETY: one pollfd and one timespec, both of which outlive the call; no signal mask.
            let ready = unsafe { libc::ppoll(&mut poll, 1, &timeout, std::ptr::null()) };
            match ready {
                -1 => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
                ready => return Ok(ready > 0),
            }
        }
    }

    /// The buffer of the driver that lies at this offset.
    pub fn map(&self, offset: u32, length: usize) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            v4l2::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                self.0.as_raw_fd(),
                offset as libc::off_t,
            )
        }?;
        Ok(Mapping {
            start: start.cast(),
            length,
        })
    }
}

/// Memory that the driver writes while it has the buffer.
pub struct Mapping {
    start: *const u8,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and nothing else has its address.
unsafe impl Send for Mapping {}

impl Mapping {
    /// The first bytes; only while the driver does not have the buffer.
    pub fn bytes(&self, length: usize) -> &[u8] {
        let length = length.min(self.length);
        // SAFETY: mapped and readable for as long as `self` lives. The driver writes to it only between QBUF and DQBUF,
        // when `KernelDevice` calls nothing of this.
        unsafe { std::slice::from_raw_parts(self.start, length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `Node::map` with this length, and no slice of it outlives `self`. It cannot fail for such a
        // range.
        let _ = unsafe { v4l2::munmap(self.start.cast_mut().cast(), self.length) };
    }
}
