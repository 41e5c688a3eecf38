//! `kill -9` of the real program while it moves an arm: what is left are the drives' own watchdogs.
//!
//! The program is a process of its own; the drives live in this one, where their power and what they heard last can be seen.
//! Not responsible for what the program does when nobody kills it.

use crate::can::ip;
use crate::can_arm::{JOINTS, Served, make_vcan0};
use crate::case::{Case, Device, Kernel, Mode, Outcome};
use crate::program::{PROGRAM, Signal, send, write_launch_file};
use crate::v4l::node;
use serde_json::json;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use visuomotor_drivers::can::CanConfig;
use visuomotor_drivers::can::wire::Status;
use visuomotor_drivers::testkit::emulate::can::SharedDrives;
use visuomotor_drivers::testkit::emulate::{Inertias, Plant};
use visuomotor_drivers::v4l::OutputDevice;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::realtime::{Preference, Thread, ThreadPlan};

const LAUNCH: &str = "launch/robots/can_arm_to_be_killed.toml";
/// What it says where a person reads it: its last line may have no end.
const SAID: &str = "/tmp/killed.log";

pub const CASES: &[Case] = &[Case {
    name: "drives_stop_when_the_program_is_killed",
    mode: Mode::IcountFast,
    kernels: &[Kernel::Realtime],
    devices: &[Device::VirtualCan, Device::Loopback],
    memory_mb: 1024,
    limit_s: 900,
    files: &[
        PROGRAM,
        "target/native/lib",
        "launch/robots",
        "policies/models",
    ],
    run: stop_when_killed,
    ..Case::DEFAULT
}];

const SIZE_PX: [u32; 2] = [64, 64];
const STEP: Duration = Duration::from_ticks(500_000);
/// How often the drives are looked at.
const LOOK: Duration = Duration::from_ticks(500_000);
/// Of the guest: to load everything, to open everything, to give power.
const START_MAX: Duration = Duration::from_ticks(60_000_000_000);
/// The shipped arm's posture, turned a little.
const Q: [f64; JOINTS + 1] = [0.1, 0.548949, 0.0, -1.332549, 0.0, 1.260095, 0.3, 2.0];

fn stop_when_killed() -> Outcome {
    make_vcan0();
    let config = arm();
    let served = Served::start(
        &config,
        Inertias::at(&Q, 0.02, 0.3, STEP.as_ticks() as f64 * 1e-9),
    );
    let done = AtomicBool::new(false);
    let figures = std::thread::scope(|scope| {
        let filming = scope.spawn(|| film(&done));
        let killed = std::panic::catch_unwind(|| {
            let silence_ms = killed(&served.drives, config.watchdog_ms);
            started_again(&served.drives, config.watchdog_ms);
            json!({"silence_ms": silence_ms, "watchdog_ms": config.watchdog_ms})
        });
        done.store(true, Ordering::Relaxed);
        filming.join().expect("the camera's thread");
        killed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    drop(served);
    ip("link del vcan0");
    Outcome::Passed(figures)
}

/// The drives' mechanics know no gravity.
fn arm() -> CanConfig {
    let weightless = (
        "watchdog_ms = 50",
        "watchdog_ms = 50\ngravity_m_per_s2 = [0.0, 0.0, 0.0]",
    );
    let text = write_launch_file(LAUNCH, &[weightless]);
    let tables: toml::Table = text.parse().expect("a launch file");
    let arm = tables["arm"]["can"].clone();
    arm.try_into().expect("an arm")
}

/// A grey picture, 15 times a second.
fn film(done: &AtomicBool) {
    let mut output = OutputDevice::open(&node("loopback"), SIZE_PX).expect("a camera");
    let [width, height] = SIZE_PX;
    let image = Image {
        width,
        height,
        rgb: vec![90; 3 * (width * height) as usize],
    };
    while !done.load(Ordering::Relaxed) {
        output.show(&image).expect("it is shown");
        LinuxMono::sleep_until(LinuxMono::now() + Duration::from_millis(66));
    }
}

fn start() -> Child {
    let mut run = Command::new(PROGRAM);
    run.args(["run", LAUNCH, "--episodes", "1"]);
    run.args(["--record", "/tmp/killed"]);
    run.stdout(Stdio::null());
    run.stderr(File::create(SAID).expect(SAID));
    run.spawn().expect(PROGRAM)
}

/// Kills it in the middle of a motion. Of each drive, the time between the last frame that it heard and its power's end, ms.
fn killed(drives: &SharedDrives<Inertias>, watchdog_ms: u32) -> Vec<f64> {
    let mut child = start();
    let silence_ms = watching(|| {
        moves(drives, &mut child);
        send(&child, Signal::KILL);
        silences(drives, LinuxMono::now())
    });
    child.wait().expect("it ends");
    for (drive, silence_ms) in silence_ms.iter().enumerate() {
        let [least, most] = [0.0, ms(STEP + LOOK)].map(|more| f64::from(watchdog_ms) + more);
        assert!(
            (least..=most).contains(silence_ms),
            "drive {drive}: {silence_ms} ms, and not within {least} to {most}"
        );
    }
    silence_ms
}

fn ms(duration: Duration) -> f64 {
    duration.as_ticks() as f64 * 1e-6
}

/// Above the program's threads, so that what it leaves behind when it dies hides nothing.
fn watching<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    let plan = ThreadPlan {
        fifo_priority: Some(85),
        cpu: None,
    };
    let watched = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            Thread::enter(Preference::Required, plan).expect("thread");
            look()
        });
        thread.join()
    });
    watched.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Until every drive has power and a joint is on its way.
