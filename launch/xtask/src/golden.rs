//! `cargo xtask golden`: records the golden episodes anew, which every run of the tests puts through today's code.
//!
//! Responsible for which episodes those are. An episode that differs after a change is either a defect or meant; only a person
//! knows, so nothing but this command replaces them.

use crate::{Failure, process};
use std::fs;
use std::io;

const DIRECTORY: &str = "launch/golden";
const LAUNCH_FILE: &str = "launch/robots/sim_iiwa14.toml";
const BUILT: [&str; 3] = ["--release", "--package", "visuomotor"];
/// A folder, and how its one episode is recorded.
const EPISODES: [(&str, &[&str]); 4] = [
    (
        "qtopt",
        &["eval", LAUNCH_FILE, "--episodes", "1", "--seed", "5"],
    ),
    (
        "hand_eye",
        &[
            "eval",
            LAUNCH_FILE,
            "--episodes",
            "1",
            "--seed",
            "5",
            "--policy",
            "policies/models/hand_eye.toml",
        ],
    ),
    (
        "manual",
        &[
            "eval",
            LAUNCH_FILE,
            "--episodes",
            "1",
            "--seed",
            "5",
            "--manual",
        ],
    ),
    ("faults", &["simulate", LAUNCH_FILE, "--seeds", "17..18"]),
];

pub fn run() -> Result<(), Failure> {
    crate::make_ready()?;
    let directory = crate::root().join(DIRECTORY);
    let unready = |error: io::Error| Failure::Unready(format!("{DIRECTORY}: {error}"));
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unready(error)),
        _ => {}
    }
    for (name, arguments) in EPISODES {
        let place = format!("{DIRECTORY}/{name}");
        let mut cargo = process::cargo(&["run", "--quiet"]);
        cargo.args(BUILT).arg("--").args(arguments);
        process::run(cargo.args(["--record", &place]))?;
        // A failed grasp leaves its picture too, which is no episode.
        for file in fs::read_dir(crate::root().join(&place)).map_err(unready)? {
            let path = file.map_err(unready)?.path();
            if path.extension().is_none_or(|extension| extension != "mcap") {
                fs::remove_file(path).map_err(unready)?;
            }
        }
    }
    println!("\n{DIRECTORY}: look at what changed (git diff --stat), and say why in the commit");
    Ok(())
}
