//! Episodes of many robots on their way to one place.
//!
//! The process that moves an arm knows no network: it writes files. [`forward`] runs beside it, reads these files and
//! sends them; [`collect`] runs where they are wanted and keeps them. The robot's disk is the queue between the two, so
//! that nothing is lost while the network or the collector is away, and everything arrives once.
//!
//! Start at [`message`], which is all that the two say to each other. [`upload`] and [`inbox`] are its two ends, and know
//! no network either: a test joins them directly. Not responsible for what is in an episode, beyond whether it is whole.

pub mod archive;
pub mod collect;
mod delivered;
pub mod digest;
mod follow;
pub mod forward;
pub mod inbox;
mod live;
pub mod message;
pub mod name;
pub mod network;
mod outbox;
mod partial;
#[cfg(test)]
mod scratch;
pub mod shelf;
pub mod stop;
pub mod upload;

pub use stop::Stop;

use std::io;
use std::path::{Path, PathBuf};

/// The longest episode that a collector takes, bytes. At 1 MB/s that is eighteen hours.
pub const EPISODE_BYTES_MAX: u64 = 64 << 30;

/// The largest block of an episode that travels at once, bytes. Memory on both sides is a small multiple of it.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;

/// What keeps a forwarder or a collector from working at all. What passes by itself is not among these: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("{}: {doing}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{}: another process is already at work there", .0.display())]
    Busy(PathBuf),
    #[error("network: {0}")]
    Network(String),
    #[error("object store: {0}")]
    Store(String),
}

/// Says what was done to which file when it failed.
fn at<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> FleetError + use<'a> {
    move |source| FleetError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}
