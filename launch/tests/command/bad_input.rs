//! Whatever is given, the command says what is wrong and where, with exit code 2, and never panics.

use crate::scratch::{Scratch, changed, fixtures, run, stderr, urdf};
use proptest::prelude::*;
use std::path::Path;
use std::process::{Command, Output};

/// Exit code 2, nothing on standard output, each of `parts` in the message.
fn assert_refused(output: &Output, parts: &[&str], case: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{case}:\n{said}");
    assert!(!said.contains("panicked"), "{case}:\n{said}");
    assert!(output.stdout.is_empty(), "{case}");
    for part in parts {
        assert!(said.contains(part), "{case}: {part:?} is not in\n{said}");
    }
}

/// `FILE:LINE` of the first line of `text` that contains `mark`.
fn place(path: &Path, text: &str, mark: &str) -> String {
    let line = text
        .lines()
        .position(|line| line.contains(mark))
        .expect(mark);
    format!("{}:{}:", path.display(), line + 1)
}

#[test]
fn bad_launch_files_are_refused_at_their_line() {
    let scratch = Scratch::new("bad-launch");
    // What is changed in the shipped file, which line is to blame, and for what.
    let cases = [
        (
            "rate_hz = 1000.0",
            "rate_hz = 1000.0\nspeed = 1",
            "speed = 1",
            "unknown field `speed`",
        ),
        (
            "\n[workspace]",
            "\n[workspaces]",
            "[workspaces]",
            "unknown field `workspaces`",
        ),
        ("xy_m = 0.05\n", "", "[action]", "missing field `xy_m`"),
        (
            "steps_max = 25",
            "steps_max = 25\nsteps_max = 26",
            "steps_max = 26",
            "duplicate key",
        ),
        (
            "position_margin_rad = 0.02",
            "velocity = [1.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0]",
            "velocity = [",
            "limits.velocity[3] = 9 rad/s is above joint_4's",
        ),
        (
            "position_margin_rad = 0.02",
            "lower = [-9.0, -1.0, -1.0, -2.0, -1.0, -1.0, -1.0]",
            "lower = [",
            "limits.lower[0] = -9 rad is below joint_1's",
        ),
        (
            "jerk = [1500.0,",
            "jerk = [inf,",
            "jerk = [",
            "limits.jerk[0] = inf",
        ),
        (
            "acceleration = [15.0,",
            "acceleration = [nan,",
            "acceleration =",
            "limits.acceleration[0]",
        ),
        (
            "acceleration = [15.0,",
            "acceleration = [",
            "acceleration =",
            "6 values where the arm has 7",
        ),
        (
            "rate_hz = 1000.0",
            "rate_hz = -1000.0",
            "rate_hz = -",
            "control.rate_hz: -1000 is outside",
        ),
        (
            "rate_hz = 1000.0",
            "rate_hz = inf",
            "rate_hz = inf",
            "control.rate_hz: inf is outside",
        ),
        (
            "action_rate_hz = 4.0",
            "action_rate_hz = -4.0",
            "action_rate_hz",
            "task.action_rate_hz: -4",
        ),
        (
            "steps_max = 25",
            "steps_max = -25",
            "steps_max",
            "invalid value",
        ),
        (
            "origin_in_base_m = [0.60,",
            "origin_in_base_m = [nan,",
            "origin_in_base_m",
            "NaN is outside",
        ),
        ("min_m = [-0.14,", "min_m = [nan,", "min_m", "workspace"),
        (
            "max_m = [0.14,",
            "max_m = [-0.2,",
            "[workspace]",
            "no room along x",
        ),
        (
            "frame_age_ms_max = 150.0",
            "frame_age_ms_max = -1.0",
            "frame_age_ms_max",
            "outside",
        ),
        (
            "tool_m_per_s = 0.8",
            "tool_m_per_s = 0.0",
            "tool_m_per_s",
            "at least 0.001",
        ),
        (
            "fovy_deg = 34.0",
            "fovy_deg = nan",
            "fovy_deg",
            "scene.camera.fovy_deg",
        ),
        (
            "friction = [0.7, 1.1]",
            "friction = [-0.7, 1.1]",
            "friction",
            "scene.objects.friction",
        ),
        (
            "count = [3, 5]",
            "count = [3, 5000]",
            "count = [",
            "scene.objects.count",
        ),
        (
            "base_link = \"base_link\"",
            "base_link = \"base\"",
            "base_link =",
            "no link is named base",
        ),
        (
            "\nkind = \"critic\"",
            "\nkind = \"clever\"",
            "kind = \"clever\"",
            "unknown variant `clever`",
        ),
    ];
    for (from, to, mark, message) in cases {
        let text = changed(&scratch.good(), from, to);
        let path = scratch.write("launch.toml", &text);
        // A missing key or an empty workspace is the whole table's: any line of it will do.
        let place = place(&path, &text, mark);
        let place = if mark == "min_m" || mark == "[workspace]" {
            format!("{}:", path.display())
        } else {
            place
        };
        let output = run("eval {} --policy scripted --episodes 1", &[&path]);
        assert_refused(&output, &[&place, message], to);
    }
    assert!(
        !scratch.path("episodes").exists(),
        "nothing was made for nothing"
    );
}

