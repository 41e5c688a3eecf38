//! The files of a LeRobot data set.
//!
//! Responsible for data, `meta/` and the report. Not responsible for what a row holds ([`super::rows`]).

use super::stats::{QUANTILES, Stats};
use super::{CODEBASE_VERSION, DATA_PATH, FILE_MB, FILES_IN_CHUNK, Feature, Kind, features, rows};
use crate::dataset_error::DatasetError;
use crate::resample::Residuals;
use crate::shards::{self, Format, Kept, Made, Place, Progress, Report, Rows};
use crate::survey::Survey;
use crate::table::{Column, write_table};
use crate::timeline::Timeline;
use crate::unfinished::OpenFile;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to make of which recordings.
#[derive(Clone, Debug)]
pub struct LeRobotExport {
    pub survey: Survey,
    /// Rows a second.
    pub fps: u32,
    /// Instead of the recordings' own.
    pub task: Option<String>,
    /// The oldest that a picture or joint state may be at a row's instant; otherwise three of the camera's periods.
    pub age_ms_max: Option<u32>,
}

/// What the end of the work needs to know of an episode.
#[derive(Debug, Serialize, Deserialize)]
pub struct Facts {
    stats: BTreeMap<String, Stats>,
    residuals: BTreeMap<String, Residuals>,
}

/// What the command tells; its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    #[serde(flatten)]
    pub report: Report,
    pub fps: u32,
    /// How old samples are at the rows' instants, by stream: `image`, `state`, `tcp`.
    pub residual_ms: BTreeMap<String, ResidualMs>,
    /// The same of each episode, in the order of their index.
    pub residual_ms_by_episode: Vec<BTreeMap<String, ResidualMs>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResidualMs {
    /// To within 0.1 ms.
    pub p50: f64,
    pub max: f64,
}

impl From<&Residuals> for ResidualMs {
    fn from(residuals: &Residuals) -> Self {
        Self {
            p50: residuals.p50_ms(),
            max: residuals.max_ms(),
        }
    }
}

