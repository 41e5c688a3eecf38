//! LeRobot data sets, version 3.0: episodes out and in.
//!
//! Responsible for what the columns are (here), for making them of an episode at a fixed rate ([`rows`]), for their
//! statistics ([`stats`]), for the files around them ([`export`]), and for the way back ([`read`], [`import`], [`records`]). Not
//! responsible for interrupted work ([`crate::shards`]).
//!
//! Columns whose names begin with `visuomotor.` are ours: they say when everything in a row was really taken, which
//! `timestamp` cannot, for LeRobot demands that it be `frame_index / fps`.

mod export;
mod import;
mod read;
mod records;
mod rows;
mod stats;
#[cfg(test)]
mod tests;

pub use export::{ExportReport, LeRobotExport, export};
pub use import::{ImportOptions, ImportReport, import};

use crate::survey::Survey;
use serde_json::{Value, json};

/// As `info.json` says it.
const CODEBASE_VERSION: &str = "v3.0";
/// Files in one directory.
const FILES_IN_CHUNK: u64 = 1000;
/// A file gets no further episode beyond this. Far less than LeRobot's default of 100, for whoever is interrupted begins
/// again with the file that was not whole.
pub const FILE_MB: u64 = 8;
const DATA_PATH: &str = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet";

const STATE: &str = "observation.state";
const VELOCITY: &str = "observation.velocity";
const EFFORT: &str = "observation.effort";
const TCP: &str = "observation.tcp";
const CAMERA: &str = "observation.images.camera";
const ACTION: &str = "action";
const TCP_DELTA: &str = "action.tcp_delta";
const VERB: &str = "action.verb";
const REWARD: &str = "next.reward";
const DONE: &str = "next.done";
const SUCCESS: &str = "next.success";
const COMMANDED: &str = "visuomotor.commanded";
const INSTANT_NS: &str = "visuomotor.instant_ns";
const IMAGE_NS: &str = "visuomotor.image_ns";
const STATE_NS: &str = "visuomotor.state_ns";
const TCP_NS: &str = "visuomotor.tcp_ns";

/// What joints and fingers are called in `names`, after the joint's own name.
const JOINT_SUFFIX: &str = "_rad";
const APERTURE: &str = "aperture_m";
const FINGERS: &str = "fingers_closed";

/// A column of the data set.
struct Feature {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// 32 bit floats with these names.
    Numbers(Vec<String>),
    Number,
    Integer,
    Flag,
    Picture {
        height_px: u32,
        width_px: u32,
    },
}

/// All columns, in the order of the file.
fn features(survey: &Survey) -> Vec<Feature> {
    let joints = |unit: &str, last: Option<&str>| {
        let names = survey.joints.iter().map(|joint| format!("{joint}{unit}"));
        Kind::Numbers(names.chain(last.map(str::to_owned)).collect())
    };
    let pose = || Kind::Numbers(["x_m", "y_m", "z_m", "yaw_rad"].map(str::to_owned).into());
    let picture = Kind::Picture {
        height_px: survey.height_px,
        width_px: survey.width_px,
    };
    let mut features = vec![
        (STATE, joints(JOINT_SUFFIX, Some(APERTURE))),
        (VELOCITY, joints("_rad_per_s", None)),
        (EFFORT, joints("_n_m", None)),
        (CAMERA, picture),
        (ACTION, joints(JOINT_SUFFIX, Some(FINGERS))),
    ];
    if survey.with_policy {
        features.extend([(TCP, pose()), (TCP_DELTA, pose()), (VERB, Kind::Integer)]);
    }
    features.extend([
        (REWARD, Kind::Number),
        (DONE, Kind::Flag),
        (SUCCESS, Kind::Flag),
        (COMMANDED, Kind::Flag),
        (INSTANT_NS, Kind::Integer),
        (IMAGE_NS, Kind::Integer),
        (STATE_NS, Kind::Integer),
    ]);
    if survey.with_policy {
        features.push((TCP_NS, Kind::Integer));
    }
    features.push(("timestamp", Kind::Number));
    let indices = ["frame_index", "episode_index", "index", "task_index"];
    features.extend(indices.map(|name| (name, Kind::Integer)));
    let feature = |(name, kind)| Feature { name, kind };
    features.into_iter().map(feature).collect()
}

impl Feature {
    /// As `info.json` says it.
    fn info(&self) -> Value {
        match &self.kind {
            Kind::Numbers(names) => {
                json!({"dtype": "float32", "shape": [names.len()], "names": names})
            }
            Kind::Number => json!({"dtype": "float32", "shape": [1], "names": null}),
            Kind::Integer => json!({"dtype": "int64", "shape": [1], "names": null}),
            Kind::Flag => json!({"dtype": "bool", "shape": [1], "names": null}),
            Kind::Picture {
                height_px,
                width_px,
            } => json!({
                "dtype": "image",
                "shape": [height_px, width_px, 3],
                "names": ["height", "width", "channels"],
            }),
        }
    }

    /// As the library `datasets` says it in the schema of a file, so that it finds pictures without `info.json` too.
    fn huggingface(&self) -> Value {
        let value = |dtype: &str| json!({"dtype": dtype, "_type": "Value"});
        match &self.kind {
            Kind::Numbers(names) => {
                json!({"feature": value("float32"), "length": names.len(), "_type": "List"})
            }
            Kind::Number => value("float32"),
            Kind::Integer => value("int64"),
            Kind::Flag => value("bool"),
            Kind::Picture { .. } => json!({"_type": "Image"}),
        }
    }
}
