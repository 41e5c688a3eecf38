//! `visuomotor export`: recordings into a data set, and what became of each of them.
//!
//! Responsible for the command and its report. Not responsible for the data sets ([`visuomotor_data`]).

use crate::cli::{ExportCommand, ExportLerobotArgs, ExportParquetArgs};
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use visuomotor_data::lerobot::{self, LeRobotExport};
use visuomotor_data::shards::{Progress, Report};
use visuomotor_data::steps::{self, ParquetExport};
use visuomotor_data::survey::Survey;
use visuomotor_data::{DatasetError, paths};

pub fn run(command: &ExportCommand) -> Result<Grade, CommandError> {
    match command {
        ExportCommand::Lerobot(args) => to_lerobot(args),
        ExportCommand::Parquet(args) => to_parquet(args),
    }
}

fn to_lerobot(args: &ExportLerobotArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let sources = sources(&args.paths)?;
    let survey = Survey::of(&sources, args.task.as_deref()).map_err(failure)?;
    let what = LeRobotExport {
        fps: args.fps.unwrap_or(survey.camera_fps),
        survey,
        task: args.task.clone(),
        age_ms_max: args.max_age_ms,
    };
    let mut bar = Bar::new("recordings");
    let exported = lerobot::export(&what, &sources, &args.out, &mut |progress| {
        bar.show(progress)
    });
    let report = exported.map_err(failure)?;
    drop(bar);
    let residuals = report.residual_ms.iter().map(|(stream, residual)| {
        format!(
            "{stream}: how old at its row, ms: p50 {:.1}, max {:.1}\n",
            residual.p50, residual.max
        )
    });
    let text = Text {
        report: &report.report,
        rows: format!("{} rows at {} a second", report.report.rows, report.fps),
        more: residuals.collect(),
    };
    output::report(&text, &report, args.json.as_deref())?;
    Ok(grade(&report.report))
}

fn to_parquet(args: &ExportParquetArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let sources = sources(&args.paths)?;
    let what = ParquetExport {
        survey: Survey::of(&sources, args.task.as_deref()).map_err(failure)?,
        task: args.task.clone(),
    };
    let mut bar = Bar::new("recordings");
    let exported = steps::export(&what, &sources, &args.out, &mut |progress| {
        bar.show(progress)
    });
    let report = exported.map_err(failure)?;
    drop(bar);
    let text = Text {
        report: &report.report,
        rows: format!("{} ticks and {} steps", report.report.rows, report.steps),
        more: String::new(),
    };
    output::report(&text, &report, args.json.as_deref())?;
    Ok(grade(&report.report))
}

/// The recordings that these paths mean; at least one.
fn sources(given: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let found = paths::episodes(given, true).map_err(|(path, error)| {
        CommandError::input(InputError::file(&path, format!("cannot be read: {error}")))
    })?;
    match found.is_empty() {
        true => Err(CommandError::input("there is no episode in what was named")),
        false => Ok(found),
    }
}

/// What has to change, and what only has to be tried again, have different exit codes.
pub fn failure(error: DatasetError) -> CommandError {
    match error.is_input() {
        true => CommandError::input(error),
        false => CommandError::failed(error),
    }
}

fn grade(report: &Report) -> Grade {
    match report.refused.is_empty() {
        true => Grade::Good,
        false => Grade::Short,
    }
}

/// The report for people.
struct Text<'a> {
    report: &'a Report,
    rows: String,
    more: String,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        writeln!(
            f,
            "{}: {} of {} recordings are its episodes, {}",
            report.out.display(),
            report.episodes,
            report.given,
            self.rows
        )?;
        if report.resumed_after > 0 {
            writeln!(f, "went on after {} recordings", report.resumed_after)?;
        }
        f.write_str(&self.more)?;
        for mixed in &report.mixed {
            writeln!(f, "MIXED: {} has {} values", mixed.what, mixed.values.len())?;
        }
        if !report.refused.is_empty() {
            writeln!(
                f,
                "REFUSED: {} of {} recordings",
                report.refused.len(),
                report.given
            )?;
        }
        for refused in &report.refused {
            writeln!(f, "  {}: {}", refused.source_file, refused.reason)?;
        }
        writeln!(f, "identity {}", report.identity)
    }
}

/// How far it is: a bar on a terminal, a line per tenth elsewhere, always on standard error.
pub struct Bar {
    what: &'static str,
    bar: Option<ProgressBar>,
    tenths: usize,
}

impl Bar {
    pub fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template =
                format!("{{bar:32.cyan/blue}} {{pos}}/{{len}} {what}  {{elapsed}} (eta {{eta}})");
            let style = ProgressStyle::with_template(&template);
            let bar = ProgressBar::new(0);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            what,
            bar,
            tenths: 0,
        }
    }

    pub fn show(&mut self, progress: Progress) {
        let Progress { done, total } = progress;
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            return;
        }
        let tenths = done * 10 / total.max(1);
        if tenths > self.tenths {
            self.tenths = tenths;
            eprintln!("{done} of {total} {}", self.what);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
