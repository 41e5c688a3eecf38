//! Learned policies from files: the good ones decide, each bad one is refused with a message that helps.

use nalgebra::Vector3;
use std::path::{Path, PathBuf};
use visuomotor_policies::learned::{Learned, time_ticks};
use visuomotor_policies::manifest::Manifest;
use visuomotor_policies::task::ACTION_SCALE;
use visuomotor_policies::{
    CemOverrides, PolicyConfig, PolicyKind, PolicyOpenError, open, open_learned,
};
use visuomotor_runtime::action::{Action, ActionScale, Verb};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::camera::{Frame, Image};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::observation::{GripperObservation, Observation, TcpPose};
use visuomotor_runtime::policy::PolicyError;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn critic(name: &str) -> Box<dyn Learned> {
    let manifest = Manifest::read(&fixtures().join(name)).unwrap();
    open_learned(manifest, &CemOverrides::default(), false).unwrap()
}

fn frame(size: u32) -> Frame {
    let rgb = (0..3 * size * size).map(|i| (i * 31 % 251) as u8).collect();
    let image = Image {
        width: size,
        height: size,
        rgb,
    };
    Frame {
        captured_at: Instant::from_ticks(7),
        sequence: 0,
        image,
    }
}

fn gripper(position_m: [f64; 3]) -> GripperObservation {
    let pose = TcpPose {
        position_m: Vector3::from(position_m),
        yaw_rad: 0.4,
    };
    GripperObservation {
        sampled_at: Instant::from_ticks(0),
        measured: pose,
        goal: pose,
        fingers: Fingers::Open,
        aperture_m: 0.084,
    }
}

fn observation(frame: &Frame) -> Observation<'_> {
    Observation {
        frame,
        gripper: gripper([0.02, 0.03, 0.15]),
        step: 3,
        truth: None,
    }
}

#[test]
fn the_q_critic_decides_and_the_seed_alone_matters() {
    let frame = frame(80);
    let mut policy = critic("q.toml");
    let mut decide = |seed| {
        policy.reset(seed);
        [
            policy.decide(&observation(&frame)).unwrap(),
            policy.decide(&observation(&frame)).unwrap(),
        ]
    };
    let first = decide(1);
    assert_eq!(decide(1), first);
    assert_ne!(decide(2), first);
    assert_eq!(
        (first[0].step, first[0].frame_captured_at),
        (3, Instant::from_ticks(7))
    );
    assert!(first[0].q_value > 0.0 && first[0].q_value < 1.0);
}

#[test]
fn the_critic_sees_image_and_state() {
    let (light, mut dark) = (frame(80), frame(80));
    dark.image.rgb.fill(0);
    let mut policy = critic("q.toml");
    let mut value = |observation: &Observation<'_>| {
        policy.reset(1);
        policy.decide(observation).unwrap().q_value
    };
    let base = value(&observation(&light));
    let closed = GripperObservation {
        fingers: Fingers::Closed,
        ..gripper([0.02, 0.03, 0.15])
    };
    assert_ne!(base, value(&observation(&dark)));
    assert_ne!(
        base,
        value(&Observation {
            gripper: closed,
            ..observation(&light)
        })
    );
    assert_eq!(base, value(&observation(&light)));
}

#[test]
fn an_image_of_another_size_is_an_error() {
    let wrong = PolicyError::WrongImage {
        got_width: 64,
        got_height: 64,
        expected_width: 80,
        expected_height: 80,
    };
    for name in ["q.toml", "grasp.toml"] {
        assert_eq!(critic(name).decide(&observation(&frame(64))), Err(wrong));
    }
    let mut short = frame(80);
    short.image.rgb.pop();
    assert!(critic("q.toml").decide(&observation(&short)).is_err());
}

#[test]
fn hard_rules_forbid_to_end_with_open_fingers() {
    let frame = frame(80);
    let manifest = Manifest::read(&fixtures().join("q.toml")).unwrap();
    let mut ruled = open_learned(manifest, &CemOverrides::default(), true).unwrap();
    let mut free = critic("q.toml");
    // The fixture's critic likes to end high up.
    let high = Observation {
        gripper: gripper([0.0, 0.0, 0.25]),
        ..observation(&frame)
    };
    assert_eq!(
        free.decide(&high).unwrap().action,
        Action {
            verb: Verb::Terminate,
            ..Action::hold()
        }
    );
    assert_ne!(ruled.decide(&high).unwrap().action.verb, Verb::Terminate);
    let holding = GripperObservation {
        fingers: Fingers::Closed,
        aperture_m: 0.03,
        ..high.gripper
    };
    let holding = Observation {
        gripper: holding,
        ..high
    };
    assert_eq!(ruled.decide(&holding).unwrap().action.verb, Verb::Terminate);
}

