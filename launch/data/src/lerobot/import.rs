//! Episodes again out of a LeRobot data set: one file for each of its episodes.
//!
//! A data set that we wrote gives back its rows at their true instants, its pictures byte for byte, and its lineage. One that
//! LeRobot wrote has no stamps but `frame_index / fps`, and the header then says so: `derivation.how` is `imported`, where it
//! otherwise is `imported with true stamps`. LeRobot knows no units: numbers are taken for rad and m as they are.
//!
//! What a data set does not hold is NaN in the episode, never a guess: references and goals always, velocities and torques
//! where the columns are missing. Pictures that are PNG become JPEG like those of a camera.
//!
//! Not responsible for reading the files ([`super::read`]).

use super::read::{Dataset, EpisodeRows};
use super::records::{Rows, WriteError, write};
use super::{
    ACTION, COMMANDED, DONE, EFFORT, FINGERS, IMAGE_NS, INSTANT_NS, JOINT_SUFFIX, REWARD, STATE,
    STATE_NS, SUCCESS, TCP, TCP_DELTA, TCP_NS, VELOCITY, VERB,
};
use crate::dataset_error::DatasetError;
use crate::shards::Progress;
use crate::table::Column;
use crate::unfinished::Unfinished;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::episode::{
    Clock, ClockSource, Code, Derivation, Header, JointNames, Origin, Robot, SCHEMA_VERSION,
    Sha256, TextMap,
};

/// When an episode without stamps begins: not at 0, which is what a clock that nobody set says.
pub const START: Instant = Instant::from_ticks(1_000_000_000);
/// Of what is not known.
const UNKNOWN: Sha256 = Sha256([0; 32]);

#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Column of the pictures, where there are several.
    pub camera: Option<String>,
    /// Go on without the pictures that are in videos.
    pub skip_video: bool,
    /// Of the program that imports.
    pub executable_sha256: Option<Sha256>,
}

/// What the command tells; its JSON.
#[derive(Clone, Debug, Serialize)]
pub struct ImportReport {
    pub out: PathBuf,
    /// As many as the data set has.
    pub episodes: usize,
    /// That were there from an earlier, interrupted import.
    pub resumed_after: usize,
    pub rows: u64,
    /// Whether rows have the stamps of the recording; otherwise those are `frame_index / fps`.
    pub true_stamps: bool,
    /// The column that the pictures come from.
    pub camera: Option<String>,
    /// Columns of the data set that episodes have no place for.
    pub left_out: Vec<String>,
}

#[derive(Serialize)]
struct Plan<'a> {
    import: &'a Path,
    info_sha256: String,
    camera: &'a Option<String>,
}

/// What the columns of this data set are.
pub struct Layout {
    pub joints: Vec<String>,
    /// Whether the last number of the state is the fingers' distance.
    pub aperture: bool,
    pub camera: Option<String>,
    pub true_stamps: bool,
    /// Of the fingers' command where it is not a flag: below it they are closed.
    pub fingers_middle: Option<f32>,
}

