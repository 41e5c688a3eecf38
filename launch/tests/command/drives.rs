//! Launch files whose drives cannot be, or would stop when they should not, are refused where they say so.

use crate::scratch::{Scratch, changed, repository, run, stderr};
use std::path::PathBuf;

pub fn robot(name: &str) -> PathBuf {
    repository().join(format!("launch/robots/{name}.toml"))
}

/// A launch file of a physical arm that names its files from anywhere.
pub fn template(name: &str) -> String {
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
fn can_drives_that_cannot_be_are_refused_at_their_table() {
    let scratch = Scratch::new("drives");
    let shipped = template("can_arm");
    for (from, to, says) in [
        ("id = 2\n", "id = 1\n", "another drive's too"),
        ("id = 2\n", "id = 16\n", "outside 1 to 15"),
        ("kp = 80.0", "kp = 0.06", "must be at least"),
        (
            "torque_limit_nm = 7.0",
            "torque_limit_nm = nan",
            "must be above 0",
        ),
        (
            "rotor_inertia_kg_m2 = 0.008",
            "rotor_inertia_kg_m2 = 8.0",
            "its own rotor takes",
        ),
        ("force_n = 25.0", "force_n = nan", "gripper: force_n"),
        (
            "watchdog_ms = 50",
            "watchdog_ms = 50\ngravity_m_per_s2 = [0.0, 0.0, -1e308]",
            "to hold the arm at home_rad",
        ),
        (
            "watchdog_ms = 50",
            "watchdog_ms = 50\ngravity_m_per_s2 = [0.0, 0.0, -98.0]",
            "to hold the arm at home_rad",
        ),
    ] {
        let path = scratch.write("drives.toml", changed(&shipped, from, to));
        let output = run("doctor {}", &[&path]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(says), "{to}: {said}");
        assert!(said.contains("drives.toml:"), "{to}: {said}");
    }
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
    let mixed = feetech.replacen("sts3215", "xl330-m288", 1);
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
            &so101,
            &mixed,
            "protocol = \"feetech\"",
            "protocol = \"feetech\"\nbaud = 1000000",
            &[
                "calibration.toml",
                "shoulder_pan: a xl330-m288 does not speak Feetech",
            ],
        ),
        (
            &koch,
            &feetech,
            "watchdog_ms = 100",
            "watchdog_ms = 200",
            &["calibration.toml", "does not speak Dynamixel"],
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
