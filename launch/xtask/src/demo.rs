//! `cargo xtask demo`: from nothing to grasps seen.

use crate::{Failure, process};
use std::path::Path;
use std::{fs, io};

const LAUNCH_FILE: &str = "launch/robots/sim_iiwa14.toml";
/// Without the network, which takes as long to build as all the rest.
#[rustfmt::skip]
const BUILT: [&str; 6] = [
    "--release", "--package", "visuomotor", "--no-default-features", "--features", "sim",
];

pub fn run() -> Result<(), Failure> {
    crate::make_ready()?;
    process::run(process::cargo(&["build"]).args(BUILT))?;

    let out = Path::new("target/demo");
    // Only this demo's files should lie there afterwards.
    match fs::remove_dir_all(crate::root().join(out)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::Unready(format!("{}: {e}", out.display())));
        }
        _ => {}
    }
    let place = |name: &str| out.join(name).display().to_string();
    let (live, recorded, videos) = (place("live"), place("episodes"), place("videos"));
    let (report, failures) = (place("eval.json"), place("failures.png"));

    println!("\n==== Five episodes in real time, scenes that the policy has never seen");
    let watched = visuomotor(&["run", LAUNCH_FILE, "--episodes", "5", "--record", &live]);
    println!("\n==== Twenty episodes as fast as they go");
    #[rustfmt::skip]
    let measured = visuomotor(&[
        "eval", LAUNCH_FILE, "--episodes", "20", "--seed", "1", "--json", &report, "--video", &videos,
        "--record", &recorded, "--sheet", &failures,
    ]);
    println!("\n==== Where everything is");
    for (path, what) in [
        (&live, "episodes of the real-time run, MCAP"),
        (&recorded, "episodes of the evaluation, MCAP"),
        (&videos, "what the camera saw, a GIF an episode"),
        (&failures, "contact sheet of the failures"),
        (&report, "success rate and failure classes"),
    ] {
        if crate::root().join(path).exists() {
            println!("{path:<26} {what}");
        }
    }
    watched.and(measured)
}

/// Runs the built command in the workspace's root, and shows how.
fn visuomotor(arguments: &[&str]) -> Result<(), Failure> {
    println!("visuomotor {}\n", arguments.join(" "));
    process::run(
        process::cargo(&["run", "--quiet"])
            .args(BUILT)
            .arg("--")
            .args(arguments),
    )
}
