//! Evaluation from the outside: what it promises about determinism, counting, its report and its recordings; and what
//! an interrupt leaves behind.

use crate::scratch::{Scratch, fixtures, run, stderr, urdf, visuomotor};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::episode::{Ending, Episode};
use visuomotor_runtime::kinematics::Chain;
use visuomotor_runtime::safety::OperatingMode;

/// The report on standard output, which must hold nothing else.
fn report(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}\n{}", stderr(output));
    serde_json::from_str(&text).expect("JSON")
}

fn recordings(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "mcap")
    });
    paths.sort();
    paths
}

#[test]
fn equal_seeds_give_equal_actions_whatever_the_jobs() {
    let scratch = Scratch::new("determinism");
    for (name, text, policy, episodes) in [
        ("scripted", scratch.good(), "--policy scripted", 4),
        (
            "learned",
            scratch.with_policy(&fixtures().join("grasp.toml")),
            "",
            2,
        ),
    ] {
        let launch = scratch.write("launch.toml", text);
        let hash = |rest: &str| {
            let line = format!("eval {{}} {policy} --episodes {episodes} --json - {rest}");
            let report = report(&run(&line, &[&launch]));
            assert_eq!(report["episodes"], episodes, "{name} {rest}");
            (
                report["actions_sha256"].clone(),
                report["failed_seeds"].clone(),
            )
        };
        let first = hash("--seed 7");
        assert_eq!(first, hash("--seed 7"), "{name}");
        assert_eq!(first, hash("--seed 7 --jobs 2"), "{name}");
        assert_ne!(first.0, hash("--seed 8").0, "{name}: the seed matters");
    }
}

