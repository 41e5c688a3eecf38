//! Plain Parquet: a table of ticks and a table of the policy's steps, for whoever reads tables and nothing else.
//!
//! Nothing is resampled: every tick and every observation of the recording is a row, with its own stamps. `README.md` of this
//! crate lists the columns. The steps follow the semantics of RLDS (Ramos et al. 2021): a step is an observation with the
//! action that was taken on it and the reward that this brought; `is_last` is true for the last step of an episode,
//! `is_terminal` where the episode ended by itself and was not merely cut off (step limit, a person), and `discount` is 0
//! there and 1 elsewhere.
//!
//! Not responsible for files and interrupted work ([`crate::shards`]).

use crate::dataset_error::DatasetError;
use crate::shards::{self, Format, Made, Place, Progress, Report, Rows};
use crate::survey::Survey;
use crate::table::picture_array;
use crate::timeline::{Joints, Tick, Timeline};
use arrow_array::builder::{FixedSizeListBuilder, Float64Builder};
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{ArrowError, SchemaRef};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::episode::{DecisionRecord, Ending, ObservationRecord};
use visuomotor_runtime::observation::TcpPose;

/// A file gets no further episode beyond this; whoever is interrupted begins again with the file that was not whole.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// What to make of which recordings.
#[derive(Clone, Debug)]
pub struct ParquetExport {
    pub survey: Survey,
    /// Instead of the recordings' own.
    pub task: Option<String>,
}

/// What the command tells; its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// Its `rows` are those of the table of ticks.
    #[serde(flatten)]
    pub report: Report,
    pub steps: u64,
}

/// # Errors
/// Those of [`shards::export`].
pub fn export(
    what: &ParquetExport,
    sources: &[PathBuf],
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<ExportReport, DatasetError> {
    let (report, made) = shards::export(what, sources, out, FILE_BYTES_MAX, progress)?;
    let steps = made.kept.iter().map(|kept| kept.facts).sum();
    Ok(ExportReport { report, steps })
}

impl Format for ParquetExport {
    /// How many steps of the policy.
    type Facts = u64;
    const NAME: &str = "parquet";
    const LINEAGE: &str = "visuomotor_lineage.json";

    fn options(&self) -> BTreeMap<String, String> {
        let task = self.task.iter();
        task.map(|task| ("task".to_owned(), task.clone())).collect()
    }

    fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    fn tables(&self, file: u64) -> Vec<(String, SchemaRef)> {
        let episode = Of {
            index: 0,
            id: "",
            task: "",
        };
        let tables = [
            ("ticks", ticks(&episode, &[], self.survey.joints.len())),
            ("steps", steps(&episode, &[])),
        ];
        let schema = |batch: Result<RecordBatch, ArrowError>| {
            batch.map_or_else(
                |_| Arc::new(arrow_schema::Schema::empty()),
                |batch| batch.schema(),
            )
        };
        let name = |(table, batch)| (format!("{table}/file-{file:03}.parquet"), schema(batch));
        tables.into_iter().map(name).collect()
    }

    fn rows(&self, timeline: &Timeline, place: &Place) -> Result<Rows<u64>, String> {
        let origin = &timeline.header.origin;
        let episode = Of {
            index: place.episode as i64,
            id: &origin.id,
            task: self.task.as_deref().unwrap_or(&origin.task),
        };
        let taken = taken(timeline)?;
        let ticks = ticks(&episode, &timeline.ticks, self.survey.joints.len());
        let steps = steps(&episode, &taken);
        let unmade = |error: ArrowError| error.to_string();
        Ok(Rows {
            batches: vec![ticks.map_err(unmade)?, steps.map_err(unmade)?],
            count: timeline.ticks.len() as u64,
            facts: taken.len() as u64,
        })
    }

    fn describe(&self, _: &Made<u64>, _: &Path) -> Result<(), DatasetError> {
        Ok(())
    }
}

/// Whose rows they are.
struct Of<'a> {
    index: i64,
    id: &'a str,
    task: &'a str,
}

/// A step of the policy.
struct Taken<'a> {
    observation: &'a ObservationRecord,
    /// The very pixels where they were recorded, otherwise the camera's picture.
    picture: &'a [u8],
    decision: Option<&'a DecisionRecord>,
    is_first: bool,
    is_last: bool,
    is_terminal: bool,
    reward: f32,
}

