//! The archive that a kernel unpacks as its first file system: cpio in the "newc" format (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Responsible for the format and for naming every folder before what lies in it. Not responsible for what goes in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive that is being written. A path that was given before is left out: the first one counts.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    entries: u32,
    seen: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            entries: 0,
            seen: BTreeSet::new(),
        }
    }

    /// An absolute path, and all folders above it.
    pub fn folder(&mut self, path: &Path) -> io::Result<()> {
        for folder in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if self.is_new(folder)? {
                self.entry(folder, FOLDER | 0o755, &mut io::empty(), 0)?;
            }
        }
        Ok(())
    }

    pub fn link(&mut self, path: &Path, target: &str) -> io::Result<()> {
        if self.enter(path)? {
            let bytes = target.as_bytes();
            self.entry(path, LINK | 0o777, &mut &*bytes, bytes.len())?;
        }
        Ok(())
    }

    pub fn text(&mut self, path: &Path, text: &str, mode: u32) -> io::Result<()> {
        if self.enter(path)? {
            let bytes = text.as_bytes();
            self.entry(path, REGULAR | mode, &mut &*bytes, bytes.len())?;
        }
        Ok(())
    }

    /// The file at `from`, or what it points at, as `path`.
    pub fn copy(&mut self, path: &Path, from: &Path) -> io::Result<()> {
        if self.enter(path)? {
            let mut file = File::open(from)?;
            let metadata = file.metadata()?;
            let mode = metadata.permissions().mode() & 0o777;
            let length = usize::try_from(metadata.len()).map_err(io::Error::other)?;
            self.entry(path, REGULAR | mode, &mut file, length)?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.entry(Path::new("/TRAILER!!!"), 0, &mut io::empty(), 0)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn enter(&mut self, path: &Path) -> io::Result<bool> {
        let is_new = self.is_new(path)?;
        if let (true, Some(parent)) = (is_new, path.parent()) {
            self.folder(parent)?;
        }
        Ok(is_new)
    }

    fn is_new(&mut self, path: &Path) -> io::Result<bool> {
        let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(plain) {
            let text = format!("{}: not absolute and plain", path.display());
            return Err(io::Error::other(text));
        }
        Ok(path != Path::new("/") && self.seen.insert(path.to_owned()))
    }

    fn entry(
        &mut self,
        path: &Path,
        mode: u32,
        mut data: &mut dyn Read,
        length: usize,
    ) -> io::Result<()> {
        self.entries += 1;
        let name = path.to_str().and_then(|path| path.strip_prefix('/'));
        let name = name.ok_or_else(|| io::Error::other(format!("{path:?}: not UTF-8")))?;
        let size = u32::try_from(length).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // Inode, mode, owner, group, links, time, size, four numbers of devices, length of the name, checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08x}")?;
        }
        write!(self.out, "{name}\0")?;
        self.pad(6 + 8 * fields.len() + name.len() + 1)?;
        let copied = io::copy(&mut (&mut data).take(length as u64), &mut self.out)?;
        if copied != length as u64 {
            return Err(io::Error::other(format!(
                "{name}: shrank while it was copied"
            )));
        }
        self.pad(length)
    }

    /// Everything begins at a multiple of four bytes.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        let zeros = [0; 3];
        self.out
            .write_all(&zeros[..length.next_multiple_of(4) - length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and data, read back by the format's rules.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |i: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * i..14 + 8 * i]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..109 + name_size].to_vec()).unwrap();
            let data = (110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                return entries;
            }
            entries.push((name, mode, bytes[data..data + size].to_vec()));
            bytes = &bytes[(data + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn folders_come_first_and_nothing_twice() {
        let mut archive = Archive::new(Vec::new());
        archive.text(Path::new("/usr/bin/a"), "abc", 0o755).unwrap();
        archive
            .text(Path::new("/usr/bin/a"), "again", 0o755)
            .unwrap();
        archive.link(Path::new("/bin"), "usr/bin").unwrap();
        archive.folder(Path::new("/usr/lib")).unwrap();
        let entries = read(&archive.finish().unwrap());
        let expected: [(&str, u32, &[u8]); 5] = [
            ("usr", 0o040_755, b""),
            ("usr/bin", 0o040_755, b""),
            ("usr/bin/a", 0o100_755, b"abc"),
            ("bin", 0o120_777, b"usr/bin"),
            ("usr/lib", 0o040_755, b""),
        ];
        let expected = expected.map(|(name, mode, data)| (name.to_owned(), mode, data.to_vec()));
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let mut archive = Archive::new(Vec::new());
        for path in ["usr/bin/a", "/usr/../a"] {
            assert!(archive.text(Path::new(path), "", 0o644).is_err(), "{path}");
        }
    }
}
