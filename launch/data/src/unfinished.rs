//! A directory in the making: whose it is, how far it is, and what of it is whole.
//!
//! Responsible for the journal (one JSON value a line; the first is the plan) and for files that have their name only when
//! they are whole and on the disk. A program that is killed at any point leaves a journal whose last line may be torn and
//! files that end in `.open`; both are dropped when the same plan is claimed again. Not responsible for what is in the files.

use crate::dataset_error::DatasetError;
use serde::Serialize;
use serde_json::Value;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Of the journal; a directory without it is finished, or none of ours.
pub const JOURNAL: &str = ".visuomotor-unfinished.jsonl";

#[derive(Debug)]
pub struct Unfinished {
    /// Locked for as long as it is open.
    journal: File,
    path: PathBuf,
    lines: Vec<Value>,
}

impl Unfinished {
    /// Begins in a directory that is empty or not there, or goes on in one that was begun with the same plan.
    ///
    /// # Errors
    /// When the directory holds anything else, or somebody else is at it.
    pub fn claim(directory: &Path, plan: &impl Serialize) -> Result<Self, DatasetError> {
        let path = directory.join(JOURNAL);
        let plan = to_value(&path, plan)?;
        fs::create_dir_all(directory).map_err(DatasetError::file("create", directory))?;
        if !path.exists()
            && let Some(name) = any_name(directory)?
        {
            return Err(DatasetError::Taken {
                directory: directory.to_owned(),
                name,
            });
        }
        let mut journal = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(DatasetError::file("open", &path))?;
        if let Err(TryLockError::WouldBlock) = journal.try_lock() {
            let directory = directory.to_owned();
            return Err(DatasetError::Busy { directory });
        }
        let mut text = Vec::new();
        journal
            .read_to_end(&mut text)
            .map_err(DatasetError::file("read", &path))?;
        let whole = text.iter().rposition(|&byte| byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        let mut lines = Vec::new();
        for line in text[..whole].split_inclusive(|&byte| byte == b'\n') {
            let line = serde_json::from_slice(line);
            lines.push(line.map_err(|error| DatasetError::content(&path, error))?);
        }
        let cut = journal.set_len(whole as u64);
        cut.and_then(|()| journal.seek(SeekFrom::End(0)).map(drop))
            .map_err(DatasetError::file("write", &path))?;
        let mut unfinished = Self {
            journal,
            path,
            lines: Vec::new(),
        };
        if lines.is_empty() {
            unfinished.append(&plan)?;
            unfinished.lines.clear();
        } else {
            let begun = lines.remove(0);
            if begun != plan {
                return Err(DatasetError::OtherPlan {
                    directory: directory.to_owned(),
                    what: difference(&begun, &plan),
                });
            }
            unfinished.lines = lines;
        }
        Ok(unfinished)
    }

    /// What was appended, the plan not among it.
    pub fn lines(&self) -> &[Value] {
        &self.lines
    }

    /// On the disk when it returns. Among [`Unfinished::lines`] it is what the text says, as it would be after an
    /// interruption: a number may lose its last bit on the way.
    pub fn append(&mut self, line: &impl Serialize) -> Result<(), DatasetError> {
        let unreadable = |error| DatasetError::content(&self.path, error);
        let text = serde_json::to_string(line).map_err(unreadable)?;
        let said = serde_json::from_str(&text).map_err(unreadable)?;
        let written = writeln!(self.journal, "{text}");
        written
            .and_then(|()| self.journal.sync_data())
            .map_err(DatasetError::file("write", &self.path))?;
        self.lines.push(said);
        Ok(())
    }

    /// The directory is whole: from here on nobody goes on with it.
    pub fn finish(self) -> Result<(), DatasetError> {
        fs::remove_file(&self.path).map_err(DatasetError::file("remove", &self.path))?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        sync_directory(directory)
    }
}

fn to_value(path: &Path, value: &impl Serialize) -> Result<Value, DatasetError> {
    serde_json::to_value(value).map_err(|error| DatasetError::content(path, error))
}

fn any_name(directory: &Path) -> Result<Option<String>, DatasetError> {
    let mut names = Vec::new();
    for entry in directory
        .read_dir()
        .map_err(DatasetError::file("read", directory))?
    {
        let entry = entry.map_err(DatasetError::file("read", directory))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.into_iter().next())
}

/// The names of what differs between two plans.
fn difference(begun: &Value, plan: &Value) -> String {
    let (Some(begun), Some(plan)) = (begun.as_object(), plan.as_object()) else {
        return "everything".to_owned();
    };
    let keys = begun.keys().chain(plan.keys());
    let mut keys: Vec<_> = keys
        .filter(|key| begun.get(*key) != plan.get(*key))
        .collect();
    keys.sort();
    keys.dedup();
    let keys: Vec<_> = keys.into_iter().map(String::as_str).collect();
    keys.join(", ")
}

/// A file that is being written; it has its name when [`OpenFile::close`] returns.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    open_path: PathBuf,
    pub path: PathBuf,
}

