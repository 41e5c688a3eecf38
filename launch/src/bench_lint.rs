//! `visuomotor bench lint`: precision and recall of the lint on planted defects.
//!
//! Responsible for making the labelled set of sound recordings and for the report. Not responsible for the defects and the
//! rule by which findings are right ([`visuomotor_data::plant`]).

use crate::cli::BenchLintArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::source::InputError;
use rand::SeedableRng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use visuomotor_data::paths;
use visuomotor_data::plant::{self, Mistake, Score, Series};

/// Below this the command says that it fell short.
const LEAST: f64 = 0.95;

/// Its field names are those of `bench lint --json`.
#[derive(Debug, Serialize)]
struct Figures {
    episodes: u32,
    /// Episodes without a defect.
    clean: u32,
    precision: f64,
    recall: f64,
    kinds: BTreeMap<&'static str, Score>,
    missed: Vec<Mistake>,
    wrong: Vec<Mistake>,
}

pub fn run(args: &BenchLintArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let refused =
        |problem: String| CommandError::input(InputError::file(&args.recordings, problem));
    let sources = paths::episodes(std::slice::from_ref(&args.recordings), false)
        .map_err(|(path, error)| refused(format!("{}: {error}", path.display())))?;
    if sources.is_empty() {
        return Err(refused("there are no episodes in it".to_owned()));
    }
    let mut series = Series::new(sources, plant::Random::seed_from_u64(args.seed));
    for _ in 0..args.episodes {
        series.next_episode().map_err(CommandError::failed)?;
    }
    let sum = Score::sum(series.scores.values());
    let figures = Figures {
        episodes: args.episodes,
        clean: series.clean,
        precision: sum.precision(),
        recall: sum.recall(),
        kinds: series
            .scores
            .iter()
            .map(|(kind, score)| (kind.name(), *score))
            .collect(),
        missed: series.missed,
        wrong: series.wrong,
    };
    output::report(&figures, &figures, args.json.as_deref())?;
    Ok(
        match figures.precision >= LEAST && figures.recall >= LEAST {
            true => Grade::Good,
            false => Grade::Short,
        },
    )
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:17} planted  found  findings  right", "")?;
        for (kind, score) in &self.kinds {
            let Score {
                planted,
                found,
                findings,
                right,
            } = score;
            writeln!(f, "{kind:17} {planted:7} {found:6} {findings:9} {right:6}")?;
        }
        for missed in &self.missed {
            writeln!(f, "missed: {missed}")?;
        }
        for wrong in &self.wrong {
            writeln!(f, "wrong:  {wrong}")?;
        }
        let Self {
            episodes,
            clean,
            precision,
            recall,
            ..
        } = self;
        writeln!(
            f,
            "{episodes} episodes, {clean} of them clean: precision {precision:.3}, recall {recall:.3}"
        )
    }
}
