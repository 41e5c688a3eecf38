//! Physical arms without hardware: their own drivers, with emulated drives behind. In simulated time with the physics, and in
//! real time on a pseudo terminal.

use crate::scratch::{Scratch, changed, repository, run, stderr, visuomotor};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use visuomotor_runtime::episode::{Ending, Episode};

fn robot(name: &str) -> PathBuf {
    repository().join(format!("launch/robots/{name}.toml"))
}

#[test]
fn both_arms_reach_grasp_and_lift_through_their_own_drivers() {
    for name in ["so101", "can_arm"] {
        let scratch = Scratch::new(name);
        let line = "eval {} --policy scripted --episodes 10 --seed 2001 --json - --sheet {}";
        let output = run(line, &[&robot(name), &scratch.path("failures.png")]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let grasped = report["successes"].as_u64().expect("a count");
        assert!(grasped >= 8, "{name}: {report}");
        assert_eq!(report["faults"], Value::Array(Vec::new()), "{name}");
    }
}

/// A program that is killed with the test.
struct Emulator(Child);

impl Emulator {
    /// Waits until what it serves is there.
    fn serve(what: &Path, pty: &Path) -> Self {
        let mut command = visuomotor();
        // Not the session's seed: the arm begins elsewhere.
        command.args(["emulate", "--seed", "7"]);
        command.arg(what).arg("--pty").arg(pty);
        let child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let emulator = Self(child.expect("the program starts"));
        let patience = Instant::now() + Duration::from_secs(60);
        while !pty.exists() {
            assert!(Instant::now() < patience, "{} does not come", pty.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        emulator
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The SO-101's launch file, with its servos at `pty` and pictures instead of a camera.
fn launch(scratch: &Scratch, pty: &Path) -> PathBuf {
    let text = std::fs::read_to_string(robot("so101")).expect("shipped");
    let (before, camera) = text.split_once("[camera.v4l]").expect("it has a camera");
    let (_, after) = camera.split_once("\n\n").expect("and more");
    let picture = scratch.write("still.png", still());
    let replay = format!("[camera.replay]\npath = {picture:?}\nrepeat = true\n\n");
    let text = format!("{before}{replay}{after}");
    let robots = repository().join("launch/robots");
    let text = changed(
        &text,
        "\"so101.urdf\"",
        &format!("{:?}", robots.join("so101.urdf")),
    );
    let calibration = format!("{:?}", robots.join("so101_calibration.toml"));
    let text = changed(&text, "\"so101_calibration.toml\"", &calibration);
    let text = changed(&text, "\"/dev/ttyACM0\"", &format!("{pty:?}"));
    let text = changed(
        &text,
        "\"../../episodes\"",
        &format!("{:?}", scratch.path("episodes")),
    );
    scratch.write("so101.toml", text)
}

/// A grey picture of 64 x 64.
fn still() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    writer
        .write_image_data(&[90; 3 * 64 * 64])
        .expect("a picture");
    writer.finish().expect("an end");
    bytes
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {report}"))
}

#[test]
fn the_doctor_finds_an_arm_that_is_there_and_names_one_that_is_not() {
    let scratch = Scratch::new("doctor-arm");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    let doctor = || {
        let output = run("doctor {} --json -", &[&launch]);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let alone = doctor();
    let port = check(&alone, "arm_port");
    assert_eq!(port["ok"], false);
    assert!(
        port["remedy"].as_str().expect("a text").contains("by-id"),
        "{port}"
    );
    assert!(!alone.to_string().contains("arm_answers"), "{alone}");

    let _servos = Emulator::serve(Path::new("so101"), &pty);
    let there = doctor();
    for name in [
        "limits",
        "arm_port",
        "arm_answers",
        "camera",
        "episode_disk",
    ] {
        assert_eq!(check(&there, name)["ok"], true, "{there}");
    }
}

#[test]
fn an_arm_that_starts_outside_its_limits_is_not_moved() {
    let scratch = Scratch::new("outside");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    let _servos = Emulator::serve(Path::new("so101"), &pty);
    let line = "run {} --policy weak --episodes 1 --allow-non-realtime";
    let refused = run(line, &[&launch]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let said = stderr(&refused);
    assert!(said.contains("outside the workspace"), "{said}");
    assert!(said.contains("--recover"), "{said}");
    // With it the arm comes in, and goes on from there until the policy is silent.
    let line = "run {} --policy weak --recover --episodes 1 --allow-non-realtime --stats {}";
    let stats = scratch.path("stats.json");
    let recovered = run(line, &[&launch, &stats]);
    let said = stderr(&recovered);
    let stats = std::fs::read(&stats).unwrap_or_else(|_| panic!("{said}"));
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!(stats["episodes"], 1, "{said}");
}

#[test]
fn a_session_moves_an_emulated_arm_in_real_time_and_its_episode_replays() {
    let scratch = Scratch::new("session");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    // With physics behind the servos, and the tool in the task's box.
    let _servos = Emulator::serve(&launch, &pty);
    let stats = scratch.path("stats.json");
    // The policy knows no more than a camera shows, and this one needs more: the session approaches, and stops for its silence.
    let line = "run {} --policy weak --episodes 1 --allow-non-realtime --stats {}";
    let output = run(line, &[&launch, &stats]);
    let said = stderr(&output);
    let stats = std::fs::read(&stats).unwrap_or_else(|_| panic!("{said}"));
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!(stats["allocations"], 0, "{stats}");
    assert_eq!(stats["episodes"], 1, "{stats}");
    let mut files = std::fs::read_dir(scratch.path("episodes")).expect("episodes");
    let file = files.next().expect("an episode").expect("readable").path();
    let episode = Episode::<5>::open(&file).expect("an episode of five joints");
    let (outcome, _) = episode.outcome.expect("an end");
    assert_eq!(outcome.ending, Ending::Fault);
    let camera = &episode.header.camera;
    assert!(
        camera.keys().any(|key| key.starts_with("replay.")),
        "{camera:?}"
    );
    let states = episode.steps.iter().filter_map(|step| step.measured());
    let mut moved: Vec<f64> = states.map(|state| state.q[0]).collect();
    moved.sort_by(f64::total_cmp);
    let range = moved.last().expect("measured") - moved[0];
    assert!(range > 0.005, "the base turned by {range} rad");
    let replayed = run("replay {}", &[&file]);
    assert_eq!(replayed.status.code(), Some(0), "{}", stderr(&replayed));
}

/// A session that has begun to record, as it does before it moves the arm.
fn recording(launch: &Path, episodes: &Path) -> Emulator {
    let mut command = visuomotor();
    command.arg("run").arg(launch);
    command.args(["--policy", "weak", "--allow-non-realtime"]);
    let child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn();
    let session = Emulator(child.expect("the program starts"));
    let is_there = || {
        let mut files = std::fs::read_dir(episodes).into_iter().flatten().flatten();
        files.any(|file| file.metadata().is_ok_and(|about| about.len() > 0))
    };
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < patience, "nothing is recorded");
        std::thread::sleep(Duration::from_millis(20));
    }
    session
}

#[test]
fn servos_hold_after_a_kill_and_the_next_start_is_refused_until_they_may_be_let_go() {
    let scratch = Scratch::new("killed");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    let _servos = Emulator::serve(&launch, &pty);
    drop(recording(&launch, &scratch.path("episodes")));
    let start = |launch: &Path| {
        let line = "run {} --policy weak --recover --episodes 1 --allow-non-realtime";
        let output = run(line, &[launch]);
        (output.status.code(), stderr(&output))
    };
    let (code, said) = start(&launch);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("has power already"), "{said}");
    assert!(said.contains("release_at_start = true"), "{said}");

    let text = std::fs::read_to_string(&launch).expect("written");
    let protocol = "protocol = \"feetech\"\n";
    let text = changed(
        &text,
        protocol,
        &format!("{protocol}release_at_start = true\n"),
    );
    let (code, said) = start(&scratch.write("released.toml", text));
    // It moves, and its policy knows too little to go on.
    assert_eq!(code, Some(1), "{said}");
}

/// A launch file of a physical arm that names its files from anywhere.
fn template(name: &str) -> String {
    let text = std::fs::read_to_string(robot(name)).expect("shipped");
    let robots = repository().join("launch/robots");
    let urdf = format!("{name}.urdf");
    changed(
        &text,
        &format!("{urdf:?}"),
        &format!("{:?}", robots.join(&urdf)),
    )
}

#[test]
fn drives_that_would_stop_in_normal_operation_or_too_late_are_refused_at_their_line() {
    let scratch = Scratch::new("watchdogs");
    let can = template("can_arm");
    let calibration = scratch.path("calibration.toml");
    let so101 = changed(
        &template("so101"),
        "\"so101_calibration.toml\"",
        &format!("{calibration:?}"),
    );
    let shipped = repository().join("launch/robots/so101_calibration.toml");
    let feetech = std::fs::read_to_string(shipped).expect("shipped");
    let koch = changed(
        &so101,
        "protocol = \"feetech\"",
        "protocol = \"dynamixel\"\nwatchdog_ms = 100",
    );
    let dynamixel = feetech.replace("sts3215", "xl330-m288");
    // Four periods of 4 ms and 3.6 ms of I/O; four of 10 ms and some 7 ms.
    for (text, servos, from, to, says) in [
        (
            &can,
            &feetech,
            "watchdog_ms = 50",
            "watchdog_ms = 19",
            &["arm.can.watchdog_ms", "20 or more", "control.rate_hz"][..],
        ),
        (
            &can,
            &feetech,
            "rate_hz = 250.0",
            "rate_hz = 100.0\n# watchdog_ms",
            &[],
        ),
        (
            &can,
            &feetech,
            "watchdog_ms = 50",
            "watchdog_ms = 501",
            &["arm.can.watchdog_ms", "clamped", "between 20 and 500"],
        ),
        (&can, &feetech, "watchdog_ms = 50", "watchdog_ms = 20", &[]),
        (
            &can,
            &feetech,
            "rate_hz = 250.0",
            "rate_hz = 300.0",
            &["control.rate_hz", "has no time"],
        ),
        (
            &so101,
            &feetech,
            "protocol = \"feetech\"",
            "protocol = \"feetech\"\nwatchdog_ms = 100",
            &["Feetech servos have no watchdog"],
        ),
        (
            &so101,
            &feetech,
            "protocol = \"feetech\"",
            "protocol = \"feetech\"\nbaud = 0",
            &["baud = 0"],
        ),
        (
            &so101,
            &feetech,
            "protocol = \"feetech\"",
            "protocol = \"feetech\"\nbaud = 115200",
            &["control.rate_hz", "has no time"],
        ),
        (
            &so101,
            &feetech,
            "protocol = \"feetech\"",
            "protocol = \"feetech\"\nstall = { time_ms = 0 }",
            &["arm.servo_bus.stall.time_ms", "20 to 5000"],
        ),
        (
            &so101,
            &feetech,
            "protocol = \"feetech\"",
            "protocol = \"feetech\"\nadapter_latency_ms = nan",
            &["adapter_latency_ms"],
        ),
        (
            &so101,
            &feetech,
            "rate_hz = 100.0",
            "rate_hz = 300.0",
            &["control.rate_hz", "has no time"],
        ),
        (
            &koch,
            &dynamixel,
            "watchdog_ms = 100",
            "watchdog_ms = 40",
            &["arm.servo_bus.watchdog_ms", "or more"],
        ),
        (
            &koch,
            &dynamixel,
            "watchdog_ms = 100",
            "watchdog_ms = 60",
            &[],
        ),
        (
            &koch,
            &dynamixel,
            "watchdog_ms = 100",
            "watchdog_ms = 520",
            &["up to 500"],
        ),
    ] {
        std::fs::write(&calibration, servos).expect("written");
        let path = scratch.write("arm.toml", changed(text, from, to));
        let output = run("doctor {}", &[&path]);
        let said = stderr(&output);
        // Accepted, it is the device that is missing.
        let expected = if says.is_empty() { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(expected), "{to}: {said}");
        for part in says {
            assert!(said.contains(part), "{to}: {said:?} lacks {part:?}");
        }
    }
}
