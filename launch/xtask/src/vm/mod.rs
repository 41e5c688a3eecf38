//! `cargo xtask vm`: real kernel interfaces, in a VM that is built from Debian's packages without installing any.
//!
//! Responsible for the way from nothing to a verdict on each test in `hil-tests/vm`. Not responsible for what the tests
//! do, and never for how late anything comes: an emulated processor says nothing about real time.

mod boot;
mod catalogue;
mod cpio;
mod devices;
mod image;
mod libraries;
mod modules;
mod options;
mod packages;
mod report;
mod setup;

pub use options::Options;

use crate::{Failure, process};
use boot::{Seen, Watched};
use catalogue::{Boot, Test};
use report::Report;
use serde::{Deserialize, Serialize};
use setup::{Kernel, Setup};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{fs, mem};

/// A kernel of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    Standard,
    /// PREEMPT_RT.
    Realtime,
}

impl Flavour {
    const ALL: [Self; 2] = [Self::Standard, Self::Realtime];

    fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Realtime => "realtime",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Standard => "linux-image-amd64",
            Self::Realtime => "linux-image-rt-amd64",
        }
    }
}

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// Runs the tests, or says why this machine cannot (`Unready`).
pub fn run(options: &Options) -> Result<Counts, Failure> {
    if let Some(obstacle) = setup::obstacle() {
        return Err(Failure::Unready(obstacle));
    }
    let program = build()?;
    let tests = listed(&program, options)?;
    if options.list {
        for test in &tests {
            let kernels: Vec<_> = test.kernels.iter().map(|kernel| kernel.name()).collect();
            println!(
                "{:<28} {:?}, {}",
                test.name,
                test.mode,
                kernels.join(" and ")
            );
        }
        return Ok(Counts::default());
    }
    let begun = Instant::now();
    let cache = crate::root().join("target/vm");
    let setup = setup::provide(&cache, &options.flavours)?;
    println!(
        "vm: set up in {:.1} s; packages: {}",
        begun.elapsed().as_secs_f64(),
        cache.join("PACKAGES").display()
    );
    let mut report = Report::default();
    let (tests, lacking): (Vec<_>, Vec<_>) = tests.into_iter().partition(|t| missing(t).is_none());
    for test in &lacking {
        let what = missing(test).unwrap_or_default();
        report.skip(
            test,
            &format!("{} is not there: build it first", what.display()),
        );
    }
    for boot in catalogue::boots(&tests, &options.flavours) {
        all_of(&setup, boot, &program, &mut report)?;
    }
    let took = begun.elapsed();
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", report.to_json(&setup, took));
        fs::write(path, text).map_err(|e| at(path, e))?;
    }
    println!(
        "vm tests: {} passed, {} failed, {} skipped in {:.1} s",
        report.passed,
        report.failed,
        report.skipped,
        took.as_secs_f64()
    );
    Ok(Counts {
        passed: report.passed,
        failed: report.failed,
        skipped: report.skipped,
    })
}

/// The first of the test's files that this machine has not.
fn missing(test: &Test) -> Option<PathBuf> {
    let mut files = test.files.iter();
    files
        .find(|file| !crate::root().join(file).exists())
        .cloned()
}

/// Boots until every test has run: one that takes the VM down costs the others nothing but another boot.
fn all_of(
    setup: &Setup,
    mut boot: Boot,
    program: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    let (flavour, mode) = (boot.flavour, boot.mode);
    let kernel = setup
        .kernels
        .iter()
        .find(|kernel| kernel.flavour == flavour);
    let Some(kernel) = kernel else {
        return Ok(());
    };
    while !boot.tests.is_empty() {
        let begun = Instant::now();
        let Watched {
            seen,
            booted,
            trouble,
        } = once(setup, kernel, &boot, program)?;
        report.add_boot(kernel, mode, booted, begun.elapsed());
        for seen in &seen {
            report.add(flavour, mode, seen);
        }
        let is_done = |test: &Test| seen.iter().any(|seen: &Seen| seen.test.name == test.name);
        let left = boot.tests.iter().filter(|test| !is_done(test)).cloned();
        let left: Vec<_> = left.collect();
        // What a planted test does on purpose needs no explanation.
        let planted = seen.last().is_some_and(|seen| seen.test.planted.is_some());
        match trouble {
            Some(text) if !planted => println!("vm: {} ({mode:?}): {text}", flavour.name()),
            None if !left.is_empty() => println!("vm: finished, but not with all tests"),
            _ => {}
        }
        if left.len() == mem::replace(&mut boot.tests, left).len() {
            let names: Vec<_> = boot.tests.iter().map(|test| test.name.as_str()).collect();
            let text = format!("the VM does not come to its tests ({})", names.join(", "));
            return Err(Failure::FellShort(text));
        }
    }
    Ok(())
}

fn once(setup: &Setup, kernel: &Kernel, boot: &Boot, program: &Path) -> Result<Watched, Failure> {
    let folder = setup.cache.join("boot");
    remove_tree(&folder)?;
    fs::create_dir_all(&folder).map_err(|e| at(&folder, e))?;
    let bytes = image::write(&folder.join("initrd"), setup, kernel, boot, program)?;
    // What is unpacked may fill half of the memory that the archive itself leaves.
    let files_mb = u32::try_from(3 * bytes / 1_000_000).unwrap_or(u32::MAX);
    let memory_mb = boot.memory_mb.saturating_add(files_mb);
    boot::run(setup, kernel, boot, memory_mb, &folder)
}

/// The test program, and the product that it runs, from the same build of everything as the other tests.
fn build() -> Result<PathBuf, Failure> {
    process::run(&mut process::cargo(&[
        "build",
        "--workspace",
        "--bin",
        "vm-tests",
        "--bin",
        "visuomotor",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| crate::root().join("target"));
    Ok(target.join("debug/vm-tests"))
}

fn listed(program: &Path, options: &Options) -> Result<Vec<Test>, Failure> {
    let mut command = Command::new(program);
    let output = command.arg("--list").output();
    let output = output.map_err(|e| at(program, e))?;
    let mut tests = catalogue::parse(&String::from_utf8_lossy(&output.stdout))?;
    tests.retain(|test| options.selects(&test.name));
    match tests.is_empty() {
        true => Err(Failure::Unready("no VM test has such a name".to_owned())),
        false => Ok(tests),
    }
}

fn remove_tree(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path, error)),
        _ => Ok(()),
    }
}

fn at(path: &Path, error: io::Error) -> Failure {
    Failure::Unready(format!("{}: {error}", path.display()))
}
