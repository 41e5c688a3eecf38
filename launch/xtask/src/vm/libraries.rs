//! Which shared libraries a program needs to run elsewhere.
//!
//! Not responsible for what a program loads by name while it runs: whoever knows names it.

use super::at;
use crate::Failure;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's packages put libraries, below the root of a tree.
const FOLDERS: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    // libpulse's own, which QEMU's audio back end wants.
    "usr/lib/x86_64-linux-gnu/pulseaudio",
    "usr/lib",
];

/// For `LD_LIBRARY_PATH`: the libraries of these trees before the system's.
pub fn search_path(trees: &[&Path]) -> Result<std::ffi::OsString, Failure> {
    let folders = trees
        .iter()
        .flat_map(|tree| FOLDERS.iter().map(|folder| tree.join(folder)));
    env::join_paths(folders).map_err(|e| Failure::Unready(e.to_string()))
}

/// The loader and all libraries of a program or library, as paths on this machine; none for what is no dynamic ELF file.
pub fn needed(program: &Path, trees: &[&Path]) -> Result<Vec<PathBuf>, Failure> {
    if !is_elf(program)? {
        return Ok(Vec::new());
    }
    let output = Command::new("ldd")
        .arg(program)
        .env("LD_LIBRARY_PATH", search_path(trees)?)
        .output()
        .map_err(|e| Failure::Unready(format!("ldd: {e}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // What is linked statically has nothing to list.
        return Ok(Vec::new());
    }
    listed(&said).map_err(|library| {
        Failure::Unready(format!(
            "{}: its library {library} is not found",
            program.display()
        ))
    })
}

fn is_elf(path: &Path) -> Result<bool, Failure> {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut magic));
    read.map(|_| magic == *b"\x7fELF").map_err(|e| at(path, e))
}

/// From lines such as `name => /path (0x…)`, `/path (0x…)`, `linux-vdso.so.1 (0x…)`; the name of one that is missing.
fn listed(said: &str) -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for line in said.lines().map(str::trim) {
        let (name, found) = line.split_once(" => ").unwrap_or((line, line));
        if found.starts_with("not found") {
            return Err(name.to_owned());
        }
        let path = found.split(" (").next().unwrap_or(found);
        if path.starts_with('/') {
            paths.push(PathBuf::from(path));
        }
    }
    Ok(paths)
}

/// Where a file of this machine or of a tree belongs in a system of its own.
pub fn place(path: &Path, trees: &[&Path]) -> Result<PathBuf, Failure> {
    let inside = trees.iter().find_map(|tree| path.strip_prefix(tree).ok());
    let outside = inside.map_or_else(|| path.to_owned(), |inside| Path::new("/").join(inside));
    let (Some(folder), Some(name)) = (outside.parent(), outside.file_name()) else {
        return Err(Failure::Unready(format!("{}: no file", path.display())));
    };
    // /lib is a link to /usr/lib, as everywhere since Debian 12.
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let said = "\
\tlinux-vdso.so.1 (0x00007fff)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f6c)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f6d)";
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(listed(said).unwrap(), expected.map(PathBuf::from));
        assert_eq!(listed("\tliba.so => not found"), Err("liba.so".to_owned()));
    }

    #[test]
    fn this_very_program_needs_the_c_library() {
        let libraries = needed(&env::current_exe().unwrap(), &[]).unwrap();
        let names = libraries.iter().filter_map(|path| path.file_name());
        assert!(
            names.clone().any(|name| name == "libc.so.6"),
            "{libraries:?}"
        );
        let no_program = needed(Path::new("/etc/os-release"), &[]).unwrap();
        assert!(no_program.is_empty());
        assert!(needed(Path::new("/nowhere/program"), &[]).is_err());
    }

    #[test]
    fn what_lies_in_a_tree_belongs_at_the_root() {
        let tree = Path::new("/somewhere/tools");
        let placed = place(&tree.join("usr/sbin/ip"), &[tree]).unwrap();
        assert_eq!(placed, fs::canonicalize("/usr/sbin").unwrap().join("ip"));
    }
}
