//! The product's camera driver on the kernel's own cameras.
//!
//! Stamps and latencies are the guest's: with a clock that counts instructions they do not depend on the host.

use crate::case::{Case, Device, EVERY, Kernel, Mode, Outcome};
use crate::v4l::{Vivid, node};
use jpeg_encoder::{ColorType, Encoder};
use moq_v4l::control::Value;
use moq_v4l::format::{Format, FourCC};
use moq_v4l::video::Output;
use serde_json::json;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use visuomotor_drivers::v4l::{V4lCamera, V4lConfig};
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::realtime::{Preference, Process, Thread, ThreadPlan};

pub const CASES: &[Case] = &[
    Case {
        name: "camera_hands_over_on_time",
        mode: Mode::Icount,
        kernels: EVERY,
        devices: &[Device::Vivid],
        limit_s: 300,
        run: hands_over_on_time,
        ..Case::DEFAULT
    },
    Case {
        name: "camera_counts_every_drop",
        mode: Mode::Icount,
        devices: &[Device::Vivid],
        limit_s: 300,
        run: counts_every_drop,
        ..Case::DEFAULT
    },
    Case {
        name: "camera_survives_errors",
        mode: Mode::Icount,
        devices: &[Device::Vivid],
        limit_s: 300,
        run: survives_errors,
        ..Case::DEFAULT
    },
    Case {
        name: "camera_survives_100_disconnects",
        mode: Mode::Icount,
        kernels: &[Kernel::Realtime],
        devices: &[Device::Vivid],
        limit_s: 600,
        run: survives_disconnects,
        ..Case::DEFAULT
    },
    Case {
        name: "camera_reads_mjpeg",
        devices: &[Device::Loopback],
        run: reads_mjpeg,
        ..Case::DEFAULT
    },
];

const SIZE_PX: [u32; 2] = [640, 480];
const RATE_HZ: u32 = 25;

/// In colours that need no conversion: an instruction takes 4 ns here, and a conversion would hide the rest.
fn vivid() -> V4lCamera {
    // Sets the source of the stamps, which stays.
    drop(Vivid::open());
    let mut config = V4lConfig::new(Vivid::path(), SIZE_PX, RATE_HZ.into());
    config.format = Some("RGB3".to_owned());
    // Many drops in a row are no stall.
    config.timeout_ms = Some(1000);
    V4lCamera::open(&config).expect("camera").camera
}

/// The next frame, within a few time-outs; with it, what went wrong on the way.
fn next(camera: &mut V4lCamera, frame: &mut Frame) -> Vec<CameraError> {
    let mut errors = Vec::new();
    while let Err(error) = camera.capture(LinuxMono::now(), frame) {
        errors.push(error);
        assert!(errors.len() < 20, "no frame any more: {errors:?}");
    }
    errors
}

/// As in the product: locked memory, a thread at the camera's priority.
fn on_the_camera_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let plan = ThreadPlan::camera();
    let _process = Process::prepare(Preference::Required, &plan).expect("process");
    let worked = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            Thread::enter(Preference::Required, plan).expect("thread");
            work()
        });
        thread.join()
    });
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn ms(from: Instant, to: Instant) -> f64 {
    to.checked_duration_since(from)
        .expect("in order")
        .as_nanos() as f64
        * 1e-6
}

/// Sorted; the value that this part of all does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

