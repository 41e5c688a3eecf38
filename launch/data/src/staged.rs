//! Staged episodes for this crate's tests: an arm that moves as a function of time, a camera and a policy, all of them well.
//!
//! A test changes what it needs: the script of one tick, what is recorded when, the header.

use std::io::Cursor;
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::camera::{Frame, Image};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Inputs;
use visuomotor_runtime::episode::{
    Attachment, Clock, ClockSource, Code, Ending, EpisodeWriter, Header, JointNames, Losses,
    ObservationRecord, Origin, Outcome, PolicyIdentity, Robot, SCHEMA_VERSION, Scene, Sha256,
    TextMap,
};
use visuomotor_runtime::observation::{GripperObservation, TcpPose};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::safety::{Intervention, LimitSet, OperatingMode, SafetyReport};
use visuomotor_runtime::step::{Counters, Step};

pub const FRAME_PERIOD_MS: u64 = 250;

pub fn at_ms(ms: u64) -> Instant {
    Instant::from_ticks(1_000_000_000 + ms * 1_000_000)
}

/// What to write; ticks come at 1 kHz, frames, observations and decisions every [`FRAME_PERIOD_MS`].
pub struct Stage {
    pub header: Header,
    pub ticks: u64,
    pub outcome: Outcome,
    pub lost: Losses,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            header: header(),
            ticks: 2000,
            outcome: Outcome {
                ended_at: at_ms(2000),
                ending: Ending::Terminated,
                success: Some(true),
                actions: 8,
            },
            lost: Losses::default(),
        }
    }
}

impl Stage {
    pub fn file(&self) -> Vec<u8> {
        self.file_of::<7>()
    }

    pub fn file_of<const N: usize>(&self) -> Vec<u8> {
        self.changed::<N>(|_| true, |_| true)
    }

    /// `step` may change a tick, `frame` a frame; what they return false for is not written.
    pub fn changed<const N: usize>(
        &self,
        mut step: impl FnMut(&mut Step<N>) -> bool,
        mut frame: impl FnMut(&mut Frame) -> bool,
    ) -> Vec<u8> {
        let sink = Cursor::new(Vec::new());
        let mut writer = EpisodeWriter::new(sink, &self.header, &attachments()).unwrap();
        for ms in 0..self.ticks {
            if ms % FRAME_PERIOD_MS == 0 {
                let k = ms / FRAME_PERIOD_MS;
                let mut shot = Frame {
                    captured_at: at_ms(ms),
                    sequence: k,
                    image: picture(k),
                };
                if frame(&mut shot) {
                    writer.frame(&shot).unwrap();
                }
                writer.observation(&observation(ms), &shot.image).unwrap();
                let decision = decision(ms);
                writer.decision(&decision, at_ms(ms + 20)).unwrap();
            }
            let mut tick = tick::<N>(ms);
            if step(&mut tick) {
                writer.step(&tick).unwrap();
            }
        }
        let (_, sink) = writer.finish(&self.outcome, self.lost).unwrap();
        sink.into_inner()
    }
}

pub fn header() -> Header {
    let map = |key: &str, value: &str| TextMap::from([(key.to_owned(), value.to_owned())]);
    Header {
        origin: Origin {
            schema_version: SCHEMA_VERSION,
            id: "staged-1".into(),
            started_at_utc: "2026-11-29T12:00:00.000Z".into(),
            launch: "robots/launch.toml".into(),
            task: "pick an object".into(),
        },
        code: Code::of_this_build(Sha256::of(b"executable")),
        robot: Robot {
            name: "iiwa14".into(),
            joint_names: JointNames((1..=7).map(|i| format!("joint_{i}")).collect()),
            controller_sha256: Sha256::of(b"controller"),
            limits_sha256: Sha256::of(b"limits"),
            description_sha256: Sha256::of(b"description"),
        },
        clock: Clock {
            source: ClockSource::Monotonic,
            realtime_granted: false,
        },
        realtime: None,
        camera: map("fovy_deg", "34"),
        solver: map("inverse.damping_min", "1e-9"),
        policy: Some(PolicyIdentity {
            name: "critic".into(),
            manifest: "models/critic.toml".into(),
            manifest_sha256: Sha256::of(b"manifest"),
            seed: 3,
        }),
        checkpoints: map("trunk.onnx", &"0".repeat(64)),
        policy_settings: map("cem", "64 samples"),
        scene: Some(Scene {
            seed: 11,
            split: "test".into(),
            objects: String::new(),
        }),
        derivation: None,
    }
}

