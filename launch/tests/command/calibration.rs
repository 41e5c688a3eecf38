//! LeRobot's calibration of an arm becomes one of ours, or is refused with what to do.

use crate::scratch::{Scratch, changed, repository, run, stderr};
use std::path::PathBuf;
use std::process::Output;

/// As LeRobot 0.4 writes it for an SO-101.
const MY_ARM: &str = r#"{
    "shoulder_pan": {"id": 1, "drive_mode": 0, "homing_offset": -1470, "range_min": 758, "range_max": 3292},
    "shoulder_lift": {"id": 2, "drive_mode": 0, "homing_offset": 157, "range_min": 820, "range_max": 3211},
    "elbow_flex": {"id": 3, "drive_mode": 0, "homing_offset": -1003, "range_min": 862, "range_max": 3073},
    "wrist_flex": {"id": 4, "drive_mode": 0, "homing_offset": 611, "range_min": 855, "range_max": 3190},
    "wrist_roll": {"id": 5, "drive_mode": 0, "homing_offset": 12, "range_min": 0, "range_max": 4095},
    "gripper": {"id": 6, "drive_mode": 0, "homing_offset": 1407, "range_min": 2031, "range_max": 3476}
}"#;

const JOINTS: &str =
    "--joints shoulder_pan,shoulder_lift,elbow_flex,wrist_flex,wrist_roll --gripper gripper";

fn so101() -> PathBuf {
    repository().join("launch/robots/so101.toml")
}

fn assert_refused(output: &Output, parts: &[&str], case: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{case}: {said}");
    for part in parts {
        assert!(said.contains(part), "{case}: {said:?} lacks {part:?}");
    }
}

/// The SO-101's launch file, with another calibration and its servos at a place of this test's.
fn launch(scratch: &Scratch, calibration: &str) -> PathBuf {
    let text = std::fs::read_to_string(so101()).expect("shipped");
    let robots = repository().join("launch/robots");
    let urdf = format!("{:?}", robots.join("so101.urdf"));
    let text = changed(&text, "\"so101.urdf\"", &urdf);
    let text = changed(&text, "so101_calibration.toml", calibration);
    let port = format!("{:?}", scratch.path("servos"));
    scratch.write("my_arm.toml", changed(&text, "\"/dev/ttyACM0\"", &port))
}

