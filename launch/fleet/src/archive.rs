//! Everything that a collector has stored: one line each in `index.jsonl`, every content once, nothing ever replaced.
//!
//! The index repeats what a directory holds and can be made from it, so at the start it is compared with the directory
//! and mended. Beside an object store it is the collector's own memory; when that is lost, an episode that comes again
//! meets its own object and is recognised by its bytes. Not responsible for how bytes arrive ([`crate::inbox`]) nor for
//! what a shelf is ([`crate::shelf`]).

use crate::digest::{Digest, Hasher};
use crate::message::Offer;
use crate::name::{EpisodeName, Robot};
use crate::shelf::{Placed, Shelf};
use crate::{FleetError, at};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub const INDEX: &str = "index.jsonl";

/// A stored episode; a line of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub robot: Robot,
    /// As the robot calls it.
    pub name: EpisodeName,
    pub sha256: Digest,
    pub bytes: u64,
    /// Closed by its writer, and an MCAP file from its first to its last bytes.
    pub complete: bool,
    /// `<robot>/<name>` below the output, where the name may differ from the robot's.
    pub stored_as: String,
}

#[derive(Debug)]
pub enum Stored {
    New(Record),
    /// The same bytes were there.
    Before(String),
    /// The same bytes are just being stored.
    Now,
}

#[derive(Debug)]
pub struct Archive {
    shelf: Shelf,
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    at: HashMap<Digest, String>,
    storing: HashSet<Digest>,
    log: File,
    /// The last line may have been written in part.
    torn: bool,
}

impl Archive {
    /// `index` is where the index is or shall be.
    pub fn open(shelf: Shelf, index: &Path) -> Result<Self, FleetError> {
        let (mut records, mut changed) = read(index)?;
        if let Shelf::Directory(root) = &shelf {
            let (mended, differs) = reconcile(root, records)?;
            records = mended;
            changed |= differs;
        }
        if changed {
            write(index, &records)?;
        }
        let log = OpenOptions::new().append(true).create(true).open(index);
        let index = Index {
            at: records
                .into_iter()
                .map(|record| (record.sha256, record.stored_as))
                .collect(),
            storing: HashSet::new(),
            log: log.map_err(at(index, "open"))?,
            torn: false,
        };
        Ok(Self {
            shelf,
            index: Mutex::new(index),
        })
    }

    /// Where these bytes are, if they are.
    pub fn find(&self, digest: &Digest) -> Option<String> {
        self.index().at.get(digest).cloned()
    }

    /// Keeps a file whose bytes are on the disk and have the offered hash; it is gone from its place afterwards.
    pub(crate) fn store(&self, robot: &Robot, offer: &Offer, file: &Path) -> io::Result<Stored> {
        {
            let mut index = self.index();
            if let Some(at) = index.at.get(&offer.sha256) {
                return Ok(Stored::Before(at.clone()));
            }
            if !index.storing.insert(offer.sha256) {
                return Ok(Stored::Now);
            }
        }
        // Without the lock: a slow disk or a distant store keeps nobody else waiting.
        let placed = self.place(robot, offer, file);
        let mut index = self.index();
        index.storing.remove(&offer.sha256);
        let record = placed?;
        index.at.insert(record.sha256, record.stored_as.clone());
        index.note(&record);
        Ok(Stored::New(record))
    }

