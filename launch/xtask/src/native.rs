//! The native libraries: fetched as wheels with pip, checked against pinned hashes, unpacked, linked.
//!
//! Interrupted anywhere, it resumes: a wheel that is there and whole is not fetched again, a library appears under its
//! name only when it is whole, and the marker that says "done" comes last. Done, it needs no network.

use crate::wheel::{WHEELS, Wheel, sha256};
use crate::{Failure, process, system};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{fs, io};

/// Puts the libraries into `dir/lib`, or finds them there.
pub fn install(dir: &Path, arch: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let lib = dir.join("lib");
    if is_installed(&lib, arch) {
        println!("native libraries: there ({})", lib.display());
        return Ok(());
    }
    let wheels = dir.join("wheels");
    fs::create_dir_all(&wheels).map_err(|e| at(&wheels, e))?;
    fs::create_dir_all(&lib).map_err(|e| at(&lib, e))?;
    for wheel in &WHEELS {
        let file = fetch(wheel, arch, dir, &wheels)?;
        unpack(wheel, &file, &lib)?;
    }
    write_marker(&lib, arch)?;
    println!(
        "native libraries: ready in {:.1} s ({})",
        begun.elapsed().as_secs_f64(),
        lib.display()
    );
    Ok(())
}

/// The wheel in `wheels`, downloaded unless it is already there.
fn fetch(wheel: &Wheel, arch: &str, dir: &Path, wheels: &Path) -> Result<PathBuf, Failure> {
    let expected = wheel
        .sha256(arch)
        .ok_or_else(|| Failure::Unready(format!("no pinned {} for {arch}", wheel.requirement)))?;
    let found = |wheels: &Path| -> Result<Option<PathBuf>, Failure> {
        for entry in fs::read_dir(wheels).map_err(|e| at(wheels, e))? {
            let path = entry.map_err(|e| at(wheels, e))?.path();
            if path.is_file() && sha256(&path).map_err(|e| at(&path, e))? == expected {
                return Ok(Some(path));
            }
        }
        Ok(None)
    };
    if let Some(path) = found(wheels)? {
        return Ok(path);
    }
    println!("fetching {} for {arch}", wheel.requirement);
    process::run(
        Command::new(python_with_pip(dir)?)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
            .args(["--python-version=311", "--implementation=cp"])
            .arg(format!("--platform=manylinux_2_28_{arch}"))
            .arg(format!("--platform=manylinux_2_27_{arch}"))
            .arg("--dest")
            .arg(wheels)
            .arg(wheel.requirement),
    )
    .map_err(|failure| by_hand(failure, wheel, expected, wheels))?;
    found(wheels)?.ok_or_else(|| {
        Failure::Unready(format!(
            "the downloaded {} is not the pinned one: nothing in {} has the SHA-256 {expected}. Remove that folder \
             and try again; if it stays so, do not trust the source.",
            wheel.requirement,
            wheels.display()
        ))
    })
}

/// What to do where pip finds nothing, for example without a network.
fn by_hand(failure: Failure, wheel: &Wheel, expected: &str, wheels: &Path) -> Failure {
    let (Failure::Unready(text) | Failure::FellShort(text)) = failure;
    Failure::Unready(format!(
        "{text}\n\n{} was not fetched. If pip cannot reach an index from here, copy the wheel with the SHA-256\n\
         {expected}\ninto {} and try again.",
        wheel.requirement,
        wheels.display()
    ))
}

/// The system's Python if it has pip, else one of our own: Debian ships Python without pip.
fn python_with_pip(dir: &Path) -> Result<PathBuf, Failure> {
    if system::has_pip() {
        return Ok("python3".into());
    }
    let venv = dir.join("venv");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    Ok(venv.join("bin/python3"))
}

