//! A device of the kernel that streams into mapped buffers.
//!
//! Responsible for the order of the kernel's requests. Not responsible for when to reopen ([`super::camera`]).

use super::config::V4lConfig;
use super::controls::{self, Controls, Range};
use super::device::{Device, DeviceError, Facts, Finished, StampSource};
use super::error::{OpenError, Warning};
use super::ioctl::{self, Mapping, Node, Plain};
use super::modes::{self, FourCc, Mode};
use super::probe;
use crate::picture::{Colour, PixelFormat, Source};
use moq_v4l::sys;
use std::io;
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};

/// Single-planar capture: what USB cameras have.
pub(super) const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;
const MMAP: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;
/// One that is looked at, one that is filled, and two for a thread that comes late.
const BUFFERS: u32 = 4;

/// Streams from the moment it is made until it is dropped.
pub struct KernelDevice {
    // Dropped in this order: the mappings before the node.
    buffers: Vec<Buffer>,
    node: Node,
    facts: Facts,
}

struct Buffer {
    mapping: Mapping,
    /// Bytes that the driver wrote; `None` while it has the buffer.
    written: Option<usize>,
}

impl KernelDevice {
    /// Opens, sets and starts the device.
    pub fn open(config: &V4lConfig) -> Result<(Self, Vec<Warning>), OpenError> {
        let device = &config.device;
        let mut node = Node::open(device).map_err(|source| OpenError::Open {
            device: device.clone(),
            source,
        })?;
        let failed = |doing| {
            let device = device.clone();
            move |source| OpenError::Device {
                device,
                doing,
                source,
            }
        };
        let identity = probe::identity(&node).map_err(failed("asking what it is"))?;
        if !identity.streams {
            let (device, card) = (device.clone(), identity.card);
            return Err(OpenError::NoCamera { device, card });
        }
        let modes = probe::modes(&node).map_err(failed("asking for its modes"))?;
        let [width, height] = config.size_px;
        let wanted = |format: &str| {
            let rate_hz = config.rate_hz;
            format!("format = \"{format}\", size_px = [{width}, {height}], rate_hz = {rate_hz}")
        };
        let asked = config.format.as_deref();
        let Some(format) = modes::choose(&modes, asked, config.size_px, config.rate_hz) else {
            return Err(OpenError::NoMode {
                device: device.clone(),
                card: identity.card,
                wanted: wanted(asked.unwrap_or("any")),
                modes,
            });
        };
        let source =
            set_format(&node, format, config.size_px).map_err(failed("setting its format"))?;
        let source = source.ok_or_else(|| OpenError::OtherMode {
            device: device.clone(),
            wanted: wanted(&format.to_string()),
            got: "another size or format".into(),
        })?;
        let mut fixed = controls::apply(&mut node, config);
        let period = set_rate(&node, config, &modes, &mut fixed.warnings)
            .map_err(failed("setting its rate"))?;
        let exposure = fixed.exposure_us.map(|us| Duration::from_micros(us.into()));
        let (buffers, stamps) = map_buffers(&node).map_err(failed("mapping its buffers"))?;
        let facts = Facts {
            source,
            period,
            exposure,
            stamps,
            streaming_since: LinuxMono::now(),
            buffers: buffers.len() as u32,
        };
        let kernel = Self {
            buffers,
            node,
            facts,
        };
        let mut kind = CAPTURE as i32;
        kernel
            .node
            .call(ioctl::STREAMON, &mut kind)
            .map_err(failed("starting its stream"))?;
        Ok((kernel, fixed.warnings))
    }

    fn lend(&mut self, index: u32) -> io::Result<()> {
        queue(&self.node, index)?;
        if let Some(buffer) = self.buffers.get_mut(index as usize) {
            buffer.written = None;
        }
        Ok(())
    }
}

impl Drop for KernelDevice {
    fn drop(&mut self) {
        let mut kind = CAPTURE as i32;
        // Fails where the device is gone: then there is nothing to stop.
        let _ = self.node.call(ioctl::STREAMOFF, &mut kind);
    }
}

