//! A file that has its final name only when it is whole and on the disk. While somebody writes it, it is locked: an open
//! file without a lock was left behind by a program that is no more.

use super::EpisodeError;
use super::writer::Disk;
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Written under `NAME.open` until [`EpisodeFile::commit`]; left there if that never comes.
#[derive(Debug)]
pub struct EpisodeFile {
    file: File,
    path: PathBuf,
    open_path: PathBuf,
}

impl EpisodeFile {
    /// # Errors
    /// If either name is taken (an `.open` file may be all that is left of an episode), or the directory refuses.
    pub fn create(path: &Path) -> Result<Self, EpisodeError> {
        let mut open_path = path.to_owned().into_os_string();
        open_path.push(".open");
        let open_path = PathBuf::from(open_path);
        if path.exists() {
            return Err(EpisodeError::Exists {
                path: path.to_owned(),
            });
        }
        let file = File::create_new(&open_path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => EpisodeError::Exists {
                path: open_path.clone(),
            },
            _ => EpisodeError::File {
                doing: "create",
                path: open_path.clone(),
                source,
            },
        })?;
        // A file system without locks leaves it to its readers to look whether the file still grows.
        let _ = file.try_lock();
        Ok(Self {
            file,
            path: path.to_owned(),
            open_path,
        })
    }

    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.open_path.display())))
    }
}

/// Whether somebody is writing the file at this moment.
pub fn is_being_written(path: &Path) -> io::Result<bool> {
    match File::open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Disk for EpisodeFile {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let result = self.file.set_len(length);
        self.named(result)?;
        let end = self.file.seek(SeekFrom::End(0)).map(drop);
        self.named(end)
    }

    /// Brings everything to the disk, then gives the file its final name.
    fn commit(self: Box<Self>) -> Result<(), EpisodeError> {
        let Self {
            file,
            path,
            open_path,
        } = *self;
        let error = |doing| {
            let path = open_path.clone();
            move |source| EpisodeError::File {
                doing,
                path,
                source,
            }
        };
        file.sync_all().map_err(error("sync"))?;
        fs::rename(&open_path, &path).map_err(error("rename"))?;
        // The new name is on the disk only when its directory is.
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(error("sync the directory of"))
    }
}

impl Write for EpisodeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        self.named(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.named(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("visuomotor-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        directory
    }

    #[test]
    fn has_its_name_only_after_commit() {
        let directory = directory("commit");
        let path = directory.join("a.mcap");
        let mut file = EpisodeFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists() && directory.join("a.mcap.open").exists());
        let open = directory.join("a.mcap.open");
        assert!(is_being_written(&open).unwrap());
        file.truncate(1).unwrap();
        file.write_all(b"hole").unwrap();
        Box::new(file).commit().unwrap();
        assert!(!is_being_written(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(!directory.join("a.mcap.open").exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn never_overwrites() {
        let directory = directory("exists");
        for name in ["a.mcap", "b.mcap.open"] {
            fs::write(directory.join(name), b"precious").unwrap();
        }
        for name in ["a.mcap", "b.mcap"] {
            let error = EpisodeFile::create(&directory.join(name)).unwrap_err();
            assert!(
                matches!(error, EpisodeError::Exists { .. }),
                "{name}: {error}"
            );
        }
        let error = EpisodeFile::create(&directory.join("missing/c.mcap"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("missing/c.mcap.open"), "{error}");
        fs::remove_dir_all(directory).unwrap();
    }
}