fn taken<'a>(timeline: &'a Timeline) -> Result<Vec<Taken<'a>>, String> {
    let observed = timeline
        .observed
        .iter()
        .map(|image| (image.step, image.png.as_slice()));
    let observed: HashMap<u32, &[u8]> = observed.collect();
    let frames = timeline
        .frames
        .iter()
        .map(|frame| (frame.captured_at, frame.jpeg.as_slice()));
    let frames: HashMap<Instant, &[u8]> = frames.collect();
    let decisions = timeline
        .decisions
        .iter()
        .map(|record| (record.decision.step, record));
    let decisions: HashMap<u32, &DecisionRecord> = decisions.collect();
    let count = timeline.observations.len();
    let outcome = timeline.outcome.map(|(outcome, _)| outcome);
    let success = outcome.and_then(|outcome| outcome.success) == Some(true);
    let by_itself =
        outcome.is_some_and(|outcome| matches!(outcome.ending, Ending::Terminated | Ending::Fault));
    let step = |(index, observation): (usize, &'a ObservationRecord)| {
        let frame = frames.get(&observation.frame_captured_at);
        let picture = observed.get(&observation.step).or(frame);
        let picture = picture
            .ok_or_else(|| format!("the picture of observation {} is missing", observation.step))?;
        let is_last = index + 1 == count;
        Ok(Taken {
            observation,
            picture,
            decision: decisions.get(&observation.step).copied(),
            is_first: index == 0,
            is_last,
            is_terminal: is_last && by_itself,
            reward: f32::from(is_last && success),
        })
    };
    timeline.observations.iter().enumerate().map(step).collect()
}

fn steps(episode: &Of<'_>, steps: &[Taken<'_>]) -> Result<RecordBatch, ArrowError> {
    let rows = steps.len();
    let gripper = |of: fn(&Taken<'_>) -> Option<[f64; 4]>| lists(4, steps.iter().map(of));
    let flags = |of: fn(&Taken<'_>) -> bool| flags(steps.iter().map(|step| Some(of(step))));
    let decided = || steps.iter().map(|step| step.decision);
    let ns = |of: fn(&ObservationRecord) -> Instant| {
        integers(
            steps
                .iter()
                .map(|step| Some(of(step.observation).as_ticks() as i64)),
        )
    };
    let moved = decided().map(|record| {
        let action = record?.decision.action;
        let [x, y, z] = action.translation_m.into();
        Some([x, y, z, action.yaw_rad])
    });
    let of_decision = |of: fn(&DecisionRecord) -> i64| integers(decided().map(|one| one.map(of)));
    let floats32 = |of: fn(&Taken<'_>) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(steps.iter().map(of)))
    };
    let aperture = steps
        .iter()
        .map(|step| Some(step.observation.gripper.aperture_m));
    let value = decided().map(|record| record.map(|record| record.decision.q_value));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "episode_index",
            integers(std::iter::repeat_n(Some(episode.index), rows)),
        ),
        (
            "episode_id",
            texts(std::iter::repeat_n(Some(episode.id), rows)),
        ),
        ("task", texts(std::iter::repeat_n(Some(episode.task), rows))),
        (
            "step",
            integers(
                steps
                    .iter()
                    .map(|step| Some(i64::from(step.observation.step))),
            ),
        ),
        ("is_first", flags(|step| step.is_first)),
        ("is_last", flags(|step| step.is_last)),
        ("is_terminal", flags(|step| step.is_terminal)),
        ("reward", floats32(|step| step.reward)),
        ("discount", floats32(|step| f32::from(!step.is_terminal))),
        ("observed_ns", ns(|record| record.observed_at)),
        ("image_ns", ns(|record| record.frame_captured_at)),
        (
            "image",
            picture_array(steps.iter().map(|step| step.picture)),
        ),
        ("tcp_ns", ns(|record| record.gripper.sampled_at)),
        (
            "tcp",
            gripper(|step| Some(pose(&step.observation.gripper.measured))),
        ),
        (
            "tcp_goal",
            gripper(|step| Some(pose(&step.observation.gripper.goal))),
        ),
        ("aperture_m", floats(aperture)),
        (
            "fingers_closed",
            flags(|step| step.observation.gripper.fingers == Fingers::Closed),
        ),
        (
            "decided_ns",
            of_decision(|record| record.decided_at.as_ticks() as i64),
        ),
        ("action_tcp_delta", lists(4, moved)),
        (
            "action_verb",
            of_decision(|record| record.decision.action.verb as i64),
        ),
        ("q_value", floats(value)),
    ];
    table(columns)
}

