//! `visuomotor forward` and `visuomotor collect` as processes: on this machine, and on a bad network of namespaces.

use crate::scratch::{Scratch, changed, repository, run, stderr, visuomotor};
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

/// The configuration files that README.md shows, with certificates made here: a robot is heard under the name in its
/// certificate, and nobody else is heard at all.
#[test]
fn certificates_say_who_may_send_what() {
    let scratch = Scratch::new("fleet-tls");
    if let Err(reason) = certificates(&scratch) {
        return eprintln!("SKIPPED, certificates: {reason}");
    }
    let port = endpoint().rsplit(':').next().expect("a port").to_owned();
    let shipped = |name: &str| {
        let path = repository().join("launch/fleet").join(name);
        std::fs::read_to_string(path).expect("shipped")
    };
    let collector = changed(
        &shipped("collector.json5"),
        "0.0.0.0:7447",
        &format!("127.0.0.1:{port}"),
    );
    let robot = changed(
        &shipped("robot.json5"),
        "collector.example:7447",
        &format!("localhost:{port}"),
    );
    scratch.write("collector.json5", collector);
    scratch.write("robot.json5", &robot);
    scratch.write("stranger.json5", robot.replace("robot.", "stranger."));
    for directory in ["own", "foreign", "stolen"] {
        std::fs::create_dir(scratch.path(directory)).expect("a directory");
        scratch.write(&format!("{directory}/a.mcap"), directory);
    }
    let mut collector = visuomotor()
        .args(["collect", "--out", "out", "--config", "collector.json5"])
        .current_dir(scratch.path(""))
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    for (directory, name, config, seconds, code) in [
        ("own", "arm-7", "robot.json5", "60", 0),
        ("foreign", "arm-8", "robot.json5", "3", 1),
        ("stolen", "arm-7", "stranger.json5", "3", 1),
    ] {
        let output = visuomotor()
            .args(["forward", directory, "--robot", name, "--config", config])
            .args(["--once", "--seconds", seconds])
            .current_dir(scratch.path(""))
            .output()
            .expect("it starts");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{directory}: {}",
            stderr(&output)
        );
    }
    collector.kill().expect("it runs");
    collector.wait().expect("it ran");
    let index = std::fs::read_to_string(scratch.path("out/index.jsonl")).expect("an index");
    assert_eq!(index.lines().count(), 1, "{index}");
}

/// An authority, a collector, the robot `arm-7`, and one that the same authority signed as somebody else.
fn certificates(scratch: &Scratch) -> Result<(), String> {
    let extensions = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n";
    scratch.write("extensions", extensions);
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let mut lines = vec![format!(
        "req -x509 {key} -days 2 -subj /CN=fleet -keyout ca.key -out ca.pem"
    )];
    for (file, name) in [
        ("collector", "localhost"),
        ("robot", "arm-7"),
        ("stranger", "arm-8"),
    ] {
        lines.push(format!(
            "req {key} -subj /CN={name} -keyout {file}.key -out {file}.csr"
        ));
        lines.push(format!(
            "x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {file}.pem"
        ));
    }
    for line in lines {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(scratch.path(""))
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() {
            return Err(format!("openssl {line}: {}", stderr(&output)));
        }
    }
    Ok(())
}
