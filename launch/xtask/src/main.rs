//! Development tasks: `cargo xtask setup | demo | test | vm | golden | meshes`.
//!
//! Responsible for the way from a fresh clone to a running demo or a finished test run. Not responsible for anything
//! that a built `visuomotor` needs while it runs.

mod demo;
mod golden;
mod meshes;
mod native;
mod process;
mod system;
mod test_run;
mod vm;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask setup [--into DIR] [--arch ARCH]
    Fetch and check the native libraries (MuJoCo, ONNX Runtime); name or install what the system lacks.
    --into DIR   put them into DIR/lib instead of target/native/lib, where builds look for them
    --arch ARCH  x86_64 or aarch64: for another machine than this one; needs --into
cargo xtask demo
    Set up, build, and watch the simulated arm grasp: five episodes in real time, then twenty as fast as they go.
cargo xtask test [--quick]
    Everything that CI runs. --quick leaves out the tests whose names start with `long_`.
cargo xtask vm [--kernel standard|realtime|both] [--json FILE] [--list] [NAME...]
    The tests on real kernel interfaces, in a VM: those whose names contain a NAME, or all. Needs Debian 12 on a PC;
    what the VM is made of comes from packages, into target/vm.
cargo xtask golden
    Record the golden episodes anew, which every run of the tests puts through today's code.
cargo xtask meshes DIR
    Write fifty test objects to DIR, to evaluate on: visuomotor eval … --objects DIR.

Exit codes: 0 good, 1 ran but fell short, 2 bad input or something missing.";

/// The set that figures are quoted for.
const MESHES: usize = 50;
const MESHES_SEED: u64 = 1;

/// Why a task ended early.
#[derive(Debug)]
enum Failure {
    /// Asked wrongly, or something is missing; the text says what to do.
    Unready(String),
    /// A step ran and did not succeed.
    FellShort(String),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, text) = match run(&words) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::FellShort(text)) => (1, text),
        Err(Failure::Unready(text)) => (2, text),
    };
    eprintln!("\nxtask: {text}");
    ExitCode::from(code)
}

fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["setup", options @ ..] => setup(options),
        ["demo"] => demo::run(),
        ["vm", options @ ..] => vm(options),
        ["golden"] => golden::run(),
        ["meshes", dir] => meshes::write(Path::new(dir), MESHES, MESHES_SEED),
        ["test"] => test_run::run(test_run::Extent::Everything),
        ["test", "--quick"] => test_run::run(test_run::Extent::Quick),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(Failure::Unready(format!("expected one of these\n\n{HELP}"))),
    }
}

fn setup(options: &[&str]) -> Result<(), Failure> {
    let here = std::env::consts::ARCH;
    match options {
        [] => make_ready(),
        ["--into", dir] => native::install(Path::new(dir), here),
        ["--into", dir, "--arch", arch] | ["--arch", arch, "--into", dir] => {
            native::install(Path::new(dir), arch)
        }
        _ => Err(Failure::Unready(format!("expected\n\n{HELP}"))),
    }
}

fn vm(options: &[&str]) -> Result<(), Failure> {
    let Some(options) = vm::Options::parse(options) else {
        return Err(Failure::Unready(format!("expected\n\n{HELP}")));
    };
    match vm::run(&options)?.failed {
        0 => Ok(()),
        failed => Err(Failure::FellShort(format!("{failed} VM tests failed"))),
    }
}

/// Whatever a build on this machine needs.
fn make_ready() -> Result<(), Failure> {
    system::provide()?;
    // Where `.cargo/config.toml` tells every build to look.
    native::install(&root().join("target/native"), std::env::consts::ARCH)
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("launch/xtask lies two folders deep")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_refused_with_the_help() {
        for words in [
            &[][..],
            &["tests"],
            &["test", "--fast"],
            &["demo", "now"],
            &["meshes"],
            &["setup", "--into"],
            &["vm", "--fast"],
            &["setup", "--arch", "aarch64"],
        ] {
            match run(words) {
                Err(Failure::Unready(text)) => assert!(text.contains(HELP), "{words:?}"),
                other => panic!("{words:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
