//! `visuomotor episodes`: what has been recorded.
//!
//! Not responsible for the list itself ([`visuomotor_data::list`]).

use crate::cli::EpisodesArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use visuomotor_data::{list, paths};

pub fn run(args: &EpisodesArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let files = paths::episodes(&args.paths, true).map_err(|(path, error)| {
        CommandError::input(InputError::file(&path, format!("cannot be read: {error}")))
    })?;
    let list = list::list(&files);
    output::report(&list, &list, args.json.as_deref())?;
    let total = &list.total;
    let is_well = total.damaged + total.left_behind + total.unreadable == 0;
    Ok(if is_well { Grade::Good } else { Grade::Short })
}
