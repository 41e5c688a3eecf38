//! What a VM is made of: QEMU, kernels, the loopback camera's module, a few programs. All of it lies in `target/vm`.
//!
//! Responsible for having it, from packages. Not responsible for what a single VM gets of it.

use super::packages::{self, Wanted};
use super::{Flavour, at, libraries};
use crate::{Failure, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const QEMU: &str = "qemu-system-x86";
const PROGRAMS: &str = "iproute2 make";
/// Programs that need nothing but the C library (and, to be configured while installed, more).
const ALONE: &str = "busybox-static setserial";
const LOOPBACK: &str = "v4l2loopback-dkms";

/// Everything, ready to boot.
#[derive(Debug)]
pub struct Setup {
    pub cache: PathBuf,
    pub qemu: PathBuf,
    /// The tree with busybox, `ip`, `setserial` and `make`.
    pub tools: PathBuf,
    pub kernels: Vec<Kernel>,
    /// Name, version, SHA-256 of every package, a line each.
    pub packages: String,
}

#[derive(Debug)]
pub struct Kernel {
    pub flavour: Flavour,
    /// As `uname -r` says it.
    pub release: String,
    pub tree: PathBuf,
}

impl Kernel {
    pub fn image(&self) -> PathBuf {
        self.tree
            .join("boot")
            .join(format!("vmlinuz-{}", self.release))
    }

    /// The kernel's own, and the loopback camera's.
    pub fn modules(&self) -> PathBuf {
        self.tree.join("lib/modules").join(&self.release)
    }

    fn loopback(&self) -> PathBuf {
        self.modules().join("v4l2loopback.ko")
    }
}

/// Why this machine cannot, if so. Recipes and names are those of Debian 12 on a PC.
pub fn obstacle() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if std::env::consts::ARCH != "x86_64" || !release.contains("VERSION_CODENAME=bookworm") {
        return Some("the VM is built from packages of Debian 12 for x86_64".to_owned());
    }
    for (program, argument) in [
        ("apt-get", "--version"),
        ("dpkg-deb", "--version"),
        ("ldd", "--version"),
        ("setpriv", "--version"),
        ("gcc", "--version"),
    ] {
        if !process::succeeds(program, &[argument]) {
            return Some(format!("there is no {program}"));
        }
    }
    None
}

/// Finds or makes it.
pub fn provide(cache: &Path, flavours: &[Flavour]) -> Result<Setup, Failure> {
    let words = |names: &str| names.split(' ').map(str::to_owned).collect();
    let qemu = packages::provide(cache, "qemu", QEMU, || {
        Ok(Wanted {
            with_dependencies: words(QEMU),
            alone: Vec::new(),
        })
    })?;
    let tools = packages::provide(cache, "tools", &format!("{PROGRAMS} {ALONE}"), || {
        Ok(Wanted {
            with_dependencies: words(PROGRAMS),
            alone: words(ALONE),
        })
    })?;
    let mut setup = Setup {
        cache: cache.to_owned(),
        packages: packages::origin(&qemu)? + &packages::origin(&tools)?,
        qemu,
        tools,
        kernels: Vec::new(),
    };
    for flavour in flavours {
        let kernel = kernel(cache, *flavour)?;
        setup.packages += &packages::origin(&kernel.tree)?;
        if !kernel.loopback().is_file() {
            build_loopback(&setup, &kernel)?;
        }
        setup.kernels.push(kernel);
    }
    let mut lines: Vec<&str> = setup.packages.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    setup.packages = lines.join("\n") + "\n";
    let list = cache.join("PACKAGES");
    fs::write(&list, &setup.packages).map_err(|e| at(&list, e))?;
    Ok(setup)
}

fn kernel(cache: &Path, flavour: Flavour) -> Result<Kernel, Failure> {
    let purpose = format!("{} {LOOPBACK}", flavour.package());
    let tree = packages::provide(
        cache,
        &format!("kernel-{}", flavour.name()),
        &purpose,
        || {
            // The package without a version depends on the newest one.
            let newest = |package: &str, beginning: &str| -> Result<Vec<String>, Failure> {
                let mut names = packages::dependencies(package)?;
                names.retain(|name| name.starts_with(beginning));
                match names.is_empty() {
                    true => Err(Failure::Unready(format!("{package} names no {beginning}"))),
                    false => Ok(names),
                }
            };
            let image = newest(flavour.package(), "linux-image-")?.swap_remove(0);
            let headers = image.replace("linux-image-", "linux-headers-");
            let mut alone = newest(&headers, "linux-headers-")?;
            let with_dependencies = newest(&headers, "linux-kbuild-")?;
            alone.extend([image, headers, LOOPBACK.to_owned()]);
            Ok(Wanted {
                with_dependencies,
                alone,
            })
        },
    )?;
    let modules = tree.join("lib/modules");
    let release = only_entry(&modules)?;
    Ok(Kernel {
        flavour,
        release,
        tree,
    })
}

/// Builds the module of the loopback camera, which Debian only ships as source.
fn build_loopback(setup: &Setup, kernel: &Kernel) -> Result<(), Failure> {
    println!("vm: building v4l2loopback for {}", kernel.release);
    let sources = kernel.tree.join("usr/src");
    let headers = sources.join(format!("linux-headers-{}", kernel.release));
    let common = find(&sources, |name| name.contains("-common"))?;
    // As packaged, it names the folder in which it would be installed.
    let makefile = headers.join("Makefile");
    let include = format!("include {}/Makefile\n", common.display());
    fs::write(&makefile, include).map_err(|e| at(&makefile, e))?;
    let folder = find(&sources, |name| name.starts_with("v4l2loopback-"))?;
    let kbuild = folder.join("Kbuild");
    fs::write(&kbuild, "obj-m := v4l2loopback.o\n").map_err(|e| at(&kbuild, e))?;

    let own = setup.tools.join("usr/bin/make");
    let mut make = Command::new(own);
    make.arg("--silent").arg("-C").arg(&headers);
    // Debian names the compiler of its kernels by its version.
    make.arg(format!("M={}", folder.display()))
        .args(["CC=gcc", "modules"]);
    make.env(
        "LD_LIBRARY_PATH",
        libraries::search_path(&[&kernel.tree, &setup.tools])?,
    );
    process::run(&mut make)?;
    let built = folder.join("v4l2loopback.ko");
    fs::rename(&built, kernel.loopback()).map_err(|e| at(&built, e))
}

fn find(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf, Failure> {
    for entry in fs::read_dir(folder).map_err(|e| at(folder, e))? {
        let entry = entry.map_err(|e| at(folder, e))?;
        if wanted(&entry.file_name().to_string_lossy()) {
            return Ok(entry.path());
        }
    }
    let text = format!("{}: what should be there is not", folder.display());
    Err(Failure::Unready(text))
}

fn only_entry(folder: &Path) -> Result<String, Failure> {
    let path = find(folder, |_| true)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(name.into_owned())
}
