//! Recordings into the files of a data set, one after the other, so that it can be interrupted anywhere.
//!
//! Responsible for the order of work, for what is left out and why, for the size of files and for the lineage. A group of
//! files is written whole and then entered in the journal ([`crate::unfinished`]) with everything that the end of the work
//! needs to know of its episodes; who is interrupted begins with the first group that is not there. What is written at the
//! end is made from the journal alone, so that an interrupted export gives the same bytes as one that was not.
//! Not responsible for what a row is ([`Format`]).

use crate::dataset_error::DatasetError;
use crate::dataset_lineage::{DatasetLineage, EpisodeLineage, LINEAGE_VERSION, Mixed, Refused};
use crate::table::{TableFile, batch_bytes};
use crate::timeline::Timeline;
use crate::unfinished::Unfinished;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use visuomotor_runtime::episode::{Code, Ending, Losses, Outcome, Sha256};

/// What a kind of data set makes of an episode.
pub trait Format {
    /// What is kept of an episode until the end.
    type Facts: Serialize + DeserializeOwned;
    /// As the lineage calls it.
    const NAME: &str;
    /// Where the lineage stands in the data set.
    const LINEAGE: &str;

    fn options(&self) -> BTreeMap<String, String>;
    fn task(&self) -> Option<&str>;
    /// One for each batch that [`Format::rows`] gives: its path in the data set when it has number `file`, and its schema.
    fn tables(&self, file: u64) -> Vec<(String, SchemaRef)>;
    /// # Errors
    /// Says why the episode cannot be in the data set.
    fn rows(&self, timeline: &Timeline, place: &Place) -> Result<Rows<Self::Facts>, String>;
    /// Everything but data and lineage; what makes the data set readable comes last.
    fn describe(&self, made: &Made<Self::Facts>, out: &Path) -> Result<(), DatasetError>;
}

/// Where an episode comes to lie.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub episode: u64,
    pub first_row: u64,
    pub task: u64,
}

pub struct Rows<F> {
    pub batches: Vec<RecordBatch>,
    /// Of the first table.
    pub count: u64,
    pub facts: F,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Kept<F> {
    pub lineage: EpisodeLineage,
    pub task: String,
    pub rows: u64,
    pub first_row: u64,
    /// Number of the group of files that it is in.
    pub file: u64,
    pub facts: F,
}

#[derive(Debug, Serialize, Deserialize)]
enum Treated<F> {
    Kept(Kept<F>),
    Refused(Refused),
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Group<F> {
    /// With their SHA-256; none where every recording of the group was refused.
    files: BTreeMap<String, String>,
    treated: Vec<Treated<F>>,
}

/// Everything that was made.
#[derive(Debug)]
pub struct Made<F> {
    pub kept: Vec<Kept<F>>,
    /// In the order of their index.
    pub tasks: Vec<String>,
    pub rows: u64,
    pub lineage: DatasetLineage,
}

/// What a command tells of an export; its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub out: PathBuf,
    /// Recordings that were given: those in the data set and those that were refused.
    pub given: usize,
    pub episodes: usize,
    pub refused: Vec<Refused>,
    /// Of the first table.
    pub rows: u64,
    /// Recordings that an earlier, interrupted export had done.
    pub resumed_after: usize,
    /// [`DatasetLineage::identity`].
    pub identity: String,
    pub mixed: Vec<Mixed>,
}

/// How far it is: recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
}

#[derive(Serialize)]
struct Plan<'a> {
    format: &'a str,
    program: String,
    options: BTreeMap<String, String>,
    file_bytes_max: u64,
    /// Path and length in bytes.
    sources: Vec<(&'a Path, u64)>,
}