/// `None` where the driver insists on something else.
fn set_format(node: &Node, format: FourCc, size_px: [u32; 2]) -> io::Result<Option<Source>> {
    let mut asked = sys::v4l2_format::zeroed();
    asked.type_ = CAPTURE;
    // SAFETY: all bits zero are a value of every part of the union.
    let pixels = unsafe { &mut asked.fmt.pix };
    [pixels.width, pixels.height] = size_px;
    pixels.pixelformat = u32::from_le_bytes(format.0);
    pixels.field = sys::v4l2_field_V4L2_FIELD_NONE;
    node.call(ioctl::S_FMT, &mut asked)?;
    // SAFETY: the driver answers a request for CAPTURE with this part of the union, and any bits are a value of it.
    let pixels = unsafe { asked.fmt.pix };
    let got = FourCc(pixels.pixelformat.to_le_bytes());
    let pixel_format = format.pixels();
    let (true, Some(pixel_format)) = (
        got == format && [pixels.width, pixels.height] == size_px,
        pixel_format,
    ) else {
        return Ok(None);
    };
    let bytes_per_line = match pixel_format {
        PixelFormat::Mjpeg => 0,
        _ => pixels.bytesperline,
    };
    Ok(Some(Source {
        format: pixel_format,
        size_px,
        bytes_per_line,
        colour: colour(&pixels),
    }))
}

/// The kernel's rules for what a driver leaves open (V4L2_MAP_YCBCR_ENC_DEFAULT, V4L2_MAP_QUANTIZATION_DEFAULT).
fn colour(pixels: &sys::v4l2_pix_format) -> Colour {
    // SAFETY: both parts of the union are the same number.
    let encoding = unsafe { pixels.__bindgen_anon_1.ycbcr_enc };
    let bt709 = match encoding {
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709
        | sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_XV709 => true,
        sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_DEFAULT => {
            pixels.colorspace == sys::v4l2_colorspace_V4L2_COLORSPACE_REC709
        }
        _ => false,
    };
    let full_range = match pixels.quantization {
        sys::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE => true,
        sys::v4l2_quantization_V4L2_QUANTIZATION_LIM_RANGE => false,
        _ => pixels.colorspace == sys::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
    };
    Colour { bt709, full_range }
}

/// The time between frames that the driver took; what the modes say where it does not tell.
fn set_rate(
    node: &Node,
    config: &V4lConfig,
    modes: &[Mode],
    warnings: &mut Vec<Warning>,
) -> io::Result<Duration> {
    let mut asked = sys::v4l2_streamparm::zeroed();
    asked.type_ = CAPTURE;
    // The interval as the camera itself says it, else with a thousandth of a frame.
    let known = modes.iter().filter(|mode| mode.size.holds(config.size_px));
    let rates = known.flat_map(|mode| mode.rates_hz.iter().copied());
    let off = |rate: &f64| (rate - config.rate_hz).abs();
    let nearest = rates.min_by(|a, b| off(a).total_cmp(&off(b)));
    let rate_hz = nearest.unwrap_or(config.rate_hz);
    let interval = sys::v4l2_fract {
        numerator: 1_000,
        denominator: (rate_hz * 1_000.0).round() as u32,
    };
    asked.parm.capture.timeperframe = interval;
    match node.call(ioctl::S_PARM, &mut asked) {
        // Its rate cannot be set.
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => return Ok(config.period()),
        other => other?,
    }
    // SAFETY: as for `set_format`.
    let got = unsafe { asked.parm.capture.timeperframe };
    if got.numerator == 0 || got.denominator == 0 {
        return Ok(config.period());
    }
    let got_hz = f64::from(got.denominator) / f64::from(got.numerator);
    if (got_hz - config.rate_hz).abs() > 0.02 * config.rate_hz {
        warnings.push(Warning::Rate {
            wanted: config.rate_hz.to_string(),
            got: got_hz.to_string(),
        });
    }
    Ok(Duration::from_ticks((1e9 / got_hz) as u64))
}

