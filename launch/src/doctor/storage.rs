//! Whether the disk takes what a session records.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use visuomotor_runtime::clock::LinuxMono;
use visuomotor_runtime::realtime::Check;

/// What is written to measure, bytes.
const MEASURED: usize = 32 << 20;
/// 1 kHz of steps and 30 JPEG pictures of 640 x 480 a second, and as much again in reserve; bytes a second.
const NEEDED_PER_S: f64 = 6e6;

pub fn checks(directory: &Path) -> Vec<Check> {
    let written = measure(directory);
    vec![match written {
        Ok(bytes_per_s) => {
            let detail = format!(
                "{} takes {:.0} MB/s, a session needs {:.0}",
                directory.display(),
                bytes_per_s * 1e-6,
                NEEDED_PER_S * 1e-6
            );
            match bytes_per_s >= NEEDED_PER_S {
                true => Check::good("episode_disk", detail),
                false => Check::failed(
                    "episode_disk",
                    detail,
                    "let [episode] dir point to a faster disk, or record fewer or smaller pictures",
                ),
            }
        }
        Err((path, error)) => Check::failed(
            "episode_disk",
            format!("{} takes nothing: {error}", path.display()),
            "free space there, make it writable for this user, or let [episode] dir point elsewhere",
        ),
    }]
}

/// Bytes a second that reach the disk, measured by a file that is gone afterwards.
fn measure(directory: &Path) -> Result<f64, (PathBuf, io::Error)> {
    // Where the folder does not exist yet, it will be on the disk of its nearest parent.
    let existing = directory.ancestors().find(|folder| folder.is_dir());
    let folder = existing.unwrap_or(Path::new("."));
    let path = folder.join(format!(".visuomotor-doctor-{}", std::process::id()));
    let write = || -> io::Result<f64> {
        let mut file = File::create(&path)?;
        let block = vec![0xA5; 1 << 20];
        let before = LinuxMono::now();
        for _ in 0..MEASURED / block.len() {
            file.write_all(&block)?;
        }
        file.sync_data()?;
        let took_s = (LinuxMono::now() - before).as_nanos() as f64 * 1e-9;
        Ok(MEASURED as f64 / took_s)
    };
    let measured = write();
    let _ = fs::remove_file(&path);
    measured.map_err(|error| (folder.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_and_left_as_it_was() {
        let folder = std::env::temp_dir().join(format!("visuomotor-disk-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // A folder that does not exist yet is judged by its parent.
        assert!(measure(&folder.join("episodes/today")).unwrap() > 0.0);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
        let refused = &checks(Path::new("/proc/episodes"))[0];
        assert!(!refused.ok && refused.detail.contains("/proc"), "{refused}");
    }
}
