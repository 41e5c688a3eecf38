//! The rows of a data set as the records of one episode.
//!
//! Not responsible for what the data set's columns are, nor for the header ([`super::import`]).

use super::import::{Layout, START, grid};
use super::read::EpisodeRows;
use super::stats::decode;
use super::{
    ACTION, COMMANDED, EFFORT, IMAGE_NS, INSTANT_NS, STATE, STATE_NS, SUCCESS, TCP, TCP_DELTA,
    TCP_NS, VELOCITY, VERB,
};
use crate::dataset_lineage::EpisodeLineage;
use crate::table::Column;
use nalgebra::Vector3;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::{ArmState, Fingers};
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Inputs;
use visuomotor_runtime::episode::{
    DiskWriter, Ending, EpisodeError, FrameRecord, Header, Losses, ObservationRecord, Outcome,
};
use visuomotor_runtime::observation::{GripperObservation, TcpPose};
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::safety::{Intervention, LimitSet, OperatingMode, SafetyReport};
use visuomotor_runtime::step::{Counters, Step};

/// The rows of one episode, with every column checked once.
pub struct Rows<'a> {
    rows: usize,
    joints: usize,
    columns: &'a BTreeMap<String, Column>,
    pictures: Option<&'a [Arc<Vec<u8>>]>,
    instants: Vec<Instant>,
    image_at: Vec<Instant>,
    state_at: Vec<Instant>,
    tcp_at: Option<Vec<Instant>>,
    aperture: bool,
    fingers_middle: Option<f32>,
}

impl<'a> Rows<'a> {
    pub fn of(episode: &'a EpisodeRows, layout: &Layout, fps: f64) -> Result<Self, String> {
        let (rows, columns) = (episode.rows, &episode.columns);
        let joints = layout.joints.len();
        let with_fingers = joints + usize::from(layout.aperture);
        let required = [(STATE, with_fingers), (ACTION, with_fingers)];
        let optional = [
            (VELOCITY, joints),
            (EFFORT, joints),
            (TCP, 4),
            (TCP_DELTA, 4),
        ];
        let expected = required.iter().map(|of| (of, true));
        for ((name, width), required) in expected.chain(optional.iter().map(|of| (of, false))) {
            match columns.get(*name) {
                Some(Column::F32(found, _)) if found == width => {}
                None if !required => {}
                _ => return Err(format!("`{name}` is not {width} numbers a row")),
            }
        }
        let stamps = |name: &str| match columns.get(name) {
            Some(Column::I64(stamps)) => {
                let stamps = stamps
                    .iter()
                    .map(|&ns| u64::try_from(ns).map(Instant::from_ticks));
                let stamps: Result<Vec<_>, _> = stamps.collect();
                let stamps = stamps.map_err(|_| format!("`{name}` is negative"))?;
                match stamps.is_sorted() {
                    true => Ok(Some(stamps)),
                    false => Err(format!("`{name}` goes back")),
                }
            }
            Some(_) => Err(format!("`{name}` is no whole number")),
            None => Ok(None),
        };
        let by_index: Vec<Instant> = (0..rows).map(|row| grid(fps, row)).collect();
        let or_by_index = |name| match layout.true_stamps {
            true => Ok::<_, String>(stamps(name)?.unwrap_or_else(|| by_index.clone())),
            false => Ok(by_index.clone()),
        };
        let pictures = match &layout.camera {
            None => None,
            Some(camera) => match columns.get(camera) {
                Some(Column::Image(pictures)) => Some(pictures.as_slice()),
                _ => return Err(format!("`{camera}` has no pictures")),
            },
        };
        let of_policy = [TCP, TCP_DELTA, VERB]
            .iter()
            .all(|name| columns.contains_key(*name));
        let tcp_at = match of_policy && layout.true_stamps {
            true => stamps(TCP_NS)?,
            false => None,
        };
        Ok(Self {
            rows,
            joints,
            columns,
            pictures,
            instants: or_by_index(INSTANT_NS)?,
            image_at: or_by_index(IMAGE_NS)?,
            state_at: or_by_index(STATE_NS)?,
            tcp_at,
            aperture: layout.aperture,
            fingers_middle: layout.fingers_middle,
        })
    }

    fn numbers(&self, name: &str, row: usize) -> Option<&[f32]> {
        self.columns.get(name)?.numbers(row)
    }

    /// NaN where the data set does not say it.
    fn joints<const N: usize>(&self, name: &str, row: usize) -> [f64; N] {
        let numbers = self.numbers(name, row).unwrap_or(&[]);
        std::array::from_fn(|joint| numbers.get(joint).map_or(f64::NAN, |&x| f64::from(x)))
    }

    fn aperture(&self, row: usize) -> f64 {
        let numbers = self.numbers(STATE, row).filter(|_| self.aperture);
        let last = numbers.and_then(|numbers| numbers.get(self.joints));
        last.map_or(f64::NAN, |&x| f64::from(x))
    }

    fn fingers(&self, row: usize) -> Fingers {
        let numbers = self.numbers(ACTION, row).filter(|_| self.aperture);
        let last = numbers.and_then(|numbers| numbers.get(self.joints).copied());
        let closed = match (last, self.fingers_middle) {
            (None, _) => false,
            (Some(flag), None) => flag > 0.5,
            (Some(opening), Some(middle)) => opening < middle,
        };
        if closed {
            Fingers::Closed
        } else {
            Fingers::Open
        }
    }

    fn pose(&self, name: &str, row: usize) -> TcpPose {
        let [x, y, z, yaw_rad] = self.joints::<4>(name, row);
        TcpPose {
            position_m: Vector3::new(x, y, z),
            yaw_rad,
        }
    }