/// # Errors
/// Of the directory, of reading or of writing; a recording that cannot be in the data set is in the report.
pub fn export<F: Format>(
    format: &F,
    sources: &[PathBuf],
    out: &Path,
    file_bytes_max: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, Made<F::Facts>), DatasetError> {
    let plan = Plan {
        format: F::NAME,
        program: program(),
        options: format.options(),
        file_bytes_max,
        sources: sources
            .iter()
            .map(|path| {
                let length = path.metadata().map(|metadata| metadata.len());
                let length = length.map_err(DatasetError::file("read", path))?;
                Ok((path.as_path(), length))
            })
            .collect::<Result<_, DatasetError>>()?,
    };
    let mut journal = Unfinished::claim(out, &plan)?;
    let mut done = Done::default();
    for line in journal.lines() {
        done.enter(
            serde_json::from_value::<Group<F::Facts>>(line.clone()).map_err(|error| {
                DatasetError::content(&out.join(crate::unfinished::JOURNAL), error)
            })?,
        );
    }
    let resumed_after = done.treated();
    while done.treated() < sources.len() {
        let group = write_group(format, sources, out, file_bytes_max, &done, progress)?;
        journal.append(&group)?;
        done.enter(group);
    }
    // Once more from the journal, so that there is no difference between what was done now and before an interruption.
    let mut done = Done::default();
    for line in journal.lines() {
        let group = serde_json::from_value(line.clone());
        done.enter(group.map_err(|error| DatasetError::content(out, error))?);
    }
    let made = done.made(format);
    if made.kept.is_empty() {
        let reasons = made.lineage.refused.iter().take(3);
        let reasons = reasons.map(|one| format!("\n  {}: {}", one.source_file, one.reason));
        let reasons: String = reasons.collect();
        journal.finish()?;
        return Err(DatasetError::Unusable(format!(
            "none of {} recordings can be in the data set:{reasons}",
            sources.len()
        )));
    }
    let lineage = serde_json::to_vec_pretty(&made.lineage);
    let lineage = lineage.map_err(|error| DatasetError::content(out, error))?;
    crate::unfinished::OpenFile::write(out.join(F::LINEAGE), &lineage)?;
    format.describe(&made, out)?;
    progress(Progress {
        done: sources.len(),
        total: sources.len(),
    });
    journal.finish()?;
    let report = Report {
        out: out.to_owned(),
        given: sources.len(),
        episodes: made.kept.len(),
        refused: made.lineage.refused.clone(),
        rows: made.rows,
        resumed_after,
        identity: made.lineage.identity.clone(),
        mixed: made.lineage.mixed(),
    };
    Ok((report, made))
}