/// The peak of `fixtures.py`, as reached by a tool that goes where it is sent.
#[test]
fn the_hand_eye_policy_closes_at_the_peak_lifts_and_ends() {
    let frame = frame(80);
    let mut policy = critic("grasp.toml");
    policy.reset(1);
    let mut now = gripper([-0.1, 0.1, 0.2]);
    let mut closed_at = None;
    for step in 0..25 {
        let action = policy
            .decide(&Observation {
                gripper: now,
                step,
                ..observation(&frame)
            })
            .unwrap()
            .action;
        now.goal.position_m += action.translation_m;
        now.goal.yaw_rad += action.yaw_rad;
        now.measured = now.goal;
        match action.verb {
            Verb::Close => {
                closed_at = Some(now.goal);
                (now.fingers, now.aperture_m) = (Fingers::Closed, 0.03);
            }
            Verb::Terminate => {
                let at = closed_at.unwrap();
                assert!(
                    (at.position_m - Vector3::new(0.05, -0.03, 0.02)).norm() < 0.015,
                    "{at:?}"
                );
                assert!(now.measured.position_m.z > 0.1);
                return;
            }
            Verb::Open => panic!("opened while holding"),
            Verb::Move => {}
        }
    }
    panic!("no end; closed at {closed_at:?}");
}

#[test]
fn the_hand_eye_policy_opens_empty_fingers() {
    let frame = frame(80);
    let empty = GripperObservation {
        fingers: Fingers::Closed,
        aperture_m: 0.001,
        ..gripper([0.0, 0.0, 0.02])
    };
    let decision = critic("grasp.toml")
        .decide(&Observation {
            gripper: empty,
            ..observation(&frame)
        })
        .unwrap();
    assert_eq!(decision.action.verb, Verb::Open);
    assert!(decision.action.translation_m.z > 0.0 && decision.q_value.is_nan());
}

#[test]
fn ticks_are_timed_beside_their_graphs() {
    let frame = frame(80);
    let mut reads = 0;
    let now = || {
        reads += 1;
        Instant::from_ticks(10 * reads * reads)
    };
    let times = time_ticks(critic("q.toml").as_mut(), &observation(&frame), 2, now).unwrap();
    let ticks = |durations: &[visuomotor_runtime::clock::Duration]| -> Vec<u64> {
        durations.iter().map(|d| d.as_ticks()).collect()
    };
    assert_eq!(
        (ticks(&times.decide), ticks(&times.graphs)),
        (vec![30, 90], vec![50, 110])
    );
}

