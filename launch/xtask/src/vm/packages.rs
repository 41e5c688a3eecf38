//! Debian packages, unpacked into folders of our own: nothing is installed.
//!
//! Interrupted anywhere, it resumes: a package that is there and whole is not fetched again, and a tree appears under its
//! name only when all of it is unpacked. Done, it needs no network and stays what it is until its folder is removed.

use super::at;
use crate::wheel::sha256;
use crate::{Failure, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// What a tree is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These, and whatever they depend on that this machine lacks.
    pub with_dependencies: Vec<String>,
    /// These alone.
    pub alone: Vec<String>,
}

/// Says what a tree was made of; lies in it.
const ORIGIN: &str = "ORIGIN";

/// The tree `name` in `cache`, made for this `purpose`. What packages that takes is only asked where there is none.
pub fn provide(
    cache: &Path,
    name: &str,
    purpose: &str,
    wanted: impl FnOnce() -> Result<Wanted, Failure>,
) -> Result<PathBuf, Failure> {
    let tree = cache.join(name);
    let first = format!("# {purpose}\n");
    if fs::read_to_string(tree.join(ORIGIN)).is_ok_and(|text| text.starts_with(&first)) {
        return Ok(tree);
    }
    refresh_once();
    let wanted = wanted()?;
    let mut names = lacking(&wanted.with_dependencies)?;
    names.extend(wanted.with_dependencies);
    names.extend(wanted.alone);
    names.sort();
    names.dedup();
    let packages = described(&names)?;
    println!("vm: fetching {} packages for {name}", packages.len());
    let debs = cache.join("debs");
    download(&debs, &packages)?;

    let partial = cache.join(format!("{name}.partial"));
    super::remove_tree(&partial)?;
    fs::create_dir_all(&partial).map_err(|e| at(&partial, e))?;
    for package in &packages {
        let deb = debs.join(&package.file);
        process::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&partial))?;
    }
    let origin: String = packages.iter().map(Package::line).collect();
    fs::write(partial.join(ORIGIN), first + &origin).map_err(|e| at(&partial, e))?;
    super::remove_tree(&tree)?;
    fs::rename(&partial, &tree).map_err(|e| at(&tree, e))?;
    for package in &packages {
        let deb = debs.join(&package.file);
        fs::remove_file(&deb).map_err(|e| at(&deb, e))?;
    }
    Ok(tree)
}

/// What the tree was made of: lines of name, version, SHA-256.
pub fn origin(tree: &Path) -> Result<String, Failure> {
    let path = tree.join(ORIGIN);
    let text = fs::read_to_string(&path).map_err(|e| at(&path, e))?;
    let (_, packages) = text.split_once('\n').unwrap_or_default();
    Ok(packages.to_owned())
}

/// The packages that this one depends on directly.
pub fn dependencies(package: &str) -> Result<Vec<String>, Failure> {
    let said = said_by(Command::new("apt-cache").args(["depends", package]))?;
    let names = said.lines().filter_map(|line| {
        let name = line
            .trim_start_matches([' ', '|'])
            .strip_prefix("Depends: ")?;
        Some(name.trim().to_owned())
    });
    Ok(names.collect())
}

/// Lists of packages age: the mirror no longer has what an old list names.
fn refresh_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        println!("vm: apt-get update");
        if !process::succeeds("apt-get", &["-qq", "update"]) {
            println!("vm: the lists of packages stay as they are (that takes root and a mirror)");
        }
    });
}

/// What would have to be installed for these.
fn lacking(roots: &[String]) -> Result<Vec<String>, Failure> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = ["-s", "install", "-y", "--no-install-recommends"];
    let said = said_by(Command::new("apt-get").args(arguments).args(roots))?;
    Ok(to_install(&said))
}

/// New packages only: an upgrade of one that is there (`Inst name [old] (new …)`) is not needed, and a second C library
/// beside the system's would not even start.
fn to_install(said: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| {
        let mut words = line.strip_prefix("Inst ")?.split(' ');
        let name = words.next()?;
        words.next()?.starts_with('(').then(|| name.to_owned())
    });
    lines.collect()
}

/// A package as the mirror has it.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    file: String,
    sha256: String,
}

