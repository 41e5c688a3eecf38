//! The camera over an emulated device that does everything wrong that real ones do.

use super::*;
use crate::picture::PixelFormat;
use crate::testkit::conformance::v4l::{V4lBench, config, counted, schedule};
use crate::testkit::emulate::camera::{Fault, Plan, Truth};
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::clock::Duration;

fn bench(plan: Plan) -> V4lBench {
    let config = config(&plan);
    V4lBench::new(plan, &config).unwrap()
}

fn schedules(seeds: u64) {
    let mut sum = Truth::default();
    let (mut frames, mut errors, mut stalls, mut restamped, mut skipped) = (0, 0, 0, 0, 0);
    for seed in 0..seeds {
        let lived = schedule(seed).map_err(|what| format!("seed {seed}: {what}"));
        let (seen, counters, truth) = lived.unwrap();
        frames += seen.frames;
        errors += seen.errors;
        stalls += counters.stalls;
        restamped += counters.restamped;
        skipped += counters.skipped;
        sum.lost += truth.lost;
        sum.damaged += truth.damaged;
        sum.short += truth.short;
        sum.corrupt += truth.corrupt;
        sum.failures += truth.failures;
        sum.gone += truth.gone;
        sum.streams += truth.streams;
    }
    println!(
        "{seeds} schedules: {frames} frames, {errors} errors, {skipped} skipped, {restamped} restamped, {stalls} stalls\n{sum:?}"
    );
    // Otherwise nothing has been shown.
    let all = [
        sum.lost,
        sum.damaged,
        sum.short,
        sum.corrupt,
        sum.failures,
        sum.gone,
    ];
    assert!(
        all.iter()
            .chain([&stalls, &restamped, &skipped])
            .all(|&n| n > seeds / 100),
        "{sum:?}"
    );
}

#[test]
fn two_hundred_fault_schedules() {
    schedules(200);
}

#[test]
fn long_ten_thousand_fault_schedules() {
    schedules(10_000);
}

#[test]
fn drops_injected_are_drops_counted() {
    let shares = vec![(Fault::Lost, 0.1), (Fault::Damaged, 0.1)];
    let plan = Plan {
        shares,
        ..Plan::well(1, PixelFormat::Yuyv)
    };
    let mut bench = bench(plan);
    let mut frame = Frame::default();
    // Now and then there is no good one for a whole time-out.
    let mut asked = 0;
    while bench
        .camera
        .capture(bench.device.now(), &mut frame)
        .is_err()
        || asked < 1000
    {
        asked += 1;
    }
    let (counters, truth) = (bench.camera.counters(), bench.device.truth());
    assert!(truth.lost > 50 && truth.damaged > 50, "{truth:?}");
    counted(&counters, &truth).unwrap();
    // Nothing else went wrong, so the numbers tell the same.
    let lost_or_damaged = frame.sequence - counters.frames;
    assert_eq!(lost_or_damaged, truth.lost + truth.damaged);
}

#[test]
fn a_hundred_disconnects_are_survived() {
    let mut bench = bench(Plan::well(2, PixelFormat::Mjpeg));
    let mut frame = Frame::default();
    let mut disconnected = 0;
    for round in 0..100 {
        bench.device.unplug(Duration::from_millis(50 + 37 * round));
        let gone_at = bench.device.now();
        loop {
            let now = bench.device.now();
            match bench.camera.capture(now, &mut frame) {
                Ok(()) if frame.captured_at > gone_at => break,
                Ok(()) => {}
                Err(error) => {
                    disconnected += u64::from(error == CameraError::Disconnected);
                    bench.device.pass(Duration::from_millis(33));
                }
            }
            assert!(now - gone_at < Duration::from_secs(10), "round {round}");
        }
    }
    let counters = bench.camera.counters();
    assert_eq!(counters.disconnects, 100);
    assert!(
        disconnected >= 100 && counters.reopened >= 100,
        "{counters:?}"
    );
}

#[test]
fn whoever_comes_late_gets_what_the_sensor_sees_now() {
    let mut bench = bench(Plan::well(3, PixelFormat::Yuyv));
    let mut frame = Frame::default();
    let mut age = |late_ms| {
        bench.device.pass(Duration::from_millis(late_ms));
        bench
            .camera
            .capture(bench.device.now(), &mut frame)
            .unwrap();
        bench.device.now() - frame.captured_at
    };
    // All four buffers were filled long ago: exposure, read-out, a period until the next one, and what is subtracted.
    let worst = Duration::from_millis(12 + 20 + 34 + 12 + 3);
    for late_ms in [0, 40, 75, 140, 1000, 60_000] {
        let age = age(late_ms);
        assert!(age <= worst, "{age} after {late_ms} ms");
    }
    let counters = bench.camera.counters();
    // Two of three, one of two, and whatever filled all buffers.
    assert!(counters.skipped >= 9, "{counters:?}");
}

