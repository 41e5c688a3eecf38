//! What this robot has delivered, remembered beside the episodes: a restart neither sends nor hashes them again.
//!
//! Losing the file costs only that: the collector knows each episode by its content. So a line that a power cut tore is
//! left out, and a line that cannot be written is no reason to stop.

use crate::digest::Digest;
use crate::name::EpisodeName;
use crate::outbox::Ready;
use crate::{FleetError, at};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Begins with a dot, so that it is no episode.
pub const STATE: &str = ".forwarded.jsonl";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    name: EpisodeName,
    bytes: u64,
    /// When the file was last changed, as its file system says: the file with this name is still the one that was sent.
    modified_ns: i64,
    sha256: Digest,
}

#[derive(Debug)]
pub struct Delivered {
    path: PathBuf,
    /// Open while this process forwards, and locked: two would send everything twice.
    log: File,
    lines: HashMap<EpisodeName, Line>,
}

impl Delivered {
    /// # Errors
    /// [`FleetError::Busy`] when another process forwards this directory.
    pub fn open(directory: &Path) -> Result<Self, FleetError> {
        let path = directory.join(STATE);
        let mut options = OpenOptions::new();
        let log = options.read(true).append(true).create(true).open(&path);
        let mut log = log.map_err(at(&path, "open"))?;
        match log.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FleetError::Busy(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(&path, "lock")(error)),
        }
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).map_err(at(&path, "read"))?;
        let read = bytes.split(|byte| *byte == b'\n');
        let lines = read
            .filter_map(|line| serde_json::from_slice(line).ok())
            .filter(|line: &Line| directory.join(line.name.as_str()).exists())
            .map(|line| (line.name.clone(), line))
            .collect();
        let mut delivered = Self { path, log, lines };
        delivered.rewrite()?;
        Ok(delivered)
    }

    /// Drops torn lines and those of episodes that are gone, in place: the lock belongs to this very file. A power cut
    /// in the middle loses lines, which costs some questions.
    fn rewrite(&mut self) -> Result<(), FleetError> {
        let mut text = Vec::new();
        for line in self.lines.values() {
            text.extend(encoded(line).map_err(at(&self.path, "write"))?);
        }
        let written = self.log.set_len(0).and_then(|()| self.log.write_all(&text));
        written.map_err(at(&self.path, "write"))
    }

    /// Whether this very file was delivered.
    pub fn has(&self, ready: &Ready) -> bool {
        self.lines
            .get(&ready.name)
            .is_some_and(|line| (line.bytes, line.modified_ns) == (ready.bytes, ready.modified_ns))
    }

    pub fn add(&mut self, ready: &Ready, sha256: Digest) {
        let line = Line {
            name: ready.name.clone(),
            bytes: ready.bytes,
            modified_ns: ready.modified_ns,
            sha256,
        };
        if let Err(error) = encoded(&line).and_then(|text| self.log.write_all(&text)) {
            tracing::warn!(%error, path = %self.path.display(), "cannot note that an episode was delivered");
        }
        self.lines.insert(line.name.clone(), line);
    }
}

/// The line break comes first, too: what an earlier write may have left in part is then a line of its own.
fn encoded(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = vec![b'\n'];
    serde_json::to_writer(&mut text, line)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Directory;
    use std::fs;

    fn ready(name: &str, bytes: u64) -> Ready {
        Ready {
            name: name.parse().unwrap(),
            bytes,
            modified_ns: 7,
        }
    }

    #[test]
    fn survives_a_restart_at_any_byte() {
        let directory = Directory::new("delivered");
        for name in ["a.mcap", "b.mcap"] {
            directory.write(name, b"x");
        }
        let mut delivered = Delivered::open(directory.path()).unwrap();
        delivered.add(&ready("a.mcap", 1), Digest::of(b"x"));
        delivered.add(&ready("b.mcap", 1), Digest::of(b"x"));
        drop(delivered);
        let whole = fs::read(directory.path().join(STATE)).unwrap();
        for length in 0..=whole.len() {
            directory.write(STATE, &whole[..length]);
            let mut delivered = Delivered::open(directory.path()).unwrap();
            assert!(
                !delivered.has(&ready("a.mcap", 2)),
                "a changed file was not delivered"
            );
            let (a, b) = (
                delivered.has(&ready("a.mcap", 1)),
                delivered.has(&ready("b.mcap", 1)),
            );
            assert!(a || !b, "only the end is missing");
            // What is added behind a torn line is read.
            delivered.add(&ready("b.mcap", 1), Digest::of(b"x"));
            drop(delivered);
            let delivered = Delivered::open(directory.path()).unwrap();
            assert_eq!(delivered.has(&ready("a.mcap", 1)), a);
            assert!(delivered.has(&ready("b.mcap", 1)));
        }
    }

    #[test]
    fn a_second_forwarder_is_refused_and_gone_episodes_are_forgotten() {
        let directory = Directory::new("delivered-twice");
        directory.write("a.mcap", b"x");
        let mut first = Delivered::open(directory.path()).unwrap();
        first.add(&ready("a.mcap", 1), Digest::of(b"x"));
        assert!(matches!(
            Delivered::open(directory.path()),
            Err(FleetError::Busy(_))
        ));
        drop(first);
        fs::remove_file(directory.path().join("a.mcap")).unwrap();
        let second = Delivered::open(directory.path()).unwrap();
        assert!(!second.has(&ready("a.mcap", 1)));
        assert_eq!(fs::read(directory.path().join(STATE)).unwrap(), b"");
    }
}
