//! The collector's answer to each offer: it gathers blocks into whole episodes, and believes nobody.
//!
//! Every number and name in an offer may be wrong or meant to do harm. So a block is taken only where the file so far
//! ends; what each robot has begun is its own, bounded in number, and not to be spoilt by another one; and what is
//! answered `Stored` was hashed, is on the disk and has its name. Knows no network ([`crate::collect`] does) and not how
//! episodes are kept ([`crate::archive`]).

use crate::archive::{Archive, Record, Stored};
use crate::digest::Digest;
use crate::message::{Answer, Offer};
use crate::name::Robot;
use crate::partial::{self, Partial};
use crate::{BLOCK_BYTES_MAX, EPISODE_BYTES_MAX, FleetError, at};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Episodes that may have arrived in part. Beyond this the one that has waited longest is given up: its robot begins anew.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub partials_max: usize,
    pub partials_of_robot_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            partials_max: 4096,
            partials_of_robot_max: 4,
        }
    }
}

/// What came, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// In blocks, also those that were not wanted.
    pub bytes: u64,
    /// Blocks that were not wanted: repeated, or beyond what is there.
    pub blocks_out_of_place: u64,
    /// Offers of bytes that were there already.
    pub already_stored: u64,
    pub refused: u64,
}

#[derive(Debug)]
pub struct Inbox {
    staging: PathBuf,
    archive: Archive,
    bounds: Bounds,
    begun: Mutex<Begun>,
    received: Mutex<Received>,
}

/// One upload: whose, and of what. Another robot's is another one, even of the same bytes: it cannot spoil it.
type Key = (Robot, Digest);

#[derive(Debug, Default)]
struct Begun {
    uploads: HashMap<Key, Upload>,
    /// Counts offers: who was served last.
    clock: u64,
}

#[derive(Debug)]
struct Upload {
    /// `None` until the first offer has hashed what an earlier process left.
    partial: Arc<Mutex<Option<Partial>>>,
    served: u64,
}

impl Inbox {
    /// `staging` is a directory for what has arrived in part; what an earlier process left there is gone on with.
    pub fn open(staging: &Path, archive: Archive, bounds: Bounds) -> Result<Self, FleetError> {
        let mut begun = Begun::default();
        let listed = fs::read_dir(staging).map_err(at(staging, "list"))?;
        for entry in listed {
            let path = entry.map_err(at(staging, "list"))?.path();
            let Some(key) = key_of(&path) else { continue };
            if archive.find(&key.1).is_some() {
                // The process ended between giving the episode its name and taking this one away.
                fs::remove_file(&path).map_err(at(&path, "remove"))?;
                continue;
            }
            let partial = Arc::default();
            begun.uploads.insert(key, Upload { partial, served: 0 });
        }
        Ok(Self {
            staging: staging.to_owned(),
            archive,
            bounds,
            begun: Mutex::new(begun),
            received: Mutex::default(),
        })
    }

    pub fn received(&self) -> Received {
        *locked(&self.received)
    }

    pub fn partials(&self) -> usize {
        locked(&self.begun).uploads.len()
    }

    /// Takes one block. The record is there when it completed a new episode.
    pub fn take(&self, robot: &Robot, offer: &Offer, block: &[u8]) -> (Answer, Option<Record>) {
        let (answer, record) = match self.answer(robot, offer, block) {
            Ok(answered) => answered,
            Err(error) => {
                tracing::warn!(%robot, name = %offer.name, %error, "cannot take an episode now");
                (Answer::later(error), None)
            }
        };
        let mut received = locked(&self.received);
        received.bytes += block.len() as u64;
        match &answer {
            Answer::Want(_) | Answer::Stored { new: true, .. } => {}
            Answer::Stored { new: false, .. } => received.already_stored += 1,
            Answer::Refused { .. } => received.refused += 1,
        }
        (answer, record)
    }

