//! What a forwarder and a collector say to each other.
//!
//! A forwarder asks on the key `visuomotor/<robot>/episodes`: the attachment is an [`Offer`], the payload a block of the
//! file, perhaps an empty one. The collector replies with an [`Answer`]. Both are JSON, so that a stranger's program can
//! speak too. Each question stands alone: it may be lost, repeated, or meet another collector than the one before, and
//! the answer still says truly how to go on. Not responsible for what either side does next.

use crate::digest::Digest;
use crate::name::{EpisodeName, Robot};
use serde::{Deserialize, Serialize};

/// No message is longer, bytes; its block excepted.
const LENGTH_MAX: usize = 4096;

/// Which file this is, and where in it the block belongs. With an empty block: what do you want of it?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub name: EpisodeName,
    pub sha256: Digest,
    /// Of the whole file.
    pub bytes: u64,
    pub offset: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Go on from this offset.
    Want(u64),
    /// These bytes are kept, and survive a power cut.
    Stored {
        /// `<robot>/<name>` there; perhaps of another robot that had the same bytes.
        at: String,
        /// This very block completed them.
        new: bool,
    },
    Refused {
        why: String,
        /// It is worth asking again later.
        again: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("{0} bytes are no message")]
    Long(usize),
    #[error("no such message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("no key of a robot's episodes: {0:?}")]
    Key(String),
}

impl Offer {
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        read(bytes)
    }
}

impl Answer {
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        read(bytes)
    }

    pub fn later(why: impl ToString) -> Self {
        Self::refused(why, true)
    }

    pub fn never(why: impl ToString) -> Self {
        Self::refused(why, false)
    }

    fn refused(why: impl ToString, again: bool) -> Self {
        // Short enough to be read at the other end.
        let why = why.to_string().chars().take(400).collect();
        Self::Refused { why, again }
    }
}

fn read<'a, M: Deserialize<'a>>(bytes: &'a [u8]) -> Result<M, MessageError> {
    if bytes.len() > LENGTH_MAX {
        return Err(MessageError::Long(bytes.len()));
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Where one robot's offers go.
pub fn key_of(robot: &Robot) -> String {
    format!("visuomotor/{robot}/episodes")
}

/// Where a collector hears those of all robots.
pub const KEY_OF_ALL: &str = "visuomotor/*/episodes";

/// Whose offer came on this key.
pub fn robot_of(key: &str) -> Result<Robot, MessageError> {
    let robot = key
        .strip_prefix("visuomotor/")
        .and_then(|key| key.strip_suffix("/episodes"));
    let robot = robot.and_then(|robot| robot.parse().ok());
    robot.ok_or_else(|| MessageError::Key(key.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_what_the_readme_shows() {
        let offer = Offer {
            name: "a.mcap".parse().unwrap(),
            sha256: Digest::of(b"abc"),
            bytes: 3,
            offset: 0,
        };
        let text = format!(
            r#"{{"name":"a.mcap","sha256":"{}","bytes":3,"offset":0}}"#,
            Digest::of(b"abc")
        );
        assert_eq!(serde_json::to_string(&offer).unwrap(), text);
        assert_eq!(Offer::read(text.as_bytes()).unwrap(), offer);
        for (answer, text) in [
            (Answer::Want(7), r#"{"want":7}"#),
            (
                Answer::Stored {
                    at: "a/b.mcap".into(),
                    new: true,
                },
                r#"{"stored":{"at":"a/b.mcap","new":true}}"#,
            ),
            (
                Answer::later("full"),
                r#"{"refused":{"why":"full","again":true}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&answer).unwrap(), text);
            assert_eq!(Answer::read(text.as_bytes()).unwrap(), answer);
        }
    }

    #[test]
    fn hostile_offers_are_no_offers() {
        let good = serde_json::json!({"name": "a.mcap", "sha256": Digest::of(b"").to_string(), "bytes": 1, "offset": 0});
        for (field, value) in [
            ("name", serde_json::json!("../a.mcap")),
            ("name", serde_json::json!("/etc/a.mcap")),
            ("name", serde_json::json!(7)),
            ("sha256", serde_json::json!("00")),
            ("bytes", serde_json::json!(-1)),
            ("offset", serde_json::json!(1.5)),
            ("more", serde_json::json!(0)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(Offer::read(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
        assert!(Offer::read(good.to_string().as_bytes()).is_ok());
        assert!(matches!(
            Offer::read(&[b' '; 5000]),
            Err(MessageError::Long(5000))
        ));
        let nested = "[".repeat(4000);
        assert!(Offer::read(nested.as_bytes()).is_err());
    }

    #[test]
    fn a_refusal_can_always_be_read() {
        let answer = serde_json::to_vec(&Answer::later("\u{1}é".repeat(9000))).unwrap();
        assert!(Answer::read(&answer).is_ok());
    }

    #[test]
    fn keys_name_one_robot() {
        let robot: Robot = "arm-7".parse().unwrap();
        assert_eq!(robot_of(&key_of(&robot)).unwrap(), robot);
        for key in [
            "",
            "visuomotor/*/episodes",
            "visuomotor/**",
            "visuomotor/a/b/episodes",
            "x/a/episodes",
        ] {
            assert!(robot_of(key).is_err(), "{key}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), key in any::<String>()) {
            let _ = (Offer::read(&bytes).is_ok(), Answer::read(&bytes).is_ok(), robot_of(&key).is_ok());
        }
    }
}
