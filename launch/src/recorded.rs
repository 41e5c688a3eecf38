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
    let (source, urdf) = attached(episode, path)?;
    Launch::with_urdf(LaunchFile::recorded(source)?, |_| Ok(urdf))
}

/// The same with its scene, whose files are looked for where the launch file was.
#[cfg(feature = "sim")]
pub fn with_scene(episode: &Episode<7>, path: &Path) -> Result<Launch, InputError> {
    let (source, urdf) = attached(episode, path)?;
    let source = Source {
        path: Path::new(&episode.header.origin.launch).to_owned(),
        ..source
    };
    Launch::with_urdf(LaunchFile::parse(source)?, |_| Ok(urdf))
}

/// Launch file and robot description.
fn attached<const N: usize>(
    episode: &Episode<N>,
    path: &Path,
) -> Result<(Source, String), InputError> {
    let text = |name: &str| {
        let found = episode.attachments.iter().find(|file| file.name == name);
        let text = found.and_then(|file| String::from_utf8(file.data.clone()).ok());
        text.ok_or_else(|| {
            let missing = format!("the attachment {name} is missing");
            InputError::file(path, because(episode, missing))
        })
    };
    let source = Source {
        path: path.join("launch.toml"),
        text: text("launch.toml")?,
    };
    Ok((source, text("robot.urdf")?))
}