    fn answer(
        &self,
        robot: &Robot,
        offer: &Offer,
        block: &[u8],
    ) -> io::Result<(Answer, Option<Record>)> {
        if offer.bytes > EPISODE_BYTES_MAX {
            return Ok((Answer::never("longer than an episode may be"), None));
        }
        if block.len() > BLOCK_BYTES_MAX {
            return Ok((Answer::never("a block larger than blocks may be"), None));
        }
        if let Some(at) = self.archive.find(&offer.sha256) {
            self.forget(&(robot.clone(), offer.sha256))?;
            return Ok((Answer::Stored { at, new: false }, None));
        }
        let key = (robot.clone(), offer.sha256);
        let upload = self.upload(&key);
        let mut slot = match upload.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A question that timed out and was repeated, or two forwarders under one name.
            Err(TryLockError::WouldBlock) => return Ok((Answer::later("being worked on"), None)),
        };
        let partial = match &mut *slot {
            Some(partial) => partial,
            empty => empty.insert(Partial::open(&self.path(&key))?),
        };
        if partial.bytes() > offer.bytes {
            partial.discard()?;
        }
        if offer.offset != partial.bytes() {
            if !block.is_empty() {
                locked(&self.received).blocks_out_of_place += 1;
            }
            return Ok((Answer::Want(partial.bytes()), None));
        }
        if block.len() as u64 > offer.bytes - partial.bytes() {
            return Ok((Answer::never("more bytes than announced"), None));
        }
        partial.append(block)?;
        if partial.bytes() < offer.bytes {
            return Ok((Answer::Want(partial.bytes()), None));
        }
        let done = self.complete(robot, offer, partial)?;
        if matches!(done.0, Answer::Stored { .. }) {
            // Who waits for the lock finds nothing begun rather than a file that is gone.
            *slot = None;
            drop(slot);
            self.forget(&key)?;
        }
        Ok(done)
    }

    /// All bytes are there: are they the right ones, and if so, keep them for good.
    fn complete(
        &self,
        robot: &Robot,
        offer: &Offer,
        partial: &mut Partial,
    ) -> io::Result<(Answer, Option<Record>)> {
        if partial.seal()? != offer.sha256 {
            partial.discard()?;
            return Ok((
                Answer::later("the bytes are not those of the SHA-256"),
                None,
            ));
        }
        Ok(match self.archive.store(robot, offer, partial.path())? {
            Stored::New(record) => {
                let at = record.stored_as.clone();
                (Answer::Stored { at, new: true }, Some(record))
            }
            Stored::Before(at) => (Answer::Stored { at, new: false }, None),
            Stored::Now => (
                Answer::later("another robot's same bytes are being stored"),
                None,
            ),
        })
    }

    fn path(&self, (robot, digest): &Key) -> PathBuf {
        self.staging.join(format!("{robot}.{digest}.part"))
    }

    /// The upload of this key, begun if need be, and another one given up if they are too many.
    fn upload(&self, key: &Key) -> Arc<Mutex<Option<Partial>>> {
        let mut begun = locked(&self.begun);
        begun.clock += 1;
        let clock = begun.clock;
        if !begun.uploads.contains_key(key) {
            let of_robot = |other: &&Key| other.0 == key.0;
            let too_many =
                begun.uploads.keys().filter(of_robot).count() >= self.bounds.partials_of_robot_max;
            if too_many || begun.uploads.len() >= self.bounds.partials_max {
                let candidates = begun.uploads.iter();
                let oldest = candidates
                    .filter(|(other, _)| !too_many || of_robot(other))
                    // Nobody is at work on it. If all are worked on, the bound is exceeded by no more than the threads.
                    .filter(|(_, upload)| Arc::strong_count(&upload.partial) == 1)
                    .min_by_key(|(_, upload)| upload.served)
                    .map(|(other, _)| other.clone());
                if let Some(oldest) = oldest {
                    self.give_up(&mut begun, &oldest);
                }
            }
        }
        let upload = begun.uploads.entry(key.clone()).or_insert_with(|| Upload {
            partial: Arc::default(),
            served: clock,
        });
        upload.served = clock;
        upload.partial.clone()
    }

    fn give_up(&self, begun: &mut Begun, key: &Key) {
        tracing::warn!(robot = %key.0, "gave up an episode that had arrived in part: too many have");
        begun.uploads.remove(key);
        if let Err(error) = partial::remove(&self.path(key)) {
            tracing::warn!(%error, "cannot remove what had arrived");
        }
    }

    /// Forgets an upload that is whole or that nobody needs any more.
    fn forget(&self, key: &Key) -> io::Result<()> {
        if locked(&self.begun).uploads.remove(key).is_some() {
            partial::remove(&self.path(key))?;
        }
        Ok(())
    }
}

/// What a file in the staging directory has begun, if it is such a file.
fn key_of(path: &Path) -> Option<Key> {
    let (robot, rest) = path.file_name()?.to_str()?.split_once('.')?;
    let digest = rest.strip_suffix(".part")?;
    Some((robot.parse().ok()?, digest.parse().ok()?))
}

/// What these locks guard is whole between any two statements, so a thread that panicked left nothing broken.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
