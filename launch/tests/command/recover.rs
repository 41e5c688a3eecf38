//! Recordings that were killed, or whose disk was full or read-only: what is lost is stated, and nothing else is.

use crate::scratch::{Scratch, repository, run, stderr, visuomotor};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

#[test]
fn long_killed_recordings_lose_little_and_are_recovered() {
    let launch = repository().join("launch/robots/sim_iiwa14.toml");
    let output = run("bench kill {} --kills 6 --seed 3 --json -", &[&launch]);
    let report = json(&output);
    for count in ["damaged", "unrecoverable", "with_gaps"] {
        assert_eq!(report[count], 0, "{report}");
    }
    assert!(report["open"].as_u64() > Some(2), "{report}");
}

#[test]
fn what_was_left_behind_becomes_an_episode_that_names_its_parent() {
    let scratch = Scratch::new("recover");
    let whole = repository().join("launch/golden/qtopt/00000005.mcap");
    let bytes = std::fs::read(whole).expect("there");
    let left = scratch.write("a.mcap.open", &bytes[..bytes.len() * 2 / 3]);
    let out = scratch.path("rescued.mcap");
    let output = run("recover {} --out {} --json -", &[&left, &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(
        (&report["was_whole"], &report["outcome"]),
        (&false.into(), &false.into())
    );
    assert!(
        report["steps"].as_u64() > Some(1000) && report["lost"].is_null(),
        "{report}"
    );
    assert_eq!(
        std::fs::read(&left).expect("still there").len(),
        bytes.len() * 2 / 3
    );

    // A file that nothing is missing from but its end can be read like any other.
    let replayed = run("replay {} --json -", &[&out]);
    assert_eq!(json(&replayed)["ticks"], report["steps"]);

    let again = run("recover {} --out {}", &[&left, &out]);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    assert!(stderr(&again).contains("exists"), "{}", stderr(&again));
    let noise = scratch.write("noise.mcap.open", [7; 5000]);
    let other = scratch.path("other.mcap");
    assert_eq!(
        run("recover {} --out {}", &[&noise, &other]).status.code(),
        Some(2)
    );
    assert!(!other.exists());
}

#[test]
fn an_episode_is_never_overwritten_by_a_report() {
    let scratch = Scratch::new("report-over-episode");
    let whole = repository().join("launch/golden/qtopt/00000005.mcap");
    let bytes = std::fs::read(whole).expect("there");
    let episode = scratch.write("a.mcap", &bytes);
    for line in [
        "lint {} --json {}",
        "episodes {} --json {}",
        "verify {} --json {}",
        "show {} --json {}",
        "lineage {} --json {}",
        "lineage {} --svg {}",
    ] {
        let output = run(line, &[&episode, &episode]);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", stderr(&output));
        assert!(
            std::fs::read(&episode).expect("still there") == bytes,
            "{line}"
        );
    }
}

#[test]
fn idle_ends_are_cut_into_an_episode_that_names_its_parent() {
    let scratch = Scratch::new("trim");
    let whole = repository().join("launch/golden/manual/00000005.mcap");
    let out = scratch.path("cut.mcap");
    let output = run(
        "trim {} --from 0.5 --to 1.5 --out {} --json -",
        &[&whole, &out],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["steps"], 1001, "{report}");
    let shown = json(&run("show {} --json -", &[&out]));
    let text = shown.to_string();
    assert!(text.contains("trimmed") && text.contains("sim-5"), "{text}");
    let again = run("trim {} --from 0.5 --to 1.5 --out {}", &[&whole, &out]);
    assert_eq!(again.status.code(), Some(2), "nothing is overwritten");
    let other = scratch.path("other.mcap");
    let nothing = run("trim {} --from 9 --to 8 --out {}", &[&whole, &other]);
    assert_eq!(nothing.status.code(), Some(2));
    // Cut where it is idle: nothing that moves is lost.
    let own = run("trim {} --out {} --json -", &[&whole, &other]);
    assert!(own.status.code() < Some(2), "{}", stderr(&own));
}

/// A small file system in memory, gone at last.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    /// `None` where nobody may mount one.
    fn mount(scratch: &Scratch, size: &str) -> Option<Self> {
        let path = scratch.path("disk");
        std::fs::create_dir(&path).expect("a directory");
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        println!("SKIPPED: no file system can be mounted here, so no full disk was tried");
        None
    }

    fn remount(&self, how: &str) {
        let mounted = Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&self.0)
            .status();
        assert!(mounted.expect("mount is there").success());
    }

    fn open_files(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(&self.0).expect("mounted");
        let paths = entries.map(|entry| entry.expect("readable").path());
        paths
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "open")
            })
            .collect()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn launch(scratch: &Scratch, on_loss: &str) -> std::path::PathBuf {
    let text = scratch
        .good()
        .replace("on_loss = \"continue\"", &format!("on_loss = {on_loss:?}"));
    scratch.write("launch.toml", text)
}

