//! Recorded episodes through `visuomotor verify` and `visuomotor replay --on sim`: the golden ones are what they were, and
//! what changes is named.

use crate::scratch::{Scratch, changed, repository, stderr, visuomotor};
use serde_json::Value;
use std::path::Path;

/// In the repository's root, where the golden episodes' own paths start.
fn in_root(arguments: &[&str], code: i32) -> Value {
    let mut command = visuomotor();
    command.current_dir(repository()).args(arguments);
    let output = command.args(["--json", "-"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

const QTOPT: &str = "launch/golden/qtopt/00000005.mcap";

#[test]
fn golden_episodes_are_what_they_were() {
    let report = in_root(&["verify", "launch/golden"], 0);
    assert_eq!(
        (&report["identical"], &report["differing"]),
        (&4.into(), &0.into()),
        "{report}"
    );
    let episodes = report["episodes"].as_array().expect("an array");
    let mut decisions = 0;
    for episode in episodes {
        assert!(
            episode["controller"]["ticks"].as_u64() > Some(2000),
            "{episode}"
        );
        // Schema, solver and limits are today's: a change there needs new golden episodes.
        let changed = episode["changed"].as_array().expect("an array");
        assert!(
            changed.iter().all(|change| change["entry"] == "code"),
            "{episode}"
        );
        decisions += episode["policy"]["decisions"].as_u64().expect("a number");
    }
    assert!(decisions >= 25, "{report}");
}

#[test]
fn a_changed_limit_and_a_changed_setting_are_named_as_causes() {
    let scratch = Scratch::new("verify");
    for (from, to, cause) in [
        ("jerk = [1500.0,", "jerk = [1400.0,", "limits"),
        (
            "velocity_m_per_s = 0.30",
            "velocity_m_per_s = 0.29",
            "controller settings",
        ),
    ] {
        let launch = scratch.write("launch.toml", changed(&scratch.good(), from, to));
        let launch = launch.display().to_string();
        let report = in_root(&["verify", QTOPT, "--launch", &launch], 1);
        let episode = &report["episodes"][0];
        assert_eq!(episode["verdict"], "differs");
        assert_eq!(episode["explained_by"], serde_json::json!([cause]));
        let difference = &episode["controller"]["first_difference"];
        assert!(difference["magnitude"].as_f64() > Some(0.0), "{difference}");
        assert_eq!(episode["policy"]["first_difference"], Value::Null);
    }
}

#[test]
fn a_swapped_checkpoint_is_named_as_the_cause() {
    let scratch = Scratch::new("verify-checkpoint");
    for file in std::fs::read_dir(repository().join("policies/models")).expect("there") {
        let file = file.expect("readable").path();
        let name = file.file_name().expect("a name");
        std::fs::copy(&file, scratch.path(&name.to_string_lossy())).expect("copied");
    }
    let manifest = scratch.path("qtopt.toml").display().to_string();
    let same = in_root(&["verify", QTOPT, "--policy", &manifest], 0);
    assert_eq!(same["identical"], 1);

    // One weight is another, and the manifest knows: only what was recorded tells.
    let head = scratch.path("q_head.onnx");
    let mut bytes = std::fs::read(&head).expect("copied");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&head, bytes).expect("written");
    let report = in_root(&["verify", QTOPT, "--policy", &manifest], 1);
    let episode = &report["episodes"][0];
    assert_eq!(episode["verdict"], "differs");
    assert_eq!(episode["explained_by"], serde_json::json!(["checkpoint"]));
    assert_eq!(episode["controller"]["first_difference"], Value::Null);
}

#[test]
fn recorded_actions_repeat_in_simulation_and_others_do_not() {
    for name in ["qtopt", "hand_eye", "manual"] {
        let episode = format!("launch/golden/{name}/00000005.mcap");
        let report = in_root(&["replay", &episode, "--on", "sim"], 0);
        assert_eq!(report["repeats"], true);
        assert_eq!(report["replayed_success"], true);
        assert_eq!(
            report["path_difference_m_max"].as_f64(),
            Some(0.0),
            "{report}"
        );
    }
    // On another tray the same actions grasp nothing.
    let scratch = Scratch::new("replay-on");
    let bytes = std::fs::read(repository().join(QTOPT)).expect("there");
    let seed = b"seed\x01\0\0\x005";
    let at = bytes.windows(seed.len()).position(|window| window == seed);
    let at = at.expect("the scene's seed") + seed.len() - 1;
    let mut other = bytes;
    other[at] = b'8';
    let other = scratch.write("other.mcap", other).display().to_string();
    let report = in_root(&["replay", &other, "--on", "sim"], 1);
    assert_eq!(
        (&report["repeats"], &report["replayed_success"]),
        (&false.into(), &false.into())
    );
}

#[test]
fn what_cannot_be_verified_is_no_success() {
    let scratch = Scratch::new("verify-none");
    let noise = scratch.write("noise.mcap", "no episode");
    let old = repository().join("runtime/tests/episode_of_schema_1.mcap");
    for path in [noise.as_path(), old.as_path()] {
        let report = in_root(&["verify", &path.display().to_string()], 1);
        assert_eq!(report["episodes"][0]["verdict"], "unverifiable");
    }
    let mut command = visuomotor();
    let missing = command
        .args(["verify", "nowhere"])
        .output()
        .expect("it starts");
    assert_eq!(missing.status.code(), Some(2));
    let bytes = std::fs::read(repository().join(QTOPT)).expect("there");
    let short = scratch.write("short.mcap", &bytes[..bytes.len() / 2]);
    let report = in_root(&["verify", &short.display().to_string()], 1);
    assert_eq!(report["episodes"][0]["verdict"], "incomplete");
    assert!(Path::new(&short).is_file());
}
