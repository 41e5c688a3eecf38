//! Where reports go: text for people, JSON for programs, and never both on standard output.

use crate::error::CommandError;
use crate::source::InputError;
use serde::Serialize;
use std::fmt::Display;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes the JSON where `json` says (`-` is standard output), and the text on standard output unless the JSON is there.
pub fn report(
    text: &impl Display,
    value: &impl Serialize,
    json: Option<&Path>,
) -> Result<(), CommandError> {
    let mut bytes = serde_json::to_vec(value).map_err(CommandError::failed)?;
    bytes.push(b'\n');
    let to_stdout = json == Some(Path::new("-"));
    let mut out = io::stdout().lock();
    if to_stdout {
        out.write_all(&bytes).map_err(CommandError::failed)?;
    } else {
        write!(out, "{text}").map_err(CommandError::failed)?;
    }
    match json {
        Some(path) if !to_stdout => fs::write(path, bytes).map_err(|error| {
            CommandError::failed(InputError::file(
                path,
                format!("cannot be written: {error}"),
            ))
        }),
        _ => Ok(()),
    }
}

/// Refuses to overwrite a file that begins otherwise than what is to be written: an episode, say, that was given twice.
pub fn check_place(path: &Path, beginnings: &[&str]) -> Result<(), CommandError> {
    if !path.is_file() {
        return Ok(());
    }
    let mut begins = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut begins));
    let text = String::from_utf8_lossy(&begins);
    let ours = begins.is_empty()
        || beginnings
            .iter()
            .any(|beginning| text.trim_start().starts_with(beginning));
    if read.is_ok() && ours {
        return Ok(());
    }
    let problem =
        "exists and is something else than what would be written there: choose another place";
    Err(CommandError::input(InputError::file(path, problem)))
}

/// Makes the directory, and its parents, if need be.
pub fn directory(path: &Path) -> Result<(), CommandError> {
    fs::create_dir_all(path).map_err(|error| {
        CommandError::input(InputError::file(
            path,
            format!("cannot be a directory: {error}"),
        ))
    })
}

/// Refuses a place for a JSON file that cannot be written, or where something else lies, before hours of work go into it.
pub fn check_json(json: Option<&Path>) -> Result<(), CommandError> {
    let Some(path) = json.filter(|path| *path != Path::new("-")) else {
        return Ok(());
    };
    check_place(path, &["{", "["])?;
    let made = fs::OpenOptions::new().append(true).create(true).open(path);
    made.map(drop).map_err(|error| {
        CommandError::input(InputError::file(
            path,
            format!("cannot be written: {error}"),
        ))
    })
}
