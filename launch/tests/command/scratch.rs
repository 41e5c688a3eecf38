//! What the tests of the command share: the program, a directory of their own, and the shipped launch file in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const GOOD: &str = include_str!("../../robots/sim_iiwa14.toml");

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("launch/ lies in it")
}

pub fn urdf() -> PathBuf {
    repository().join("launch/robots/iiwa14.urdf")
}

/// Manifests with random weights and 80 x 80 images.
pub fn fixtures() -> PathBuf {
    repository().join("policies/tests/fixtures")
}

/// A directory that is empty at first and gone at last.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// The shipped launch file as it would stand in this directory.
    pub fn good(&self) -> String {
        let urdf = format!("urdf = {:?}", urdf());
        let record = format!("dir = {:?}", self.path("episodes"));
        changed(
            &changed(GOOD, "urdf = \"iiwa14.urdf\"", &urdf),
            "dir = \"../../episodes\"",
            &record,
        )
    }

    /// The same for the policy of a manifest with 80 x 80 images.
    pub fn with_policy(&self, manifest: &Path) -> String {
        let small = changed(&self.good(), "size_px = [64, 64]", "size_px = [80, 80]");
        // A fixture ends its episodes on its own word.
        let small = changed(&small, "hard_rules = true\n", "");
        let shipped = "manifest = \"../../policies/models/qtopt.toml\"";
        changed(&small, shipped, &format!("manifest = {manifest:?}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `text` with one thing changed that is there once.
pub fn changed(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replacen(from, to, 1)
}

pub fn visuomotor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_visuomotor"));
    command.env_remove("RUST_LOG");
    command
}

/// The words of `line`, with `{}` standing for the next of `paths`.
pub fn run(line: &str, paths: &[&Path]) -> Output {
    let mut paths = paths.iter();
    let mut command = visuomotor();
    for word in line.split_whitespace() {
        match word {
            "{}" => command.arg(paths.next().expect("a path for each {}")),
            word => command.arg(word),
        };
    }
    assert!(paths.next().is_none(), "a {{}} for each path");
    command.output().expect("the program starts")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