fn hands_over_on_time() -> Outcome {
    const FRAMES: usize = 200;
    let mut camera = vivid();
    let (mut driver_ms, mut hand_off_ms) = on_the_camera_thread(move || {
        let mut frame = Frame::default();
        let (mut driver_ms, mut hand_off_ms) = (Vec::new(), Vec::new());
        for _ in 0..FRAMES {
            assert_eq!(next(&mut camera, &mut frame), []);
            let timing = camera.timing().expect("timing");
            let stamp = timing.stamp.expect("a stamp that can be believed");
            driver_ms.push(ms(stamp, timing.dequeued_at));
            hand_off_ms.push(ms(stamp, LinuxMono::now()));
            assert!(frame.captured_at <= stamp, "an age was under-estimated");
        }
        let counters = camera.counters();
        assert_eq!(counters.frames, FRAMES as u64);
        assert_eq!(counters.restamped + counters.stalls + counters.reopened, 0);
        (driver_ms, hand_off_ms)
    });
    driver_ms.sort_by(f64::total_cmp);
    hand_off_ms.sort_by(f64::total_cmp);
    let (driver, hand_off) = (quantile(&driver_ms, 0.99), quantile(&hand_off_ms, 0.99));
    assert!(
        hand_off - driver < 1.0,
        "99 %: driver {driver} ms, hand-off {hand_off} ms"
    );
    Outcome::Passed(json!({
        "frames": FRAMES,
        "driver_ms_median": quantile(&driver_ms, 0.5),
        "driver_ms_p99": driver,
        "hand_off_ms_median": quantile(&hand_off_ms, 0.5),
        "hand_off_ms_p99": hand_off,
    }))
}

fn counts_every_drop() -> Outcome {
    const FRAMES: u32 = 200;
    let mut camera = vivid();
    let mut frame = Frame::default();
    assert_eq!(next(&mut camera, &mut frame), []);
    let (before, begun) = (camera.counters(), frame.captured_at);
    Vivid::beside().set("Percentage of Dropped Buffers", Value::Integer(30));
    for _ in 0..FRAMES {
        assert_eq!(next(&mut camera, &mut frame), []);
    }
    Vivid::beside().set("Percentage of Dropped Buffers", Value::Integer(0));
    let after = camera.counters();
    // How many there were says the time: the frames that came and those that did not.
    let periods = ms(begun, frame.captured_at) * 1e-3 * f64::from(RATE_HZ);
    let injected = periods.round() as u64 - u64::from(FRAMES);
    let counted = after.dropped_by_driver - before.dropped_by_driver;
    let skipped = after.skipped - before.skipped;
    assert!(injected > 40, "{injected} were injected");
    assert_eq!((counted, skipped), (injected, 0), "{after:?}");
    Outcome::Passed(json!({"frames": FRAMES, "injected": injected, "counted": counted}))
}

fn survives_errors() -> Outcome {
    const ROUNDS: u64 = 10;
    let mut camera = vivid();
    let mut frame = Frame::default();
    next(&mut camera, &mut frame);
    for _ in 0..ROUNDS {
        Vivid::beside().set("Inject V4L2_BUF_FLAG_ERROR", Value::None);
        for _ in 0..3 {
            assert_eq!(next(&mut camera, &mut frame), []);
        }
    }
    assert_eq!(camera.counters().error_frames, ROUNDS);
    for _ in 0..ROUNDS {
        Vivid::beside().set("Inject Fatal Streaming Error", Value::None);
        let mut errors = Vec::new();
        for _ in 0..3 {
            errors.extend(next(&mut camera, &mut frame));
        }
        assert!(errors.contains(&CameraError::NoFrame), "{errors:?}");
    }
    let counters = camera.counters();
    assert_eq!(
        (counters.failures, counters.reopened),
        (ROUNDS, ROUNDS),
        "{counters:?}"
    );
    Outcome::Passed(json!(counters))
}

fn survives_disconnects() -> Outcome {
    const ROUNDS: u64 = 100;
    let mut camera = vivid();
    let ended = AtomicBool::new(false);
    let ticks = AtomicU32::new(0);
    let (counters, missed) = std::thread::scope(|scope| {
        let control = scope.spawn(|| control_ticks(&ended, &ticks));
        let worked = on_the_camera_thread(|| {
            let mut frame = Frame::default();
            next(&mut camera, &mut frame);
            for round in 0..ROUNDS {
                Vivid::beside().set("Disconnect", Value::None);
                let mut errors = Vec::new();
                for _ in 0..3 {
                    errors.extend(next(&mut camera, &mut frame));
                }
                assert!(
                    errors.contains(&CameraError::Disconnected),
                    "{round}: {errors:?}"
                );
            }
            camera.counters()
        });
        ended.store(true, Ordering::Relaxed);
        (worked, control.join().expect("control"))
    });
    assert_eq!(
        (counters.disconnects, counters.reopened),
        (ROUNDS, ROUNDS),
        "{counters:?}"
    );
    let ticks = ticks.load(Ordering::Relaxed);
    assert!(ticks > 1000, "{ticks} ticks");
    assert_eq!(missed, 0, "of {ticks} ticks");
    Outcome::Passed(
        json!({"counters": counters, "control_ticks": ticks, "control_ticks_missed": missed}),
    )
}