/// # Errors
/// When the data set is damaged, when its robot is none that there is code for, or when its pictures are in videos.
pub fn import(
    root: &Path,
    out: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<ImportReport, DatasetError> {
    let mut dataset = Dataset::open(root)?;
    let layout = Layout::of(&dataset, root, options)?;
    let plan = Plan {
        import: root,
        info_sha256: dataset.info_sha256.to_string(),
        camera: &layout.camera,
    };
    let journal = Unfinished::claim(out, &plan)?;
    let total = dataset.len();
    let (mut rows, mut resumed_after) = (0, 0);
    for index in 0..total {
        progress(Progress { done: index, total });
        let path = out.join(format!("episode_{index:06}.mcap"));
        let wanted = |name: &str| layout.reads(name);
        let episode = dataset.episode(index, &wanted)?;
        rows += episode.rows as u64;
        if path.exists() {
            resumed_after += 1;
            continue;
        }
        let open = path.with_extension("mcap.open");
        if open.exists() {
            // Left behind by an import that is no more: the journal's lock is ours.
            fs::remove_file(&open).map_err(DatasetError::file("remove", &open))?;
        }
        let of_file = |reason: String| {
            DatasetError::content(
                &root.join(&episode.file),
                format!("episode {index}: {reason}"),
            )
        };
        let header = header(&dataset, &layout, &episode, index, options).map_err(of_file)?;
        let lineage = dataset
            .lineage
            .as_ref()
            .map(|lineage| &lineage.episodes[index]);
        let read = Rows::of(&episode, &layout, dataset.info.fps).map_err(of_file)?;
        let written = match layout.joints.len() {
            5 => write::<5>(&path, &header, &read, lineage),
            6 => write::<6>(&path, &header, &read, lineage),
            _ => write::<7>(&path, &header, &read, lineage),
        };
        written.map_err(|error| match error {
            WriteError::Picture(reason) => of_file(reason),
            WriteError::Episode(source) => DatasetError::Episode { path, source },
        })?;
    }
    progress(Progress { done: total, total });
    journal.finish()?;
    let names = dataset.info.features.keys();
    let left_out = names.filter(|name| !layout.reads(name) && !is_index(name));
    Ok(ImportReport {
        out: out.to_owned(),
        episodes: total,
        resumed_after,
        rows,
        true_stamps: layout.true_stamps,
        left_out: left_out.cloned().collect(),
        camera: layout.camera,
    })
}

/// Columns that follow from where a row stands, and two that follow from the outcome.
fn is_index(name: &str) -> bool {
    let known = [
        "timestamp",
        "frame_index",
        "episode_index",
        "index",
        "task_index",
    ];
    known.contains(&name) || name == REWARD || name == DONE
}

impl Layout {
    fn of(dataset: &Dataset, root: &Path, options: &ImportOptions) -> Result<Self, DatasetError> {
        let refused = |reason: String| DatasetError::content(root, reason);
        let features = &dataset.info.features;
        let keys = |dtype: &str| -> Vec<&str> {
            let features = features
                .iter()
                .filter(|(_, feature)| feature.dtype == dtype);
            features.map(|(name, _)| name.as_str()).collect()
        };
        let (images, videos) = (keys("image"), keys("video"));
        if !videos.is_empty() && !options.skip_video {
            return Err(refused(format!(
                "{} {} in videos, which are not decoded here: with --skip-video the episodes come without those pictures",
                videos.join(", "),
                if videos.len() == 1 { "is" } else { "are" }
            )));
        }
        let camera = match &options.camera {
            Some(camera) if images.contains(&camera.as_str()) => Some(camera.clone()),
            Some(camera) => {
                return Err(refused(format!(
                    "no pictures are called {camera}, but {}",
                    images.join(", ")
                )));
            }
            None if images.len() > 1 => {
                return Err(refused(format!(
                    "an episode has one camera; choose one with --camera: {}",
                    images.join(", ")
                )));
            }
            None => images.first().map(|camera| (*camera).to_owned()),
        };
        let numbers = |name: &str| {
            let feature = features
                .get(name)
                .filter(|feature| feature.shape.len() == 1);
            let feature =
                feature.ok_or_else(|| refused(format!("`{name}` is missing or no vector")))?;
            Ok((feature.shape[0], feature.names()))
        };
        let (width, names) = numbers(STATE)?;
        let is_finger = |name: &String| {
            let name = name.to_lowercase();
            ["gripper", "aperture", "finger"]
                .iter()
                .any(|word| name.contains(word))
        };
        let aperture = names.last().is_some_and(is_finger);
        let count = width - u64::from(aperture);
        if !(5..=7).contains(&count) {
            return Err(refused(format!(
                "its robot has {count} joints (`{STATE}`: {}); there is code for 5 to 7",
                names.join(", ")
            )));
        }
        let joints: Vec<String> = match names.is_empty() {
            true => (1..=count).map(|joint| format!("joint_{joint}")).collect(),
            false => names
                .iter()
                .take(count as usize)
                .map(|name| joint_name(name))
                .collect(),
        };
        if let Some(name) = joints
            .iter()
            .find(|name| name.contains(',') || name.is_empty())
        {
            return Err(refused(format!("a joint cannot be called `{name}`")));
        }
        let (action, action_names) = numbers(ACTION)?;
        if action != width {
            return Err(refused(format!(
                "`{ACTION}` has {action} numbers and `{STATE}` {width}: it is no command to these joints"
            )));
        }
        let flag = action_names.last().is_some_and(|name| name == FINGERS);
        let stamps = [INSTANT_NS, IMAGE_NS, STATE_NS];
        let fingers_middle = match (aperture, flag) {
            (true, false) => Some(fingers_middle(root)?),
            _ => None,
        };
        Ok(Self {
            joints,
            aperture,
            camera,
            true_stamps: stamps.iter().all(|name| features.contains_key(*name)),
            fingers_middle,
        })
    }

    fn reads(&self, name: &str) -> bool {
        let known = [
            STATE, VELOCITY, EFFORT, ACTION, TCP, TCP_DELTA, VERB, SUCCESS, COMMANDED, INSTANT_NS,
            IMAGE_NS, STATE_NS, TCP_NS,
        ];
        known.contains(&name) || self.camera.as_deref() == Some(name)
    }
}

/// Without the unit that we, or the kind of value that LeRobot, appends.
fn joint_name(name: &str) -> String {
    let short = name
        .strip_suffix(JOINT_SUFFIX)
        .or_else(|| name.strip_suffix(".pos"));
    short.unwrap_or(name).to_owned()
}

/// Half way between the smallest and the largest command to the fingers in the whole data set.
fn fingers_middle(root: &Path) -> Result<f32, DatasetError> {
    let path = root.join("meta/stats.json");
    let text = fs::read(&path).map_err(DatasetError::file("read", &path))?;
    let stats: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| DatasetError::content(&path, error))?;
    let last = |statistic: &str| stats[ACTION][statistic].as_array()?.last()?.as_f64();
    match (last("min"), last("max")) {
        (Some(min), Some(max)) => Ok((0.5 * (min + max)) as f32),
        _ => Err(DatasetError::content(
            &path,
            format!("it has no range of `{ACTION}`"),
        )),
    }
}

