//! The whole system by seed: a small share of a night's seeds, and that they repeat.

use crate::scratch::{repository, run, stderr};
use serde_json::Value;

fn simulate(options: &str, code: i32) -> Value {
    let launch = repository().join("launch/robots/sim_iiwa14.toml");
    let output = run(&format!("simulate {{}} {options} --json -"), &[&launch]);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

#[test]
fn seeds_with_faults_pass() {
    let report = simulate("--seeds 0..60 --faults all --jobs 2", 0);
    assert_eq!(report["seeds"], 60);
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    assert!(report["ticks"].as_u64() > Some(60 * 2_900), "{report}");
    let played = report["faults_injected"]
        .as_object()
        .expect("kinds")
        .values();
    let played: u64 = played.filter_map(Value::as_u64).sum();
    assert!(played > 40, "{report}");
}

/// A share of a night's seeds that takes about a minute.
#[test]
fn long_seeds_with_faults_pass_and_every_kind_is_played() {
    let report = simulate("--seeds 1000..2200 --faults all --jobs 2", 0);
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    let played = report["faults_injected"].as_object().expect("kinds");
    assert_eq!(played.len(), 34, "{report}");
    assert!(played.values().all(|n| n.as_u64() > Some(3)), "{report}");
}

#[test]
fn without_faults_nothing_is_played() {
    let report = simulate("--seeds 0..4 --faults none", 0);
    assert_eq!(report["faults_injected"], Value::Object(Default::default()));
}

#[test]
fn what_is_no_seed_and_no_fault_says_what_would_be() {
    for (options, expected) in [
        ("--seeds 3..3", "A..B"),
        ("--seeds x", "A..B"),
        ("--faults rain", "camera-stall"),
    ] {
        let output = run(&format!("simulate {options}"), &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}
