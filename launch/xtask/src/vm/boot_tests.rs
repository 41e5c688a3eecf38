//! The watch over a VM, with a shell in the place of QEMU.

use super::super::Flavour;
use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn test(name: &str, limit_s: u64) -> Test {
    Test {
        name: name.to_owned(),
        mode: Mode::Tcg,
        kernels: vec![Flavour::Standard],
        devices: Vec::new(),
        memory_mb: 256,
        limit_s,
        files: Vec::new(),
        planted: None,
    }
}

fn watched(script: &str, tests: &[Test]) -> Watched {
    watch(Command::new("sh").args(["-c", script]), tests, LIMIT).unwrap()
}

#[test]
fn results_are_taken_as_they_are_said() {
    let tests = [test("a", 60), test("b", 60), test("c", 60)];
    let script = r#"
        echo '{"booted_s":3.5,"loaded_s":4.5,"release":"6.1.0"}'
        echo '{"started":"a"}'; echo hello
        echo '{"name":"a","ok":true,"skipped":false,"detail":"","figures":{"fps":25}}'
        echo '{"ended":"a","code":0}'
        echo '{"started":"b"}'
        echo '{"name":"b","ok":false,"skipped":false,"detail":"3 instead of 4","figures":null}'
        echo '{"ended":"b","code":1}'
        echo '{"started":"c"}'
        echo '{"name":"c","ok":true,"skipped":true,"detail":"no device","figures":null}'
        echo '{"ended":"c","code":0}'
        echo '{"finished":true}'; exit 3"#;
    let watched = watched(script, &tests);
    assert_eq!(watched.booted, Some((3.5, 4.5)));
    assert_eq!(watched.trouble, None);
    let [a, b, c] = watched.seen.as_slice() else {
        panic!("{:?}", watched.seen);
    };
    assert_eq!(
        (a.end, a.skipped, a.said.as_slice()),
        (None, false, ["hello".to_owned()].as_slice())
    );
    assert_eq!(a.figures["fps"], 25);
    assert_eq!(
        (b.end, b.detail.as_str()),
        (Some(End::Failed), "3 instead of 4")
    );
    assert_eq!((c.end, c.skipped), (None, true));
}

#[test]
fn a_crash_costs_one_test() {
    let script = r#"
        echo '{"started":"a"}'; echo '{"ended":"a","code":139}'
        echo '{"started":"b"}'
        echo '{"name":"b","ok":true,"skipped":false,"detail":"","figures":null}'
        echo '{"ended":"b","code":0}'
        echo '{"finished":true}'; exit 3"#;
    let watched = watched(script, &[test("a", 60), test("b", 60)]);
    assert_eq!(watched.trouble, None);
    assert_eq!(watched.seen[0].end, Some(End::Crashed));
    assert_eq!(
        watched.seen[0].detail,
        "ended without a result, exit code 139"
    );
    assert_eq!(watched.seen[1].end, None);
}

#[test]
fn a_test_that_hangs_is_ended_and_named() {
    let script = r#"echo '{"started":"a"}'; echo last words; exec sleep 600"#;
    let watched = watched(script, &[test("a", 1)]);
    assert_eq!(watched.seen[0].end, Some(End::TimedOut));
    assert_eq!(watched.seen[0].said, ["last words"]);
    assert!(watched.trouble.is_some());
}

#[test]
fn a_vm_that_ends_by_itself_is_no_success() {
    // Also not with a good result before, as after a panic of the kernel while a process ends.
    let good = r#"echo '{"name":"a","ok":true,"skipped":false,"detail":"","figures":null}'"#;
    for script in [
        "exit 0".to_owned(),
        "exit 1".to_owned(),
        format!("{good}; exit 0"),
    ] {
        let script = format!(r#"echo '{{"started":"a"}}'; {script}"#);
        let watched = watched(&script, &[test("a", 60)]);
        assert_eq!(watched.seen[0].end, Some(End::VmEnded), "{script}");
        assert!(watched.trouble.is_some());
    }
}

#[test]
fn a_vm_that_does_not_come_up_is_told() {
    let watched = watched("exit 1", &[test("a", 60)]);
    assert!(watched.seen.is_empty());
    assert!(watched.trouble.is_some());
}

#[test]
fn the_end_of_a_log_is_shown() {
    let log = std::env::temp_dir().join(format!("xtask-tail-{}", std::process::id()));
    fs::write(&log, "1\n2\r\n3\n").unwrap();
    let shown = tail(&log, 2);
    assert!(shown.ends_with(":\n    2\n    3"), "{shown:?}");
    fs::remove_file(&log).unwrap();
    assert_eq!(tail(&log, 2), "");
}
