//! Child processes: started, named in errors, never silent about how they ended.

use crate::Failure;
use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

/// Whether the program is there, starts, and exits with 0. Prints nothing.
pub fn succeeds(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end; what it prints is shown.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    ended(command.status(), command)
}

/// Turns the way a command ended into a result.
pub fn ended(
    status: io::Result<std::process::ExitStatus>,
    command: &Command,
) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::FellShort(format!("{}: {status}", line(command)))),
        Err(error) => Err(Failure::Unready(format!("{}: {error}", line(command)))),
    }
}

/// The command as one would type it, without its folder.
pub fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    std::iter::once(program.file_name().unwrap_or(program.as_os_str()))
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The Cargo that started this, in the workspace's root, as if it were started by hand: what `cargo run` says of this
/// package to its program would otherwise have `ring` and all that stands on it built anew at every change between the two.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).current_dir(crate::root());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_and_a_missing_program_are_told_apart() {
        assert!(run(&mut Command::new("true")).is_ok());
        match run(Command::new("sh").args(["-c", "exit 3"])) {
            Err(Failure::FellShort(text)) => assert_eq!(text, "sh -c exit 3: exit status: 3"),
            other => panic!("{other:?}"),
        }
        match run(&mut Command::new("/nowhere/no-such-program")) {
            Err(Failure::Unready(text)) => assert!(text.starts_with("no-such-program: "), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(!succeeds("no-such-program", &[]));
    }
}