#[test]
fn launch_files_that_are_none_are_refused_by_name() {
    let scratch = Scratch::new("no-launch");
    let whole = scratch.good();
    for (name, bytes, message) in [
        (
            "garbage.toml",
            &[0xff_u8, 0xfe, 0x00, 0x9f, 0x92, 0x96][..],
            "UTF-8",
        ),
        ("zeros.toml", &[0_u8; 64][..], ""),
        ("empty.toml", b"", "missing field `robot`"),
        (
            "cut.toml",
            &whole.as_bytes()[..whole.find("[limits]").expect("there") + 4],
            "",
        ),
        ("elf.toml", b"\x7fELF\x02\x01\x01", ""),
    ] {
        let path = scratch.write(name, bytes);
        let named = path.display().to_string();
        for line in [
            "eval {} --policy scripted --episodes 1",
            "run {} --policy scripted --episodes 1",
            "policy check {}",
        ] {
            let message = if line.starts_with("policy") {
                ""
            } else {
                message
            };
            assert_refused(&run(line, &[&path]), &[&named, message], name);
        }
    }
    let out = scratch.path("out");
    for path in [scratch.path("none.toml"), scratch.path("")] {
        let named = format!("{}: cannot be read", path.display());
        assert_refused(&run("eval {}", &[&path]), &[&named], &named);
        assert_refused(&run("run {}", &[&path]), &[&named], &named);
        let collect = run(
            "collect-sim {} --episodes 1 --seed 1 --out {}",
            &[&path, &out],
        );
        assert_refused(&collect, &[&named], &named);
    }
}

#[test]
fn bad_robot_descriptions_are_refused_by_name() {
    let scratch = Scratch::new("bad-urdf");
    let good = std::fs::read_to_string(urdf()).expect("the shipped URDF");
    let joint = "<link name=\"extra\"/><joint name=\"joint_8\" type=\"revolute\"><parent link=\"tcp\"/>\
                 <child link=\"extra\"/><axis xyz=\"0 0 1\"/>\
                 <limit lower=\"-1\" upper=\"1\" velocity=\"1\" effort=\"1\"/></joint></robot>";
    let eight = changed(&good, "</robot>", joint);
    for (name, urdf_text, tip, message) in [
        (
            "eight.urdf",
            eight.as_str(),
            "extra",
            "8 moving joints where 7",
        ),
        ("cut.urdf", &good[..good.len() / 2], "tcp", "not a URDF"),
        ("empty.urdf", "", "tcp", "not a URDF"),
        (
            "nan.urdf",
            &good.replacen("velocity=\"", "velocity=\"nan", 1),
            "tcp",
            "",
        ),
    ] {
        let description = scratch.write(name, urdf_text);
        let named = description.display().to_string();
        let text = changed(&scratch.good(), &urdf().display().to_string(), &named);
        let text = changed(&text, "tip_link = \"tcp\"", &format!("tip_link = {tip:?}"));
        let path = scratch.write("launch.toml", &text);
        // Either may be wrong: the description, or how many joints the launch file expects.
        let mark = if tip == "extra" {
            "home_rad ="
        } else {
            "urdf ="
        };
        let place = place(&path, &text, mark);
        let output = run("eval {} --policy scripted --episodes 1", &[&path]);
        assert_refused(&output, &[&place, &named, message], name);
    }
}

