//! Bugs planted on purpose are found by the simulation: its checkers can fail.

use crate::scratch::{repository, run, stderr};
use serde_json::Value;
use visuomotor_runtime::planted::Bug;

/// Who may find it first, within 1,000 seeds: those whose business it is.
fn finders(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::IgnoredAge => &["ages", "orders", "counters"],
        Bug::SkippedLatch => &["latch", "link", "causes"],
        Bug::SilentDrop => &["ledger"],
        Bug::ClearedInMotion => &["phases", "latch", "causes", "counters"],
        Bug::StaleSample | Bug::IgnoredWriteError => &["link", "latch", "causes"],
        Bug::WeakenedStop => &["phases", "latch", "causes"],
        Bug::OperatorForgotten => &["operator-silence", "causes"],
        Bug::ArmedElsewhere => &["first-command"],
        Bug::HiddenState => &["replay", "counters"],
    }
}

#[test]
fn every_planted_bug_is_found_and_the_printed_command_finds_it_again() {
    let launch = repository().join("launch/robots/sim_iiwa14.toml");
    for &bug in Bug::ALL {
        let name = bug.name();
        let simulate = |what: &str| -> Value {
            let words = format!("simulate {{}} {what} --plant {name} --max-failures 1 --json -");
            let output = run(&words, &[&launch]);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
            serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
        };
        let report = simulate("--seeds 0..1000 --jobs 2");
        let failure = &report["failures"][0];
        let checker = failure["checker"].as_str().expect("a name");
        println!("{name}: {checker} after {} seeds", report["seeds"]);
        assert!(finders(bug).contains(&checker), "{name}: {failure}");
        let replay = failure["replay"].as_str().expect("a command");
        let (_, options) = replay.split_once(".toml ").expect("after the launch file");
        assert_eq!(
            simulate(options)["failures"][0]["checker"],
            checker,
            "{replay}"
        );
    }
}