impl Package {
    /// From `'URI' FILE SIZE SHA256:HASH`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let file = words.next()?.to_owned();
        let sha256 = words.nth(1)?.strip_prefix("SHA256:")?.to_owned();
        Some(Self { file, sha256 })
    }

    /// Files are named `NAME_VERSION_ARCHITECTURE.deb`, with the colon of a version as `%3a`.
    fn line(&self) -> String {
        let mut parts = self.file.splitn(3, '_');
        let (name, version) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        format!("{name} {} {}\n", version.replace("%3a", ":"), self.sha256)
    }
}

fn described(names: &[String]) -> Result<Vec<Package>, Failure> {
    let arguments = ["-qq", "--print-uris", "download"];
    let said = said_by(Command::new("apt-get").args(arguments).args(names))?;
    let packages: Vec<Package> = said.lines().filter_map(Package::parse).collect();
    if packages.len() == names.len() {
        return Ok(packages);
    }
    Err(Failure::Unready(format!(
        "apt-get describes {} of {} packages ({})",
        packages.len(),
        names.len(),
        names.join(" ")
    )))
}

/// Fetches what is not yet there and whole.
fn download(debs: &Path, packages: &[Package]) -> Result<(), Failure> {
    fs::create_dir_all(debs).map_err(|e| at(debs, e))?;
    let is_whole = |package: &&Package| {
        sha256(&debs.join(&package.file)).is_ok_and(|found| found == package.sha256)
    };
    let missing: Vec<_> = packages.iter().filter(|p| !is_whole(p)).collect();
    let names = missing
        .iter()
        .map(|p| p.file.split('_').next().unwrap_or(""));
    let mut command = Command::new("apt-get");
    // As the calling user: the one that apt-get changes to may not write here.
    command.args(["-qq", "-o", "APT::Sandbox::User=root", "download"]);
    command.args(names).current_dir(debs);
    if !missing.is_empty() {
        process::run(&mut command).map_err(unready)?;
    }
    match missing.iter().find(|p| !is_whole(p)) {
        None => Ok(()),
        Some(package) => Err(Failure::Unready(format!(
            "{} did not arrive whole: its SHA-256 is not the mirror's own {}",
            package.file, package.sha256
        ))),
    }
}

/// What a command printed, in English.
fn said_by(command: &mut Command) -> Result<String, Failure> {
    let output = command.env("LC_ALL", "C").output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let line = process::line(command);
            return Err(Failure::Unready(format!("{line}: {error}")));
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = process::line(command);
    Err(Failure::Unready(format!("{line}: {}", said.trim())))
}

/// No package from here is no verdict on the code.
fn unready(failure: Failure) -> Failure {
    let (Failure::Unready(text) | Failure::FellShort(text)) = failure;
    Failure::Unready(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrades_are_left_out() {
        let said = "\
Reading package lists...
Inst libfdt1 (1.6.1-4+b1 Debian:12.14/oldstable [amd64])
Inst libc6 [2.36-9] (2.36-10 Debian:12.14/oldstable [amd64]) []
Inst qemu-system-x86 (1:7.2+dfsg-7 Debian:12.14/oldstable [amd64])
Conf libfdt1 (1.6.1-4+b1 Debian:12.14/oldstable [amd64])";
        assert_eq!(to_install(said), ["libfdt1", "qemu-system-x86"]);
    }

    #[test]
    fn packages_are_read_from_what_apt_prints() {
        let line = "'http://a/pool/q_1%3a7.2.deb' qemu-system-x86_1%3a7.2+b2_amd64.deb 9276412 SHA256:e813";
        let package = Package::parse(line).unwrap();
        assert_eq!(package.file, "qemu-system-x86_1%3a7.2+b2_amd64.deb");
        assert_eq!(package.line(), "qemu-system-x86 1:7.2+b2 e813\n");
        assert_eq!(Package::parse("Reading package lists..."), None);
    }

    #[test]
    fn a_finished_tree_is_taken_as_it_is_unless_it_was_made_for_something_else() {
        let cache = std::env::temp_dir().join(format!("xtask-packages-{}", std::process::id()));
        fs::create_dir_all(cache.join("tree")).unwrap();
        fs::write(cache.join("tree").join(ORIGIN), "# a b\na 1 0\n").unwrap();
        let tree = provide(&cache, "tree", "a b", || panic!("asked again")).unwrap();
        assert_eq!(origin(&tree).unwrap(), "a 1 0\n");
        let asked = || Err(Failure::Unready("asked".to_owned()));
        assert!(provide(&cache, "tree", "a b c", asked).is_err());
        fs::remove_dir_all(cache).unwrap();
    }
}
