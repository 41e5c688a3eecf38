//! What the system itself must have: a C compiler, git, Python with pip, EGL for rendering without a screen.
//!
//! What is missing is named with the command that mends it, and installed where that is ours to do: as root on Debian.

use crate::{Failure, process};
use std::process::Command;

/// Everything, so that one command mends any lack.
const PACKAGES: [&str; 8] = [
    "git",
    "gcc",
    "libc6-dev",
    "python3",
    "python3-venv",
    "libegl1",
    "libegl-mesa0",
    "libgl1-mesa-dri",
];

/// Opens an EGL display on any device, as the renderer does. A file's presence would say less.
const EGL_PROBE: &str = include_str!("egl_probe.py");

/// Checks the system and installs what it lacks, or says how to.
pub fn provide() -> Result<(), Failure> {
    let lacking = lacking();
    if lacking.is_empty() {
        return Ok(());
    }
    if !may_install() {
        return Err(Failure::Unready(complaint(&lacking)));
    }
    println!("installing what is missing: {}", lacking.join(", "));
    process::run(&mut apt(&["update"]))?;
    let install = ["install", "-y", "--no-install-recommends"];
    process::run(apt(&install).args(PACKAGES))?;
    match self::lacking() {
        still if still.is_empty() => Ok(()),
        still => Err(Failure::Unready(complaint(&still))),
    }
}

fn lacking() -> Vec<&'static str> {
    let mut lacking = Vec::new();
    if !process::succeeds("cc", &["--version"]) {
        lacking.push("a C compiler (cc)");
    }
    if !process::succeeds("git", &["--version"]) {
        lacking.push("git");
    }
    if !process::succeeds("python3", &["--version"]) {
        lacking.push("python3");
        return lacking; // The other checks need it.
    }
    if !has_pip() && !process::succeeds("python3", &["-c", "import ensurepip, venv"]) {
        lacking.push("pip or venv for python3");
    }
    if !process::succeeds("python3", &["-c", EGL_PROBE]) {
        lacking.push("EGL with a working driver");
    }
    lacking
}

pub fn has_pip() -> bool {
    process::succeeds("python3", &["-m", "pip", "--version"])
}

fn complaint(lacking: &[&str]) -> String {
    format!(
        "missing: {}. Install with\n\n    sudo apt-get install -y --no-install-recommends {}\n\n\
         or what your system calls these packages.",
        lacking.join(", "),
        PACKAGES.join(" ")
    )
}

/// Root on a Debian-like system.
fn may_install() -> bool {
    process::succeeds("apt-get", &["--version"])
        && process::succeeds("sh", &["-c", "test $(id -u) = 0"])
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_what_is_missing_and_the_command() {
        let text = complaint(&["python3", "EGL"]);
        assert!(text.starts_with("missing: python3, EGL."));
        assert!(text.contains("apt-get install -y"));
        assert!(PACKAGES.iter().all(|package| text.contains(package)));
    }
}
