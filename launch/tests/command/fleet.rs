//! `visuomotor forward` and `visuomotor collect` as processes: on this machine, and on a bad network of namespaces.

use crate::scratch::{Scratch, repository, run, stderr, visuomotor};
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Command, Stdio};

fn endpoint() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("tcp/{}", free.local_addr().expect("bound"))
}

#[test]
fn an_episode_and_an_abandoned_one_arrive_and_say_which_is_which() {
    let scratch = Scratch::new("fleet");
    let (robot, out) = (scratch.path("robot"), scratch.path("out"));
    std::fs::create_dir(&robot).expect("a directory");
    let whole = std::fs::read(repository().join("runtime/tests/episode_of_schema_2.mcap"));
    let whole = whole.expect("a recorded episode");
    std::fs::write(robot.join("a.mcap"), &whole).expect("written");
    std::fs::write(robot.join("b.mcap.open"), &whole[..whole.len() / 2]).expect("written");
    let endpoint = endpoint();
    let collector = visuomotor()
        .args(["collect", "--listen", &endpoint, "--episodes", "2"])
        .args(["--seconds", "60", "--json", "-", "--out"])
        .arg(&out)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let forwarder = visuomotor()
        .args(["forward", "--robot", "arm-7", "--connect", &endpoint])
        .args(["--once", "--seconds", "60", "--json", "-"])
        .arg(&robot)
        .output()
        .expect("it starts");
    let collector = collector.wait_with_output().expect("it ends");
    assert_eq!(collector.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&collector.stdout).expect("JSON and nothing else");
    assert_eq!(
        (&report["episodes"], &report["incomplete"]),
        (&2.into(), &1.into())
    );
    assert_eq!(report["robots"], serde_json::json!(["arm-7"]));
    assert_eq!(forwarder.status.code(), Some(0), "{}", stderr(&forwarder));
    let report: Value = serde_json::from_slice(&forwarder.stdout).expect("JSON and nothing else");
    assert_eq!(
        (&report["delivered"], &report["waiting"]),
        (&2.into(), &0.into())
    );
    assert!(std::fs::read(out.join("arm-7/a.mcap")).expect("it arrived") == whole);
    assert!(out.join("arm-7/b.mcap.open").exists());
}

#[test]
fn what_cannot_be_forwarded_or_collected_says_why() {
    let scratch = Scratch::new("fleet-bad");
    let (out, file) = (scratch.path("out"), scratch.write("file", "no directory"));
    for (line, paths, reason) in [
        (
            "forward {} --robot a --connect tcp/127.0.0.1:1",
            vec![&file],
            "file",
        ),
        (
            "forward {} --robot a --connect nowhere",
            vec![&out],
            "connect/endpoints",
        ),
        (
            "forward {} --robot a/b --connect tcp/127.0.0.1:1",
            vec![&out],
            "robot's name",
        ),
        ("collect --out {} --config {}", vec![&out, &file], "file"),
        (
            "collect --out {} --staging {}",
            vec![&out, &out],
            "--staging is for",
        ),
        ("collect --out s3://bucket/prefix", vec![], "--staging DIR"),
        #[cfg(not(feature = "s3"))]
        (
            "collect --out s3://bucket/prefix --staging {}",
            vec![&out],
            "--features s3",
        ),
    ] {
        let paths: Vec<_> = paths.into_iter().map(|path| path.as_path()).collect();
        let output = run(line, &paths);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(reason),
            "{line}: {}",
            stderr(&output)
        );
    }
    // Where nobody listens, what is there stays there and is counted.
    let robot = scratch.path("robot");
    std::fs::create_dir(&robot).expect("a directory");
    std::fs::write(robot.join("a.mcap"), "x").expect("written");
    let output = run(
        "forward {} --robot a --connect tcp/127.0.0.1:1 --seconds 1 --json -",
        &[&robot],
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&report["waiting"], &report["delivered"]),
        (&1.into(), &0.into())
    );
}

/// The small form of the test of a whole fleet; `hil-tests/fleet/partition.py` without options is the large one.
#[test]
fn long_a_fleet_gets_everything_through_a_bad_network_a_partition_and_a_killed_collector() {
    let output = Command::new("python3")
        .arg(repository().join("hil-tests/fleet/partition.py"))
        .arg(env!("CARGO_BIN_EXE_visuomotor"))
        .args(["--robots", "4", "--episodes", "4", "--episode-kib", "256"])
        .args(["--partition-s", "5", "--lead-s", "3", "--json", "-"])
        .output();
    let output = match output {
        Ok(output) if output.status.code() == Some(2) => {
            return eprintln!(
                "SKIPPED, the network of namespaces: {}",
                stderr(&output).trim()
            );
        }
        Ok(output) => output,
        Err(error) => return eprintln!("SKIPPED, the network of namespaces: python3: {error}"),
    };
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&report["arrived"], &report["incomplete_marked"]),
        (&16.into(), &4.into())
    );
    assert!(
        report["packets_lost"].as_u64() > Some(0),
        "the network was bad: {report}"
    );
}
