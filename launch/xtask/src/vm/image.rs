//! The first file system of a VM: programs, modules, and the very files that its tests ask for, all in memory.
//!
//! Nothing is fetched from the host once the VM runs: where the clock counts instructions, waiting for the host would
//! let time leap. Files appear at the paths that they have here, so that libraries are found as on this machine.

use super::catalogue::Boot;
use super::cpio::Archive;
use super::modules::{Modules, name_of};
use super::setup::{Kernel, Setup};
use super::{at, libraries};
use crate::Failure;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// The first process of the VM.
const INIT: &str = include_str!("init.sh");

/// Writes the archive for one boot; its size in bytes.
pub fn write(
    path: &Path,
    setup: &Setup,
    kernel: &Kernel,
    boot: &Boot,
    program: &Path,
) -> Result<u64, Failure> {
    let file = File::create(path).map_err(|e| at(path, e))?;
    let mut image = Image {
        archive: Archive::new(BufWriter::new(file)),
        path,
        trees: vec![&setup.tools],
    };
    image.base()?;
    for tool in ["busybox", "ip", "setserial"] {
        image.program(&setup.tools.join("bin").join(tool))?;
    }
    image.modules(kernel, boot)?;
    image.program(program)?;
    for file in &boot.files {
        image.whole(&crate::root().join(file))?;
    }
    let names: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
    let settings = [
        ("/vm/tests", names.join("\n") + "\n"),
        ("/vm/root", format!("{}\n", crate::root().display())),
        ("/vm/program", format!("{}\n", program.display())),
        ("/init", INIT.to_owned()),
    ];
    for (name, text) in settings {
        image.text(name, &text)?;
    }
    image.archive.finish().map_err(|e| at(path, e))?;
    fs::metadata(path)
        .map(|about| about.len())
        .map_err(|e| at(path, e))
}

struct Image<'a> {
    archive: Archive<BufWriter<File>>,
    path: &'a Path,
    /// Trees whose contents belong at the root.
    trees: Vec<&'a Path>,
}

impl Image<'_> {
    fn base(&mut self) -> Result<(), Failure> {
        for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"] {
            let (_, link) = folder.split_at("usr/".len());
            let folder_made = self.archive.folder(&Path::new("/").join(folder));
            folder_made.map_err(|e| at(self.path, e))?;
            let linked = self.archive.link(&Path::new("/").join(link), folder);
            linked.map_err(|e| at(self.path, e))?;
        }
        for folder in ["/dev", "/proc", "/sys", "/tmp", "/run", "/etc"] {
            let made = self.archive.folder(Path::new(folder));
            made.map_err(|e| at(self.path, e))?;
        }
        let root = self.archive.folder(&crate::root());
        root.map_err(|e| at(self.path, e))?;
        let shell = self.archive.link(Path::new("/usr/bin/sh"), "busybox");
        shell.map_err(|e| at(self.path, e))
    }

    fn modules(&mut self, kernel: &Kernel, boot: &Boot) -> Result<(), Failure> {
        let modules = Modules::below(&kernel.modules())?;
        let mut order = Vec::new();
        let mut parameters = Vec::new();
        let wanted = boot.devices.iter().flat_map(|device| device.modules());
        for (name, with) in wanted {
            modules.append(name, &mut order)?;
            parameters.push((name.replace('-', "_"), *with));
        }
        let mut lines = String::new();
        for module in &order {
            let name = name_of(module);
            let given = parameters.iter().find(|(of, _)| *of == name);
            lines += &format!("{name}.ko {}\n", given.map_or("", |(_, with)| with));
            self.copy(&Path::new("/vm/modules").join(format!("{name}.ko")), module)?;
        }
        self.text("/vm/order", &lines)
    }

    /// A program or library with all libraries that it is linked to.
    fn program(&mut self, program: &Path) -> Result<(), Failure> {
        let libraries = libraries::needed(program, &self.trees)?;
        for file in std::iter::once(program.to_owned()).chain(libraries) {
            let place = libraries::place(&file, &self.trees)?;
            self.copy(&place, &file)?;
        }
        Ok(())
    }

    /// A file, or a folder with everything in it.
    fn whole(&mut self, path: &Path) -> Result<(), Failure> {
        // A library's short name is a link to its neighbour.
        let target = fs::read_link(path).ok();
        let neighbour = target
            .as_ref()
            .and_then(|t| t.to_str())
            .filter(|t| !t.contains('/'));
        if let (Some(name), false) = (neighbour, path.is_dir()) {
            let place = libraries::place(path, &self.trees)?;
            let linked = self.archive.link(&place, name);
            linked.map_err(|e| at(path, e))?;
            return self.program(&path.with_file_name(name));
        }
        if !path.is_dir() {
            return self.program(path);
        }
        let entries = fs::read_dir(path).map_err(|e| at(path, e))?;
        let mut entries: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()).map_err(|e| at(path, e)))
            .collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries {
            self.whole(&entry)?;
        }
        Ok(())
    }

    fn copy(&mut self, place: &Path, from: &Path) -> Result<(), Failure> {
        self.archive.copy(place, from).map_err(|e| at(from, e))
    }

    fn text(&mut self, place: &str, text: &str) -> Result<(), Failure> {
        let written = self.archive.text(Path::new(place), text, 0o755);
        written.map_err(|e| at(self.path, e))
    }
}