/// All buffers, given to the driver, and what their stamps claim to be of.
fn map_buffers(node: &Node) -> io::Result<(Vec<Buffer>, StampSource)> {
    let mut request = sys::v4l2_requestbuffers::zeroed();
    (request.count, request.type_, request.memory) = (BUFFERS, CAPTURE, MMAP);
    node.call(ioctl::REQBUFS, &mut request)?;
    let mut stamps = StampSource::EndOfFrame;
    let mut buffers = Vec::new();
    for index in 0..request.count {
        let mut buffer = described(index);
        node.call(ioctl::QUERYBUF, &mut buffer)?;
        if buffer.flags & sys::V4L2_BUF_FLAG_TSTAMP_SRC_MASK == sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE {
            stamps = StampSource::StartOfExposure;
        }
        // SAFETY: the driver answers for a buffer of kind MMAP with this part of the union.
        let offset = unsafe { buffer.m.offset };
        let mapping = node.map(offset, buffer.length as usize)?;
        queue(node, index)?;
        buffers.push(Buffer {
            mapping,
            written: None,
        });
    }
    match buffers.len() {
        0 => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        _ => Ok((buffers, stamps)),
    }
}

fn described(index: u32) -> sys::v4l2_buffer {
    let mut buffer = sys::v4l2_buffer::zeroed();
    (buffer.index, buffer.type_, buffer.memory) = (index, CAPTURE, MMAP);
    buffer
}

fn queue(node: &Node, index: u32) -> io::Result<()> {
    node.call(ioctl::QBUF, &mut described(index))
}

/// `None` where there is nothing yet.
fn judged(error: &io::Error) -> Option<DeviceError> {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => None,
        Some(libc::ENODEV | libc::ENXIO | libc::EBADF) => Some(DeviceError::Gone),
        _ => Some(DeviceError::Failed),
    }
}

/// The stamp, where it may be of CLOCK_MONOTONIC. A driver that says nothing of its clock, as v4l2loopback, has that one or
/// the wall clock's, which lies decades ahead and is refused as a stamp from the future.
fn stamp(buffer: &sys::v4l2_buffer) -> Option<Instant> {
    let kind = buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK;
    let may_be = [
        sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
        sys::V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN,
    ];
    if !may_be.contains(&kind) {
        return None;
    }
    let (s, us) = (buffer.timestamp.tv_sec, buffer.timestamp.tv_usec);
    let (s, us) = (u64::try_from(s).ok()?, u64::try_from(us).ok()?);
    let ns = s
        .checked_mul(1_000_000_000)?
        .checked_add(us.checked_mul(1_000)?)?;
    (ns > 0).then_some(Instant::from_ticks(ns))
}

impl Device for KernelDevice {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn wait(&mut self, until: Instant) -> Result<bool, DeviceError> {
        let waited = self.node.wait(until);
        waited.map_err(|error| judged(&error).unwrap_or(DeviceError::Failed))
    }

    fn dequeue(&mut self) -> Result<Option<Finished>, DeviceError> {
        let mut buffer = described(0);
        if let Err(error) = self.node.call(ioctl::DQBUF, &mut buffer) {
            return judged(&error).map_or(Ok(None), Err);
        }
        let known = self.buffers.get_mut(buffer.index as usize);
        known.ok_or(DeviceError::Failed)?.written = Some(buffer.bytesused as usize);
        Ok(Some(Finished {
            index: buffer.index,
            is_damaged: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
            sequence: buffer.sequence,
            stamp: stamp(&buffer),
        }))
    }

    fn bytes(&self, index: u32) -> &[u8] {
        let buffer = self.buffers.get(index as usize);
        let written = buffer.and_then(|buffer| Some((&buffer.mapping, buffer.written?)));
        written.map_or(&[], |(mapping, length)| mapping.bytes(length))
    }

    fn requeue(&mut self, index: u32) -> Result<(), DeviceError> {
        let lent = self.lend(index);
        lent.map_err(|error| judged(&error).unwrap_or(DeviceError::Failed))
    }
}

impl Controls for Node {
    fn range(&self, id: u32) -> Option<Range> {
        let mut asked = sys::v4l2_queryctrl::zeroed();
        asked.id = id;
        self.call(ioctl::QUERYCTRL, &mut asked).ok()?;
        let usable = asked.flags & sys::V4L2_CTRL_FLAG_DISABLED == 0;
        usable.then_some(Range {
            min: asked.minimum,
            max: asked.maximum,
        })
    }

    fn get(&self, id: u32) -> io::Result<i32> {
        let mut control = sys::v4l2_control { id, value: 0 };
        self.call(ioctl::G_CTRL, &mut control)?;
        Ok(control.value)
    }

    fn set(&mut self, id: u32, value: i32) -> io::Result<()> {
        let mut control = sys::v4l2_control { id, value };
        self.call(ioctl::S_CTRL, &mut control)
    }
}