/// Recordings until the files are large enough.
fn write_group<F: Format>(
    format: &F,
    sources: &[PathBuf],
    out: &Path,
    file_bytes_max: u64,
    done: &Done<F::Facts>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Group<F::Facts>, DatasetError> {
    let mut place = Place {
        episode: done.kept.len() as u64,
        first_row: done.rows,
        task: 0,
    };
    let mut tasks = done.tasks.clone();
    let names = format.tables(done.files_made);
    let mut files: Vec<TableFile> = Vec::new();
    let mut treated = Vec::new();
    for source in &sources[done.treated()..] {
        progress(Progress {
            done: done.treated() + treated.len(),
            total: sources.len(),
        });
        let name = source.file_name().unwrap_or_default();
        let source_file = name.to_string_lossy().into_owned();
        let bytes = fs::read(source).map_err(DatasetError::file("read", source))?;
        let (kept, batches) = match recording(format, &bytes, &source_file, &mut tasks, place) {
            Ok((mut kept, batches)) => {
                kept.file = done.files_made;
                (kept, batches)
            }
            Err(reason) => {
                treated.push(Treated::Refused(Refused {
                    source_file,
                    reason,
                }));
                continue;
            }
        };
        if files.is_empty() {
            for (path, schema) in &names {
                files.push(TableFile::create(out.join(path), schema.clone())?);
            }
        } else {
            let written: u64 = files.iter().map(TableFile::bytes).sum();
            let more: u64 = batches.iter().map(batch_bytes).sum();
            if written + more > file_bytes_max {
                break;
            }
        }
        for (file, batch) in files.iter_mut().zip(&batches) {
            file.add(batch)?;
        }
        place.episode += 1;
        place.first_row += kept.rows;
        treated.push(Treated::Kept(kept));
    }
    let mut hashes = BTreeMap::new();
    for (file, (path, _)) in files.into_iter().zip(names) {
        file.close()?;
        let written = out.join(&path);
        let bytes = fs::read(&written).map_err(DatasetError::file("read", &written))?;
        hashes.insert(path, Sha256::of(&bytes).to_string());
    }
    Ok(Group {
        files: hashes,
        treated,
    })
}

/// An episode's rows, or why it has none.
fn recording<F: Format>(
    format: &F,
    bytes: &[u8],
    source_file: &str,
    tasks: &mut Vec<String>,
    place: Place,
) -> Result<(Kept<F::Facts>, Vec<RecordBatch>), String> {
    let timeline = Timeline::read(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    if let Some(damage) = &timeline.damage {
        return Err(format!("it is damaged or ends early: {damage}"));
    }
    let Some((outcome, lost)) = timeline.outcome else {
        return Err("it has no end".to_owned());
    };
    // Lost pictures show as gaps, which each format judges; what else is missing does not show at all.
    if lost.steps > 0 || lost.events > 0 {
        let Losses { steps, events, .. } = lost;
        return Err(format!(
            "{steps} steps and {events} observations and decisions were lost when it was recorded"
        ));
    }
    let header = &timeline.header;
    let task = format.task().unwrap_or(&header.origin.task).to_owned();
    let known = tasks.iter().position(|known| *known == task);
    let place = Place {
        task: known.unwrap_or(tasks.len()) as u64,
        ..place
    };
    let Rows {
        batches,
        count,
        facts,
    } = format.rows(&timeline, &place)?;
    if known.is_none() {
        tasks.push(task.clone());
    }
    let records = header.to_records().into_iter();
    let kept = Kept {
        lineage: EpisodeLineage {
            source_id: header.origin.id.clone(),
            source_file: source_file.to_owned(),
            source_sha256: Sha256::of(bytes).to_string(),
            ending: ending_name(&outcome).to_owned(),
            success: outcome.success,
            actions: outcome.actions,
            records: records.map(|(name, map)| (name.to_owned(), map)).collect(),
        },
        task,
        rows: count,
        first_row: place.first_row,
        file: 0,
        facts,
    };
    Ok((kept, batches))
}

/// As the lineage calls it.
pub fn ending_name(outcome: &Outcome) -> &'static str {
    match outcome.ending {
        Ending::Terminated => "terminated",
        Ending::StepLimit => "step_limit",
        Ending::Fault => "fault",
        Ending::Stopped => "stopped",
    }
}

/// Version and commit.
fn program() -> String {
    let code = Code::of_this_build(Sha256([0; 32]));
    let dirty = if code.git_dirty { " and changes" } else { "" };
    format!("visuomotor {} ({}{dirty})", code.version, code.git_commit)
}

struct Done<F> {
    files: BTreeMap<String, String>,
    files_made: u64,
    kept: Vec<Kept<F>>,
    refused: Vec<Refused>,
    tasks: Vec<String>,
    rows: u64,
}

impl<F> Default for Done<F> {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            files_made: 0,
            kept: Vec::new(),
            refused: Vec::new(),
            tasks: Vec::new(),
            rows: 0,
        }
    }
}

impl<F> Done<F> {
    fn treated(&self) -> usize {
        self.kept.len() + self.refused.len()
    }

    fn enter(&mut self, group: Group<F>) {
        self.files_made += u64::from(!group.files.is_empty());
        self.files.extend(group.files);
        for treated in group.treated {
            match treated {
                Treated::Refused(refused) => self.refused.push(refused),
                Treated::Kept(kept) => {
                    self.rows += kept.rows;
                    if !self.tasks.contains(&kept.task) {
                        self.tasks.push(kept.task.clone());
                    }
                    self.kept.push(kept);
                }
            }
        }
    }

    fn made<T: Format<Facts = F>>(self, format: &T) -> Made<F> {
        let episodes = self.kept.iter().map(|kept| kept.lineage.clone());
        let lineage = DatasetLineage {
            lineage_version: LINEAGE_VERSION,
            identity: String::new(),
            format: T::NAME.to_owned(),
            made_by: program(),
            options: format.options(),
            files: self.files,
            episodes: episodes.collect(),
            refused: self.refused,
        };
        Made {
            lineage: lineage.sealed(),
            kept: self.kept,
            tasks: self.tasks,
            rows: self.rows,
        }
    }
}
