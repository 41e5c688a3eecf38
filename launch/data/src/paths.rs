//! Which files a command means that is given files and directories.
//!
//! Not responsible for what is in them.

use std::io;
use std::path::{Path, PathBuf};

/// A finished episode's name ends so; one that is being written, or was left behind, has [`OPEN`] after it.
pub const FINISHED: &str = ".mcap";
pub const OPEN: &str = ".mcap.open";

/// The files themselves, and what lies in the directories and in all below them: finished episodes, and open ones too where
/// `with_open`. In the order of the arguments, by name within a directory; a file that is named twice comes once.
///
/// # Errors
/// Names the path that cannot be read.
pub fn episodes(paths: &[PathBuf], with_open: bool) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = path.metadata().map_err(|error| (path.clone(), error))?;
        if metadata.is_dir() {
            below(path, with_open, &mut found)?;
        } else if !metadata.is_file() {
            // Opening a pipe would wait for whoever writes into it.
            let error = io::Error::other("neither a file nor a directory");
            return Err((path.clone(), error));
        } else if !found.contains(path) {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn below(
    directory: &Path,
    with_open: bool,
    found: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    let mut entries = Vec::new();
    for entry in directory.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        // A link counts as what it leads to, but no link leads to further directories: it may lead back here.
        let is_file = entry.path().metadata().is_ok_and(|found| found.is_file());
        entries.push((entry.path(), kind.is_dir(), is_file));
    }
    entries.sort();
    for (path, is_directory, is_file) in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_episode = name.ends_with(FINISHED) || (with_open && name.ends_with(OPEN));
        if is_directory && !name.starts_with('.') {
            below(&path, with_open, found)?;
        } else if is_file && is_episode && !found.contains(&path) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn directories_give_their_episodes_and_files_themselves() {
        let root = std::env::temp_dir().join(format!("visuomotor-paths-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("b/.hidden")).unwrap();
        for name in [
            "c.mcap",
            "a.mcap",
            "a.txt",
            "d.mcap.open",
            "b/e.mcap",
            "b/.hidden/f.mcap",
        ] {
            fs::write(root.join(name), "").unwrap();
        }
        let names = |with_open, paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
            let found = episodes(&paths, with_open).unwrap();
            let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            found.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(false, &["."]), ["a.mcap", "b/e.mcap", "c.mcap"]);
        assert_eq!(
            names(true, &["b", "c.mcap", "a.txt"]),
            ["b/e.mcap", "c.mcap", "a.txt"]
        );
        assert!(names(true, &["."]).contains(&"d.mcap.open".to_owned()));
        let missing = episodes(&[root.join("nowhere")], false).unwrap_err();
        assert_eq!(missing.0, root.join("nowhere"));
        fs::remove_dir_all(root).unwrap();
    }
}
