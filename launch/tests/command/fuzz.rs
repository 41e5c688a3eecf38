//! The attack on the safety filter, a small share of a release's: what it reports, and that nothing got through.

use crate::scratch::{Scratch, changed, run, stderr};
use serde_json::Value;

const LIMITS: [&str; 9] = [
    "q",
    "dq",
    "ddq",
    "dddq",
    "tcp_speed",
    "tcp_rotation",
    "plane_m",
    "capsule_m",
    "capsule_speed",
];

fn attack(change: &str, name: &str, options: &str) -> Value {
    let scratch = Scratch::new(name);
    let path = scratch.write("launch.toml", launch(&scratch, change));
    let output = run(&format!("fuzz-safety {{}} {options} --json -"), &[&path]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

/// `change` of the shipped launch file, as `from => to`.
fn launch(scratch: &Scratch, change: &str) -> String {
    match change.split_once(" => ") {
        Some((from, to)) => changed(&scratch.good(), from, to),
        None => scratch.good(),
    }
}

#[test]
fn nothing_gets_through_and_every_limit_is_met() {
    let report = attack(
        "",
        "fuzz",
        "--joint-ticks 700000 --arm-ticks 60000 --seed 5",
    );
    assert_eq!(
        (&report["joint_ticks"], &report["violations"]),
        (&700_000.into(), &0.into())
    );
    assert_eq!(report["arm_ticks"], 60_000);
    for limit in LIMITS {
        let excess = report["max_excess"][limit].as_f64().expect("a number");
        assert!(excess <= 1e-9, "{limit}: {excess}");
    }
    // Otherwise the attack would prove nothing. The borders are met less often: steering keeps away from them.
    for (limit, least) in [
        ("q", 1000),
        ("dq", 1000),
        ("ddq", 1000),
        ("dddq", 1000),
        ("plane_m", 20),
    ] {
        let near = report["near_limit_ticks"][limit].as_u64().expect("a count");
        assert!(near >= least, "{limit}: {near}");
    }
    let close = report["max_excess"]["tcp_speed"]
        .as_f64()
        .expect("a number");
    assert!(
        close > -0.005,
        "the tool never came near its speed limit: {close}"
    );
    assert!(report["stops"].as_u64().expect("a count") > 20);
    let fallback = report["fallback_share_benign"].as_f64().expect("a number");
    assert!(fallback <= 1e-3, "{fallback}");
}

/// A share of a release's attack that takes about a minute: long enough that the arm meets itself.
#[test]
fn long_nothing_gets_through_and_the_whole_arm_meets_its_limits() {
    let report = attack(
        "",
        "fuzz-long",
        "--joint-ticks 7000000 --arm-ticks 1000000 --seed 7",
    );
    assert_eq!(report["violations"], 0);
    // How near the attack came, in each limit's unit.
    for (limit, nearest) in [
        ("tcp_speed", 1e-4),
        ("tcp_rotation", 2e-3),
        ("plane_m", 1e-4),
        ("capsule_m", 1e-3),
        ("capsule_speed", 1e-3),
    ] {
        let excess = report["max_excess"][limit].as_f64().expect("a number");
        assert!((-nearest..=1e-9).contains(&excess), "{limit}: {excess}");
    }
    assert!(report["near_limit_ticks"]["tcp_speed"].as_u64() > Some(100));
}

#[test]
fn other_limits_hold_too_and_a_seed_repeats() {
    let slow = "tool_m_per_s = 0.8 => tool_m_per_s = 0.1";
    let options = "--joint-ticks 7000 --arm-ticks 30000 --seed 6";
    let report = attack(slow, "fuzz-slow", options);
    assert_eq!(report["violations"], 0);
    assert_eq!(report, attack(slow, "fuzz-again", options));
    assert_ne!(
        report,
        attack(slow, "fuzz-other", &options.replace("6", "7"))
    );
}