fn header(
    dataset: &Dataset,
    layout: &Layout,
    episode: &EpisodeRows,
    index: usize,
    options: &ImportOptions,
) -> Result<Header, String> {
    let how = match layout.true_stamps {
        true => "imported with true stamps",
        false => "imported",
    };
    let (from_ns, to_ns) = match (layout.true_stamps, episode.columns.get(INSTANT_NS)) {
        (true, Some(Column::I64(stamps))) if !stamps.is_empty() => (
            stamps[0].unsigned_abs(),
            stamps[stamps.len() - 1].unsigned_abs(),
        ),
        _ => {
            let last = grid(dataset.info.fps, episode.rows.saturating_sub(1));
            (START.as_ticks(), last.as_ticks())
        }
    };
    let derivation = |parent_id: String| Derivation {
        how: how.to_owned(),
        parent_id,
        parent_sha256: episode.file_sha256,
        from_ns,
        to_ns,
    };
    if let Some(lineage) = dataset
        .lineage
        .as_ref()
        .map(|lineage| &lineage.episodes[index])
    {
        let header = lineage
            .header()
            .map_err(|error| format!("its lineage: {error}"))?;
        if header.robot.joint_names.0 != layout.joints {
            return Err("its lineage is that of another robot".to_owned());
        }
        return Ok(Header {
            origin: Origin {
                schema_version: SCHEMA_VERSION,
                id: format!("{}-imported", header.origin.id),
                // It is attached to the recording, and to nothing that was made of a data set.
                launch: String::new(),
                task: episode.task.clone(),
                ..header.origin
            },
            derivation: Some(derivation(lineage.source_id.clone())),
            ..header
        });
    }
    let robot = dataset.info.robot_type.clone();
    Ok(Header {
        origin: Origin {
            schema_version: SCHEMA_VERSION,
            id: format!("imported-{index:06}"),
            started_at_utc: String::new(),
            launch: String::new(),
            task: episode.task.clone(),
        },
        code: Code::of_this_build(options.executable_sha256.unwrap_or(UNKNOWN)),
        robot: Robot {
            name: robot.unwrap_or_else(|| "unknown".to_owned()),
            joint_names: JointNames(layout.joints.clone()),
            controller_sha256: UNKNOWN,
            limits_sha256: UNKNOWN,
            description_sha256: UNKNOWN,
        },
        clock: Clock {
            source: ClockSource::Simulated,
            realtime_granted: false,
        },
        realtime: None,
        camera: TextMap::new(),
        solver: TextMap::new(),
        policy: None,
        checkpoints: TextMap::new(),
        policy_settings: TextMap::new(),
        scene: None,
        derivation: Some(derivation(format!("{}, episode {index}", episode.file))),
    })
}

/// The instant of a row that has no other stamp.
pub fn grid(fps: f64, row: usize) -> Instant {
    Instant::from_ticks(
        START
            .as_ticks()
            .saturating_add((row as f64 / fps * 1e9).round() as u64),
    )
}
