//! `visuomotor lint`: what is wrong with recorded episodes.
//!
//! Responsible for which files are looked at, one in memory at a time, and for the report. Not responsible for the checks
//! ([`visuomotor_data::lint`]).

use crate::cli::LintArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use visuomotor_data::lint::{Finding, Kind, Linter, Severity};
use visuomotor_data::{Timeline, paths};
use visuomotor_runtime::episode;

#[derive(Debug, Serialize)]
struct Report {
    episodes: usize,
    findings: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    episode: String,
    #[serde(flatten)]
    finding: Finding,
}

pub fn run(args: &LintArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let unreadable = |(path, error): (std::path::PathBuf, std::io::Error)| {
        CommandError::input(InputError::file(&path, format!("cannot be read: {error}")))
    };
    let episodes = paths::episodes(&args.paths, true).map_err(unreadable)?;
    if episodes.is_empty() {
        return Err(CommandError::input("there are no episodes"));
    }
    let mut linter = Linter::default();
    let mut report = Report {
        episodes: episodes.len(),
        findings: Vec::new(),
    };
    for path in &episodes {
        let name = path.display().to_string();
        // What the file system cannot say is looked at like any other file.
        let findings = match episode::is_being_written(path) {
            Ok(true) => vec![Finding::new(Kind::BeingWritten, (0.0, 0.0))],
            _ => linter.look(&Timeline::open(path)),
        };
        let found = |finding| Found {
            episode: name.clone(),
            finding,
        };
        report.findings.extend(findings.into_iter().map(found));
    }
    output::report(&report, &report, args.json.as_deref())?;
    let is_serious = |found: &Found| found.finding.severity > Severity::Info;
    Ok(match report.findings.iter().any(is_serious) {
        true => Grade::Short,
        false => Grade::Good,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // For each kind, how bad it is, how often it was found, and in how many episodes.
        let mut kinds: BTreeMap<_, (Severity, usize, Vec<&str>)> = BTreeMap::new();
        for Found { episode, finding } in &self.findings {
            writeln!(f, "{episode}: {finding}")?;
            let (severity, count, episodes) =
                kinds
                    .entry(finding.kind)
                    .or_insert((finding.severity, 0, Vec::new()));
            *severity = finding.severity.max(*severity);
            *count += 1;
            if episodes.last() != Some(&episode.as_str()) {
                episodes.push(episode);
            }
        }
        for (kind, (severity, count, episodes)) in kinds {
            let episodes = episodes.len();
            writeln!(f, "{kind:17} {severity:8} {count:5} in {episodes} episodes")?;
        }
        writeln!(f, "{} episodes", self.episodes)
    }
}