    fn flag(&self, name: &str, row: usize) -> Option<bool> {
        match self.columns.get(name)? {
            Column::Bool(flags) => flags.get(row).copied(),
            _ => None,
        }
    }

    /// `None` where the policy decided nothing.
    fn verb(&self, row: usize) -> Option<Verb> {
        let Some(Column::I64(verbs)) = self.columns.get(VERB) else {
            return None;
        };
        Verb::ALL
            .get(usize::try_from(*verbs.get(row)?).ok()?)
            .copied()
    }

    fn is_new(&self, stamps: &[Instant], row: usize) -> bool {
        row == 0 || stamps[row] != stamps[row - 1]
    }
}

pub enum WriteError {
    Picture(String),
    Episode(EpisodeError),
}

impl From<EpisodeError> for WriteError {
    fn from(error: EpisodeError) -> Self {
        Self::Episode(error)
    }
}

pub fn write<const N: usize>(
    path: &Path,
    header: &Header,
    rows: &Rows<'_>,
    lineage: Option<&EpisodeLineage>,
) -> Result<(), WriteError> {
    let mut writer = DiskWriter::create(path, header, &[])?;
    let mut frames = 0;
    let mut observations = 0;
    let mut actions = 0;
    for row in 0..rows.rows {
        let at = rows.instants[row];
        if let Some(pictures) = rows.pictures
            && rows.is_new(&rows.image_at, row)
        {
            picture(&mut writer, &pictures[row], rows.image_at[row], frames)?;
            frames += 1;
        }
        if let (Some(tcp_at), Some(pictures)) = (&rows.tcp_at, rows.pictures)
            && rows.is_new(tcp_at, row)
        {
            let record = ObservationRecord {
                observed_at: at,
                step: observations,
                frame_captured_at: rows.image_at[row],
                frame_sequence: frames - 1,
                gripper: GripperObservation {
                    sampled_at: tcp_at[row],
                    measured: rows.pose(TCP, row),
                    goal: unknown_pose(),
                    fingers: rows.fingers(row),
                    aperture_m: rows.aperture(row),
                },
            };
            let image = decode(&pictures[row]).map_err(WriteError::Picture)?;
            writer.observation(&record, &image)?;
            observations += 1;
        }
        let decision = rows.verb(row).map(|verb| {
            let displacement = rows.pose(TCP_DELTA, row);
            Decision {
                action: Action {
                    translation_m: displacement.position_m,
                    yaw_rad: displacement.yaw_rad,
                    verb,
                },
                q_value: f64::NAN,
                frame_captured_at: rows.image_at[row],
                step: u32::saturating_sub(observations, 1),
            }
        });
        if let Some(decision) = &decision {
            writer.decision(decision, at)?;
            actions += 1;
        }
        writer.step(&step::<N>(rows, row, decision))?;
    }
    let last = rows.rows.saturating_sub(1);
    let outcome = Outcome {
        ended_at: rows.instants.last().copied().unwrap_or(START),
        ending: match lineage.map(|lineage| lineage.ending.as_str()) {
            Some("terminated") => Ending::Terminated,
            Some("step_limit") => Ending::StepLimit,
            Some("fault") => Ending::Fault,
            _ => Ending::Stopped,
        },
        success: match lineage {
            Some(lineage) => lineage.success,
            None => rows.flag(SUCCESS, last),
        },
        actions: lineage.map_or(actions, |lineage| lineage.actions),
    };
    writer.close(&outcome, Losses::default())?;
    Ok(())
}

/// A JPEG as it is, anything else compressed like a camera's picture.
fn picture(
    writer: &mut DiskWriter,
    bytes: &[u8],
    captured_at: Instant,
    sequence: u64,
) -> Result<(), WriteError> {
    let image = decode(bytes).map_err(WriteError::Picture)?;
    if bytes.starts_with(&[0xff, 0xd8]) {
        let record = FrameRecord {
            captured_at,
            sequence: sequence as u32,
            jpeg: bytes.to_vec(),
        };
        return Ok(writer.compressed_frame(&record, image.width, image.height)?);
    }
    Ok(writer.frame(&Frame {
        captured_at,
        sequence,
        image,
    })?)
}

fn unknown_pose() -> TcpPose {
    TcpPose {
        position_m: Vector3::repeat(f64::NAN),
        yaw_rad: f64::NAN,
    }
}

fn step<const N: usize>(rows: &Rows<'_>, row: usize, decision: Option<Decision>) -> Step<N> {
    let sampled = rows.flag(COMMANDED, row);
    // A row whose command is the one before it sent nothing; the first row has none before it.
    let commanded = row == 0 || sampled.unwrap_or(true);
    Step {
        tick: row as u64,
        due: rows.instants[row],
        jitter: Duration::from_ticks(0),
        missed: 0,
        inputs: Inputs {
            arm: Ok(ArmState {
                sampled_at: rows.state_at[row],
                q: rows.joints::<N>(STATE, row).into(),
                dq: rows.joints::<N>(VELOCITY, row).into(),
                tau: rows.joints::<N>(EFFORT, row).into(),
                aperture_m: rows.aperture(row),
            }),
            write_error: None,
            decision,
            request: None,
        },
        phase: Phase::Policy,
        mode: OperatingMode::Automatic,
        command: commanded.then(|| {
            (
                rows.joints::<N>(ACTION, row).into(),
                [f64::NAN; N].into(),
                rows.fingers(row),
            )
        }),
        stop: None,
        reference: unknown_pose(),
        goal: unknown_pose(),
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