fn ticks(episode: &Of<'_>, ticks: &[Tick], joints: usize) -> Result<RecordBatch, ArrowError> {
    let rows = ticks.len();
    let whole = |of: fn(&Tick) -> u64| integers(ticks.iter().map(|tick| Some(of(tick) as i64)));
    let named = |of: fn(&Tick) -> Option<String>| texts(ticks.iter().map(of));
    let measured = |of: fn(&Tick) -> Option<Joints>| {
        lists(
            joints,
            ticks.iter().map(|tick| of(tick).map(|q| q.to_vec())),
        )
    };
    let poses = |of: fn(&Tick) -> TcpPose| lists(4, ticks.iter().map(|tick| Some(pose(&of(tick)))));
    let state = || ticks.iter().map(|tick| tick.measured.ok());
    let sampled = state().map(|state| state.map(|state| state.sampled_at.as_ticks() as i64));
    let fingers = ticks
        .iter()
        .map(|tick| Some(tick.commanded?.fingers == Fingers::Closed));
    let stops = ticks
        .iter()
        .map(|tick| tick.stop.map(|category| category as i64));
    let decided = ticks
        .iter()
        .map(|tick| tick.decision.map(|one| i64::from(one.step)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "episode_index",
            integers(std::iter::repeat_n(Some(episode.index), rows)),
        ),
        (
            "episode_id",
            texts(std::iter::repeat_n(Some(episode.id), rows)),
        ),
        ("tick", whole(|tick| tick.tick)),
        ("due_ns", whole(|tick| tick.due.as_ticks())),
        ("jitter_ns", whole(|tick| tick.jitter.as_ticks())),
        ("missed", whole(|tick| tick.missed)),
        ("phase", named(|tick| Some(format!("{:?}", tick.phase)))),
        ("mode", named(|tick| Some(format!("{:?}", tick.mode)))),
        ("sampled_ns", integers(sampled)),
        ("q", measured(|tick| Some(tick.measured.ok()?.q))),
        ("dq", measured(|tick| Some(tick.measured.ok()?.dq))),
        ("tau", measured(|tick| Some(tick.measured.ok()?.tau))),
        (
            "aperture_m",
            floats(state().map(|state| Some(state?.aperture_m))),
        ),
        (
            "read_error",
            named(|tick| Some(tick.measured.err()?.to_string())),
        ),
        ("command_q", measured(|tick| Some(tick.commanded?.q))),
        ("command_dq", measured(|tick| Some(tick.commanded?.dq))),
        ("fingers_closed", flags(fingers)),
        ("stop_category", integers(stops)),
        ("reference", poses(|tick| tick.reference)),
        ("goal", poses(|tick| tick.goal)),
        (
            "intervention",
            named(|tick| Some(format!("{:?}", tick.report.intervention))),
        ),
        ("fault", named(|tick| Some(tick.fault?.to_string()))),
        ("decision_step", integers(decided)),
    ];
    table(columns)
}

/// Every column may have empty cells, so that all files have the same schema.
fn table(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
}

fn pose(pose: &TcpPose) -> [f64; 4] {
    let [x, y, z] = pose.position_m.into();
    [x, y, z, pose.yaw_rad]
}

fn integers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

fn flags(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(values))
}