/// Writes the data set, or what is still missing of it.
///
/// # Errors
/// Those of [`shards::export`].
pub fn export(
    what: &LeRobotExport,
    sources: &[PathBuf],
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<ExportReport, DatasetError> {
    export_in_files_of(FILE_MB << 20, what, sources, out, progress)
}

pub(super) fn export_in_files_of(
    file_bytes_max: u64,
    what: &LeRobotExport,
    sources: &[PathBuf],
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<ExportReport, DatasetError> {
    let (report, made) = shards::export(what, sources, out, file_bytes_max, progress)?;
    let mut residuals: BTreeMap<String, Residuals> = BTreeMap::new();
    for (stream, of_episode) in made.kept.iter().flat_map(|kept| &kept.facts.residuals) {
        residuals
            .entry(stream.clone())
            .or_default()
            .merge(of_episode);
    }
    let in_ms = |residuals: &BTreeMap<String, Residuals>| {
        let entries = residuals.iter();
        entries
            .map(|(stream, residuals)| (stream.clone(), residuals.into()))
            .collect()
    };
    Ok(ExportReport {
        report,
        fps: what.fps,
        residual_ms: in_ms(&residuals),
        residual_ms_by_episode: made
            .kept
            .iter()
            .map(|kept| in_ms(&kept.facts.residuals))
            .collect(),
    })
}

impl Format for LeRobotExport {
    type Facts = Facts;
    const NAME: &str = "lerobot-v3.0";
    const LINEAGE: &str = "meta/visuomotor_lineage.json";

    fn options(&self) -> BTreeMap<String, String> {
        let age = self.age_ms_max.map(|ms| ("max_age_ms", ms.to_string()));
        let task = self.task.clone().map(|task| ("task", task));
        let options = [("fps", self.fps.to_string())]
            .into_iter()
            .chain(age)
            .chain(task);
        options
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }

    fn tables(&self, file: u64) -> Vec<(String, SchemaRef)> {
        let features = features(&self.survey);
        let named = features
            .iter()
            .map(|feature| (feature.name.to_owned(), feature.huggingface()));
        let named: Map<String, Value> = named.collect();
        let about = json!({"info": {"features": named}}).to_string();
        let fields: Vec<Field> = features.iter().map(field).collect();
        let schema =
            Schema::new_with_metadata(fields, HashMap::from([("huggingface".into(), about)]));
        vec![(data_path(file), Arc::new(schema))]
    }

    fn rows(&self, timeline: &Timeline, place: &Place) -> Result<Rows<Facts>, String> {
        let taken = rows::of(timeline, &self.survey, self.fps, self.age_ms_max)?;
        let rows = taken.rows;
        let mut columns = taken.columns;
        let counted =
            |from: u64| Column::I64((0..rows as i64).map(|row| from as i64 + row).collect());
        let constant = |value: u64| Column::I64(vec![value as i64; rows]);
        // The same division as LeRobot's, in the same precision, before it is rounded to 32 bits.
        let timestamps = (0..rows).map(|row| (row as f64 / f64::from(self.fps)) as f32);
        columns.insert("timestamp", Column::F32(1, timestamps.collect()));
        columns.insert("frame_index", counted(0));
        columns.insert("episode_index", constant(place.episode));
        columns.insert("index", counted(place.first_row));
        columns.insert("task_index", constant(place.task));
        let (width, height) = (self.survey.width_px, self.survey.height_px);
        let mut stats = BTreeMap::new();
        let mut arrays = Vec::new();
        for feature in features(&self.survey) {
            let column = columns.get(feature.name).ok_or("a column is missing")?;
            let of_column = Stats::of(column, width, height);
            stats.insert(feature.name.to_owned(), of_column?);
            arrays.push(column.to_array());
        }
        let (_, schema) = self.tables(0).remove(0);
        let batch = RecordBatch::try_new(schema, arrays).map_err(|error| error.to_string())?;
        Ok(Rows {
            batches: vec![batch],
            count: rows as u64,
            facts: Facts {
                stats,
                residuals: taken.residuals,
            },
        })
    }

    fn describe(&self, made: &Made<Facts>, out: &Path) -> Result<(), DatasetError> {
        let features = features(&self.survey);
        let path = out.join("meta/tasks.parquet");
        write_table(
            path.clone(),
            &tasks(&made.tasks).map_err(|e| DatasetError::content(&path, e))?,
        )?;
        let path = out.join("meta/episodes/chunk-000/file-000.parquet");
        let episodes = episodes(&features, &made.kept);
        write_table(
            path.clone(),
            &episodes.map_err(|e| DatasetError::content(&path, e))?,
        )?;
        let stats = features.iter().filter_map(|feature| {
            let parts = made
                .kept
                .iter()
                .filter_map(|kept| kept.facts.stats.get(feature.name));
            Some((
                feature.name.to_owned(),
                stats_json(feature, &Stats::merged(parts)?),
            ))
        });
        let stats = Value::Object(stats.collect());
        write_json(out.join("meta/stats.json"), &stats)?;
        let infos = features
            .iter()
            .map(|feature| (feature.name.to_owned(), feature.info()));
        let info = json!({
            "codebase_version": CODEBASE_VERSION,
            "robot_type": self.survey.robot,
            "total_episodes": made.kept.len(),
            "total_frames": made.rows,
            "total_tasks": made.tasks.len(),
            "chunks_size": FILES_IN_CHUNK,
            "data_files_size_in_mb": FILE_MB,
            "video_files_size_in_mb": 200,
            "fps": self.fps,
            "splits": {"train": format!("0:{}", made.kept.len())},
            "data_path": DATA_PATH,
            "video_path": null,
            "features": infos.collect::<Map<_, _>>(),
        });
        // The last one: LeRobot looks for it first.
        write_json(out.join("meta/info.json"), &info)
    }
}

fn write_json(path: PathBuf, value: &Value) -> Result<(), DatasetError> {
    let text = serde_json::to_vec_pretty(value);
    let text = text.map_err(|error| DatasetError::content(&path, error))?;
    OpenFile::write(path, &text)
}

pub(super) fn data_path(file: u64) -> String {
    let (chunk, file) = (file / FILES_IN_CHUNK, file % FILES_IN_CHUNK);
    format!("data/chunk-{chunk:03}/file-{file:03}.parquet")
}

fn field(feature: &Feature) -> Field {
    let like = match &feature.kind {
        Kind::Numbers(names) => Column::F32(names.len(), Vec::new()),
        Kind::Number => Column::F32(1, Vec::new()),
        Kind::Integer => Column::I64(Vec::new()),
        Kind::Flag => Column::Bool(Vec::new()),
        Kind::Picture { .. } => Column::Image(Vec::new()),
    };
    Field::new(feature.name, like.data_type(), true)
}

/// As pandas writes a frame whose index is the task's text.
fn tasks(tasks: &[String]) -> Result<RecordBatch, arrow_schema::ArrowError> {
    const INDEX: &str = "__index_level_0__";
    let column = |name: Value, field: &str, pandas: &str, numpy: &str| json!({"name": name, "field_name": field, "pandas_type": pandas, "numpy_type": numpy, "metadata": null});
    let about = json!({
        "index_columns": [INDEX],
        "column_indexes": [{
            "name": null, "field_name": null, "pandas_type": "unicode", "numpy_type": "object",
            "metadata": {"encoding": "UTF-8"},
        }],
        "columns": [
            column("task_index".into(), "task_index", "int64", "int64"),
            column(Value::Null, INDEX, "unicode", "object"),
        ],
        "pandas_version": "2.2.3",
    });
    let fields = vec![
        Field::new("task_index", DataType::Int64, true),
        Field::new(INDEX, DataType::Utf8, true),
    ];
    let metadata = HashMap::from([("pandas".to_owned(), about.to_string())]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..tasks.len() as i64)),
        Arc::new(StringArray::from_iter_values(tasks)),
    ];
    RecordBatch::try_new(
        Arc::new(Schema::new_with_metadata(fields, metadata)),
        columns,
    )
}

