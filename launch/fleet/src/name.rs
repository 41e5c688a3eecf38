//! Names of robots and of episodes: only what is harmless as a file name, as a part of a zenoh key and as an object's key.
//!
//! They come over the network, so a name that is not one cannot be made.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const ROBOT_LENGTH_MAX: usize = 64;
/// Leaves room for a short digest before it and `.open` behind it within the 255 bytes of a file system.
const EPISODE_LENGTH_MAX: usize = 200;

/// What a closed episode's name ends in.
const CLOSED: &str = ".mcap";
/// What is added while it is written, and stays when it was never closed.
const OPEN: &str = ".open";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "{0:?} cannot be a robot's name: 1 to {ROBOT_LENGTH_MAX} of a-z, A-Z, 0-9, '-' and '_', not '-' first"
    )]
    Robot(String),
    #[error(
        "{0:?} cannot be an episode's name: up to {EPISODE_LENGTH_MAX} of a-z, A-Z, 0-9, '-', '_' and '.', not '.' or '-' first, .mcap or .mcap.open last"
    )]
    Episode(String),
}

/// A robot's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Robot(String);

/// The file name of an episode: `X.mcap`, or `X.mcap.open` for one that was never closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EpisodeName(String);

impl EpisodeName {
    /// Whether its writer closed it.
    pub fn is_closed(&self) -> bool {
        self.0.ends_with(CLOSED)
    }

    /// The name that nobody takes for a whole episode.
    pub fn as_open(&self) -> String {
        if self.is_closed() {
            format!("{}{OPEN}", self.0)
        } else {
            self.0.clone()
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Robot {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl FromStr for Robot {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = (1..=ROBOT_LENGTH_MAX).contains(&text.len())
            && text.bytes().all(is_plain)
            && !text.starts_with('-');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Robot(shown(text)))
        }
    }
}

impl FromStr for EpisodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let closed = text.strip_suffix(OPEN).unwrap_or(text);
        let good = closed
            .strip_suffix(CLOSED)
            .is_some_and(|stem| !stem.is_empty())
            && text.len() <= EPISODE_LENGTH_MAX
            && text.bytes().all(|byte| is_plain(byte) || byte == b'.')
            && !text.starts_with(['.', '-']);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Episode(shown(text)))
        }
    }
}

/// As much of a name as an error message needs: what a stranger sends may be long.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl TryFrom<String> for Robot {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl TryFrom<String> for EpisodeName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Robot> for String {
    fn from(name: Robot) -> Self {
        name.0
    }
}

impl From<EpisodeName> for String {
    fn from(name: EpisodeName) -> Self {
        name.0
    }
}

impl fmt::Display for Robot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EpisodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_names() {
        for text in ["a", "arm-7", "Line_2", &"a".repeat(64)] {
            assert!(text.parse::<Robot>().is_ok(), "{text}");
        }
        for (text, closed) in [
            ("a.mcap", true),
            ("1763662800-1.mcap", true),
            ("a.b.mcap.open", false),
            ("a.mcap.mcap", true),
            ("a.mcap.open.mcap", true),
        ] {
            let name: EpisodeName = text.parse().expect(text);
            assert_eq!(name.is_closed(), closed, "{text}");
            assert!(name.as_open().ends_with(".mcap.open"));
        }
    }

    #[test]
    fn bad_names() {
        for text in [
            "",
            "a.b",
            "a/b",
            "..",
            "*",
            "-a",
            "é",
            "a b",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(text.parse::<Robot>().is_err(), "{text}");
        }
        for text in [
            "",
            ".mcap",
            ".mcap.open",
            "a.open",
            "..mcap",
            "-a.mcap",
            "../a.mcap",
            "a/b.mcap",
            "a\\b.mcap",
            "a\n.mcap",
            "a.mcap.open.open",
            "a.MCAP",
            &format!("{}.mcap", "a".repeat(200)),
        ] {
            assert!(text.parse::<EpisodeName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_in_its_directory(text in any::<String>(), tail in ".{0,8}\\.mcap(\\.open)?") {
            for text in [text, tail] {
                if let Ok(name) = text.parse::<EpisodeName>() {
                    let path = std::path::Path::new(name.as_str());
                    prop_assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(name.as_str()));
                    prop_assert!(!name.as_str().starts_with('.'));
                }
            }
        }
    }
}
