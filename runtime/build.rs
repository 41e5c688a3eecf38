//! Embeds the git commit that this crate is compiled from, for the lineage of episodes. Builds without git too.

use std::path::Path;
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    // An unpacked source archive may lie inside somebody else's checkout: then git's answer is not about this code.
    let ours = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    let commit = ours.then(|| git(&["rev-parse", "HEAD"])).flatten();
    let dirty = commit.is_some()
        && git(&["--no-optional-locks", "status", "--porcelain"])
            .is_none_or(|changes| !changes.is_empty());
    println!(
        "cargo::rustc-env=VISUOMOTOR_GIT_COMMIT={}",
        commit.as_deref().unwrap_or("unknown")
    );
    println!("cargo::rustc-env=VISUOMOTOR_GIT_DIRTY={dirty}");

    for path in ["build.rs", "Cargo.toml", "src"] {
        println!("cargo::rerun-if-changed={path}");
    }
    // A commit, a checkout or a reset changes these; a path that does not exist would rerun this script every time.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]).unwrap_or_default();
        if ours && Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}