fn texts(values: impl Iterator<Item = Option<impl AsRef<str>>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

/// Rows of `width` numbers each; what has another width is empty.
fn lists(width: usize, rows: impl Iterator<Item = Option<impl AsRef<[f64]>>>) -> ArrayRef {
    let mut builder = FixedSizeListBuilder::new(Float64Builder::new(), width as i32);
    for row in rows {
        let row = row.filter(|row| row.as_ref().len() == width);
        match &row {
            Some(row) => builder.values().append_slice(row.as_ref()),
            None => builder.values().append_nulls(width),
        }
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::{Stage, TestDirectory};
    use crate::table::read_batches;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Float64Type, Int64Type};
    use std::fs;

    fn column(batches: &[RecordBatch], name: &str) -> Vec<ArrayRef> {
        batches
            .iter()
            .map(|batch| batch.column_by_name(name).unwrap().clone())
            .collect()
    }

    fn numbers(batches: &[RecordBatch], name: &str) -> Vec<i64> {
        let arrays = column(batches, name);
        arrays
            .iter()
            .flat_map(|array| array.as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    fn marks(batches: &[RecordBatch], name: &str) -> Vec<bool> {
        let arrays = column(batches, name);
        arrays
            .iter()
            .flat_map(|array| array.as_boolean().values().iter().collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn every_tick_and_every_step_is_a_row() {
        let directory = TestDirectory::new("steps");
        let mut sources = Vec::new();
        for (k, ending) in [Ending::Terminated, Ending::StepLimit]
            .into_iter()
            .enumerate()
        {
            let mut stage = Stage::default();
            stage.outcome.ending = ending;
            stage.outcome.success = Some(k == 0);
            let path = directory.path().join(format!("{k}.mcap"));
            let file = stage.changed::<7>(
                |step| {
                    if step.tick == 5 {
                        step.command = None;
                    }
                    true
                },
                |_| true,
            );
            fs::write(&path, file).unwrap();
            sources.push(path);
        }
        let what = ParquetExport {
            survey: Survey::of(&sources, None).unwrap(),
            task: None,
        };
        let out = directory.path().join("set");
        let report = export(&what, &sources, &out, &mut |_| {}).unwrap();
        assert_eq!(
            (report.report.episodes, report.report.rows, report.steps),
            (2, 4000, 16)
        );
        let steps = read_batches(&out.join("steps/file-000.parquet"), &|_| true).unwrap();
        let ticks = read_batches(&out.join("ticks/file-000.parquet"), &|_| true).unwrap();
        let rows =
            |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!((rows(&steps), rows(&ticks)), (16, 4000));

        let at = |mark: &[bool]| -> Vec<usize> {
            mark.iter()
                .enumerate()
                .filter(|(_, is)| **is)
                .map(|(row, _)| row)
                .collect()
        };
        assert_eq!(at(&marks(&steps, "is_first")), [0, 8]);
        assert_eq!(at(&marks(&steps, "is_last")), [7, 15]);
        assert_eq!(at(&marks(&steps, "is_terminal")), [7]);
        for (name, expected) in [("reward", [(7, 1.0)]), ("discount", [(7, 0.0)])] {
            let values: Vec<f32> = column(&steps, name)
                .iter()
                .flat_map(|array| array.as_primitive::<Float32Type>().values().to_vec())
                .collect();
            let usual = if name == "reward" { 0.0 } else { 1.0 };
            let odd = values
                .iter()
                .enumerate()
                .filter(|(_, value)| **value != usual);
            let odd: Vec<_> = odd.map(|(row, value)| (row, *value)).collect();
            assert_eq!(odd, expected, "{name}");
        }
        let timeline = Timeline::open(&sources[1]).unwrap();
        for (row, observation) in timeline.observations.iter().enumerate() {
            assert_eq!(
                numbers(&steps, "image_ns")[8 + row],
                observation.frame_captured_at.as_ticks() as i64
            );
            assert_eq!(
                numbers(&steps, "decided_ns")[8 + row],
                timeline.decisions[row].decided_at.as_ticks() as i64
            );
            let image = steps[0]
                .column_by_name("image")
                .unwrap()
                .as_struct()
                .clone();
            let bytes = image
                .column_by_name("bytes")
                .unwrap()
                .as_binary::<i32>()
                .clone();
            assert_eq!(bytes.value(8 + row), timeline.observed[row].png);
        }
        let due = numbers(&ticks, "due_ns");
        for (row, tick) in timeline.ticks.iter().enumerate() {
            assert_eq!(due[2000 + row], tick.due.as_ticks() as i64);
        }
        let q = ticks[0]
            .column_by_name("command_q")
            .unwrap()
            .as_fixed_size_list()
            .clone();
        assert!(arrow_array::Array::is_null(&q, 5) && !arrow_array::Array::is_null(&q, 6));
        let first = timeline.ticks[3].measured.unwrap().q[2];
        let q = ticks[0]
            .column_by_name("q")
            .unwrap()
            .as_fixed_size_list()
            .value(3);
        assert_eq!(q.as_primitive::<Float64Type>().value(2), first);
        assert!(out.join("visuomotor_lineage.json").exists());
    }
}