/// Replaces the library and its link by those of the wheel; a process that has the old library open keeps it.
fn unpack(wheel: &Wheel, file: &Path, lib: &Path) -> Result<(), Failure> {
    let unpacked = lib.join("unpacked");
    process::run(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(file)
            .arg(&unpacked),
    )?;
    let library = lib.join(wheel.library());
    fs::rename(unpacked.join(wheel.member), &library).map_err(|e| at(&library, e))?;
    fs::remove_dir_all(&unpacked).map_err(|e| at(&unpacked, e))?;
    let link = lib.join(wheel.link);
    if fs::read_link(&link).is_ok_and(|target| target == Path::new(wheel.library())) {
        return Ok(());
    }
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&link, error)),
        _ => {}
    }
    std::os::unix::fs::symlink(wheel.library(), &link).map_err(|e| at(&link, e))
}

/// What the marker of this installation must say: where each library came from and what it is.
fn marker_text(lib: &Path, arch: &str) -> Option<String> {
    let mut text = String::new();
    for wheel in &WHEELS {
        let library = sha256(&lib.join(wheel.link)).ok()?;
        let origin = wheel.sha256(arch)?;
        text += &format!("{library}  {} from the wheel {origin}\n", wheel.library());
    }
    Some(text)
}

/// Whether the marker of an earlier installation is there and still true of the files.
fn is_installed(lib: &Path, arch: &str) -> bool {
    let marker = fs::read_to_string(marker(lib)).ok();
    marker.is_some() && marker == marker_text(lib, arch)
}

fn write_marker(lib: &Path, arch: &str) -> Result<(), Failure> {
    let text = marker_text(lib, arch).ok_or_else(|| {
        Failure::FellShort(format!("what was unpacked in {} is gone", lib.display()))
    })?;
    fs::write(marker(lib), text).map_err(|e| at(lib, e))
}

fn marker(lib: &Path) -> PathBuf {
    lib.join("ORIGIN")
}

fn at(path: &Path, error: io::Error) -> Failure {
    Failure::Unready(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with files named like the libraries, and their links.
    fn folder(name: &str) -> PathBuf {
        let lib = std::env::temp_dir().join(format!("xtask-native-{name}-{}", std::process::id()));
        fs::create_dir_all(&lib).unwrap();
        for wheel in &WHEELS {
            fs::write(lib.join(wheel.library()), wheel.requirement).unwrap();
            std::os::unix::fs::symlink(wheel.library(), lib.join(wheel.link)).unwrap();
        }
        lib
    }

    #[test]
    fn only_a_whole_installation_counts() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 5] = [
            ("no marker", |lib| fs::remove_file(marker(lib)).unwrap()),
            ("no library", |lib| {
                fs::remove_file(lib.join(WHEELS[0].library())).unwrap()
            }),
            ("no link", |lib| {
                fs::remove_file(lib.join(WHEELS[1].link)).unwrap()
            }),
            ("a truncated library", |lib| {
                fs::write(lib.join(WHEELS[1].library()), "onnx").unwrap()
            }),
            ("a damaged marker", |lib| {
                fs::write(marker(lib), "").unwrap()
            }),
        ];
        for (name, damage) in damages {
            let lib = folder(&name.replace(' ', "-"));
            assert!(!is_installed(&lib, "x86_64"), "before the marker: {name}");
            write_marker(&lib, "x86_64").unwrap();
            assert!(is_installed(&lib, "x86_64"), "whole: {name}");
            assert!(!is_installed(&lib, "aarch64"), "another machine's: {name}");
            damage(&lib);
            assert!(!is_installed(&lib, "x86_64"), "{name}");
            fs::remove_dir_all(lib).unwrap();
        }
    }

    #[test]
    fn a_whole_wheel_is_not_fetched_again() {
        let dir = folder("whole-wheel");
        let file = dir.join(WHEELS[0].library());
        let wheel = Wheel {
            requirement: "no-such-package==0",
            x86_64: Box::leak(sha256(&file).unwrap().into_boxed_str()),
            ..WHEELS[0]
        };
        assert_eq!(fetch(&wheel, "x86_64", &dir, &dir).unwrap(), file);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_unknown_architecture_is_refused() {
        let dir = std::env::temp_dir();
        assert!(matches!(
            fetch(&WHEELS[0], "riscv64", &dir, &dir),
            Err(Failure::Unready(_))
        ));
    }
}
