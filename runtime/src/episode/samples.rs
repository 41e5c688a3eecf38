//! Episodes for this module's tests: every field of every record differs from every other.

use super::*;
use crate::action::{Action, Verb};
use crate::arm::{ArmError, ArmState, Fingers};
use crate::camera::{Frame, Image};
use crate::clock::{Duration, Instant};
use crate::controller::{Inputs, Request};
use crate::fault::Fault;
use crate::health::Health;
use crate::observation::{GripperObservation, TcpPose, TcpVelocity};
use crate::phase::Phase;
use crate::policy::Decision;
use crate::safety::{Intervention, LimitSet, OperatingMode, SafetyReport, StopCategory};
use crate::step::{Counters, Step};
use nalgebra::Vector3;

pub fn at_ms(ms: u64) -> Instant {
    Instant::from_ticks(ms * 1_000_000)
}

pub fn header() -> Header {
    let map = |key: &str, value: &str| TextMap::from([(key.to_owned(), value.to_owned())]);
    Header {
        origin: Origin {
            schema_version: SCHEMA_VERSION,
            id: "7-0003".into(),
            started_at_utc: String::new(),
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
            source: ClockSource::Simulated,
            realtime_granted: false,
        },
        realtime: Some(Realtime {
            required: true,
            memory_locked: true,
            fifo: false,
            affinity: true,
            cpu_latency: false,
            missing: "cpu_latency,fifo".into(),
        }),
        camera: map("fovy_deg", "34"),
        solver: map("damping_min", "1e-9"),
        policy: Some(PolicyIdentity {
            name: "critic".into(),
            manifest: "models/critic.toml".into(),
            manifest_sha256: Sha256::of(b"manifest"),
            seed: u64::MAX,
        }),
        checkpoints: map("trunk.onnx", "0".repeat(64).as_str()),
        policy_settings: map("samples", "64"),
        scene: Some(Scene {
            seed: 11,
            split: "test".into(),
            objects: String::new(),
        }),
        derivation: Some(Derivation {
            how: "trimmed".into(),
            parent_id: "7-0002".into(),
            parent_sha256: Sha256::of(b"parent"),
            from_ns: 1,
            to_ns: u64::MAX,
        }),
    }
}

pub fn attachments() -> Vec<Attachment> {
    vec![Attachment {
        name: "robot.urdf".into(),
        media_type: "application/xml".into(),
        data: b"<robot/>".to_vec(),
    }]
}

fn tcp_pose(x: f64) -> TcpPose {
    TcpPose {
        position_m: Vector3::new(x, x + 0.1, x + 0.2),
        yaw_rad: x + 0.3,
    }
}

/// Tick `i` of a 1 kHz loop; over seven ticks every optional part comes and goes.
pub fn step(i: u64) -> Step<7> {
    let x = i as f64 * 1e-3;
    let joints = |offset: f64| std::array::from_fn(|joint| x + offset + joint as f64);
    let fault = Fault::Tracking {
        joint: 3,
        error_rad: x,
        limit_rad: 0.1,
    };
    Step {
        tick: i,
        due: at_ms(i),
        jitter: Duration::from_ticks(1000 + i),
        phase: [
            Phase::Idle,
            Phase::Hold,
            Phase::Approach,
            Phase::Policy,
            Phase::Stopped(StopCategory::Two),
            Phase::Stopping(StopCategory::Zero),
            Phase::Stopped(StopCategory::One),
            Phase::Ending,
            Phase::Inward,
            Phase::Teleop,
        ][i as usize % 10],
        missed: i % 3,
        inputs: inputs(i),
        mode: if i.is_multiple_of(5) {
            OperatingMode::Manual
        } else {
            OperatingMode::Automatic
        },
        command: (i % 7 != 2).then(|| {
            let fingers = if i.is_multiple_of(2) {
                Fingers::Open
            } else {
                Fingers::Closed
            };
            (joints(0.4).into(), joints(0.5).into(), fingers)
        }),
        stop: (i % 7 == 2).then_some(StopCategory::Two),
        reference: tcp_pose(x),
        goal: tcp_pose(x + 1.0),
        report: SafetyReport {
            intervention: if i.is_multiple_of(3) {
                Intervention::Nothing
            } else {
                Intervention::Shrunk
            },
            limits: LimitSet(i as u16),
            joints: 0x55,
            fault: (i % 7 == 3).then_some(fault),
        },
        fault: (i % 7 == 4).then_some(Fault::Drive { code: 0xdead_beef }),
        counters: Counters {
            missed_ticks: i,
            failed_reads: i + 1,
            reused_samples: i + 2,
            late_decisions: i + 3,
            clamped_actions: i + 4,
            dropped_steps: i + 5,
            refused_requests: i + 6,
            dropped_frames: u64::MAX,
        },
    }
}