#[test]
fn numbers_of_joints_that_do_not_fit_are_refused() {
    let scratch = Scratch::new("bad-joints");
    let commands = [
        "fuzz-safety {} --joint-ticks 7 --arm-ticks 1",
        "bench tick {} --ticks 1",
        "bench ik {} --poses 1",
        "run {} --policy scripted --episodes 1",
        "eval {} --policy scripted --episodes 1",
    ];
    let of_seven = ["bin {} --policy scripted --repeats 1"];
    for (home, any_arm) in [
        ("[]", "0 values, but an arm has 5, 6 or 7 joints"),
        ("[0.0]", "1 values, but an arm has 5, 6 or 7 joints"),
        (
            "[0.0, 0.5, 0.0, -1.3, 0.0, 1.2]",
            "posture_gain_per_s: 7 values where the arm has 6 joints",
        ),
        (
            "[0.0, 0.5, 0.0, -1.3, 0.0, 1.2, 0.0, 0.0]",
            "8 values, but an arm has 5, 6 or 7 joints",
        ),
    ] {
        let shipped = "[0.0, 0.548949, 0.0, -1.332549, 0.0, 1.260095, 0.0]";
        let text = changed(&scratch.good(), shipped, home);
        let path = scratch.write("launch.toml", &text);
        let place = place(&path, &text, "home_rad =");
        for line in commands {
            assert_refused(&run(line, &[&path]), &[any_arm], line);
        }
        for line in of_seven {
            let message = "the simulated arm has 7 joints";
            assert_refused(&run(line, &[&path]), &[&place, message], line);
        }
    }
    // Of two lists either may be wrong: the home position is believed.
    let shipped = "posture_gain_per_s = [1.0, ";
    let text = changed(&scratch.good(), shipped, "posture_gain_per_s = [");
    let path = scratch.write("launch.toml", &text);
    let place = place(&path, &text, "posture_gain_per_s =");
    for line in commands.iter().chain(&of_seven) {
        let message = "6 values where the arm has 7 joints";
        assert_refused(&run(line, &[&path]), &[&place, message], line);
    }
}

