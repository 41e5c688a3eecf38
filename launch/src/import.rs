//! `visuomotor import`: a data set of others into episodes.
//!
//! Responsible for the command and its report. Not responsible for reading the data set ([`visuomotor_data::lerobot`]) nor for
//! calibrations ([`import_calibration`]).

use crate::cli::{ImportCommand, ImportLerobotArgs};
use crate::error::{CommandError, Grade};
use crate::export::{Bar, failure};
use crate::import_calibration;
use crate::output;
use std::fmt;
use visuomotor_data::lerobot::{ImportOptions, ImportReport, import};
use visuomotor_runtime::episode::Sha256;

pub fn run(command: &ImportCommand) -> Result<Grade, CommandError> {
    match command {
        ImportCommand::Lerobot(args) => from_lerobot(args),
        ImportCommand::Calibration(args) => import_calibration::run(args),
    }
}

fn from_lerobot(args: &ImportLerobotArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let executable = std::env::current_exe().and_then(std::fs::read);
    let executable = executable.map_err(CommandError::failed)?;
    let options = ImportOptions {
        camera: args.camera.clone(),
        skip_video: args.skip_video,
        executable_sha256: Some(Sha256::of(&executable)),
    };
    let mut bar = Bar::new("episodes");
    let imported = import(&args.dataset, &args.out, &options, &mut |progress| {
        bar.show(progress);
    });
    let report = imported.map_err(failure)?;
    drop(bar);
    output::report(&Text(&report), &report, args.json.as_deref())?;
    Ok(Grade::Good)
}

/// The report for people.
struct Text<'a>(&'a ImportReport);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let out = report.out.display();
        writeln!(
            f,
            "{out}: {} episodes, {} rows",
            report.episodes, report.rows
        )?;
        if report.resumed_after > 0 {
            writeln!(f, "went on after {} episodes", report.resumed_after)?;
        }
        match report.true_stamps {
            true => writeln!(f, "stamps are those of the recordings")?,
            false => writeln!(f, "the data set has no stamps: they are frame_index / fps")?,
        }
        match &report.camera {
            Some(camera) => writeln!(f, "pictures are those of {camera}")?,
            None => writeln!(f, "the episodes have no pictures")?,
        }
        if !report.left_out.is_empty() {
            writeln!(f, "left out: {}", report.left_out.join(", "))?;
        }
        Ok(())
    }
}
