//! What a camera says of itself, without starting it: for `doctor`, and for errors that list what there is.

use super::error::OpenError;
use super::ioctl::{self, Node, Plain};
use super::kernel::CAPTURE;
use super::modes::{FourCc, Mode, Size};
use moq_v4l::sys;
use std::io;
use std::path::Path;

#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The device's name.
    pub card: String,
    /// Where it is plugged in, as `usb-0000:00:14.0-2`.
    pub bus: String,
    pub driver: String,
    /// Whether it can be used: it captures, single-planar, into mapped memory.
    pub streams: bool,
    pub modes: Vec<Mode>,
}

/// Asks the device; does not disturb whoever uses it.
pub fn probe(path: &Path) -> Result<Probe, OpenError> {
    let node = Node::open(path).map_err(|source| OpenError::Open {
        device: path.to_owned(),
        source,
    })?;
    let failed = |source| OpenError::Device {
        device: path.to_owned(),
        doing: "asking what it is",
        source,
    };
    let mut probe = identity(&node).map_err(failed)?;
    if probe.streams {
        probe.modes = modes(&node).map_err(failed)?;
    }
    Ok(probe)
}

/// Without modes.
pub(super) fn identity(node: &Node) -> io::Result<Probe> {
    let mut capability = sys::v4l2_capability::zeroed();
    node.call(ioctl::QUERYCAP, &mut capability)?;
    // Of this node, where the driver tells it apart from the whole device.
    let of_node = match capability.capabilities & sys::V4L2_CAP_DEVICE_CAPS {
        0 => capability.capabilities,
        _ => capability.device_caps,
    };
    let needed = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_STREAMING;
    Ok(Probe {
        card: text(&capability.card),
        bus: text(&capability.bus_info),
        driver: text(&capability.driver),
        streams: of_node & needed == needed,
        modes: Vec::new(),
    })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// No list is longer: a driver that never ends must not keep us.
const ENTRIES_MAX: u32 = 256;

const ANY_SIZE: Size = Size::Between {
    min: [1, 1],
    max: [8192, 8192],
    step: [1, 1],
};

/// Whether there is an entry of this index: lists end with EINVAL, and are not there with ENOTTY.
fn entry<T: Plain>(node: &Node, request: ioctl::Request<T>, asked: &mut T) -> io::Result<bool> {
    match node.call(request, asked) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOTTY) => Ok(false),
            _ => Err(error),
        },
    }
}

pub(super) fn modes(node: &Node) -> io::Result<Vec<Mode>> {
    let mut modes = Vec::new();
    for index in 0..ENTRIES_MAX {
        let mut format = sys::v4l2_fmtdesc::zeroed();
        (format.index, format.type_) = (index, CAPTURE);
        if !entry(node, ioctl::ENUM_FMT, &mut format)? {
            break;
        }
        for index in 0..ENTRIES_MAX {
            let mut size = sys::v4l2_frmsizeenum::zeroed();
            (size.index, size.pixel_format) = (index, format.pixelformat);
            if !entry(node, ioctl::ENUM_FRAMESIZES, &mut size)? {
                // Without a list any size may be asked for: the driver's answer is compared.
                modes.extend((index == 0).then_some(Mode {
                    format: FourCc(format.pixelformat.to_le_bytes()),
                    size: ANY_SIZE,
                    rates_hz: Vec::new(),
                }));
                break;
            }
            let size = size_of_entry(&size);
            let largest = match size {
                Size::Exactly(size) => size,
                Size::Between { max, .. } => max,
            };
            modes.push(Mode {
                format: FourCc(format.pixelformat.to_le_bytes()),
                size,
                rates_hz: rates(node, format.pixelformat, largest)?,
            });
        }
    }
    Ok(modes)
}

fn size_of_entry(entry: &sys::v4l2_frmsizeenum) -> Size {
    match entry.type_ {
        sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE => {
            // SAFETY: the kind says which part of the union the driver wrote; any bits are a value of it.
            let size = unsafe { entry.__bindgen_anon_1.discrete };
            Size::Exactly([size.width, size.height])
        }
        _ => {
            // SAFETY: as above.
            let range = unsafe { entry.__bindgen_anon_1.stepwise };
            Size::Between {
                min: [range.min_width, range.min_height],
                max: [range.max_width, range.max_height],
                step: [range.step_width, range.step_height],
            }
        }
    }
}

/// Of a range of rates nothing is told, for any may be asked for.
fn rates(node: &Node, pixel_format: u32, [width, height]: [u32; 2]) -> io::Result<Vec<f64>> {
    let mut rates_hz = Vec::new();
    for index in 0..ENTRIES_MAX {
        let mut interval = sys::v4l2_frmivalenum::zeroed();
        (interval.index, interval.pixel_format) = (index, pixel_format);
        (interval.width, interval.height) = (width, height);
        let there = entry(node, ioctl::ENUM_FRAMEINTERVALS, &mut interval)?;
        if !there || interval.type_ != sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            break;
        }
        // SAFETY: the kind says which part of the union the driver wrote; any bits are a value of it.
        let interval = unsafe { interval.__bindgen_anon_1.discrete };
        if interval.numerator > 0 {
            rates_hz.push(f64::from(interval.denominator) / f64::from(interval.numerator));
        }
    }
    Ok(rates_hz)
}
