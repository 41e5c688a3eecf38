//! Where reports go: text for people, JSON for programs, and never both on standard output.

use crate::error::CommandError;
use crate::source::InputError;
use serde::Serialize;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
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

/// Makes the directory, and its parents, if need be.
pub fn directory(path: &Path) -> Result<(), CommandError> {
    fs::create_dir_all(path).map_err(|error| {
        CommandError::input(InputError::file(
            path,
            format!("cannot be a directory: {error}"),
        ))
    })
}

/// Refuses a place for a JSON file that cannot be written, before hours of work go into it.
pub fn check_json(json: Option<&Path>) -> Result<(), CommandError> {
    let Some(path) = json.filter(|path| *path != Path::new("-")) else {
        return Ok(());
    };
    let made = fs::OpenOptions::new().append(true).create(true).open(path);
    made.map(drop).map_err(|error| {
        CommandError::input(InputError::file(
            path,
            format!("cannot be written: {error}"),
        ))
    })
}
