//! Recorded episodes through `visuomotor replay`: the same bits, and what it says where they are not.

use crate::scratch::{Scratch, changed, run, stderr};
use serde_json::Value;
use std::path::Path;

fn replay(path: &Path, code: i32) -> Value {
    let output = run("replay {} --json -", &[path]);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

#[test]
fn simulated_episodes_replay_exactly_and_without_the_files_that_they_came_from() {
    let scratch = Scratch::new("replay");
    let launch = scratch.write("launch.toml", scratch.good());
    let records = scratch.path("records");
    let output = run(
        "eval {} --policy weak --episodes 2 --seed 3 --record {} --json -",
        &[&launch, &records],
    );
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
    std::fs::remove_file(&launch).expect("it was there");
    for seed in 3..5 {
        let path = records.join(format!("{seed:08}.mcap"));
        let report = replay(&path, 0);
        assert_eq!(report["identical"], true);
        assert_eq!(report["first_difference"], Value::Null);
        assert!(report["ticks"].as_u64() > Some(1000), "{report}");
        assert_eq!(report["skipped"], 0);

        // A file that ends early is replayed as far as it goes, and is not called identical.
        let bytes = std::fs::read(&path).expect("recorded");
        let short = scratch.write("short.mcap", &bytes[..bytes.len() * 2 / 3]);
        let part = replay(&short, 1);
        assert_eq!(part["first_difference"], Value::Null);
        assert!(part["damage"].is_string() && part["ticks"].as_u64() < report["ticks"].as_u64());

        // One that ends before its robot's description says why that is missing.
        let robot = bytes.windows(6).position(|window| window == b"<robot");
        let stub = scratch.write("stub.mcap", &bytes[..robot.expect("attached") + 6]);
        let output = run("replay {}", &[&stub]);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("ends early"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn an_episode_is_replayed_with_its_own_launch_file_and_a_forged_one_is_refused() {
    let scratch = Scratch::new("replay-other");
    let record = |name: &str, text: String| {
        let launch = scratch.write(&format!("{name}.toml"), text);
        let records = scratch.path(name);
        run(
            "eval {} --policy weak --episodes 1 --seed 3 --record {} --json -",
            &[&launch, &records],
        );
        std::fs::read(records.join("00000003.mcap")).expect("recorded")
    };
    let episode = record("good", scratch.good());
    let (from, to) = (b"tool_m_per_s = 0.8", b"tool_m_per_s = 0.1");
    let at = episode
        .windows(from.len())
        .position(|window| window == from)
        .expect("the launch file is attached");
    let mut forged = episode.clone();
    forged[at..at + to.len()].copy_from_slice(to);
    let forged = scratch.write("forged.mcap", &forged);
    let output = run("replay {}", &[&forged]);
    assert_eq!(output.status.code(), Some(2), "its checksum is wrong");
    assert!(
        stderr(&output).contains("launch.toml"),
        "{}",
        stderr(&output)
    );

    let slow = record(
        "slow",
        changed(&scratch.good(), "tool_m_per_s = 0.8", "tool_m_per_s = 0.1"),
    );
    assert_eq!(
        replay(&scratch.write("slow.mcap", &slow), 0)["identical"],
        true
    );
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let scratch = Scratch::new("replay-bad");
    let old = crate::scratch::repository().join("runtime/tests/episode_of_schema_2.mcap");
    for (path, reason) in [
        (old, "schema version 2"),
        (scratch.path("nowhere.mcap"), "nowhere.mcap"),
        (scratch.write("text.mcap", "no episode"), "text.mcap"),
    ] {
        let output = run("replay {}", &[&path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

#[test]
fn an_episode_that_lost_steps_is_not_called_identical() {
    let scratch = Scratch::new("replay-lost");
    let (launch, records) = (
        crate::scratch::repository().join("launch/robots/sim_iiwa14.toml"),
        scratch.path("records"),
    );
    // The writer stands still until after the last tick: what is missing is missing at the end.
    let output = run(
        "simulate {} --seeds 0..1 --faults writer-stall@1000+30000:0 --record {} --json -",
        &[&launch, &records],
    );
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
    let report = replay(&records.join("00000000.mcap"), 1);
    assert!(report["lost_steps"].as_u64() > Some(0), "{report}");
    assert_eq!(report["identical"], false);
}
