//! Cameras: the kernel's own test driver (vivid) and the loopback device.
//!
//! [`Vivid`] injects its faults, for the tests of the product's camera driver.

use crate::case::{Case, Device, EVERY, Mode, Outcome};
use moq_v4l::buffer::Type;
use moq_v4l::context::enum_devices;
use moq_v4l::control::{Control, Value};
use moq_v4l::format::{Format, FourCC};
use moq_v4l::io::mmap::Stream;
use moq_v4l::io::traits::CaptureStream;
use moq_v4l::video::{Capture, Output, capture};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

pub const CASES: &[Case] = &[
    Case {
        name: "vivid_streams",
        mode: Mode::Icount,
        kernels: EVERY,
        devices: &[Device::Vivid],
        run: vivid_streams,
        ..Case::DEFAULT
    },
    Case {
        name: "vivid_drops_on_demand",
        mode: Mode::Icount,
        devices: &[Device::Vivid],
        run: vivid_drops,
        ..Case::DEFAULT
    },
    Case {
        name: "vivid_disconnects_on_demand",
        mode: Mode::Icount,
        devices: &[Device::Vivid],
        run: vivid_disconnects,
        ..Case::DEFAULT
    },
    Case {
        name: "loopback_passes_mjpeg",
        kernels: EVERY,
        devices: &[Device::Loopback],
        run: loopback_passes_mjpeg,
        ..Case::DEFAULT
    },
];

const PERIOD_S: f64 = 1.0 / 25.0;

/// The test camera, at 640 x 480 and 25 frames a second, with capture stamps at the beginning of a frame (at its end, as
/// is the default, they lie in the future).
pub struct Vivid(moq_v4l::Device);

impl Vivid {
    pub fn path() -> PathBuf {
        node("vivid")
    }

    pub fn open() -> Self {
        let device = moq_v4l::Device::with_path(Self::path()).expect("vivid");
        let format = Format::new(640, 480, FourCC::new(b"YUYV"));
        let format = Capture::set_format(&device, &format).expect("format");
        assert_eq!((format.width, format.height), (640, 480));
        let rate = capture::Parameters::with_fps(25);
        Capture::set_params(&device, &rate).expect("rate");
        let vivid = Self(device);
        vivid.set("Timestamp Source", Value::Integer(1));
        vivid
    }

    /// A second handle, beside whoever streams: only for [`Vivid::set`].
    pub fn beside() -> Self {
        Self(moq_v4l::Device::with_path(Self::path()).expect("vivid"))
    }

    /// Sets a control by the name that `v4l2-ctl --list-ctrls` shows; a button takes `Value::None`.
    pub fn set(&self, name: &str, value: Value) {
        let controls = self.0.query_controls().expect("controls");
        let Some(control) = controls.iter().find(|control| control.name == name) else {
            let names: Vec<_> = controls.iter().map(|control| &control.name).collect();
            panic!("vivid has no control {name:?}, but {names:?}");
        };
        let id = control.id;
        let set = self.0.set_control(Control { id, value });
        set.unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    fn stream(&self) -> Stream<'_> {
        let mut stream = Stream::with_buffers(&self.0, Type::VideoCapture, 4).expect("buffers");
        stream.set_timeout(Duration::from_secs(10));
        stream
    }
}

/// `/dev/videoN` of the device whose name contains this.
pub fn node(name: &str) -> PathBuf {
    let nodes = enum_devices();
    let found = nodes
        .iter()
        .find(|node| node.name().is_some_and(|n| n.contains(name)));
    found
        .unwrap_or_else(|| panic!("no camera is named {name}"))
        .path()
        .to_owned()
}

fn vivid_streams() -> Outcome {
    let vivid = Vivid::open();
    let mut stream = vivid.stream();
    let mut stamps_s = Vec::new();
    for sequence in 0..50 {
        let (frame, about) = stream.next().expect("frame");
        assert_eq!(frame.len(), 640 * 480 * 2);
        assert_eq!(about.sequence, sequence);
        stamps_s.push(about.timestamp.sec as f64 + about.timestamp.usec as f64 * 1e-6);
    }
    // Its thread keeps the pace on average, and each frame within a few of the kernel's 4 ms ticks.
    let mean_s = (stamps_s[49] - stamps_s[0]) / 49.0;
    assert!(
        (mean_s / PERIOD_S - 1.0).abs() < 0.02,
        "a frame every {mean_s} s"
    );
    let periods = stamps_s.windows(2).map(|pair| pair[1] - pair[0]);
    let worst_s = periods.map(|p| (p - PERIOD_S).abs()).fold(0.0, f64::max);
    Outcome::Passed(
        json!({"frames": 50, "period_ms": mean_s * 1e3, "period_off_ms_max": worst_s * 1e3}),
    )
}

fn vivid_drops() -> Outcome {
    let vivid = Vivid::open();
    vivid.set("Percentage of Dropped Buffers", Value::Integer(50));
    let mut stream = vivid.stream();
    let last = (0..50)
        .map(|_| stream.next().expect("frame").1.sequence)
        .last();
    vivid.set("Percentage of Dropped Buffers", Value::Integer(0));
    let dropped = last.expect("frames") - 49;
    assert!((20..120).contains(&dropped), "{dropped} dropped beside 50");
    Outcome::Passed(json!({"frames": 50, "dropped": dropped}))
}

fn vivid_disconnects() -> Outcome {
    const ENODEV: i32 = 19;
    for round in 0..3 {
        let vivid = Vivid::open();
        let mut stream = vivid.stream();
        stream.next().expect("frame");
        vivid.set("Disconnect", Value::None);
        let error = (0..8).find_map(|_| stream.next().err());
        let code = error.expect("no error").raw_os_error();
        assert_eq!(code, Some(ENODEV), "round {round}");
    }
    Outcome::Passed(json!({"disconnects": 3}))
}

fn loopback_passes_mjpeg() -> Outcome {
    let path = node("loopback");
    let mut writer = moq_v4l::Device::with_path(&path).expect("writer");
    let format = Format::new(640, 480, FourCC::new(b"MJPG"));
    Output::set_format(&writer, &format).expect("output format");
    let pictures = [picture(1, 20_000), picture(2, 31_111)];
    // The first picture makes it a camera.
    writer.write_all(&pictures[0]).expect("write");

    let camera = moq_v4l::Device::with_path(&path).expect("camera");
    let format = Capture::format(&camera).expect("capture format");
    assert_eq!(format.fourcc, FourCC::new(b"MJPG"));
    let mut stream = Stream::with_buffers(&camera, Type::VideoCapture, 2).expect("buffers");
    stream.set_timeout(Duration::from_secs(10));
    let mut whole = 0;
    for round in 0..20 {
        writer.write_all(&pictures[round % 2]).expect("write");
        let (bytes, about) = stream.next().expect("frame");
        let bytes = &bytes[..about.bytesused as usize];
        // What was written before its reader asked for buffers comes once more, with the length of a whole buffer.
        let is_whole = pictures.iter().any(|picture| picture == bytes);
        assert!(
            is_whole || round < 2,
            "round {round}: {} bytes",
            bytes.len()
        );
        whole += u32::from(is_whole);
    }
    Outcome::Passed(json!({"pictures": whole}))
}

/// Bytes between the marks of a JPEG's beginning and end; the device looks at neither.
fn picture(fill: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![fill; length];
    bytes[..2].copy_from_slice(&[0xff, 0xd8]);
    bytes[length - 2..].copy_from_slice(&[0xff, 0xd9]);
    bytes
}