fn moves(drives: &SharedDrives<Inertias>, child: &mut Child) {
    let begun = LinuxMono::now();
    let from: Vec<f64> = {
        let drives = drives.lock();
        (0..=JOINTS).map(|i| drives.plant.state(i).0).collect()
    };
    loop {
        LinuxMono::sleep_until(LinuxMono::now() + LOOK);
        let drives = drives.lock();
        let all_on = drives.drives.iter().all(|d| d.status() == Status::ENABLED);
        let is_on_its_way = (0..JOINTS).any(|i| {
            let (q, dq) = drives.plant.state(i);
            (q - from[i]).abs() > 0.05 && dq.abs() > 0.1
        });
        if all_on && is_on_its_way {
            return;
        }
        drop(drives);
        if let Some(ended) = child.try_wait().expect("a process") {
            panic!("{ended}: {}", fs::read_to_string(SAID).unwrap_or_default());
        }
        assert!(LinuxMono::now() - begun < START_MAX, "it moves nothing");
    }
}

/// Of each drive, between the last frame and its power's end, ms.
fn silences(drives: &SharedDrives<Inertias>, killed_at: Instant) -> Vec<f64> {
    let mut silence_ms = vec![None; JOINTS + 1];
    while silence_ms.iter().any(Option::is_none) {
        let now = LinuxMono::now();
        assert!(
            now - killed_at < Duration::from_millis(1000),
            "a second later: {silence_ms:?}"
        );
        let mut drives = drives.lock();
        drives.advance(now);
        for (silence_ms, drive) in silence_ms.iter_mut().zip(&drives.drives) {
            let off = drive.status() != Status::ENABLED;
            assert!(!off || drive.status() == Status::SILENCE);
            if off && silence_ms.is_none() {
                *silence_ms = Some(ms(now - drive.heard_at()));
            }
        }
        drop(drives);
        LinuxMono::sleep_until(now + LOOK);
    }
    silence_ms.into_iter().flatten().collect()
}

/// The next start finds drives that gave up, and moves them; Ctrl-C ends it, and nothing holds the arm.
fn started_again(drives: &SharedDrives<Inertias>, watchdog_ms: u32) {
    let mut child = start();
    watching(|| moves(drives, &mut child));
    send(&child, Signal::INT);
    let ended = child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(1), "{ended}: interrupted");
    // At its end it held the arm.
    let given_up = Duration::from_millis(watchdog_ms.into()) + STEP + LOOK;
    LinuxMono::sleep_until(LinuxMono::now() + given_up);
    let drives = drives.lock();
    let powered = drives.drives.iter().filter(|d| d.goal().is_some());
    assert_eq!(powered.count(), 0, "with power");
}