impl OpenFile {
    /// Makes the directories on the way too.
    pub fn create(path: PathBuf) -> Result<Self, DatasetError> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(DatasetError::file("create", directory))?;
        }
        let mut open_path = path.clone().into_os_string();
        open_path.push(".open");
        let open_path = PathBuf::from(open_path);
        let file = File::create(&open_path).map_err(DatasetError::file("create", &open_path))?;
        Ok(Self {
            file,
            open_path,
            path,
        })
    }

    pub fn close(self) -> Result<(), DatasetError> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.open_path, &self.path))
            .map_err(DatasetError::file("write", &self.path))?;
        sync_directory(self.path.parent().unwrap_or(Path::new(".")))
    }

    /// A small file at once.
    pub fn write(path: PathBuf, bytes: &[u8]) -> Result<(), DatasetError> {
        let mut open = Self::create(path)?;
        let written = open.file.write_all(bytes);
        written.map_err(DatasetError::file("write", &open.path))?;
        open.close()
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A new name is on the disk only when its directory is.
fn sync_directory(directory: &Path) -> Result<(), DatasetError> {
    let opened = File::open(directory);
    opened
        .and_then(|opened| opened.sync_all())
        .map_err(DatasetError::file("write", directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::TestDirectory;
    use serde_json::json;

    #[test]
    fn goes_on_after_whole_lines_only() {
        let directory = TestDirectory::new("unfinished");
        let path = directory.path().join("set");
        let plan = json!({"a": 1});
        let mut begun = Unfinished::claim(&path, &plan).unwrap();
        begun.append(&json!("first")).unwrap();
        begun.append(&json!("second")).unwrap();
        let busy = Unfinished::claim(&path, &plan).unwrap_err();
        assert!(matches!(busy, DatasetError::Busy { .. }), "{busy}");
        drop(begun);

        let journal = path.join(JOURNAL);
        let text = fs::read(&journal).unwrap();
        for length in (0..=text.len()).rev() {
            fs::write(&journal, &text[..length]).unwrap();
            let again = Unfinished::claim(&path, &plan).unwrap();
            let whole = text[..length].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(again.lines().len(), whole.saturating_sub(1), "{length}");
        }
        let other = Unfinished::claim(&path, &json!({"a": 2, "b": 1})).unwrap_err();
        assert!(other.to_string().contains("(a, b)"), "{other}");

        Unfinished::claim(&path, &plan).unwrap().finish().unwrap();
        fs::write(path.join("content"), "").unwrap();
        let taken = Unfinished::claim(&path, &plan).unwrap_err();
        assert!(taken.to_string().contains("`content`"), "{taken}");
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let directory = TestDirectory::new("unwritable");
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = OpenFile::write(file.join("a.json"), b"{}").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert!(Unfinished::claim(&file, &json!({})).is_err());
    }
}
