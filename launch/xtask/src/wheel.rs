//! The pinned wheels: which files we take from them, and their SHA-256.

use sha2::{Digest, Sha256};
use std::path::Path;
use std::{fs, io};

/// A PyPI wheel that contains a C library.
#[derive(Debug)]
pub struct Wheel {
    pub requirement: &'static str,
    /// SHA-256 of the wheel, by architecture.
    pub x86_64: &'static str,
    pub aarch64: &'static str,
    /// The library within the wheel.
    pub member: &'static str,
    /// The name that links and `dlopen` ask for.
    pub link: &'static str,
}

pub const WHEELS: [Wheel; 2] = [
    Wheel {
        requirement: "mujoco==3.17.0",
        x86_64: "d66928d86a2d1b601bbaa4dc11db50214d17d5301bb8afd84721313b67ff0874",
        aarch64: "91a70ed9979c383ff1f5c03f25cc2e1280a8254c1a8e558d5dd7f4184f01efc9",
        member: "mujoco/libmujoco.so.3.17.0",
        link: "libmujoco.so",
    },
    Wheel {
        requirement: "onnxruntime==1.31.1",
        x86_64: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
        aarch64: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        link: "libonnxruntime.so",
    },
];

impl Wheel {
    /// `None` for an architecture that has no pinned wheel.
    pub fn sha256(&self, arch: &str) -> Option<&'static str> {
        match arch {
            "x86_64" => Some(self.x86_64),
            "aarch64" => Some(self.aarch64),
            _ => None,
        }
    }

    /// The library's file name.
    pub fn library(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub fn sha256(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_standards() {
        let path = std::env::temp_dir().join(format!("xtask-sha256-{}", std::process::id()));
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), expected);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn every_wheel_is_pinned_for_both_architectures() {
        for wheel in &WHEELS {
            for arch in ["x86_64", "aarch64"] {
                assert_eq!(wheel.sha256(arch).map(str::len), Some(64));
            }
            assert!(wheel.library().starts_with(wheel.link));
            assert_eq!(wheel.sha256("riscv64"), None);
        }
        assert_ne!(WHEELS[0].x86_64, WHEELS[0].aarch64);
    }
}