/// A copy of the fixtures in a folder of its own.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(fixtures()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        Self(folder)
    }

    /// Replaces the first occurrence of `from` in the manifest.
    fn edit(self, from: &str, to: &str) -> Self {
        let path = self.0.join("q.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        self
    }

    /// Changes the bytes of a graph, and its hash in the manifest if `honest`.
    fn change(self, file: &str, honest: bool, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let path = self.0.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let before = visuomotor_policies::model::sha256_hex(&bytes);
        change(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        if honest {
            self.edit(&before, &visuomotor_policies::model::sha256_hex(&bytes))
        } else {
            self
        }
    }

    fn error(&self) -> PolicyOpenError {
        let config = PolicyConfig {
            kind: PolicyKind::Critic,
            manifest: Some("q.toml".into()),
            cem: CemOverrides::default(),
            hard_rules: false,
        };
        match open(&config, &self.0, &ACTION_SCALE) {
            Ok(_) => panic!("it opened"),
            Err(e) => e,
        }
    }
}

/// The opset's byte in the file: field 8, length 4 or 2 with a version of 17.
fn set_opset(bytes: &mut [u8]) {
    let at = (0..bytes.len() - 1)
        .rev()
        .find(|&i| bytes[i] == 0x10 && bytes[i + 1] == 17)
        .unwrap();
    bytes[at + 1] = 16;
}

#[test]
fn bad_files_are_refused_with_file_and_place() {
    let swap = |text: &'static str, other: &'static str| {
        move |bytes: &mut Vec<u8>| {
            let at = bytes
                .windows(text.len())
                .position(|w| w == text.as_bytes())
                .unwrap();
            bytes[at..at + text.len()].copy_from_slice(other.as_bytes());
        }
    };
    let cases: Vec<(Copy, &[&str])> = vec![
        (
            Copy::new("hash").change("q_head.onnx", false, |b| *b.last_mut().unwrap() ^= 1),
            &["q.toml:", "head.sha256", "q_head.onnx", "do not belong together"],
        ),
        (
            Copy::new("cut").change("trunk.onnx", false, |b| b.truncate(900)),
            &["trunk.onnx", "not a whole ONNX file", "cut off"],
        ),
        (
            Copy::new("cut_honestly").change("trunk.onnx", true, |b| b.truncate(900)),
            &["trunk.onnx", "not a whole ONNX file"],
        ),
        (
            Copy::new("opset").change("trunk.onnx", true, |b| set_opset(b)),
            &["q.toml:6: opset", "trunk.onnx has opset 16", "17", "export it again"],
        ),
        (
            Copy::new("operator").change("q_head.onnx", true, swap("Sigmoid", "Sigmoed")),
            &["q_head.onnx", "ONNX Runtime refuses"],
        ),
        (
            Copy::new("shape").edit("shape = [1, 3, 4, 4]", "shape = [1, 3, 5, 4]"),
            &["q.toml:", "trunk.outputs", "trunk.onnx has `map` float32 [1, 3, 4, 4]", "[1, 3, 5, 4]"],
        ),
        (
            Copy::new("signature").edit("shape = [1, -1, 4]", "shape = [1, 64, 4]"),
            &["q.toml:", "head.inputs", "`motion` float32 [1, -1, 4]"],
        ),
        (
            Copy::new("image_size").edit("width = 80", "width = 64"),
            &["q.toml:", "trunk.inputs", "[1, 80, 64, 3]"],
        ),
        (
            Copy::new("undeclared").edit(
                "    { name = \"map\", type = \"float32\", shape = [1, 3, 4, 4], unit = \"feature\", frame = \"\" },\n",
                "",
            ),
            &["trunk.outputs", "has `map`", "no such tensor"],
        ),
        (
            Copy::new("self_test").edit("expected = [[0.", "expected = [[0.5"),
            &["q.toml:", "self_test", "candidate 0", "ONNX Runtime version"],
        ),
        (
            Copy::new("unknown_key").edit("max_steps", "steps_max = 3\nmax_steps"),
            &["q.toml", "line 5", "steps_max", "unknown field"],
        ),
        (
            Copy::new("state").edit("goal x: 0.1 m", "goal x: 1 m"),
            &["q.toml:7: state", "trained on another state"],
        ),
        (Copy::new("format").edit("format = 1", "format = 2"), &["q.toml:1: format", "not 2"]),
        (Copy::new("rate").edit("rate_hz = 4.0", "rate_hz = nan"), &["q.toml:4: rate_hz"]),
        (Copy::new("cem").edit("elites = 6", "elites = 65"), &["q.toml:31: cem", "elites is 65"]),
        (Copy::new("scale").edit("z_m = 0.06", "z_m = 0.07"), &["action scale", "0.07", "controller"]),
        (Copy::new("missing").edit("\"q_head.onnx\"", "\"no_head.onnx\""), &["no_head.onnx", "q.toml names it"]),
        (Copy::new("not_toml").edit("format = 1", "format 1"), &["q.toml", "line 1"]),
    ];
    for (copy, words) in cases {
        let message = copy.error().to_string();
        println!("{message}\n");
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
    }
}

#[test]
fn the_policy_table_is_checked() {
    let parse = |text: &str| toml::from_str::<PolicyConfig>(text).map_err(|e| e.to_string());
    let open = |text: &str| {
        let opened = open(&parse(text)?, &fixtures(), &ACTION_SCALE);
        opened.map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(open("kind = 'scripted'"), Ok(()));
    assert_eq!(open("kind = 'weak'"), Ok(()));
    assert_eq!(
        open("kind = 'critic'\nmanifest = 'q.toml'\ncem = { samples = 32, iterations = 2 }"),
        Ok(())
    );
    assert_eq!(open("kind = 'critic'\nmanifest = 'grasp.toml'"), Ok(()));
    for (text, word) in [
        ("kind = 'oracle'", "oracle"),
        ("kind = 'critic'", "manifest"),
        ("kind = 'critic'\nmanifest = 'none.toml'", "none.toml"),
        (
            "kind = 'critic'\nmanifest = 'q.toml'\ncem = { samples = 5 }",
            "samples is 5",
        ),
        (
            "kind = 'critic'\nmanifest = 'q.toml'\ncem = { sample = 32 }",
            "sample",
        ),
        (
            "kind = 'critic'\nmanifest = 'grasp.toml'\nhard_rules = true",
            "hard_rules",
        ),
        ("kind = 'scripted'\nmanifest = 'q.toml'", "manifest"),
        ("kind = 'weak'\ncem = { samples = 32 }", "cem"),
        ("kind = 'weak'\nhard_rule = true", "hard_rule"),
    ] {
        let message = open(text).unwrap_err();
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    let other = ActionScale {
        xy_m: 0.04,
        ..ACTION_SCALE
    };
    let scripted = parse("kind = 'scripted'").unwrap();
    assert!(visuomotor_policies::open(&scripted, &fixtures(), &other).is_err());
}