    fn place(&self, robot: &Robot, offer: &Offer, file: &Path) -> io::Result<Record> {
        let complete = offer.name.is_closed() && is_whole(&mut File::open(file)?)?;
        let plain = if complete {
            offer.name.to_string()
        } else {
            offer.name.as_open()
        };
        let short = format!("{}-{plain}", offer.sha256.short());
        for name in [plain, short] {
            if self.shelf.place(file, robot.as_str(), &name)? != Placed::Taken {
                return Ok(Record {
                    robot: robot.clone(),
                    name: offer.name.clone(),
                    sha256: offer.sha256,
                    bytes: offer.bytes,
                    complete,
                    stored_as: format!("{robot}/{name}"),
                });
            }
        }
        Err(io::Error::other("every name that it could have is taken"))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// A line that does not get written costs a hash at the next start, so it is no reason to refuse the episode.
    fn note(&mut self, record: &Record) {
        let mut line = String::new();
        if self.torn {
            line.push('\n');
        }
        match serde_json::to_string(record) {
            Ok(json) => line += &json,
            Err(error) => return tracing::warn!(%error, "cannot note an episode in the index"),
        }
        line.push('\n');
        let written = self.log.write_all(line.as_bytes());
        self.torn = written.is_err();
        if let Err(error) = written {
            tracing::warn!(%error, at = record.stored_as, "cannot note an episode in the index");
        }
    }
}

/// Whether a file begins and ends as an MCAP file does.
fn is_whole(file: &mut File) -> io::Result<bool> {
    let length = mcap::MAGIC.len();
    if file.metadata()?.len() < 2 * length as u64 {
        return Ok(false);
    }
    let mut magic = vec![0; length];
    file.read_exact(&mut magic)?;
    let begins = magic == mcap::MAGIC;
    file.seek(SeekFrom::End(-(length as i64)))?;
    file.read_exact(&mut magic)?;
    Ok(begins && magic == mcap::MAGIC)
}

/// The records of an index, and whether something in it was none: a process that was killed leaves half a line.
fn read(index: &Path) -> Result<(Vec<Record>, bool), FleetError> {
    let bytes = match fs::read(index) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        Err(error) => return Err(at(index, "read")(error)),
    };
    let whole_lines = bytes.is_empty() || bytes.ends_with(b"\n");
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let mut malformed = 0;
    let records = lines.filter_map(|line| {
        let record = serde_json::from_slice(line).ok();
        malformed += usize::from(record.is_none());
        record
    });
    let records = records.collect();
    if malformed > 0 {
        tracing::warn!(
            malformed,
            "lines of the index that cannot be read are left out"
        );
    }
    Ok((records, malformed > 0 || !whole_lines))
}

/// What the directory really holds: what is gone is forgotten, what the index does not know or knows differently is hashed.
fn reconcile(root: &Path, records: Vec<Record>) -> Result<(Vec<Record>, bool), FleetError> {
    let mut known: HashMap<String, Record> = records
        .into_iter()
        .map(|record| (record.stored_as.clone(), record))
        .collect();
    let mut mended = Vec::new();
    let mut differs = false;
    for robot in entries(root)? {
        let Some(robot) = file_name::<Robot>(&robot) else {
            continue;
        };
        let directory = root.join(robot.as_str());
        if !directory.is_dir() {
            continue;
        }
        for path in entries(&directory)? {
            let Some(name) = file_name::<EpisodeName>(&path) else {
                continue;
            };
            let found = fs::symlink_metadata(&path).map_err(at(&path, "look at"))?;
            if !found.is_file() {
                continue;
            }
            let stored_as = format!("{robot}/{name}");
            match known.remove(&stored_as) {
                Some(record) if record.bytes == found.len() => mended.push(record),
                _ => {
                    differs = true;
                    mended
                        .push(examine(&path, &robot, name, stored_as).map_err(at(&path, "hash"))?);
                }
            }
        }
    }
    for lost in known.keys() {
        differs = true;
        tracing::warn!(
            at = lost,
            "an episode in the index is gone; it will be taken again"
        );
    }
    Ok((mended, differs))
}

fn examine(path: &Path, robot: &Robot, name: EpisodeName, stored_as: String) -> io::Result<Record> {
    let mut hasher = Hasher::default();
    let mut file = File::open(path)?;
    let bytes = hasher.read(&mut file)?;
    file.rewind()?;
    Ok(Record {
        robot: robot.clone(),
        complete: name.is_closed() && is_whole(&mut file)?,
        name,
        sha256: hasher.digest(),
        bytes,
        stored_as,
    })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, FleetError> {
    let listed = fs::read_dir(directory).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    });
    let mut paths: Vec<_> = listed.map_err(at(directory, "list"))?;
    paths.sort();
    Ok(paths)
}

fn file_name<T: std::str::FromStr>(path: &Path) -> Option<T> {
    path.file_name()?.to_str()?.parse().ok()
}

/// All at once, or not at all.
fn write(index: &Path, records: &[Record]) -> Result<(), FleetError> {
    let new = index.with_extension("jsonl.new");
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)
            .map_err(|error| at(index, "write")(error.into()))?;
        lines.push(b'\n');
    }
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(&lines)?;
        file.sync_all()
    });
    written.map_err(at(&new, "write"))?;
    fs::rename(&new, index).map_err(at(index, "replace"))
}