fn attachments() -> Vec<Attachment> {
    let attachment = |name: &str, media_type: &str, text: &str| Attachment {
        name: name.into(),
        media_type: media_type.into(),
        data: text.as_bytes().to_vec(),
    };
    vec![
        attachment("launch.toml", "application/toml", "[robot]\n"),
        attachment("robot.urdf", "application/xml", "<robot/>"),
    ]
}

/// 32 x 24 pixels: a slope, and a square that goes across it from picture to picture.
pub fn picture(k: u64) -> Image {
    let (width, height) = (32_u32, 24_u32);
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let left = (3 * k as u32) % (width - 6);
            let inside = (left..left + 6).contains(&x) && (9..15).contains(&y);
            rgb.extend(if inside {
                [220, 60, 40]
            } else {
                [x as u8 * 6, y as u8 * 8, 90]
            });
        }
    }
    Image { width, height, rgb }
}

fn pose(ms: u64) -> TcpPose {
    let s = ms as f64 * 1e-3;
    TcpPose {
        position_m: nalgebra::Vector3::new(0.05 * s.sin(), 0.05 * s.cos(), 0.2 - 0.02 * s),
        yaw_rad: 0.1 * s,
    }
}

pub fn tick<const N: usize>(ms: u64) -> Step<N> {
    let s = ms as f64 * 1e-3;
    let q: [f64; N] = std::array::from_fn(|joint| 0.3 * (s + joint as f64).sin());
    let dq: [f64; N] = std::array::from_fn(|joint| 0.3 * (s + joint as f64).cos());
    Step {
        tick: ms,
        due: at_ms(ms),
        jitter: Duration::from_micros(30),
        missed: 0,
        inputs: Inputs {
            arm: Ok(ArmState {
                sampled_at: at_ms(ms),
                q: q.into(),
                dq: dq.into(),
                tau: [0.5; N].into(),
                aperture_m: 0.08,
            }),
            write_error: None,
            decision: (ms % FRAME_PERIOD_MS == 20).then(|| decision(ms - 20)),
            request: None,
        },
        phase: Phase::Policy,
        mode: OperatingMode::Automatic,
        command: Some((q.into(), dq.into(), Fingers::Open)),
        stop: None,
        reference: pose(ms),
        goal: pose(ms + 100),
        report: SafetyReport {
            intervention: Intervention::Nothing,
            limits: LimitSet::default(),
            joints: 0,
            fault: None,
        },
        fault: None,
        counters: Counters::default(),
    }
}

pub fn observation(ms: u64) -> ObservationRecord {
    ObservationRecord {
        observed_at: at_ms(ms + 5),
        step: (ms / FRAME_PERIOD_MS) as u32,
        frame_captured_at: at_ms(ms),
        frame_sequence: ms / FRAME_PERIOD_MS,
        gripper: GripperObservation {
            sampled_at: at_ms(ms + 4),
            measured: pose(ms + 4),
            goal: pose(ms + 100),
            fingers: Fingers::Open,
            aperture_m: 0.08,
        },
    }
}

pub fn decision(ms: u64) -> Decision {
    Decision {
        action: Action {
            translation_m: nalgebra::Vector3::new(0.01, -0.01, -0.005),
            yaw_rad: 0.02,
            verb: Verb::Move,
        },
        q_value: 0.5,
        frame_captured_at: at_ms(ms),
        step: (ms / FRAME_PERIOD_MS) as u32,
    }
}

/// A directory of a test's own, gone with it.
pub struct TestDirectory(std::path::PathBuf);

impl TestDirectory {
    pub fn new(name: &str) -> Self {
        let name = format!("visuomotor-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
