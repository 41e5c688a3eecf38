//! Between the runtime's own types and the messages that an episode holds; every number survives bit for bit.
//!
//! Not responsible for bytes ([`super::cdr`]) or for the messages' layout ([`super::messages`]).

use super::inputs;
use super::messages::{self, Header, JointState, Point, Pose, PoseStamped, Quaternion, Time};
use super::records::{Annotation, DecisionRecord, Ending, Losses, ObservationRecord, Outcome};
use crate::action::{Action, Verb};
use crate::arm::{ArmState, Fingers};
use crate::clock::{Duration, Instant};
use crate::fault::Fault;
use crate::observation::{GripperObservation, TcpPose, TcpVelocity};
use crate::phase::Phase;
use crate::policy::Decision;
use crate::safety::{Intervention, LimitSet, OperatingMode, SafetyReport, StopCategory};
use crate::step::{Counters, Step};
use crate::units::{JointPositions, JointTorques, JointVelocities};
use nalgebra::{SVector, Vector3};

/// What a well-formed message may say that the runtime's types cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    #[error("{field} has no value {number}")]
    UnknownCode { field: &'static str, number: u32 },
    #[error("{got} joint values where the robot has {expected} joints")]
    Joints { expected: usize, got: usize },
    #[error("the step has no message on {topic}")]
    Missing { topic: &'static str },
}

const NS_PER_S: u64 = 1_000_000_000;
const NO_STOP: u8 = 255;
const NOT_JUDGED: u8 = 2;

/// Exact up to 2^31 s (68 years); what is later is written as that.
pub fn time(instant: Instant) -> Time {
    let ns = instant.as_ticks();
    match i32::try_from(ns / NS_PER_S) {
        Ok(sec) => Time {
            sec,
            nanosec: (ns % NS_PER_S) as u32,
        },
        Err(_) => Time {
            sec: i32::MAX,
            nanosec: 0,
        },
    }
}

/// Times before the epoch, which the clock does not have, are read as the epoch.
pub fn instant(time: &Time) -> Instant {
    Instant::from_ticks(time.sec.max(0) as u64 * NS_PER_S + u64::from(time.nanosec))
}

pub fn header(stamp: Instant, frame_id: &str) -> Header {
    Header {
        stamp: time(stamp),
        frame_id: frame_id.to_owned(),
    }
}

/// The pose whose z axis points down, R = Rz(yaw) Rx(pi), as viewers want it.
pub fn pose_stamped(stamp: Instant, pose: &TcpPose) -> PoseStamped {
    let (sin, cos) = (0.5 * pose.yaw_rad).sin_cos();
    let orientation = Quaternion {
        x: cos,
        y: sin,
        z: 0.0,
        w: 0.0,
    };
    PoseStamped {
        header: header(stamp, "task"),
        pose: Pose {
            position: point(&pose.position_m),
            orientation,
        },
    }
}

fn point(v: &Vector3<f64>) -> Point {
    Point {
        x: v.x,
        y: v.y,
        z: v.z,
    }
}

fn tcp_pose(pose: &TcpPose) -> messages::TcpPose {
    let p = pose.position_m;
    messages::TcpPose {
        x: p.x,
        y: p.y,
        z: p.z,
        yaw: pose.yaw_rad,
    }
}

fn from_tcp_pose(pose: &messages::TcpPose) -> TcpPose {
    TcpPose {
        position_m: Vector3::new(pose.x, pose.y, pose.z),
        yaw_rad: pose.yaw,
    }
}

/// One of `all`, by the number that a message has for it.
pub(super) fn by_code<T: Copy>(
    field: &'static str,
    number: u8,
    all: &[T],
    code: fn(T) -> u8,
) -> Result<T, ConvertError> {
    let found = all.iter().copied().find(|x| code(*x) == number);
    found.ok_or(ConvertError::UnknownCode {
        field,
        number: number.into(),
    })
}

fn fingers(code: u8) -> Result<Fingers, ConvertError> {
    by_code("fingers", code, &[Fingers::Open, Fingers::Closed], |x| {
        x as u8
    })
}

fn from_category(category: Option<StopCategory>) -> u8 {
    category.map_or(NO_STOP, |category| category as u8)
}

pub(super) fn mode(field: &'static str, code: u8) -> Result<OperatingMode, ConvertError> {
    let modes = [OperatingMode::Automatic, OperatingMode::Manual];
    by_code(field, code, &modes, |x| x as u8)
}

pub(super) fn category(
    field: &'static str,
    code: u8,
) -> Result<Option<StopCategory>, ConvertError> {
    let categories = [StopCategory::Zero, StopCategory::One, StopCategory::Two];
    match code {
        NO_STOP => Ok(None),
        code => by_code(field, code, &categories, |x| x as u8).map(Some),
    }
}

fn phase(message: &messages::Step) -> Result<Phase, ConvertError> {
    let latched = category("latched", message.latched)?;
    let phases = [
        Some(Phase::Idle),
        Some(Phase::Hold),
        Some(Phase::Approach),
        Some(Phase::Policy),
        Some(Phase::Ending),
        Some(Phase::Inward),
        Some(Phase::Teleop),
        latched.map(Phase::Stopping),
        latched.map(Phase::Stopped),
    ];
    phases
        .into_iter()
        .flatten()
        .find(|phase| phase.code() == message.phase && phase.latched() == latched)
        .ok_or(ConvertError::UnknownCode {
            field: "phase",
            number: message.phase.into(),
        })
}

fn fault(fault: Option<Fault>) -> messages::Fault {
    let (number, values) = match fault {
        None => (0, [0.0; 3]),
        Some(Fault::ArmLinkLost { age_ms }) => (0, [age_ms, 0.0, 0.0]),
        Some(Fault::Drive { code }) => (code, [0.0; 3]),
        Some(Fault::EncoderNotFinite { joint }) => (joint.into(), [0.0; 3]),
        Some(Fault::Tracking {
            joint,
            error_rad,
            limit_rad,
        }) => (joint.into(), [error_rad, limit_rad, 0.0]),
        Some(Fault::StartOutsideLimits {
            joint,
            q_rad,
            lower_rad,
            upper_rad,
        }) => (joint.into(), [q_rad, lower_rad, upper_rad]),
        Some(Fault::StartOutsideWorkspace { distance_m }) => (0, [distance_m, 0.0, 0.0]),
        Some(Fault::StartsMoving {
            joint,
            dq_rad_per_s,
            limit_rad_per_s,
        }) => (joint.into(), [dq_rad_per_s, limit_rad_per_s, 0.0]),
        Some(Fault::StartsInCollision { pair, depth_m }) => (pair.into(), [depth_m, 0.0, 0.0]),
        Some(Fault::FrameTooOld { age_ms, limit_ms }) => (0, [age_ms, limit_ms, 0.0]),
        Some(Fault::PolicySilent { age_ms, limit_ms }) => (0, [age_ms, limit_ms, 0.0]),
        Some(Fault::OperatorSilent { age_ms, limit_ms }) => (0, [age_ms, limit_ms, 0.0]),
        Some(Fault::LoopStalled { gap_ms, limit_ms }) => (0, [gap_ms, limit_ms, 0.0]),
        Some(Fault::ActionNotFinite | Fault::NoPlan) => (0, [0.0; 3]),
    };
    messages::Fault {
        code: fault.map_or(0, |fault| fault.code()),
        number,
        values,
    }
}

pub fn from_fault(message: &messages::Fault) -> Result<Option<Fault>, ConvertError> {
    let [a, b, c] = message.values;
    let joint = message.number as u8;
    Ok(Some(match message.code {
        0 => return Ok(None),
        1 => Fault::ArmLinkLost { age_ms: a },
        2 => Fault::Drive {
            code: message.number,
        },
        3 => Fault::EncoderNotFinite { joint },
        4 => Fault::Tracking {
            joint,
            error_rad: a,
            limit_rad: b,
        },
        5 => Fault::StartOutsideLimits {
            joint,
            q_rad: a,
            lower_rad: b,
            upper_rad: c,
        },
        6 => Fault::StartOutsideWorkspace { distance_m: a },
        7 => Fault::FrameTooOld {
            age_ms: a,
            limit_ms: b,
        },
        8 => Fault::PolicySilent {
            age_ms: a,
            limit_ms: b,
        },
        9 => Fault::ActionNotFinite,
        10 => Fault::StartsMoving {
            joint,
            dq_rad_per_s: a,
            limit_rad_per_s: b,
        },
        11 => Fault::StartsInCollision {
            pair: message.number as u8,
            depth_m: a,
        },
        12 => Fault::NoPlan,
        14 => Fault::LoopStalled {
            gap_ms: a,
            limit_ms: b,
        },
        13 => Fault::OperatorSilent {
            age_ms: a,
            limit_ms: b,
        },
        other => {
            return Err(ConvertError::UnknownCode {
                field: "fault",
                number: other.into(),
            });
        }
    }))
}

fn counters(c: &Counters) -> messages::Counters {
    messages::Counters {
        missed_ticks: c.missed_ticks,
        failed_reads: c.failed_reads,
        reused_samples: c.reused_samples,
        late_decisions: c.late_decisions,
        clamped_actions: c.clamped_actions,
        dropped_steps: c.dropped_steps,
        dropped_frames: c.dropped_frames,
        refused_requests: c.refused_requests,
    }
}

pub fn from_counters(c: &messages::Counters) -> Counters {
    Counters {
        missed_ticks: c.missed_ticks,
        failed_reads: c.failed_reads,
        reused_samples: c.reused_samples,
        late_decisions: c.late_decisions,
        clamped_actions: c.clamped_actions,
        dropped_steps: c.dropped_steps,
        dropped_frames: c.dropped_frames,
        refused_requests: c.refused_requests,
    }
}

/// Overwrites all but the joints' names.
pub fn set_joint_state<const N: usize>(
    message: &mut JointState,
    stamp: Instant,
    q: &SVector<f64, N>,
    dq: &SVector<f64, N>,
    tau: Option<&SVector<f64, N>>,
) {
    message.header.stamp = time(stamp);
    message.position.clear();
    message.position.extend(q.iter());
    message.velocity.clear();
    message.velocity.extend(dq.iter());
    message.effort.clear();
    message.effort.extend(tau.into_iter().flatten());
}

fn joints<const N: usize>(values: &[f64]) -> Result<SVector<f64, N>, ConvertError> {
    let values: [f64; N] = values.try_into().map_err(|_| ConvertError::Joints {
        expected: N,
        got: values.len(),
    })?;
    Ok(values.into())
}

/// All of a step but what [`set_joint_state`] writes.
pub fn step<const N: usize>(step: &Step<N>) -> messages::Step {
    messages::Step {
        stamp: time(step.due),
        tick: step.tick,
        jitter_ns: step.jitter.as_ticks(),
        phase: step.phase.code(),
        measured: step.measured().is_some(),
        aperture: step.measured().map_or(0.0, |state| state.aperture_m),
        commanded: step.command.is_some(),
        fingers: step
            .command
            .map_or(Fingers::Open, |(_, _, fingers)| fingers) as u8,
        stop: from_category(step.stop),
        reference: tcp_pose(&step.reference),
        goal: tcp_pose(&step.goal),
        verdict: messages::Verdict {
            intervention: step.report.intervention as u8,
            limits: step.report.limits.0,
            joints: step.report.joints,
            fault: fault(step.report.fault),
        },
        fault: fault(step.fault),
        counters: counters(&step.counters),
        latched: from_category(step.phase.latched()),
        mode: step.mode as u8,
        inputs: inputs::message(step),
    }
}

/// The inverse of [`step`] and [`set_joint_state`].
pub fn from_step<const N: usize>(
    message: &messages::Step,
    measured: Option<&JointState>,
    commanded: Option<&JointState>,
) -> Result<Step<N>, ConvertError> {
    let interventions = [
        Intervention::Nothing,
        Intervention::Limited,
        Intervention::Shrunk,
        Intervention::Stopping,
        Intervention::Stopped,
    ];
    let verdict = &message.verdict;
    let arm = match (message.measured, measured) {
        (false, _) => None,
        (true, None) => {
            return Err(ConvertError::Missing {
                topic: "/joint_states",
            });
        }
        (true, Some(state)) => Some(ArmState {
            sampled_at: instant(&state.header.stamp),
            q: JointPositions(joints(&state.position)?),
            dq: JointVelocities(joints(&state.velocity)?),
            tau: JointTorques(joints(&state.effort)?),
            aperture_m: message.aperture,
        }),
    };
    Ok(Step {
        tick: message.tick,
        due: instant(&message.stamp),
        jitter: Duration::from_ticks(message.jitter_ns),
        phase: phase(message)?,
        missed: message.inputs.missed,
        inputs: inputs::from_message(&message.inputs, arm)?,
        mode: mode("mode", message.mode)?,
        command: match (message.commanded, commanded) {
            (false, _) => None,
            (true, None) => {
                return Err(ConvertError::Missing {
                    topic: "/joint_commands",
                });
            }
            (true, Some(state)) => Some((
                JointPositions(joints(&state.position)?),
                JointVelocities(joints(&state.velocity)?),
                fingers(message.fingers)?,
            )),
        },
        stop: category("stop", message.stop)?,
        reference: from_tcp_pose(&message.reference),
        goal: from_tcp_pose(&message.goal),
        report: SafetyReport {
            intervention: by_code("intervention", verdict.intervention, &interventions, |x| {
                x as u8
            })?,
            limits: LimitSet(verdict.limits),
            joints: verdict.joints,
            fault: from_fault(&verdict.fault)?,
        },
        fault: from_fault(&message.fault)?,
        counters: from_counters(&message.counters),
    })
}

pub fn observation(record: &ObservationRecord) -> messages::Observation {
    let gripper = &record.gripper;
    messages::Observation {
        stamp: time(gripper.sampled_at),
        step: record.step,
        frame_stamp: time(record.frame_captured_at),
        frame_sequence: record.frame_sequence,
        measured: tcp_pose(&gripper.measured),
        goal: tcp_pose(&gripper.goal),
        fingers: gripper.fingers as u8,
        aperture: gripper.aperture_m,
    }
}

pub fn from_observation(
    message: &messages::Observation,
    observed_at: Instant,
) -> Result<ObservationRecord, ConvertError> {
    Ok(ObservationRecord {
        observed_at,
        step: message.step,
        frame_captured_at: instant(&message.frame_stamp),
        frame_sequence: message.frame_sequence,
        gripper: GripperObservation {
            sampled_at: instant(&message.stamp),
            measured: from_tcp_pose(&message.measured),
            goal: from_tcp_pose(&message.goal),
            fingers: fingers(message.fingers)?,
            aperture_m: message.aperture,
        },
    })
}

pub fn action(decision: &Decision, decided_at: Instant) -> messages::Action {
    messages::Action {
        stamp: time(decided_at),
        step: decision.step,
        frame_stamp: time(decision.frame_captured_at),
        displacement: point(&decision.action.translation_m),
        yaw: decision.action.yaw_rad,
        verb: decision.action.verb as u8,
        q_value: decision.q_value,
    }
}

pub fn from_action(message: &messages::Action) -> Result<DecisionRecord, ConvertError> {
    let displacement = &message.displacement;
    Ok(DecisionRecord {
        decided_at: instant(&message.stamp),
        decision: Decision {
            action: Action {
                translation_m: Vector3::new(displacement.x, displacement.y, displacement.z),
                yaw_rad: message.yaw,
                verb: by_code("verb", message.verb, &Verb::ALL, |x| x as u8)?,
            },
            q_value: message.q_value,
            frame_captured_at: instant(&message.frame_stamp),
            step: message.step,
        },
    })
}

pub fn annotation(annotation: &Annotation) -> messages::Annotation {
    messages::Annotation {
        stamp: time(annotation.said_at),
        from: time(annotation.from),
        to: time(annotation.to),
        label: annotation.label.clone(),
        note: annotation.note.clone(),
        author: annotation.author.clone(),
    }
}

pub fn from_annotation(message: messages::Annotation) -> Annotation {
    Annotation {
        said_at: instant(&message.stamp),
        from: instant(&message.from),
        to: instant(&message.to),
        label: message.label,
        note: message.note,
        author: message.author,
    }
}

/// What a person asked the tool for; the task frame's axes.
pub fn operator_twist(at: Instant, velocity: &TcpVelocity) -> messages::TwistStamped {
    let v = &velocity.linear_m_per_s;
    messages::TwistStamped {
        header: messages::Header {
            stamp: time(at),
            frame_id: "task".into(),
        },
        twist: messages::Twist {
            linear: messages::Vector3 {
                x: v.x,
                y: v.y,
                z: v.z,
            },
            angular: messages::Vector3 {
                z: velocity.yaw_rad_per_s,
                ..Default::default()
            },
        },
    }
}

/// Of a camera without distortion whose optical axis is the picture's centre. `fovy_deg`: vertical field of view; without
/// it the camera counts as uncalibrated, which zeros say.
pub fn camera_info(width: u32, height: u32, fovy_deg: Option<f64>) -> messages::CameraInfo {
    let (w, h) = (f64::from(width), f64::from(height));
    let (k, p) = match fovy_deg {
        None => ([0.0; 9], [0.0; 12]),
        Some(fovy_deg) => {
            let f = 0.5 * h / (0.5 * fovy_deg.to_radians()).tan();
            let (cx, cy) = (0.5 * w, 0.5 * h);
            (
                [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
                [f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
            )
        }
    };
    messages::CameraInfo {
        header: messages::Header {
            frame_id: "camera".into(),
            ..Default::default()
        },
        height,
        width,
        distortion_model: "plumb_bob".into(),
        d: vec![0.0; 5],
        k,
        r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p,
        ..Default::default()
    }
}

pub fn outcome(outcome: &Outcome, lost: &Losses) -> messages::Outcome {
    messages::Outcome {
        stamp: time(outcome.ended_at),
        ending: outcome.ending as u8,
        success: match outcome.success {
            Some(success) => u8::from(success),
            None => NOT_JUDGED,
        },
        actions: outcome.actions,
        lost_steps: lost.steps,
        lost_frames: lost.frames,
        lost_events: lost.events,
    }
}

pub fn from_outcome(message: &messages::Outcome) -> Result<(Outcome, Losses), ConvertError> {
    let endings = [
        Ending::Terminated,
        Ending::StepLimit,
        Ending::Fault,
        Ending::Stopped,
    ];
    let outcome = Outcome {
        ended_at: instant(&message.stamp),
        ending: by_code("ending", message.ending, &endings, |x| x as u8)?,
        success: match message.success {
            NOT_JUDGED => None,
            code => Some(by_code("success", code, &[false, true], u8::from)?),
        },
        actions: message.actions,
    };
    let lost = Losses {
        steps: message.lost_steps,
        frames: message.lost_frames,
        events: message.lost_events,
    };
    Ok((outcome, lost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Rotation3;
    use proptest::prelude::*;

    #[test]
    fn every_fault_comes_back() {
        let faults = [
            Fault::ArmLinkLost { age_ms: 1.5 },
            Fault::Drive { code: u32::MAX },
            Fault::EncoderNotFinite { joint: 6 },
            Fault::Tracking {
                joint: 5,
                error_rad: 0.25,
                limit_rad: 0.5,
            },
            Fault::StartOutsideLimits {
                joint: 4,
                q_rad: 3.0,
                lower_rad: -2.0,
                upper_rad: 2.0,
            },
            Fault::StartOutsideWorkspace { distance_m: 0.125 },
            Fault::StartsMoving {
                joint: 4,
                dq_rad_per_s: -0.5,
                limit_rad_per_s: 0.05,
            },
            Fault::FrameTooOld {
                age_ms: 151.0,
                limit_ms: 150.0,
            },
            Fault::PolicySilent {
                age_ms: 501.0,
                limit_ms: 500.0,
            },
            Fault::OperatorSilent {
                age_ms: 101.0,
                limit_ms: 100.0,
            },
            Fault::ActionNotFinite,
            Fault::NoPlan,
            Fault::LoopStalled {
                gap_ms: 21.0,
                limit_ms: 20.0,
            },
        ];
        for expected in faults.map(Some).into_iter().chain([None]) {
            assert_eq!(from_fault(&fault(expected)), Ok(expected));
        }
    }

    #[test]
    fn numbers_without_a_meaning_are_errors() {
        let good = || step(&crate::episode::samples::step(2));
        let read = |message: &messages::Step| from_step::<7>(message, None, None).unwrap_err();
        assert_eq!(
            read(&good()),
            ConvertError::Missing {
                topic: "/joint_states"
            }
        );
        let good = || {
            let mut message = good();
            message.measured = false;
            message.inputs.read_error = 0;
            message
        };
        assert!(from_step::<7>(&good(), None, None).is_ok());
        let unknown = |field, number| ConvertError::UnknownCode { field, number };
        assert_eq!(
            read(&messages::Step {
                phase: 77,
                ..good()
            }),
            unknown("phase", 77)
        );
        for (phase, latched, expected) in [
            (4, 255, unknown("phase", 4)),
            (5, 255, unknown("phase", 5)),
            (1, 2, unknown("phase", 1)),
            (4, 3, unknown("latched", 3)),
        ] {
            let message = messages::Step {
                phase,
                latched,
                ..good()
            };
            assert_eq!(read(&message), expected);
        }
        assert_eq!(
            read(&messages::Step { mode: 2, ..good() }),
            unknown("mode", 2)
        );
        assert_eq!(
            read(&messages::Step { stop: 3, ..good() }),
            unknown("stop", 3)
        );
        let fault = messages::Fault {
            code: 9999,
            ..Default::default()
        };
        assert_eq!(
            read(&messages::Step { fault, ..good() }),
            unknown("fault", 9999)
        );

        let short = JointState {
            position: vec![0.0; 6],
            ..Default::default()
        };
        let message = messages::Step {
            measured: true,
            ..good()
        };
        let error = from_step::<7>(&message, Some(&short), None).unwrap_err();
        assert_eq!(
            error,
            ConvertError::Joints {
                expected: 7,
                got: 6
            }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn instants_are_exact(ns in 0..(1u64 << 31) * NS_PER_S) {
            prop_assert_eq!(instant(&time(Instant::from_ticks(ns))), Instant::from_ticks(ns));
        }

        #[test]
        fn viewers_see_a_tool_that_points_down(yaw_rad in -3.0..3.0) {
            let pose = TcpPose { position_m: Vector3::zeros(), yaw_rad };
            let q = pose_stamped(Instant::from_ticks(0), &pose).pose.orientation;
            let got = nalgebra::UnitQuaternion::from_quaternion(nalgebra::Quaternion::new(q.w, q.x, q.y, q.z));
            let expected = Rotation3::from_axis_angle(&Vector3::z_axis(), yaw_rad)
                * Rotation3::from_axis_angle(&Vector3::x_axis(), std::f64::consts::PI);
            prop_assert!((got.to_rotation_matrix().matrix() - expected.matrix()).norm() < 1e-12);
        }
    }
}