#[test]
fn nothing_is_added_to_the_drivers_own_latency() {
    let mut bench = bench(Plan::well(4, PixelFormat::Rgb24));
    let mut frame = Frame::default();
    for _ in 0..500 {
        bench
            .camera
            .capture(bench.device.now(), &mut frame)
            .unwrap();
        let timing = bench.camera.timing().unwrap();
        assert_eq!(timing.converted_at, timing.dequeued_at);
        let driver = timing.dequeued_at - timing.stamp.unwrap();
        // Exposure, read-out, bus, waking up.
        let plan = &bench.plan;
        let latest = plan.exposure + plan.readout + plan.period / 20 + Duration::from_micros(800);
        assert!(driver <= latest, "{driver}");
        assert_eq!(
            frame.captured_at + bench.camera.latency(),
            timing.stamp.unwrap()
        );
    }
}

#[test]
fn a_latency_from_the_launch_file_is_subtracted() {
    let plan = Plan {
        stamps: StampSource::EndOfFrame,
        ..Plan::well(5, PixelFormat::Yuyv)
    };
    for (latency_ms, expected_ms) in [(Some(41.5), 41.5), (Some(0.0), 0.0), (None, 12.0 + 33.333)] {
        let config = V4lConfig {
            latency_ms,
            ..config(&plan)
        };
        let mut bench = V4lBench::new(plan.clone(), &config).unwrap();
        let mut frame = Frame::default();
        bench
            .camera
            .capture(bench.device.now(), &mut frame)
            .unwrap();
        let stamp = bench.camera.timing().unwrap().stamp.unwrap();
        let subtracted_ms = (stamp - frame.captured_at).as_ticks() as f64 * 1e-6;
        assert!(
            (subtracted_ms - expected_ms).abs() < 1e-3,
            "{subtracted_ms}"
        );
    }
}

#[test]
fn a_launch_file_says_what_it_means_or_is_refused() {
    let least = "device = \"/dev/video0\"\nsize_px = [640, 480]\nrate_hz = 30";
    let config: V4lConfig = toml::from_str(least).unwrap();
    assert_eq!(config, V4lConfig::new("/dev/video0", [640, 480], 30.0));
    config.validate().unwrap();
    let all = "format = \"MJPG\"\ncrop_px = [80, 0, 480, 480]\noutput_px = [64, 64]\nexposure_us = 10000\ngain = 3\n\
        white_balance_k = 4600\nfocus = 0\npower_line_hz = 50\nlatency_ms = 30\ntimeout_ms = 150";
    let config: V4lConfig = toml::from_str(&format!("{least}\n{all}")).unwrap();
    config.validate().unwrap();
    assert_eq!(config.timeout(), Duration::from_millis(150));
    assert!(toml::from_str::<V4lConfig>(&format!("{least}\nexposure = 3")).is_err());
    for wrong in [
        "latency_ms = -1",
        "latency_ms = nan",
        "power_line_hz = 55",
        "timeout_ms = 66",
    ] {
        let config: V4lConfig = toml::from_str(&format!("{least}\n{wrong}")).unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(wrong.split(' ').next().unwrap()), "{error}");
    }
    for rate_hz in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = V4lConfig::new("/dev/video0", [640, 480], rate_hz);
        assert!(config.validate().is_err());
    }
}

#[test]
fn the_camera_can_be_moved_to_its_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<V4lCamera>();
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_says_what_to_do() {
    let config = V4lConfig::new("/nowhere/video0", [640, 480], 30.0);
    let error = V4lCamera::open(&config).err().unwrap().to_string();
    assert!(
        error.contains("/nowhere/video0") && error.contains("/dev/v4l/by-id"),
        "{error}"
    );
    assert_eq!(
        error,
        probe("/nowhere/video0".as_ref()).unwrap_err().to_string()
    );
    // Not a camera at all.
    let config = V4lConfig::new("/dev/null", [640, 480], 30.0);
    assert!(matches!(
        V4lCamera::open(&config),
        Err(OpenError::Device { .. })
    ));
}
