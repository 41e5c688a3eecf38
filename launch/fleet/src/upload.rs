//! One file on its way: blocks and answers, until the collector has it, refuses it, or cannot be reached.
//!
//! Knows no network, only somebody who answers ([`Link`]). Not responsible for which file is next nor for waiting
//! ([`crate::forward`]): whatever happens, the next attempt asks the collector what it has and goes on from there.

use crate::BLOCK_BYTES_MAX;
use crate::message::{Answer, Offer};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The way to a collector.
pub trait Link {
    /// Asks, and waits a limited time for the answer.
    fn ask(&mut self, offer: &Offer, block: &[u8]) -> Result<Answer, Away>;
}

/// No answer came: the network, the collector, or the question's time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

#[derive(Debug)]
pub enum Outcome {
    Delivered {
        new: bool,
    },
    Refused {
        why: String,
        again: bool,
    },
    Away,
    /// The file cannot be read, or has become shorter.
    Unreadable(io::Error),
}

/// How large a block may be so that its answer comes in time: smaller after a question that nobody answered, larger
/// after each that somebody did. A slow or lossy network then carries small blocks, and a fast one few questions.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    block_bytes: usize,
}

const BLOCK_BYTES_MIN: usize = 8 << 10;

/// An honest collector corrects an offset once, and once more when somebody else sends the same file.
const CORRECTIONS_MAX: u32 = 8;

impl Default for Pace {
    fn default() -> Self {
        Self {
            block_bytes: 128 << 10,
        }
    }
}

impl Pace {
    fn answered(&mut self) {
        self.block_bytes = (self.block_bytes * 2).min(BLOCK_BYTES_MAX);
    }

    fn unanswered(&mut self) {
        self.block_bytes = (self.block_bytes / 2).max(BLOCK_BYTES_MIN);
    }
}

/// Sends what the collector does not have of the file. `offer` names it; its offset is not looked at. `sent` grows by the
/// bytes of every block, also of those that get lost.
pub fn upload(
    link: &mut impl Link,
    file: &File,
    offer: &Offer,
    pace: &mut Pace,
    sent: &mut u64,
) -> Outcome {
    let mut offer = Offer {
        offset: 0,
        ..offer.clone()
    };
    // The first block is empty: what does the collector have already?
    let mut block = Vec::new();
    let mut corrections = 0;
    loop {
        *sent += block.len() as u64;
        let answer = match link.ask(&offer, &block) {
            Ok(answer) => answer,
            Err(Away) => {
                pace.unanswered();
                return Outcome::Away;
            }
        };
        pace.answered();
        let wanted = match answer {
            Answer::Stored { new, .. } => return Outcome::Delivered { new },
            Answer::Refused { why, again } => return Outcome::Refused { why, again },
            Answer::Want(wanted) => wanted,
        };
        if wanted == offer.offset + block.len() as u64 && !block.is_empty() {
            corrections = 0;
        } else {
            corrections += 1;
        }
        if wanted > offer.bytes || corrections > CORRECTIONS_MAX {
            let why = "the collector wants what does not exist".to_owned();
            return Outcome::Refused { why, again: true };
        }
        offer.offset = wanted;
        let left = usize::try_from(offer.bytes - wanted).unwrap_or(usize::MAX);
        block.resize(left.min(pace.block_bytes), 0);
        if let Err(error) = file.read_exact_at(&mut block, wanted) {
            return Outcome::Unreadable(error);
        }
    }
}