/// A row an episode: where it lies, what it was to do, its statistics.
fn episodes(
    features: &[Feature],
    kept: &[Kept<Facts>],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let integers = |of: &dyn Fn(&Kept<Facts>) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            kept.iter().map(|kept| of(kept) as i64),
        ))
    };
    let mut tasks = ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
    for kept in kept {
        tasks.values().append_value(&kept.task);
        tasks.append(true);
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..kept.len() as i64));
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("episode_index".into(), numbers),
        ("tasks".into(), Arc::new(tasks.finish())),
        ("length".into(), integers(&|kept| kept.rows)),
        (
            "data/chunk_index".into(),
            integers(&|kept| kept.file / FILES_IN_CHUNK),
        ),
        (
            "data/file_index".into(),
            integers(&|kept| kept.file % FILES_IN_CHUNK),
        ),
        (
            "dataset_from_index".into(),
            integers(&|kept| kept.first_row),
        ),
        (
            "dataset_to_index".into(),
            integers(&|kept| kept.first_row + kept.rows),
        ),
    ];
    for feature in features {
        let name = feature.name;
        let stats: Vec<&Stats> = kept
            .iter()
            .filter_map(|kept| kept.facts.stats.get(name))
            .collect();
        let named = ["min", "max", "mean", "std"].into_iter();
        let named = named.chain(QUANTILES.iter().map(|(name, _)| *name));
        for (at, statistic) in named.enumerate() {
            let values = stats.iter().map(|stats| stats.named()[at].1);
            let exact = at < 2;
            columns.push((
                format!("stats/{name}/{statistic}"),
                lists(feature, values, exact),
            ));
        }
        let counts = stats.iter().map(|stats| stats.count as i64);
        let counts = list_of_one_each(Arc::new(Int64Array::from_iter_values(counts)));
        columns.push((format!("stats/{name}/count"), counts));
    }
    columns.push(("meta/episodes/chunk_index".into(), integers(&|_| 0)));
    columns.push(("meta/episodes/file_index".into(), integers(&|_| 0)));
    RecordBatch::try_from_iter(columns)
}

fn element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, true))
}

/// A list a row; where `exact`, whole numbers and flags stay what they are.
fn lists<'a>(feature: &Feature, rows: impl Iterator<Item = &'a [f64]>, exact: bool) -> ArrayRef {
    let rows: Vec<&[f64]> = rows.collect();
    let values = || rows.iter().flat_map(|row| row.iter().copied());
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values(values()));
    match feature.kind {
        // By channel, height and width.
        Kind::Picture { .. } => list(
            list_of_one_each(list_of_one_each(floats)),
            rows.iter().map(|row| row.len()),
        ),
        Kind::Integer if exact => list_of_one_each(Arc::new(Int64Array::from_iter_values(
            values().map(|x| x as i64),
        ))),
        Kind::Flag if exact => {
            let flags: BooleanArray = values().map(|x| Some(x != 0.0)).collect();
            list_of_one_each(Arc::new(flags))
        }
        _ => list(floats, rows.iter().map(|row| row.len())),
    }
}

fn list_of_one_each(values: ArrayRef) -> ArrayRef {
    let lengths = vec![1; values.len()];
    list(values, lengths.into_iter())
}

fn list(values: ArrayRef, lengths: impl Iterator<Item = usize>) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(lengths);
    let field = element(values.data_type().clone());
    Arc::new(ListArray::new(field, offsets, values, None))
}

fn stats_json(feature: &Feature, stats: &Stats) -> Value {
    let number = |value: f64, exact: bool| match feature.kind {
        Kind::Integer if exact => json!(value as i64),
        Kind::Flag if exact => json!(value != 0.0),
        Kind::Picture { .. } => json!([[value]]),
        _ => json!(value),
    };
    let named = stats.named().into_iter().enumerate();
    let named = named.map(|(at, (name, values))| {
        let values: Vec<Value> = values.iter().map(|&value| number(value, at < 2)).collect();
        (name.to_owned(), Value::from(values))
    });
    let mut object: Map<String, Value> = named.collect();
    object.insert("count".to_owned(), json!([stats.count]));
    Value::Object(object)
}
