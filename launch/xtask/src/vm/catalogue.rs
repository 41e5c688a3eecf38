//! What tests there are, as the test program lists them, and which of them share a boot.

use super::Flavour;
use super::devices::Device;
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How the processor is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Two processors, as fast as they go: for what a test does.
    Tcg,
    /// One processor whose clock counts instructions, so that the host's load changes no time: for when a test does it.
    Icount,
    /// The same, with four times the instructions in a second.
    IcountFast,
}

/// What a planted test must be seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It said that it failed.
    Failed,
    /// It ended without a word.
    Crashed,
    /// The whole VM ended.
    VmEnded,
    /// It took too long.
    TimedOut,
}

/// One line of `vm-tests --list`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub name: String,
    pub mode: Mode,
    pub kernels: Vec<Flavour>,
    pub devices: Vec<Device>,
    /// Beside what the files take.
    pub memory_mb: u32,
    /// Of the host's time: a test that takes longer hangs.
    pub limit_s: u64,
    /// Files and folders that it needs, from the workspace's root.
    pub files: Vec<PathBuf>,
    /// A test of the harness: how it has to end.
    pub planted: Option<End>,
}

pub fn parse(listed: &str) -> Result<Vec<Test>, Failure> {
    let lines = listed.lines().filter(|line| !line.trim().is_empty());
    let tests: Result<Vec<Test>, _> = lines.map(serde_json::from_str).collect();
    tests.map_err(|e| Failure::FellShort(format!("the list of VM tests: {e}")))
}

/// Tests that can run one after the other in the same VM.
#[derive(Clone, Debug, PartialEq)]
pub struct Boot {
    pub flavour: Flavour,
    pub mode: Mode,
    pub devices: Vec<Device>,
    pub memory_mb: u32,
    pub files: Vec<PathBuf>,
    pub tests: Vec<Test>,
}

/// As few boots as possible: kernel and mode must agree, the rest adds up. Planted tests come last and apart.
pub fn boots(tests: &[Test], flavours: &[Flavour]) -> Vec<Boot> {
    let mut boots: BTreeMap<_, Boot> = BTreeMap::new();
    for flavour in flavours {
        for test in tests.iter().filter(|test| test.kernels.contains(flavour)) {
            let key = (test.planted.is_some(), *flavour, test.mode);
            let boot = boots.entry(key).or_insert_with(|| Boot {
                flavour: *flavour,
                mode: test.mode,
                devices: Vec::new(),
                memory_mb: 0,
                files: Vec::new(),
                tests: Vec::new(),
            });
            boot.devices.extend(&test.devices);
            boot.devices.sort();
            boot.devices.dedup();
            boot.files.extend(test.files.iter().cloned());
            boot.memory_mb = boot.memory_mb.max(test.memory_mb);
            boot.tests.push(test.clone());
        }
    }
    boots.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const LISTED: &str = r#"
{"name":"a","mode":"tcg","kernels":["standard","realtime"],"devices":["vivid"],"memory_mb":256,"limit_s":60,"files":[],"planted":null}
{"name":"b","mode":"tcg","kernels":["standard"],"devices":["uinput","vivid"],"memory_mb":512,"limit_s":60,"files":[],"planted":null}
{"name":"c","mode":"icount","kernels":["standard"],"devices":[],"memory_mb":256,"limit_s":60,"files":[],"planted":null}
{"name":"d","mode":"tcg","kernels":["standard"],"devices":[],"memory_mb":900,"limit_s":60,"files":["launch"],"planted":null}
{"name":"e","mode":"tcg","kernels":["standard"],"devices":[],"memory_mb":256,"limit_s":9,"files":[],"planted":"timed_out"}
"#;

    fn named(boot: &Boot) -> Vec<&str> {
        boot.tests.iter().map(|test| test.name.as_str()).collect()
    }

    #[test]
    fn tests_share_a_boot_where_they_can() {
        let tests = parse(LISTED).unwrap();
        let boots = boots(&tests, &[Flavour::Standard, Flavour::Realtime]);
        let names: Vec<_> = boots.iter().map(named).collect();
        let expected: [&[&str]; 4] = [&["a", "b", "d"], &["c"], &["a"], &["e"]];
        assert_eq!(names, expected);
        assert_eq!(boots[0].devices, [Device::Vivid, Device::Uinput]);
        assert_eq!(boots[0].memory_mb, 900);
        assert_eq!(boots[0].files, [Path::new("launch")]);
        assert_eq!(boots[2].flavour, Flavour::Realtime);
    }

    #[test]
    fn one_kernel_alone() {
        let tests = parse(LISTED).unwrap();
        let boots = boots(&tests, &[Flavour::Realtime]);
        assert_eq!(boots.len(), 1);
        assert_eq!(named(&boots[0]), ["a"]);
    }

    #[test]
    fn an_unknown_device_is_no_silent_skip() {
        let listed = LISTED.replace("\"uinput\"", "\"uinptu\"");
        assert!(matches!(parse(&listed), Err(Failure::FellShort(_))));
    }
}