#[test]
fn the_report_has_the_documented_keys_and_nothing_else() {
    let scratch = Scratch::new("keys");
    let launch = scratch.write("launch.toml", scratch.good());
    let output = run(
        "eval {} --policy scripted --episodes 1 --json -",
        &[&launch],
    );
    let report = report(&output);
    let keys: Vec<_> = report.as_object().expect("a table").keys().collect();
    let mut documented = [
        "episodes",
        "interrupted",
        "successes",
        "success_rate",
        "wilson95",
        "steps_mean",
        "failures",
        "faults",
        "policy_tick_ms",
        "realtime_factor",
        "closes_mean",
        "actions_sha256",
        "failed_seeds",
    ];
    documented.sort_unstable();
    let mut found: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, documented);
    assert_eq!(report["actions_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(report["wilson95"].as_array().map(Vec::len), Some(2));
    assert!(report["policy_tick_ms"]["p99"].is_number());
}

/// The fixture is sure (0.93) that ending the episode at once is a success. The physics are not.
#[test]
fn success_is_what_the_physics_say() {
    let scratch = Scratch::new("physics");
    let launch = scratch.write(
        "launch.toml",
        scratch.with_policy(&fixtures().join("q.toml")),
    );
    let records = scratch.path("records");
    let output = run(
        "eval {} --episodes 3 --json - --record {}",
        &[&launch, &records],
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = report(&output);
    assert_eq!(
        (&report["successes"], &report["success_rate"]),
        (&0.into(), &0.0.into())
    );
    assert_eq!(report["failed_seeds"], serde_json::json!([1, 2, 3]));
    assert_eq!(
        report["failures"],
        serde_json::json!({ "terminated_early": 3 })
    );
    assert_eq!(report["steps_mean"], 1.0);
    for path in recordings(&records) {
        let episode = Episode::<7>::open(&path).expect("readable");
        let decision = episode.decisions[0].decision;
        assert_eq!(decision.action.verb, Verb::Terminate);
        assert!(
            decision.q_value > 0.5,
            "the policy is sure: {}",
            decision.q_value
        );
        let (outcome, _) = episode.outcome.expect("judged");
        assert_eq!(outcome.success, Some(false));
    }
}

/// The whole figure is a documented command: `eval … --policy scripted --episodes 200 --require 0.95`.
#[test]
fn the_expert_grasps_nine_of_ten() {
    let scratch = Scratch::new("expert");
    let launch = scratch.write("launch.toml", scratch.good());
    let line = "eval {} --policy scripted --episodes 40 --jobs 2 --require 0.9 --json -";
    let output = run(line, &[&launch]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}\n{}",
        report(&output),
        stderr(&output)
    );
}

#[test]
fn recordings_hold_every_decision_and_commands_within_the_limits() {
    const EPISODES: usize = 3;
    /// The URDF's, rad/s, base to tip.
    const DQ_MAX_DEG: [f64; 7] = [85.0, 85.0, 100.0, 75.0, 130.0, 135.0, 135.0];
    let scratch = Scratch::new("record");
    let launch = scratch.write("launch.toml", scratch.good());
    let records = scratch.path("records");
    let line = "eval {} --policy scripted --episodes 3 --seed 5 --json - --record {}";
    let report = report(&run(line, &[&launch, &records]));
    let paths = recordings(&records);
    assert_eq!(paths.len(), EPISODES);

    let mut decisions = 0;
    let mut successes = 0;
    for (path, seed) in paths.iter().zip(5..) {
        let episode = Episode::<7>::open(path).expect("readable");
        let name = path.display();
        assert_eq!(episode.damage, None, "{name}");
        assert_eq!(
            episode.header.scene.as_ref().map(|scene| scene.seed),
            Some(seed)
        );
        let (outcome, losses) = episode.outcome.as_ref().expect("finished");
        assert_eq!(*losses, Default::default(), "{name}");
        assert_eq!(outcome.actions as usize, episode.decisions.len(), "{name}");
        assert_eq!(
            episode.observations.len(),
            episode.decisions.len(),
            "{name}"
        );
        let frames: Vec<_> = episode
            .frames
            .iter()
            .map(|frame| frame.captured_at)
            .collect();
        for (decision, captured_at) in episode.decisions.iter().zip(frames) {
            assert_eq!(decision.decision.frame_captured_at, captured_at);
            assert!(decision.decided_at >= captured_at, "{name}");
        }
        decisions += episode.decisions.len();
        successes += usize::from(outcome.success == Some(true));

        // Every tick is there, and from the first command on the arm is asked for nothing that it cannot do.
        let first = &episode.steps[0];
        let measured = first.measured().expect("read").q;
        assert_eq!(first.command.expect("sent").0, measured, "{name}");
        for pair in episode.steps.windows(2) {
            assert_eq!(pair[1].tick, pair[0].tick + 1, "{name}");
            let (before, after) = (
                pair[0].command.expect("sent"),
                pair[1].command.expect("sent"),
            );
            for (joint, degrees) in DQ_MAX_DEG.iter().enumerate() {
                let moved = (after.0[joint] - before.0[joint]).abs();
                assert!(
                    moved <= degrees.to_radians() * 1e-3 + 1e-9,
                    "{name}: joint {joint}, {moved}"
                );
            }
        }
        let last = episode.steps.last().expect("steps");
        assert_eq!(last.counters.missed_ticks, 0, "simulated time never misses");
        assert_eq!(last.phase.latched(), None, "{name}: {:?}", last.fault);
    }
    let steps = report["steps_mean"].as_f64().expect("a number") * EPISODES as f64;
    assert_eq!(decisions, steps.round() as usize);
    assert_eq!(report["successes"], successes);
}

/// The highest speed of the tool centre point in the commands of these recordings, m/s, and whether all of their steps
/// were in this mode.
fn fastest(records: &Path, mode: OperatingMode) -> (f64, bool) {
    let urdf = std::fs::read_to_string(urdf()).expect("readable");
    let chain = Chain::<7>::from_urdf(&urdf, "base_link", "tcp").expect("a chain");
    let (mut fastest, mut in_mode) = (0.0_f64, true);
    for path in recordings(records) {
        for step in Episode::<7>::open(&path).expect("readable").steps {
            let (q, dq, _) = step.command.expect("sent");
            let twist = chain.jacobian(&q).1 * dq.0;
            fastest = fastest.max(twist.fixed_rows::<3>(0).norm());
            in_mode &= step.mode == mode;
        }
    }
    (fastest, in_mode)
}

#[test]
fn manual_mode_grasps_at_reduced_speed() {
    let scratch = Scratch::new("manual");
    let launch = scratch.write("launch.toml", scratch.good());
    for (flag, mode) in [
        ("", OperatingMode::Automatic),
        ("--manual", OperatingMode::Manual),
    ] {
        let records = scratch.path(&format!("records{flag}"));
        let line =
            format!("eval {{}} --policy scripted --episodes 3 {flag} --json - --record {{}}");
        let report = report(&run(&line, &[&launch, &records]));
        assert!(report["successes"].as_u64() >= Some(2), "{flag}: {report}");
        assert_eq!(report["faults"].as_array().map(Vec::len), Some(0));
        let (fastest, in_mode) = fastest(&records, mode);
        assert!(in_mode, "{flag}");
        let reduced = fastest <= 0.25 + 1e-9;
        assert_eq!(reduced, mode == OperatingMode::Manual, "{fastest} m/s");
        println!("{mode:?}: at most {fastest:.3} m/s");
    }
}

/// In real time on whatever machine this is: nothing here depends on how punctual it was.
#[test]
fn an_interrupt_stops_the_arm_and_finishes_the_episode() {
    let scratch = Scratch::new("interrupt");
    let launch = scratch.write("launch.toml", scratch.good());
    for signal in ["INT", "TERM"] {
        let records = scratch.path(signal);
        let mut child = visuomotor()
            .args(["run".as_ref(), launch.as_os_str()])
            .args(["--policy", "scripted", "--stats", "-", "--record"])
            .arg(&records)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        let recording =
            || std::fs::read_dir(&records).is_ok_and(|mut entries| entries.next().is_some());
        while !recording() {
            assert!(
                child.try_wait().expect("a child").is_none(),
                "it ended before an episode began"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        // Into the episode, while the tool moves.
        std::thread::sleep(Duration::from_millis(700));
        let killed = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", child.id())])
            .status();
        assert!(killed.expect("a shell").success());
        let output = child.wait_with_output().expect("it ends");
        let said = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{signal}: interrupted is not good\n{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
        assert!(report(&output)["ticks"].as_u64() > Some(100));

        let paths = recordings(&records);
        assert_eq!(
            std::fs::read_dir(&records).expect("there").count(),
            paths.len(),
            "none is left open"
        );
        let episode = Episode::<7>::open(paths.last().expect("recorded")).expect("readable");
        assert_eq!(episode.damage, None);
        let (outcome, _) = episode.outcome.expect("finished");
        assert!(
            matches!(outcome.ending, Ending::Stopped | Ending::Fault),
            "{signal}: {:?}",
            outcome.ending
        );
        let (_, dq, _) = episode
            .steps
            .last()
            .and_then(|step| step.command)
            .expect("a command");
        assert!(dq.0.amax() < 0.05, "{signal}: not at rest: {dq:?}");
        let fastest = episode.steps.iter().filter_map(|step| step.command);
        let fastest = fastest.map(|(_, dq, _)| dq.0.amax()).fold(0.0, f64::max);
        println!("{signal}: at most {fastest:.2} rad/s before it");
    }
}

#[test]
fn an_evaluation_that_is_refused_at_its_start_leaves_nothing_behind() {
    let scratch = Scratch::new("refused-eval");
    let launch = scratch.write("good.toml", scratch.good());
    let (missing, sheets) = (scratch.path("no-policy.toml"), scratch.path("sheets"));
    let line = "eval {} --policy {} --sheet {}";
    let output = run(line, &[&launch, &missing, &sheets.join("failures.png")]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(!sheets.exists());
}