/// A control thread's sleep at 1 kHz; how many ticks were over before it woke.
fn control_ticks(ended: &AtomicBool, ticks: &AtomicU32) -> u64 {
    let plan = ThreadPlan::control(None);
    Thread::enter(Preference::Required, plan).expect("thread");
    let period = Duration::from_millis(1);
    let mut due = LinuxMono::now() + period;
    let mut missed = 0;
    while !ended.load(Ordering::Relaxed) {
        while LinuxMono::now() < due {
            LinuxMono::sleep_until(due);
        }
        ticks.fetch_add(1, Ordering::Relaxed);
        due += period;
        while LinuxMono::now() >= due {
            due += period;
            missed += 1;
        }
    }
    missed
}

fn reads_mjpeg() -> Outcome {
    let path = node("loopback");
    let mut writer = moq_v4l::Device::with_path(&path).expect("writer");
    let format = Format::new(SIZE_PX[0], SIZE_PX[1], FourCC::new(b"MJPG"));
    Output::set_format(&writer, &format).expect("output format");
    writer.write_all(&grey(0)).expect("write");
    let mut config = V4lConfig::new(&path, SIZE_PX, 30.0);
    config.format = Some("MJPG".to_owned());
    config.timeout_ms = Some(1000);
    let mut camera = V4lCamera::open(&config).expect("camera").camera;
    let done = AtomicBool::new(false);
    let levels = std::thread::scope(|scope| {
        scope.spawn(|| keep_writing(&mut writer, &done));
        let levels = levels_seen(&mut camera);
        done.store(true, Ordering::Relaxed);
        levels
    });
    assert!(levels.is_sorted(), "{levels:?}");
    let counters = camera.counters();
    let wrong = [counters.corrupt, counters.failures, counters.disconnects];
    assert_eq!((wrong, counters.restamped), ([0; 3], 0));
    Outcome::Passed(json!({"levels": levels, "counters": counters}))
}

/// Pictures that become brighter and then stay; not for ever, in case nobody is left to end it.
fn keep_writing(writer: &mut moq_v4l::Device, done: &AtomicBool) {
    for step in 1..600 {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let level = (2 * step).min(200) as u8;
        writer.write_all(&grey(level)).expect("write");
        LinuxMono::sleep_until(LinuxMono::now() + Duration::from_millis(30));
    }
}

/// The grey of pictures, each of one level all over.
fn levels_seen(camera: &mut V4lCamera) -> Vec<u8> {
    let mut frame = Frame::default();
    let mut levels = Vec::new();
    for round in 0..20 {
        next(camera, &mut frame);
        let image = &frame.image;
        assert_eq!([image.width, image.height], SIZE_PX);
        let level = image.rgb[0];
        let off = image.rgb.iter().map(|value| value.abs_diff(level)).max();
        assert!(
            off <= Some(2),
            "round {round}: {off:?} off a level of {level}"
        );
        levels.push(level);
    }
    levels
}

/// A JPEG of one level of grey.
fn grey(level: u8) -> Vec<u8> {
    let [width, height] = SIZE_PX.map(|px| px as u16);
    let pixels = vec![level; usize::from(width) * usize::from(height)];
    let mut bytes = Vec::new();
    let encoder = Encoder::new(&mut bytes, 90);
    encoder
        .encode(&pixels, width, height, ColorType::Luma)
        .expect("JPEG");
    bytes
}
