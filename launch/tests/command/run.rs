//! `visuomotor run` and `doctor` from the outside: what real time needs, and what a session says about it.

use crate::scratch::{GOOD, Scratch, changed, repository, run, stderr};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;
use visuomotor_runtime::episode::{ClockSource, Episode};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

/// A launch file that does not say `preferred`, and asks for a CPU that no machine has.
fn impossible(scratch: &Scratch) -> PathBuf {
    let real_time = "real_time = \"preferred\"";
    assert!(GOOD.contains(real_time));
    let text = changed(&scratch.good(), real_time, "cpu = 100000");
    let policy = repository().join("policies/models/qtopt.toml");
    let shipped = "\"../../policies/models/qtopt.toml\"";
    let text = changed(&text, shipped, &format!("{policy:?}"));
    scratch.write("impossible.toml", text)
}

#[test]
fn what_is_required_and_missing_is_refused_in_the_words_of_the_doctor() {
    let scratch = Scratch::new("required");
    let launch = impossible(&scratch);
    let doctor = run("doctor {} --json -", &[&launch]);
    assert_eq!(doctor.status.code(), Some(1), "{}", stderr(&doctor));
    let findings = json(&doctor);
    let checks = findings["checks"].as_array().expect("a list");
    let affinity = checks.iter().find(|check| check["name"] == "affinity");
    let affinity = affinity.expect("a check of the CPU");
    assert_eq!(
        (&affinity["ok"], &affinity["required"]),
        (&Value::Bool(false), &Value::Bool(true))
    );

    let refused = run("run {} --policy scripted --seconds 0", &[&launch]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let text = stderr(&refused);
    for check in checks {
        let missing = check["required"] == true && check["ok"] == false;
        let detail = check["detail"].as_str().expect("a text");
        let remedy = check["remedy"].as_str().expect("a text");
        assert_eq!(missing, text.contains(detail), "{detail} in\n{text}");
        assert!(!missing || text.contains(remedy), "{remedy} in\n{text}");
    }
    assert!(text.contains("--allow-non-realtime"), "{text}");
}

#[test]
fn a_session_says_what_it_got_and_how_every_tick_fared() {
    let scratch = Scratch::new("stats");
    let launch = impossible(&scratch);
    let line = "run {} --allow-non-realtime --policy scripted --episodes 1 --stats -";
    let output = run(line, &[&launch]);
    let stats = json(&output);
    let count = |key: &str| {
        stats[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key} in {stats}"))
    };
    assert!(count("ticks") > 1000, "{stats}");
    assert_eq!(count("allocations"), 0);
    assert!(count("voluntary_switches") < count("ticks"));
    for stream in ["steps", "frames", "events", "decisions"] {
        assert!(stats["dropped"][stream].is_u64(), "{stream} in {stats}");
    }
    assert!(stats["camera"]["frames"].as_u64() > Some(0), "{stats}");
    for refused in ["repeated", "out_of_order", "from_future", "wrong_size"] {
        assert!(stats["camera"][refused].is_u64(), "{refused} in {stats}");
    }
    for span in ["wake_us", "compute_us"] {
        assert!(
            stats[span]["p999"].as_f64() > Some(0.0),
            "{span} in {stats}"
        );
    }

    let directory = scratch.path("episodes");
    let mut entries = std::fs::read_dir(directory).expect("a directory of episodes");
    let path = entries
        .next()
        .expect("one episode")
        .expect("an entry")
        .path();
    let episode = Episode::<7>::open(&path).expect("an episode");
    assert_eq!(episode.header.clock.source, ClockSource::Monotonic);
    let realtime = episode.header.realtime.expect("what was granted");
    assert!(!realtime.required && !realtime.affinity);
    assert!(
        realtime.missing.split(',').any(|name| name == "affinity"),
        "{realtime:?}"
    );
    let ticks: Vec<u64> = episode.health.iter().map(|record| record.tick).collect();
    assert!(
        ticks
            .iter()
            .copied()
            .eq(episode.steps.iter().map(|step| step.tick))
    );
    assert!(!ticks.is_empty());
}
