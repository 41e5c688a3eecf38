//! What keeps a data set from being written or read, always with the file that it is about.
//!
//! Not responsible for episodes that a data set leaves out: those are results ([`crate::shards`]), not errors.

use std::io;
use std::path::{Path, PathBuf};
use visuomotor_runtime::episode::EpisodeError;

#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{}: {reason}", path.display())]
    Content { path: PathBuf, reason: String },
    #[error(
        "{} holds `{name}` already and nothing is overwritten: choose another directory",
        directory.display()
    )]
    Taken { directory: PathBuf, name: String },
    #[error(
        "{} was begun from other files or with other options ({what}): repeat those, or choose another directory",
        directory.display()
    )]
    OtherPlan { directory: PathBuf, what: String },
    #[error("another program is writing to {}", directory.display())]
    Busy { directory: PathBuf },
    #[error("{0}")]
    Unusable(String),
    #[error("{}: {source}", path.display())]
    Episode { path: PathBuf, source: EpisodeError },
}

impl DatasetError {
    /// Whether what was given has to change; otherwise something failed on the way, and the same call goes on from there.
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::File { .. } | Self::Episode { .. })
    }

    pub(crate) fn content(path: &Path, reason: impl ToString) -> Self {
        Self::Content {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// For `map_err` on what touches `path`.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}