#[test]
fn a_calibration_of_lerobots_is_imported_and_the_launch_file_takes_it() {
    let scratch = Scratch::new("calibration");
    let json = scratch.write("my_arm.json", MY_ARM);
    let [by_launch, by_flags] = ["by_launch.toml", "by_flags.toml"].map(|name| scratch.path(name));
    let line = "import calibration {} --launch {} --aperture-m 0,0.1 --out {}";
    let output = run(line, &[&json, &so101(), &by_launch]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line =
        format!("import calibration {{}} {JOINTS} --models sts3215 --aperture-m 0,0.1 --out {{}}");
    let output = run(&line, &[&json, &by_flags]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [text, same] =
        [&by_launch, &by_flags].map(|path| std::fs::read_to_string(path).expect("written"));
    assert_eq!(text, same);
    for part in [
        "name = \"wrist_roll\"",
        "zero_ticks = 2025",
        "homing_offset_ticks = -1470",
        "[3476, 0.1]",
    ] {
        assert!(text.contains(part), "{text}");
    }

    // The launch file's own reading takes it: what is missing then is the device.
    let launch = launch(&scratch, "by_launch.toml");
    let output = run("doctor {} --json -", &[&launch]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said} {}", stderr(&output));
    assert!(said.contains("arm_port"), "{said}");
    // And calls what is no calibration by its name.
    std::fs::write(
        &by_launch,
        changed(&text, "zero_ticks = 2025", "zero_ticks = true"),
    )
    .expect("written");
    assert_refused(
        &run("doctor {}", &[&launch]),
        &["by_launch.toml", "zero_ticks"],
        "spoilt",
    );
}

#[test]
fn a_file_that_is_no_calibration_is_refused_with_what_to_do() {
    let scratch = Scratch::new("calibration-bad");
    let line = "import calibration {} --launch {} --aperture-m 0,0.1 --out {}";
    let refused = |bytes: &[u8], parts: &[&str], case: &str| {
        let json = scratch.write("my_arm.json", bytes);
        let out = scratch.path("out.toml");
        let output = run(line, &[&json, &so101(), &out]);
        assert_refused(&output, &["my_arm.json", "lerobot-calibrate"], case);
        assert_refused(&output, parts, case);
        assert!(!out.exists(), "{case}");
    };
    let half = &MY_ARM.as_bytes()[..MY_ARM.len() / 2];
    refused(half, &["EOF while parsing"], "truncated");
    refused(b"", &["EOF while parsing"], "empty");
    refused(&[0xFF, 0x00, 0xD8, 0x12], &["UTF-8"], "binary");
    refused(b"[1, 2]", &["invalid type"], "a list");
    for (from, to, says) in [
        ("\"range_min\": 758", "\"range_min\": NaN", "line 2"),
        ("\"range_min\": 758", "\"range_min\": 758.5", "line 2"),
        (
            "\"range_min\": 758",
            "\"range_min\": 3292",
            "shoulder_pan: the range [3292, 3292] is empty",
        ),
        ("\"range_min\": 758", "\"range_min\": 3300", "is empty"),
        ("\"range_min\": 758", "\"range_min\": -758", "seam"),
        ("\"range_min\": 2031", "\"range_min\": 3476", "gripper"),
        (
            "\"range_max\": 3211",
            "\"range_max\": 99999999999",
            "line 3",
        ),
        ("\"id\": 3", "\"id\": 4", "two servos"),
        ("\"id\": 3", "\"id\": 254", "id 254"),
        ("\"id\": 3, ", "", "missing field `id`"),
        ("\"elbow_flex\"", "\"elbow\"", "no servo \"elbow_flex\""),
        (
            "\"gripper\": {",
            "\"camera_pan\": {\"id\": 7, \"drive_mode\": 0, \"homing_offset\": 0, \"range_min\": 0, \"range_max\": 9},\n\"gripper\": {",
            "\"camera_pan\"",
        ),
    ] {
        refused(changed(MY_ARM, from, to).as_bytes(), &[says], to);
    }
    let out = scratch.path("out.toml");
    for (path, says) in [
        (scratch.path("absent.json"), "absent.json"),
        (scratch.path(""), "directory"),
    ] {
        let output = run(line, &[&path, &so101(), &out]);
        assert_refused(&output, &[says, "lerobot-calibrate"], says);
    }
}

#[test]
fn what_lerobots_file_does_not_say_is_asked_for_and_nothing_is_overwritten() {
    let scratch = Scratch::new("calibration-unsaid");
    let json = scratch.write("my_arm.json", MY_ARM);
    let out = scratch.path("out.toml");
    let arm_of_can = repository().join("launch/robots/can_arm.toml");
    for (line, says) in [
        ("--aperture-m 0,0.1", "--joints"),
        ("--joints a,b --aperture-m 0,0.1", "--gripper"),
        (
            "--joints a,b --gripper c --aperture-m 0,0.1",
            "known are sts3215",
        ),
        (
            "--joints a,b --gripper c --models sts9 --aperture-m 0,0.1",
            "\"sts9\"",
        ),
        (
            "--joints a,b --gripper c --models sts3215,sts3215 --aperture-m 0,0.1",
            "2 models for 3 servos",
        ),
        (
            "--joints a --gripper c --models sts3215,xl430-w250 --aperture-m 0,0.1",
            "same protocol",
        ),
        (
            "--joints a --gripper c --models sts3215 --aperture-m 0",
            "two distances",
        ),
        (
            "--joints a --gripper c --models sts3215 --aperture-m 0,nan",
            "0 to 1 m",
        ),
        (
            "--joints a --gripper c --models sts3215 --aperture-m 0.1,0.1",
            "differ",
        ),
    ] {
        let output = run(
            &format!("import calibration {{}} --out {{}} {line}"),
            &[&json, &out],
        );
        assert_refused(&output, &[says], line);
    }
    for (launch, line, says) in [
        (&arm_of_can, "", "servo arm"),
        (&so101(), "--joints shoulder_pan,wrist_roll", "has 5"),
    ] {
        let line =
            format!("import calibration {{}} --out {{}} --launch {{}} --aperture-m 0,0.1 {line}");
        assert_refused(&run(&line, &[&json, &out, launch]), &[says], says);
    }
    assert!(!out.exists());

    let line = "import calibration {} --launch {} --aperture-m 0,0.1 --out {}";
    std::fs::write(&out, "my only one").expect("written");
    assert_refused(
        &run(line, &[&json, &so101(), &out]),
        &["out.toml", "already"],
        "there already",
    );
    assert_eq!(
        std::fs::read_to_string(&out).expect("still there"),
        "my only one"
    );
    let nowhere = scratch.path("nowhere/out.toml");
    assert_refused(
        &run(line, &[&json, &so101(), &nowhere]),
        &["nowhere", "cannot be written"],
        "nowhere",
    );
    assert_refused(
        &run(line, &[&json, &so101(), &scratch.path("")]),
        &["cannot be written"],
        "a directory",
    );
}
