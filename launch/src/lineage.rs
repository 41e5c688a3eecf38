//! `visuomotor lineage`: which data made which checkpoint, and which checkpoint collected which data.
//!
//! Not responsible for the graph itself ([`visuomotor_data::lineage`]).

use crate::cli::LineageArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use std::fs;
use std::path::Path;
use visuomotor_data::lineage;

pub fn run(args: &LineageArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let lineage = lineage::of(&args.paths).map_err(|(path, error)| {
        CommandError::input(InputError::file(&path, format!("cannot be read: {error}")))
    })?;
    if let Some(path) = &args.svg {
        write(path, &lineage.svg())?;
    }
    let dot_to_stdout = args.dot.as_deref() == Some(Path::new("-"));
    if let Some(path) = args.dot.as_deref().filter(|_| !dot_to_stdout) {
        write(path, &lineage.dot())?;
    }
    let text = match dot_to_stdout {
        true => lineage.dot(),
        false => lineage.to_string(),
    };
    output::report(&text, &lineage, args.json.as_deref())?;
    let is_well = !lineage.is_mixed() && lineage.problems.is_empty();
    Ok(if is_well { Grade::Good } else { Grade::Short })
}

fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    output::check_place(path, &["<svg", "<?xml", "digraph"])?;
    fs::write(path, text).map_err(|error| {
        CommandError::failed(InputError::file(
            path,
            format!("cannot be written: {error}"),
        ))
    })
}