#[test]
fn what_only_some_commands_need_is_missed_by_them_alone() {
    let scratch = Scratch::new("bare");
    let whole = scratch.good();
    let policy = whole.find("[policy]").expect("there");
    let episode = whole.find("[episode]").expect("there");
    let without_policy = [&whole[..policy], &whole[episode..]].concat();
    let bare = whole[..policy].to_owned();
    let missing = "policy: missing; say who acts in a [policy] table or with --policy";
    let path = scratch.write("launch.toml", without_policy);
    for line in ["run {} --episodes 1", "eval {} --episodes 1"] {
        assert_refused(&run(line, &[&path]), &[missing], line);
    }
    let path = scratch.write("launch.toml", bare);
    let missing = "episode: missing; say in [episode]";
    let run_it = "run {} --policy scripted --episodes 1";
    assert_refused(&run(run_it, &[&path]), &[missing], run_it);
    for line in [
        "fuzz-safety {} --joint-ticks 700 --arm-ticks 100",
        "bench tick {} --ticks 100",
        "bench ik {} --poses 10",
    ] {
        let output = run(line, &[&path]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_loop_cannot_follow_a_cycle_that_the_arm_does_not_have() {
    let scratch = Scratch::new("pace");
    let robot = "pace = \"robot\"";
    let text = scratch.good().replacen("pace = \"timer\"", robot, 1);
    let path = scratch.write("launch.toml", text.clone());
    let place = place(&path, &text, robot);
    for line in ["run", "eval"] {
        let line = format!("{line} {{}} --policy scripted --episodes 1");
        let parts = [place.as_str(), "control.pace", "say \"timer\""];
        assert_refused(&run(&line, &[&path]), &parts, &line);
    }
}

#[test]
fn bad_policies_are_refused_with_the_file_that_is_wrong() {
    let scratch = Scratch::new("bad-policy");
    let manifest = std::fs::read_to_string(fixtures().join("q.toml")).expect("the fixture");
    for model in ["trunk.onnx", "q_head.onnx"] {
        std::fs::copy(fixtures().join(model), scratch.path(model)).expect("copied");
    }
    let trunk = std::fs::read(fixtures().join("trunk.onnx")).expect("the fixture");
    let sha = |text: &str| {
        let start = text.find("sha256 = \"").expect("there") + 10;
        text[start..start + 64].to_owned()
    };
    let wrong_sha = changed(&manifest, &sha(&manifest), &"0".repeat(64));
    let cases = [
        (
            "unknown key",
            changed(&manifest, "format = 1", "format = 1\nspeed = 1"),
            "speed",
        ),
        (
            "other format",
            changed(&manifest, "format = 1", "format = 2"),
            "format",
        ),
        ("wrong hash", wrong_sha, "trunk.onnx has sha256"),
        (
            "wrong shape",
            manifest.replace("[1, 3, 4, 4]", "[1, 3, 4, 5]"),
            "trunk.onnx",
        ),
        (
            "missing model",
            manifest.replace("trunk.onnx", "drunk.onnx"),
            "drunk.onnx",
        ),
        (
            "cut in half",
            manifest[..manifest.len() / 2].to_owned(),
            "bad.toml",
        ),
        (
            "negative rate",
            changed(&manifest, "rate_hz = 4.0", "rate_hz = -4.0"),
            "rate_hz",
        ),
        (
            "wrong answer",
            changed(&manifest, "0.709218", "0.809218"),
            "candidate 0 gives",
        ),
    ];
    for (case, text, message) in &cases {
        let path = scratch.write("bad.toml", text);
        let named = path.display().to_string();
        assert_refused(&run("policy check {}", &[&path]), &[message], case);
        let launch = scratch.write("launch.toml", scratch.with_policy(&path));
        let line = place(&launch, &scratch.with_policy(&path), "manifest =");
        assert_refused(
            &run("eval {} --episodes 1", &[&launch]),
            &[&line, message],
            case,
        );
        let output = run("eval {} --episodes 1 --policy {}", &[&launch, &path]);
        assert_refused(&output, &[&named, message], case);
    }
    let path = scratch.write("bad.toml", &manifest);
    for length in [0, 1, trunk.len() / 2, trunk.len() - 1] {
        let model = scratch.write("trunk.onnx", &trunk[..length]);
        let named = model.display().to_string();
        assert_refused(&run("policy check {}", &[&path]), &[&named], "truncated");
    }
    let none = scratch.path("none.toml");
    assert_refused(
        &run("policy check {}", &[&none]),
        &[&none.display().to_string()],
        "no file",
    );
}

#[test]
fn policies_for_another_robot_are_refused_at_the_launch_file_s_line() {
    let scratch = Scratch::new("other-robot");
    let good = scratch.with_policy(&fixtures().join("q.toml"));
    for (from, to, message) in [
        ("xy_m = 0.05", "xy_m = 0.04", "scale"),
        (
            "size_px = [80, 80]",
            "size_px = [64, 64]",
            "scene.camera.size_px",
        ),
        (
            "action_rate_hz = 4.0",
            "action_rate_hz = 5.0",
            "task.action_rate_hz",
        ),
        (
            "fovy_deg = 34.0",
            "fovy_deg = 40.0",
            "scene.camera.fovy_deg",
        ),
    ] {
        let text = changed(&good, from, to);
        let path = scratch.write("launch.toml", &text);
        let output = run("eval {} --episodes 1", &[&path]);
        assert_refused(&output, &[&path.display().to_string(), message], to);
    }
}

#[test]
fn places_that_cannot_be_written_are_refused_before_anything_runs() {
    let scratch = Scratch::new("no-place");
    let launch = scratch.write("launch.toml", scratch.good());
    // Not even the superuser can make a directory in a file.
    let file = scratch.write("file", "");
    let below = file.join("below");
    let missing = scratch.path("missing/report.json");
    for (line, place) in [
        ("eval {} --policy scripted --episodes 1 --record {}", &below),
        ("eval {} --policy scripted --episodes 1 --video {}", &below),
        ("eval {} --policy scripted --episodes 1 --json {}", &missing),
        ("run {} --policy scripted --episodes 1 --record {}", &below),
        ("run {} --policy scripted --episodes 1 --stats {}", &missing),
        (
            "collect-sim {} --policy scripted --episodes 1 --seed 1 --out {}",
            &below,
        ),
    ] {
        let output = run(line, &[&launch, place]);
        assert_refused(&output, &[&place.display().to_string()], line);
    }
    let fixture = fixtures().join("q.toml");
    let output = run("policy check {} --json {}", &[&fixture, &missing]);
    assert_refused(
        &output,
        &[&missing.display().to_string()],
        "policy check --json",
    );
}

#[test]
fn unknown_options_are_refused_with_help() {
    for line in [
        "--wrong",
        "run launch.toml --wrong",
        "eval launch.toml --wrong 1",
        "evaluate launch.toml",
        "policy check a.toml --wrong",
    ] {
        assert_refused(&run(line, &[]), &["--help"], line);
    }
}

/// What a hand, a disk or a program may do to a launch file.
fn mutate(text: &str, kind: u32, at: usize, with: u32) -> Vec<u8> {
    const NUMBERS: [&str; 8] = [
        "nan",
        "-inf",
        "0",
        "-1",
        "1e300",
        "1e-300",
        "99999999999999999999",
        "true",
    ];
    let mut bytes = text.as_bytes().to_vec();
    let mut lines: Vec<&str> = text.lines().collect();
    let line = at % lines.len();
    match kind {
        0 => bytes[at % text.len()] ^= 1 << (with % 8),
        1 => {
            lines.remove(line);
            bytes = lines.join("\n").into();
        }
        2 => {
            let (one, other) = (line, with as usize % lines.len());
            lines.swap(one, other);
            bytes = lines.join("\n").into();
        }
        _ => {
            let numbers: Vec<usize> = text
                .match_indices(|c: char| c.is_ascii_digit())
                .map(|(at, _)| at)
                .filter(|&at| text[..at].ends_with([' ', '[']))
                .collect();
            let start = numbers[at % numbers.len()];
            let length = text[start..]
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(0);
            let number = NUMBERS[with as usize % NUMBERS.len()];
            bytes = [&text[..start], number, &text[start + length..]]
                .concat()
                .into();
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// One to three mutations, most of them harmless comments: it runs, falls short, or is refused.
    #[test]
    fn mutated_launch_files_never_make_the_command_panic_or_hang(
        mutations in prop::collection::vec((0_u32..4, 0_usize..20_000, 0_u32..1_000), 1..4),
    ) {
        let scratch = Scratch::new("mutated");
        // Without comments, so that mutations hit something; one action an episode, so that it is short.
        let mut text: String = scratch
            .good()
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .flat_map(|line| [line, "\n"])
            .collect();
        text = changed(&text, "steps_max = 25", "steps_max = 1");
        let mut bytes = text.clone().into_bytes();
        for (kind, at, with) in mutations {
            bytes = mutate(&String::from_utf8_lossy(&bytes), kind, at, with);
        }
        let path = scratch.write("launch.toml", &bytes);
        // Processor time is limited, not time: a busy machine is not a hang.
        let output = Command::new("sh")
            .args(["-c", "ulimit -t 60; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_visuomotor")])
            .args(["eval".as_ref(), path.as_os_str()])
            .args(["--policy", "scripted", "--episodes", "1", "--sheet"])
            .arg(scratch.path("sheet.png"))
            .output()
            .expect("the program starts");
        let said = stderr(&output);
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(matches!(output.status.code(), Some(0..=2)), "{}\n{said}\n{text}", output.status);
        prop_assert!(!said.contains("panicked"), "{said}\n{text}");
        prop_assert!(output.status.code() != Some(2) || said.contains("launch.toml"), "{said}");
    }
}