#[test]
fn long_a_full_disk_is_told_and_the_loss_is_counted_to_the_record_in_the_file() {
    let scratch = Scratch::new("full-disk");
    let Some(disk) = Tmpfs::mount(&scratch, "200k") else {
        return;
    };
    let launch = launch(&scratch, "continue");
    let output = run(
        "run {} --episodes 1 --policy weak --record {} --stats -",
        &[&launch, &disk.0],
    );
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("the disk takes nothing") && !told.contains("panicked"),
        "{told}"
    );
    assert_eq!(json(&output)["incomplete_episodes"], 1);
    let [left] = &disk.open_files()[..] else {
        panic!("one file is left open: {told}");
    };
    let rescued = scratch.path("rescued.mcap");
    let report = json(&run("recover {} --out {} --json -", &[left, &rescued]));
    assert_eq!(
        (&report["lost_bytes"], &report["outcome"]),
        (&0.into(), &true.into())
    );
    // Ticks are numbered: those that are there and those that are lost are all of them.
    let number = |key: &str| report[key].as_u64().expect("a number");
    let lost = report["lost"]["steps"].as_u64().expect("a number");
    assert!(lost > 0 && number("steps") > 100, "{report}");
    let counted = format!("{lost} steps");
    assert!(told.contains(&counted), "{counted}: {told}");
}

#[test]
fn long_a_disk_that_becomes_read_only_stops_the_arm_where_the_launch_file_says_so() {
    let scratch = Scratch::new("read-only");
    let Some(disk) = Tmpfs::mount(&scratch, "16m") else {
        return;
    };
    let launch = launch(&scratch, "stop");
    let mut command = visuomotor();
    command
        .arg("run")
        .arg(&launch)
        .args([
            "--seconds",
            "20",
            "--policy",
            "weak",
            "--stats",
            "-",
            "--record",
        ])
        .arg(&disk.0)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("it starts");
    // Files that are open for writing keep a file system from becoming read-only: between two episodes it can.
    let remounted = (0..4000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let finished = std::fs::read_dir(&disk.0).expect("mounted").count() > 0;
        finished
            && Command::new("mount")
                .args(["-o", "remount,ro"])
                .arg(&disk.0)
                .output()
                .is_ok_and(|output| output.status.success())
    });
    let output = child.wait_with_output().expect("it ends");
    disk.remount("rw");
    let told = stderr(&output);
    assert!(!told.contains("panicked"), "{told}");
    if !remounted {
        println!("SKIPPED: the file system never became read-only");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("Read-only file system"), "{told}");
    for file in std::fs::read_dir(&disk.0).expect("mounted") {
        let path = file.expect("readable").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "mcap")
        {
            let report = json(&run("replay {} --json -", &[Path::new(&path)]));
            assert_eq!(report["identical"], true, "{report}");
        }
    }
}