fn inputs(i: u64) -> Inputs<7> {
    let x = i as f64 * 1e-3;
    let joints = |offset: f64| std::array::from_fn(|joint| x + offset + joint as f64);
    let errors = [
        ArmError::NoAnswer,
        ArmError::Malformed,
        ArmError::Drive {
            code: 0xbad + i as u32,
        },
    ];
    let requests = [
        None,
        Some(Request::Hold),
        Some(Request::Approach(tcp_pose(x + 2.0))),
        Some(Request::StartPolicy),
        Some(Request::Rearm),
        Some(Request::SetMode(OperatingMode::Manual)),
        Some(Request::Stop(StopCategory::One)),
        Some(Request::ClearFault),
        Some(Request::Recover),
        Some(Request::End),
        Some(Request::Jog(TcpVelocity {
            linear_m_per_s: Vector3::new(x, -x, 0.1),
            yaw_rad_per_s: 0.25,
        })),
    ];
    Inputs {
        arm: match i % 7 {
            1 => Err(errors[i as usize / 7 % 3]),
            _ => Ok(ArmState {
                sampled_at: Instant::from_ticks(i * 1_000_000 + 17),
                q: joints(0.1).into(),
                dq: joints(0.2).into(),
                tau: joints(0.3).into(),
                aperture_m: x + 0.01,
            }),
        },
        write_error: (i % 4 == 3).then_some(errors[i as usize / 4 % 3]),
        decision: (i % 5 == 2).then(|| decision(i).decision),
        request: requests[i as usize % requests.len()],
    }
}

/// Over three ticks the run delay comes and goes.
pub fn health(i: u64) -> Health {
    Health {
        run_delay: (i % 3 != 1).then(|| Duration::from_ticks(i + 7)),
        compute: Duration::from_ticks(i + 20_000),
        voluntary_switches: 1,
        involuntary_switches: i as u32,
        minor_faults: i as u32 + 1,
        major_faults: i as u32 + 2,
    }
}

pub fn frame(i: u64) -> Frame {
    let rgb = (0..16 * 8 * 3)
        .map(|byte| (byte + i as usize) as u8)
        .collect();
    Frame {
        captured_at: at_ms(i),
        sequence: i,
        image: Image {
            width: 16,
            height: 8,
            rgb,
        },
    }
}

pub fn observation(i: u64) -> ObservationRecord {
    ObservationRecord {
        observed_at: at_ms(i + 3),
        step: i as u32,
        frame_captured_at: at_ms(i),
        frame_sequence: u64::MAX - i,
        gripper: GripperObservation {
            sampled_at: at_ms(i + 1),
            measured: tcp_pose(0.25),
            goal: tcp_pose(0.5),
            fingers: Fingers::Closed,
            aperture_m: 0.03,
        },
    }
}

pub fn annotation(i: u64) -> Annotation {
    Annotation {
        said_at: at_ms(i + 5),
        from: at_ms(i),
        to: at_ms(i + 2),
        label: "success".into(),
        note: format!("number {i}"),
        author: "operator".into(),
    }
}

pub fn decision(i: u64) -> DecisionRecord {
    let verb = Verb::ALL[i as usize % 4];
    let action = Action {
        translation_m: Vector3::new(0.01, -0.02, 0.03),
        yaw_rad: -0.5,
        verb,
    };
    DecisionRecord {
        decided_at: at_ms(i + 40),
        decision: Decision {
            action,
            q_value: 0.75,
            frame_captured_at: at_ms(i),
            step: i as u32,
        },
    }
}

pub fn outcome(ended_at: Instant) -> Outcome {
    Outcome {
        ended_at,
        ending: Ending::StepLimit,
        success: Some(true),
        actions: 25,
    }
}

pub const LOST: Losses = Losses {
    steps: 1,
    frames: 2,
    events: 3,
};

/// `ticks` of a whole episode: a frame, an observation and a decision every 50 ms.
pub fn write<W: std::io::Write>(sink: W, ticks: u64) -> Result<(Summary, W), EpisodeError> {
    let mut writer = EpisodeWriter::new(sink, &header(), &attachments())?;
    for i in 0..ticks {
        writer.step(&step(i))?;
        if i % 50 == 0 {
            writer.frame(&frame(i))?;
            writer.observation(&observation(i), &frame(i).image)?;
            writer.decision(&decision(i).decision, decision(i).decided_at)?;
        }
    }
    writer.finish(&outcome(at_ms(ticks)), LOST)
}
