//! Which files of a robot's directory are ready to be sent: closed episodes, and those that were never closed.
//!
//! Reads the directory and changes nothing in it. Not responsible for what was sent already ([`crate::delivered`]).

use crate::name::EpisodeName;
use crate::{FleetError, at};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    pub name: EpisodeName,
    pub bytes: u64,
    pub modified_ns: i64,
}

/// How many looks in a row must find an open file without a writer and without a change. A writer that has made its
/// file and not locked it yet, or that does not lock at all, is not mistaken for a dead one.
const STILL_LOOKS: u32 = 5;

#[derive(Debug)]
pub struct Outbox {
    directory: PathBuf,
    /// Open files without a writer, as they were at the last look, and for how many looks they have been so.
    left_behind: HashMap<EpisodeName, (Ready, u32)>,
    unsendable: BTreeMap<String, &'static str>,
}

impl Outbox {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            left_behind: HashMap::new(),
            unsendable: BTreeMap::new(),
        }
    }

    /// Episodes, by their names, that can never be sent, and why: found by the last look.
    pub fn unsendable(&self) -> &BTreeMap<String, &'static str> {
        &self.unsendable
    }

    pub fn path(&self, name: &EpisodeName) -> PathBuf {
        self.directory.join(name.as_str())
    }

    /// Looks at the directory. What is ready comes oldest first.
    pub fn look(&mut self) -> Result<Vec<Ready>, FleetError> {
        let listed = |error| at(&self.directory, "list")(error);
        let mut ready = Vec::new();
        let mut left_behind = HashMap::new();
        let mut unsendable = BTreeMap::new();
        for entry in fs::read_dir(&self.directory).map_err(listed)? {
            let name = entry.map_err(listed)?.file_name();
            let text = name.to_string_lossy();
            let Some(name) = name
                .to_str()
                .and_then(|name| name.parse::<EpisodeName>().ok())
            else {
                if text.ends_with(".mcap") || text.ends_with(".mcap.open") {
                    unsendable.insert(text.into_owned(), "its name is none that a collector takes");
                }
                continue;
            };
            // It may be closed, or moved away, at any moment.
            let Ok(found) = fs::symlink_metadata(self.path(&name)) else {
                continue;
            };
            if !found.is_file() {
                unsendable.insert(name.to_string(), "it is no regular file");
                continue;
            }
            let seen = Ready {
                bytes: found.len(),
                modified_ns: found.mtime() * 1_000_000_000 + found.mtime_nsec(),
                name,
            };
            if seen.name.is_closed() {
                ready.push(seen);
            } else if has_no_writer(&self.path(&seen.name)) {
                let looks = match self.left_behind.get(&seen.name) {
                    Some((before, looks)) if *before == seen => looks + 1,
                    _ => 1,
                };
                if looks >= STILL_LOOKS {
                    ready.push(seen.clone());
                }
                left_behind.insert(seen.name.clone(), (seen, looks));
            }
        }
        self.left_behind = left_behind;
        self.unsendable = unsendable;
        ready.sort_by(|a, b| (a.modified_ns, &a.name).cmp(&(b.modified_ns, &b.name)));
        Ok(ready)
    }
}

impl Outbox {
    /// Whether nothing is about to become ready: no open file has to be looked at again.
    pub fn is_settled(&self) -> bool {
        self.left_behind
            .values()
            .all(|(_, looks)| *looks >= STILL_LOOKS)
    }
}

/// A writer holds its open file locked for as long as it lives.
fn has_no_writer(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())
}

/// The file, if it is still the one that was seen.
pub fn open(path: &Path, ready: &Ready) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.len() != ready.bytes {
        return Err(io::Error::other("changed since it was closed"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Directory;

    fn names(ready: &[Ready]) -> Vec<&str> {
        ready.iter().map(|ready| ready.name.as_str()).collect()
    }

    #[test]
    fn what_can_never_be_sent_is_named() {
        let directory = Directory::new("outbox-unsendable");
        for name in ["a.mcap", "b c.mcap", "..d.mcap.open", "e.txt"] {
            directory.write(name, b"x");
        }
        std::os::unix::fs::symlink("a.mcap", directory.path().join("f.mcap")).unwrap();
        let mut outbox = Outbox::new(directory.path());
        assert_eq!(names(&outbox.look().unwrap()), ["a.mcap"]);
        let named: Vec<_> = outbox.unsendable().keys().map(String::as_str).collect();
        assert_eq!(named, ["..d.mcap.open", "b c.mcap", "f.mcap"]);
    }

    #[test]
    fn closed_episodes_are_ready_at_once_and_open_ones_when_their_writer_is_gone() {
        let directory = Directory::new("outbox");
        for name in [
            "a.mcap",
            "b.mcap.open",
            "c.mcap.open",
            "notes.txt",
            ".d.mcap",
        ] {
            directory.write(name, b"x");
        }
        fs::create_dir(directory.path().join("e.mcap")).unwrap();
        std::os::unix::fs::symlink("a.mcap", directory.path().join("f.mcap")).unwrap();
        let writer = File::open(directory.path().join("c.mcap.open")).unwrap();
        writer.lock().unwrap();
        let mut outbox = Outbox::new(directory.path());
        for _ in 1..STILL_LOOKS {
            assert_eq!(names(&outbox.look().unwrap()), ["a.mcap"]);
        }
        assert_eq!(names(&outbox.look().unwrap()), ["a.mcap", "b.mcap.open"]);
        // It still grows: somebody writes without a lock.
        directory.write("b.mcap.open", b"xy");
        assert_eq!(names(&outbox.look().unwrap()), ["a.mcap"]);
        drop(writer);
        for _ in 0..STILL_LOOKS {
            outbox.look().unwrap();
        }
        assert_eq!(outbox.look().unwrap().len(), 3);
    }
}
