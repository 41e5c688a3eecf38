//! Why a policy did not open: start-up errors that name file and place, and say what to do.

use std::path::PathBuf;

/// A place in a configuration file, printed as `file:line: field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    pub field: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.field)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PolicyOpenError {
    #[error("cannot read {}: {source}; {advice}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
        advice: String,
    },

    #[error("{}: {source}", path.display())]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },

    #[error("{place}: {problem}")]
    Field { place: Box<Place>, problem: String },

    #[error("[policy] {field}: {problem}")]
    Config {
        field: &'static str,
        problem: String,
    },

    #[error("{} is not a whole ONNX file ({problem}): it was cut off or damaged; restore or export it again", path.display())]
    Damaged {
        path: PathBuf,
        problem: &'static str,
    },

    #[error(
        "{place}: {} has sha256 {found}, the manifest says {expected}: the two do not belong together; \
         restore the file, or write the manifest again if the file was changed on purpose",
        file.display()
    )]
    Hash {
        place: Box<Place>,
        file: PathBuf,
        expected: String,
        found: String,
    },

    #[error("{place}: {} has opset {found}, the manifest says {expected}: export it again with the manifest's opset", file.display())]
    Opset {
        place: Box<Place>,
        file: PathBuf,
        expected: i64,
        found: i64,
    },

    #[error("{}: ONNX Runtime refuses the graph: {problem}", path.display())]
    Graph { path: PathBuf, problem: String },

    #[error("{place}: {} has {found}, the manifest says {expected}: export both again together", file.display())]
    Tensor {
        place: Box<Place>,
        file: PathBuf,
        expected: String,
        found: String,
    },

    #[error(
        "{place}: candidate {candidate} gives {found}, expected {expected} within {tolerance}: the graphs compute \
         something else here than where they were exported; check the ONNX Runtime version and export again"
    )]
    SelfTest {
        place: Box<Place>,
        candidate: usize,
        expected: f32,
        found: f32,
        tolerance: f32,
    },

    #[error(transparent)]
    Library(#[from] crate::session::LibraryError),
}
