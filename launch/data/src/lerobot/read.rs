//! A LeRobot data set on the disk, ours or LeRobot's own, read with distrust.
//!
//! Responsible for finding the rows of an episode and for saying which file is to blame where that fails. Not responsible
//! for what the columns mean ([`super::import`]).

use super::export::data_path;
use super::{CODEBASE_VERSION, DATA_PATH, FILES_IN_CHUNK};
use crate::dataset_error::DatasetError;
use crate::dataset_lineage::{DatasetLineage, LINEAGE_FILE};
use crate::table::{Column, read_batches, read_columns};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use visuomotor_runtime::episode::Sha256;

/// What is needed of `info.json`.
#[derive(Debug, Deserialize)]
pub struct Info {
    codebase_version: String,
    pub robot_type: Option<String>,
    pub fps: f64,
    total_episodes: u64,
    data_path: String,
    pub features: BTreeMap<String, FeatureInfo>,
}

#[derive(Debug, Deserialize)]
pub struct FeatureInfo {
    pub dtype: String,
    pub shape: Vec<u64>,
    /// A list for most; other shapes of it are not understood.
    #[serde(default)]
    names: serde_json::Value,
}

impl FeatureInfo {
    /// One for each number, or none at all.
    pub fn names(&self) -> Vec<String> {
        let names = self.names.as_array().into_iter().flatten();
        let names: Vec<_> = names
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect();
        match names.len() as u64 == self.shape.first().copied().unwrap_or(0) {
            true => names,
            false => Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: u64,
    length: u64,
}

#[derive(Debug)]
pub struct Dataset {
    root: PathBuf,
    pub info: Info,
    pub lineage: Option<DatasetLineage>,
    /// SHA-256 of `info.json`.
    pub info_sha256: Sha256,
    /// By task index.
    tasks: BTreeMap<i64, String>,
    episodes: Vec<Place>,
    /// The data file that was read last.
    open: Option<(u64, Sha256, BTreeMap<String, Column>)>,
}

/// The rows of an episode.
pub struct EpisodeRows {
    pub columns: BTreeMap<String, Column>,
    pub rows: usize,
    pub task: String,
    /// The file that they stand in, inside the data set, and its SHA-256.
    pub file: String,
    pub file_sha256: Sha256,
}

impl Dataset {
    /// # Errors
    /// Names the file of `meta/` that is missing, damaged or of another version.
    pub fn open(root: &Path) -> Result<Self, DatasetError> {
        let path = root.join("meta/info.json");
        let text = fs::read(&path).map_err(DatasetError::file("read", &path));
        let text = text.map_err(|error| {
            DatasetError::content(root, format!("no LeRobot data set: {error}"))
        })?;
        let info: Info =
            serde_json::from_slice(&text).map_err(|error| DatasetError::content(&path, error))?;
        let wrong = |reason: String| Err(DatasetError::content(&path, reason));
        if info.codebase_version != CODEBASE_VERSION {
            return wrong(format!(
                "the data set has version {}, this program reads {CODEBASE_VERSION}",
                info.codebase_version
            ));
        }
        if info.data_path != DATA_PATH {
            return wrong(format!("`data_path` is not {DATA_PATH}"));
        }
        if !(info.fps > 0.0 && info.fps <= 1e6) {
            return wrong(format!("`fps` is {}", info.fps));
        }
        let mut dataset = Self {
            tasks: tasks(&root.join("meta/tasks.parquet"))?,
            lineage: lineage(&root.join("meta").join(LINEAGE_FILE))?,
            episodes: Vec::new(),
            info_sha256: Sha256::of(&text),
            root: root.to_owned(),
            open: None,
            info,
        };
        dataset.episodes = dataset.places()?;
        let found = dataset.episodes.len() as u64;
        if found != dataset.info.total_episodes {
            return wrong(format!(
                "`total_episodes` is {}, but meta/episodes has {found}",
                dataset.info.total_episodes
            ));
        }
        if let Some(lineage) = &dataset.lineage
            && lineage.episodes.len() != dataset.episodes.len()
        {
            let path = root.join("meta").join(LINEAGE_FILE);
            return Err(DatasetError::content(
                &path,
                "it is of another number of episodes",
            ));
        }
        Ok(dataset)
    }

    pub fn len(&self) -> usize {
        self.episodes.len()
    }

    fn places(&self) -> Result<Vec<Place>, DatasetError> {
        let directory = self.root.join("meta/episodes");
        let mut places = Vec::new();
        for chunk in sorted(&directory)? {
            for path in sorted(&chunk)? {
                if path
                    .extension()
                    .is_none_or(|extension| extension != "parquet")
                {
                    continue;
                }
                let names = [
                    "episode_index",
                    "length",
                    "data/chunk_index",
                    "data/file_index",
                ];
                let columns = read_columns(&path, &|name| names.contains(&name))?;
                let mut values = Vec::new();
                for name in names {
                    let Some(Column::I64(numbers)) = columns.get(name) else {
                        let reason = format!("`{name}` is missing or no whole number");
                        return Err(DatasetError::content(&path, reason));
                    };
                    values.push(numbers.as_slice());
                }
                for row in 0..values[0].len() {
                    let value = |column: usize| u64::try_from(*values[column].get(row)?).ok();
                    let place = || {
                        let (chunk, file) = (value(2)?, value(3)?);
                        let number = chunk.checked_mul(FILES_IN_CHUNK)?.checked_add(file)?;
                        let in_order = value(0)? == places.len() as u64;
                        (in_order && file < FILES_IN_CHUNK).then_some(Place {
                            file: number,
                            length: value(1)?,
                        })
                    };
                    let place = place();
                    places.push(place.ok_or_else(|| {
                        DatasetError::content(
                            &path,
                            format!("its row {row} is not that of an episode"),
                        )
                    })?);
                }
            }
        }
        Ok(places)
    }

    /// # Errors
    /// Names the data file that is missing, damaged, or has other rows than `meta/` says.
    pub fn episode(
        &mut self,
        index: usize,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<EpisodeRows, DatasetError> {
        let Place { file, length } = self.episodes[index];
        let name = data_path(file);
        let path = self.root.join(&name);
        if self.open.as_ref().is_none_or(|(open, ..)| *open != file) {
            let keys = ["episode_index", "frame_index", "task_index"];
            let columns = read_columns(&path, &|name| keys.contains(&name) || wanted(name))?;
            let bytes = fs::read(&path).map_err(DatasetError::file("read", &path))?;
            self.open = Some((file, Sha256::of(&bytes), columns));
        }
        let Some((_, file_sha256, columns)) = &self.open else {
            return Err(DatasetError::content(&path, "it is not open"));
        };
        let wrong = |reason: String| DatasetError::content(&path, reason);
        let whole = |name: &str| match columns.get(name) {
            Some(Column::I64(values)) => Ok(values),
            _ => Err(wrong(format!("`{name}` is missing or no whole number"))),
        };
        let episodes = whole("episode_index")?;
        let from = episodes.iter().position(|episode| *episode == index as i64);
        let from = from.ok_or_else(|| wrong(format!("it has no rows of episode {index}")))?;
        let own = |episode: &&i64| **episode == index as i64;
        let rows = episodes[from..].iter().take_while(own).count();
        let all = episodes.iter().filter(own).count();
        if rows as u64 != length || rows != all {
            return Err(wrong(format!(
                "episode {index} has {all} rows, {rows} of them together, and should have {length}"
            )));
        }
        if columns
            .values()
            .any(|column| column.rows() != episodes.len())
        {
            return Err(wrong("its columns have different lengths".to_owned()));
        }
        let frames = &whole("frame_index")?[from..from + rows];
        if !frames
            .iter()
            .zip(0..)
            .all(|(frame, expected)| *frame == expected)
        {
            return Err(wrong(format!(
                "the frames of episode {index} are not in order"
            )));
        }
        let task = whole("task_index")?[from];
        let task = self.tasks.get(&task).cloned();
        let slices = columns.iter();
        let slices = slices.map(|(name, column)| (name.clone(), column.slice(from, from + rows)));
        Ok(EpisodeRows {
            columns: slices.collect(),
            rows,
            task: task
                .ok_or_else(|| wrong(format!("episode {index} has a task without a name")))?,
            file: name,
            file_sha256: *file_sha256,
        })
    }
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let entries = directory.read_dir()?;
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    };
    let mut paths = read().map_err(DatasetError::file("read", directory))?;
    paths.sort();
    Ok(paths)
}

/// `None` where the file is missing: LeRobot writes none.
fn lineage(path: &Path) -> Result<Option<DatasetLineage>, DatasetError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(path).map_err(DatasetError::file("read", path))?;
    let lineage: DatasetLineage =
        serde_json::from_slice(&text).map_err(|error| DatasetError::content(path, error))?;
    if lineage.identity != lineage.identity_of_content() {
        return Err(DatasetError::content(
            path,
            "it was changed: its identity is not that of its content",
        ));
    }
    Ok(Some(lineage))
}

fn tasks(path: &Path) -> Result<BTreeMap<i64, String>, DatasetError> {
    let mut tasks = BTreeMap::new();
    let wrong = |reason: &str| DatasetError::content(path, reason);
    for batch in read_batches(path, &|_| true)? {
        let indices = batch.column_by_name("task_index");
        let indices =
            indices.and_then(|array| array.as_primitive_opt::<arrow_array::types::Int64Type>());
        let indices = indices.ok_or_else(|| wrong("`task_index` is missing or no whole number"))?;
        let text = |array: &&arrow_array::ArrayRef| {
            matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8)
        };
        let texts = batch.columns().iter().find(text);
        let texts = texts.ok_or_else(|| wrong("it has no column of texts"))?;
        for row in 0..batch.num_rows() {
            if indices.is_null(row) || texts.is_null(row) {
                return Err(wrong("a task is empty"));
            }
            let text = match texts.data_type() {
                DataType::Utf8 => texts.as_string::<i32>().value(row),
                _ => texts.as_string::<i64>().value(row),
            };
            tasks.insert(indices.value(row), text.to_owned());
        }
    }
    Ok(tasks)
}
