//! What a set of recordings has in common, before one of them is exported: one data set has one robot and one picture size.
//!
//! Responsible for refusing a mixture of robots at once, instead of after an hour. Reads the beginning of every file and the
//! whole of one. Not responsible for whether each recording is whole ([`crate::shards`]).

use crate::dataset_error::DatasetError;
use crate::picture;
use crate::resample::median_period_ns;
use crate::timeline::Timeline;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use visuomotor_runtime::episode::{EpisodeError, Header};

/// A header stands in front of everything else and is much shorter.
const HEAD_BYTES: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    pub robot: String,
    pub joints: Vec<String>,
    /// Whether a policy acted in every one of them.
    pub with_policy: bool,
    /// Of the camera's pictures.
    pub width_px: u32,
    pub height_px: u32,
    /// The camera's rate in the first recording that can be read, rounded, at least 1.
    pub camera_fps: u32,
}

impl Survey {
    /// # Errors
    /// When there is nothing that can be read, when the robots differ, and when a recording says no task and `task` neither.
    pub fn of(sources: &[PathBuf], task: Option<&str>) -> Result<Self, DatasetError> {
        let mut robots: BTreeMap<(String, Vec<String>), Vec<&Path>> = BTreeMap::new();
        let mut with_policy = true;
        let mut sample = None;
        let mut unreadable = None;
        for source in sources {
            let header = match head(source)? {
                Ok(header) => header,
                // Counted as refused later on, with its reason, if there is anything else.
                Err(error) => {
                    unreadable.get_or_insert_with(|| format!("{}: {error}", source.display()));
                    continue;
                }
            };
            if header.origin.task.is_empty() && task.is_none() {
                return Err(DatasetError::content(
                    source,
                    "it does not say what the task was: name it with --task",
                ));
            }
            with_policy &= header.policy.is_some();
            let robot = (header.robot.name, header.robot.joint_names.0);
            robots.entry(robot).or_default().push(source);
            if sample.is_none() {
                sample = sampled(source);
            }
        }
        if robots.len() > 1 {
            let groups = robots.iter().map(|((name, joints), files)| {
                let first = files[0].display();
                let joints = joints.join(",");
                format!("\n  {} of {name} ({joints}), such as {first}", files.len())
            });
            return Err(DatasetError::Unusable(format!(
                "one data set has one robot; these recordings have {}:{}",
                robots.len(),
                groups.collect::<String>()
            )));
        }
        let robot = robots.into_keys().next();
        let (Some((robot, joints)), Some((width_px, height_px, camera_fps))) = (robot, sample)
        else {
            let why = unreadable.map(|reason| format!("; {reason}"));
            return Err(DatasetError::Unusable(format!(
                "of {} recordings none is an episode with pictures that can be read{}",
                sources.len(),
                why.unwrap_or_default()
            )));
        };
        Ok(Self {
            robot,
            joints,
            with_policy,
            width_px,
            height_px,
            camera_fps,
        })
    }
}

fn head(path: &Path) -> Result<Result<Header, EpisodeError>, DatasetError> {
    let file = File::open(path).map_err(DatasetError::file("open", path))?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(DatasetError::file("read", path))?;
    Ok(Timeline::read(Cursor::new(head)).map(|timeline| timeline.header))
}

/// Width and height of the pictures, and how many there are in a second.
fn sampled(path: &Path) -> Option<(u32, u32, u32)> {
    let timeline = Timeline::open(path).ok()?;
    let image = picture::decode_jpeg(&timeline.frames.first()?.jpeg).ok()?;
    let stamps: Vec<_> = timeline
        .frames
        .iter()
        .map(|frame| frame.captured_at)
        .collect();
    let period_ns = median_period_ns(&stamps).filter(|period_ns| *period_ns > 0)?;
    let fps = (1e9 / period_ns as f64).round().clamp(1.0, 1000.0) as u32;
    Some((image.width, image.height, fps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::{self, Stage, TestDirectory};

    #[test]
    fn one_robot_is_described_and_two_are_refused() {
        let directory = TestDirectory::new("survey");
        let write = |name: &str, file: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, file).unwrap();
            path
        };
        let a = write("a.mcap", &Stage::default().file());
        let b = write("b.mcap", b"nothing");
        let survey = Survey::of(&[b.clone(), a.clone()], None).unwrap();
        assert_eq!(
            (survey.width_px, survey.height_px, survey.camera_fps),
            (32, 24, 4)
        );
        assert_eq!((survey.joints.len(), survey.with_policy), (7, true));
        let error = Survey::of(&[b], None).unwrap_err();
        assert!(
            error.is_input() && error.to_string().contains("b.mcap"),
            "{error}"
        );

        let mut header = staged::header();
        header.robot.joint_names.0.truncate(6);
        header.origin.task.clear();
        let six = Stage {
            header,
            ..Stage::default()
        };
        let c = write("c.mcap", &six.file_of::<6>());
        let error = Survey::of(&[a.clone(), c.clone()], None).unwrap_err();
        assert!(error.to_string().contains("--task"), "{error}");
        let error = Survey::of(&[a, c], Some("pick")).unwrap_err().to_string();
        assert!(
            error.contains("have 2") && error.contains("c.mcap"),
            "{error}"
        );
    }
}
