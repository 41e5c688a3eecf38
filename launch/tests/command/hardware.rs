//! Physical arms without hardware: their own drivers, with emulated drives behind. In simulated time with the physics, and in
//! real time on a pseudo terminal.

use crate::drives::{robot, template};
use crate::scratch::{Scratch, changed, repository, run, stderr, visuomotor};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use visuomotor_runtime::episode::Episode;

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

/// Where the camera of both shipped policies is.
const MOUNT: &str = "[camera.mount]\nposition_m = [-0.42, -0.16, 0.52]\ntarget_m = [-0.01, 0.0, 0.0]\nfovy_deg = 34.0\n\n";

/// A policy that needs no more than a camera shows.
fn hand_eye() -> PathBuf {
    repository().join("policies/models/hand_eye.toml")
}

/// The SO-101's launch file, with its servos at `pty`, grey pictures instead of a camera, and a policy that looks at them.
fn launch(scratch: &Scratch, pty: &Path) -> PathBuf {
    let text = std::fs::read_to_string(robot("so101")).expect("shipped");
    let (before, camera) = text.split_once("[camera.mount]").expect("it has a camera");
    let (_, device) = camera.split_once("[camera.v4l]").expect("of the kernel");
    let (_, after) = device.split_once("\n\n").expect("and more");
    let picture = scratch.write("still.png", still([64, 64]));
    let replay = format!("[camera.replay]\npath = {picture:?}\nrepeat = true\n\n");
    let text = format!("{before}{MOUNT}{replay}{after}");
    // The shipped policies know no longer episodes.
    let text = changed(&text, "steps_max = 40", "steps_max = 25");
    let policy = format!("kind = \"critic\"\nmanifest = {:?}", hand_eye());
    let text = changed(&text, "kind = \"scripted\"", &policy);
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

/// The same for servos that may be let go at the start.
fn released(scratch: &Scratch, launch: &Path) -> PathBuf {
    let text = std::fs::read_to_string(launch).expect("written");
    let protocol = "protocol = \"feetech\"\n";
    let allowed = format!("{protocol}release_at_start = true\n");
    scratch.write("released.toml", changed(&text, protocol, &allowed))
}

/// A grey picture.
fn still([width, height]: [u32; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    let grey = vec![90; (3 * width * height) as usize];
    writer.write_image_data(&grey).expect("a picture");
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
        "policy",
        "episode_disk",
    ] {
        assert_eq!(check(&there, name)["ok"], true, "{there}");
    }
}

/// What a launch file changed so makes `run` and `doctor` say, without an arm.
fn refused(scratch: &Scratch, text: &str, choice: &str) -> (String, Value) {
    let path = scratch.write("refused.toml", text);
    let run_it = format!("run {{}} --episodes 1 --allow-non-realtime {choice}");
    let output = run(&run_it, &[&path]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let output = run("doctor {} --json -", &[&path]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (said, check(&report, "policy").clone())
}

#[test]
fn a_policy_that_needs_the_simulators_truth_moves_no_physical_arm() {
    let scratch = Scratch::new("privileged");
    let launch = launch(&scratch, &scratch.path("servos"));
    let text = std::fs::read_to_string(&launch).expect("written");
    let critic = format!("kind = \"critic\"\nmanifest = {:?}", hand_eye());
    for kind in ["scripted", "weak"] {
        let text = changed(&text, &critic, &format!("kind = {kind:?}"));
        let (said, found) = refused(&scratch, &text, "");
        let (chosen, _) = refused(&scratch, &text, &format!("--policy {kind}"));
        for said in [&said, &chosen, &found.to_string()] {
            for part in [
                "simulator's truth",
                "--policy path/to/manifest.toml",
                "visuomotor eval",
            ] {
                assert!(said.contains(part), "{said:?} lacks {part:?}");
            }
        }
        assert!(said.contains("policy.kind"), "{said}");
        assert_eq!(
            (&found["ok"], &found["required"]),
            (&false.into(), &true.into())
        );
    }
}

#[test]
fn a_policy_is_compared_with_the_camera_that_it_looks_through() {
    let scratch = Scratch::new("camera-fit");
    let launch = launch(&scratch, &scratch.path("servos"));
    let text = std::fs::read_to_string(&launch).expect("written");
    // The scene's camera of this file is elsewhere, and nobody looks through it: without its arm this robot is what is missing.
    let output = run("run {} --episodes 1 --allow-non-realtime", &[&launch]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(!said.contains("was trained"), "{said}");

    scratch.write("large.png", still([80, 60]));
    let large = changed(&text, "still.png", "large.png");
    let moved = changed(&text, "position_m = [-0.42,", "position_m = [-0.40,");
    let several = changed(
        &moved,
        "fovy_deg = 34.0\n\n[camera.replay]",
        "fovy_deg = 35.0\n\n[camera.replay]",
    );
    let several = changed(&several, "steps_max = 25", "steps_max = 26");
    let several = changed(&several, "still.png", "large.png");
    let crop = "still.png\"\ncrop_px = [0, 0, 32, 32]";
    for (text, says) in [
        (
            changed(&text, "still.png", "absent.png"),
            &["[camera.replay] path: cannot read", "absent.png"][..],
        ),
        (
            changed(&text, MOUNT, ""),
            &[
                "camera.mount: missing",
                "position_m = [-0.42, -0.16, 0.52]",
                "[camera.mount]",
            ][..],
        ),
        (
            moved,
            &[
                "camera.mount.position_m",
                "-0.4, ",
                "trained with [-0.42",
                "change the robot",
            ],
        ),
        (
            large.clone(),
            &[
                "camera.replay.output_px",
                "[80, 60]",
                "output_px = [64, 64] in [camera.replay]",
            ],
        ),
        (
            changed(&text, "still.png\"", crop),
            &["[32, 32]", "output_px = [64, 64]"],
        ),
        (
            several,
            &[
                "task.steps_max",
                "camera.mount.position_m",
                "camera.mount.fovy_deg",
                "output_px = [64, 64]",
                "also line",
            ],
        ),
    ] {
        let (said, found) = refused(&scratch, &text, "");
        for part in says {
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
        assert_eq!(found["ok"], false, "{found}");
        let remedy = found.to_string();
        assert!(
            remedy.contains(says[0]) && !remedy.contains("scene.camera"),
            "{found}"
        );
    }
    // Brought to the size that the policy takes, they are right.
    let fitted = changed(&large, "large.png\"", "large.png\"\noutput_px = [64, 64]");
    let path = scratch.write("fitted.toml", fitted);
    let output = run("doctor {} --json -", &[&path]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(check(&report, "policy")["ok"], true, "{report}");
    // In simulated time the scene's camera is what the policy sees.
    let output = run("eval {} --episodes 1", &[&launch]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("scene.camera.position_m") && !said.contains("camera.mount"),
        "{said}"
    );
}

#[test]
fn a_size_that_v4l_would_deliver_is_refused_too() {
    let scratch = Scratch::new("v4l-fit");
    let robots = repository().join("launch/robots");
    let text = changed(
        &template("can_arm"),
        "\"../../policies/models/qtopt.toml\"",
        &format!("{:?}", robots.join("../../policies/models/qtopt.toml")),
    );
    for (output_px, size) in [("", "[480, 480]"), ("output_px = [96, 96]\n", "[96, 96]")] {
        let text = changed(&text, "output_px = [64, 64]\n", output_px);
        let (said, found) = refused(&scratch, &text, "");
        for part in [
            "camera.v4l.output_px",
            size,
            "write output_px = [64, 64] in [camera.v4l]",
        ] {
            assert!(said.contains(part), "{said:?} lacks {part:?}");
        }
        assert_eq!(found["ok"], false, "{found}");
    }
}

#[test]
fn an_arm_that_starts_outside_its_limits_is_not_moved() {
    let scratch = Scratch::new("outside");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    let _servos = Emulator::serve(Path::new("so101"), &pty);
    let line = "run {} --episodes 1 --allow-non-realtime";
    let refused = run(line, &[&launch]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let said = stderr(&refused);
    assert!(said.contains("outside the workspace"), "{said}");
    assert!(said.contains("--recover"), "{said}");
    // With it the arm comes in, and goes on from there. Its servos hold since the first start.
    let line = "run {} --recover --episodes 1 --allow-non-realtime --stats {}";
    let stats = scratch.path("stats.json");
    let recovered = run(line, &[&released(&scratch, &launch), &stats]);
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
    let line = "run {} --episodes 1 --allow-non-realtime --stats {}";
    let output = run(line, &[&launch, &stats]);
    let said = stderr(&output);
    let stats = std::fs::read(&stats).unwrap_or_else(|_| panic!("{said}"));
    let stats: Value = serde_json::from_slice(&stats).expect("JSON");
    assert_eq!(stats["allocations"], 0, "{stats}");
    assert_eq!(stats["episodes"], 1, "{stats}");
    let mut files = std::fs::read_dir(scratch.path("episodes")).expect("episodes");
    let file = files.next().expect("an episode").expect("readable").path();
    let episode = Episode::<5>::open(&file).expect("an episode of five joints");
    assert!(episode.outcome.is_some(), "an end");
    assert!(!episode.decisions.is_empty(), "the policy decided nothing");
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

#[test]
fn the_last_word_of_a_session_is_about_the_arm_that_has_stopped_and_not_about_the_record() {
    let scratch = Scratch::new("last-word");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    let _servos = Emulator::serve(&launch, &pty);
    // Every frame is too old: so the first episode ends, and the second finds the arm stopped before it has a record.
    let text = std::fs::read_to_string(&launch).expect("written");
    let text = changed(&text, "frame_age_ms_max = 150.0", "frame_age_ms_max = 1.0");
    let launch = scratch.write("old.toml", text);
    let line = "run {} --episodes 2 --allow-non-realtime";
    let output = run(line, &[&launch]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.trim_end().lines().last().expect("a line");
    assert!(last.starts_with("error: the arm is stopped"), "{said}");
    assert!(said.contains("the servos hold the arm"), "{said}");
}

#[test]
fn an_arm_that_is_unplugged_is_told_with_what_to_look_at() {
    let scratch = Scratch::new("unplugged");
    let pty = scratch.path("servos");
    let launch = launch(&scratch, &pty);
    let servos = Emulator::serve(&launch, &pty);
    let heard = scratch.path("heard.txt");
    let file = std::fs::File::create(&heard).expect("created");
    let mut session = recording(&launch, &scratch.path("episodes"), file.into());
    drop(servos);
    let status = session.0.wait().expect("it ends");
    let said = std::fs::read_to_string(&heard).expect("written");
    assert_eq!(status.code(), Some(2), "{said}");
    let last = said.trim_end().lines().last().expect("a line");
    assert!(last.contains("did not answer"), "{said}");
    assert!(last.contains("plug") && last.contains("supply"), "{said}");
}

#[test]
fn an_emulator_that_cannot_serve_is_bad_input_with_a_remedy() {
    let scratch = Scratch::new("emulate");
    let (pty, nowhere) = (scratch.path("servos"), scratch.path("no/such/servos"));
    let _servos = Emulator::serve(Path::new("so101"), &pty);
    let with_scene = robot("so101");
    let (free, video) = (scratch.path("free"), scratch.path("no-video"));
    for (line, paths, says) in [
        ("emulate so101 --pty {}", &[&*pty][..], "end the emulator"),
        (
            "emulate so101 --pty {}",
            &[&*nowhere],
            "create its directory",
        ),
        ("emulate can_arm --can vcan77", &[], "type vcan"),
        (
            "emulate {} --pty {} --video {}",
            &[&*with_scene, &*free, &*video],
            "modprobe v4l2loopback",
        ),
    ] {
        let output = run(line, paths);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(
            said.contains("error: ") && said.contains(says),
            "{line}: {said}"
        );
    }
    assert!(pty.exists(), "the first one is served still");
}

/// A session that has begun to record, as it does before it moves the arm.
fn recording(launch: &Path, episodes: &Path, heard: Stdio) -> Emulator {
    let mut command = visuomotor();
    command.arg("run").arg(launch);
    command.arg("--allow-non-realtime");
    let child = command.stderr(heard).stdout(Stdio::null()).spawn();
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
    let episodes = scratch.path("episodes");
    drop(recording(&launch, &episodes, Stdio::null()));
    let start = |launch: &Path| {
        let line = "run {} --recover --episodes 1 --allow-non-realtime";
        let output = run(line, &[launch]);
        (output.status.code(), stderr(&output))
    };
    let (code, said) = start(&launch);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("has power already"), "{said}");
    assert!(said.contains("release_at_start = true"), "{said}");

    let (code, said) = start(&released(&scratch, &launch));
    // It moves and decides; how the episode ends is the policy's and the machine's affair.
    assert_ne!(code, Some(2), "{said}");
    let files = std::fs::read_dir(scratch.path("episodes")).expect("episodes");
    let mut files = files.map(|file| file.expect("readable").path());
    let decided = files.any(|file| {
        file.extension().is_some_and(|end| end == "mcap")
            && Episode::<5>::open(&file).is_ok_and(|episode| !episode.decisions.is_empty())
    });
    assert!(decided, "{said}");
}
