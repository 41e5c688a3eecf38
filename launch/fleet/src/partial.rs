//! An episode that has arrived in part: its bytes so far in a file, and the hash of them.
//!
//! Its name ends in `.part`, so that nobody takes it for an episode. Not responsible for which block comes next
//! ([`crate::inbox`]) nor for where the whole goes ([`crate::archive`]).

use crate::digest::{Digest, Hasher};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// No file descriptor is held between two blocks: there may be thousands of these.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    bytes: u64,
    hasher: Hasher,
}

impl Partial {
    /// What an earlier process left of it, or nothing yet.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut hasher = Hasher::default();
        let bytes = match File::open(path) {
            Ok(mut file) => hasher.read(&mut file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            bytes,
            hasher,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a block, or nothing: after an error the file is as it was, or begun anew where somebody else changed it.
    pub fn append(&mut self, block: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let opened = options
            .append(true)
            .create(self.bytes == 0)
            .open(&self.path);
        // The hash is of the bytes that were appended, so these must be all that is in the file.
        let is_ours = match &opened {
            Ok(file) => file.metadata()?.len() == self.bytes,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if !is_ours {
            self.discard()?;
            return Err(io::Error::other(
                "somebody changed what had arrived; it begins anew",
            ));
        }
        let mut file = opened?;
        if let Err(error) = file.write_all(block) {
            // A full disk takes half a block; shortening needs no room.
            file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += block.len() as u64;
        self.hasher.update(block);
        Ok(())
    }

    /// Brings all bytes to the disk; their hash.
    pub fn seal(&self) -> io::Result<Digest> {
        File::open(&self.path)?.sync_all()?;
        Ok(self.hasher.digest())
    }

    pub fn discard(&mut self) -> io::Result<()> {
        self.bytes = 0;
        self.hasher = Hasher::default();
        remove(&self.path)
    }
}

/// Removes what may be there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
