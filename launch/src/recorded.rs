//! The robot that an episode was recorded with, from what the episode has attached.
//!
//! Not responsible for what today's robot is like.

use crate::config::{Launch, LaunchFile};
use crate::source::{InputError, Source};
use std::path::Path;
use visuomotor_runtime::episode::Episode;

/// What is missing may be missing because of damage.
pub fn because<const N: usize>(episode: &Episode<N>, problem: String) -> String {
    match &episode.damage {
        Some(damage) => format!("{problem}; the file is damaged or ends early: {damage}"),
        None => problem,
    }
}

/// The launch file and the robot that the episode was recorded with, from its attachments.
pub fn launch<const N: usize>(episode: &Episode<N>, path: &Path) -> Result<Launch<N>, InputError> {
    let text = |name: &str| {
        let found = episode.attachments.iter().find(|file| file.name == name);
        let text = found.and_then(|file| String::from_utf8(file.data.clone()).ok());
        text.ok_or_else(|| {
            let missing = format!("the attachment {name} is missing");
            InputError::file(path, because(episode, missing))
        })
    };
    let file = LaunchFile::recorded(Source {
        path: path.join("launch.toml"),
        text: text("launch.toml")?,
    })?;
    let urdf = text("robot.urdf")?;
    Launch::with_urdf(file, |_| Ok(urdf))
}
