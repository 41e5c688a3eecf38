//! A series of episodes with planted defects, linted one after the other.
//!
//! Responsible for which recording gets which defect, and for the camera that moves from one episode to the next. Not
//! responsible for the defects themselves.

use super::{Draft, Label, Random, Score, kinds};
use crate::lint::{Kind, Linter};
use crate::timeline::Timeline;
use rand::RngExt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use visuomotor_runtime::episode::EpisodeError;

/// One episode in so many has no defect.
const CLEAN_ONE_IN: u32 = 3;
/// A recording may have no room for a defect; then another one is drawn, at most so often.
const TRIES: u32 = 50;
/// The camera moves at least and at most so far, px, and never leaves its first place by more than the latter.
const MOVED_PX: (f64, i64) = (2.0, 5);

#[derive(Debug)]
pub struct Series {
    sources: Vec<PathBuf>,
    random: Random,
    linter: Linter,
    made: u32,
    /// The kinds that are still to come before all come again.
    turns: Vec<Kind>,
    camera_px: (i64, i64),
    pub clean: u32,
    pub scores: BTreeMap<Kind, Score>,
    pub missed: Vec<Mistake>,
    pub wrong: Vec<Mistake>,
}

/// A defect that was missed, or a finding without one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mistake {
    pub episode: u32,
    pub source: String,
    pub planted: Option<Kind>,
    pub kind: Kind,
    pub from_s: f64,
    pub to_s: f64,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            episode,
            source,
            kind,
            from_s,
            to_s,
            ..
        } = self;
        let planted = self.planted.map_or("nothing", Kind::name);
        write!(
            f,
            "{kind} {from_s:.3} to {to_s:.3} s, episode {episode} of {source} with {planted}"
        )
    }
}

impl Series {
    /// # Panics
    /// Without sources.
    pub fn new(sources: Vec<PathBuf>, random: Random) -> Self {
        assert!(!sources.is_empty(), "nothing to plant defects into");
        Self {
            sources,
            random,
            linter: Linter::default(),
            made: 0,
            turns: Vec::new(),
            camera_px: (0, 0),
            clean: 0,
            scores: BTreeMap::new(),
            missed: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Makes an episode, lints it and scores what was found.
    ///
    /// # Errors
    /// When a recording is no episode or has a picture that does not decode: then it is not sound.
    pub fn next_episode(&mut self) -> Result<(), EpisodeError> {
        // The first one is clean: it shows where the camera stands.
        let kind = match self.made % CLEAN_ONE_IN {
            0 => None,
            _ => Some(self.turn()),
        };
        let (source, mut draft, label) = self.draft(kind)?;
        draft.move_camera(self.camera_px.0, self.camera_px.1);
        let read = draft.read_back();
        let findings = self.linter.look(&read);
        let mistake = |kind, from_s, to_s| Mistake {
            episode: self.made,
            source: source.display().to_string(),
            planted: label.map(|label| label.kind),
            kind,
            from_s,
            to_s,
        };
        let labels: Vec<Label> = label.into_iter().collect();
        let (missed, wrong) = Score::add(&mut self.scores, &labels, &findings);
        let missed = missed
            .into_iter()
            .map(|l| mistake(l.kind, l.from_s, l.to_s));
        let missed: Vec<_> = missed.collect();
        let wrong = wrong.into_iter().map(|f| mistake(f.kind, f.from_s, f.to_s));
        let wrong: Vec<_> = wrong.collect();
        self.missed.extend(missed);
        self.wrong.extend(wrong);
        self.clean += u32::from(label.is_none());
        self.made += 1;
        Ok(())
    }

    fn turn(&mut self) -> Kind {
        if self.turns.is_empty() {
            self.turns = kinds().collect();
        }
        let next = self.random.random_range(0..self.turns.len());
        self.turns.swap_remove(next)
    }

    fn draft(
        &mut self,
        kind: Option<Kind>,
    ) -> Result<(PathBuf, Draft, Option<Label>), EpisodeError> {
        for _ in 0..TRIES {
            let source = self.sources[self.random.random_range(0..self.sources.len())].clone();
            let timeline = Timeline::open(&source)?;
            let Some(mut draft) = Draft::of(timeline) else {
                continue;
            };
            let Some(kind) = kind else {
                return Ok((source, draft, None));
            };
            let label = match kind {
                Kind::CameraMoved => Some(self.move_camera(&draft)),
                kind => draft.plant(kind, &mut self.random),
            };
            if label.is_some() {
                return Ok((source, draft, label));
            }
        }
        Err(EpisodeError::Io(std::io::Error::other(
            "no recording has room for a defect",
        )))
    }

    fn move_camera(&mut self, draft: &Draft) -> Label {
        let (least, most) = MOVED_PX;
        let before = self.camera_px;
        loop {
            let right = self.random.random_range(-most..=most);
            let down = self.random.random_range(-most..=most);
            let (dx, dy) = ((right - before.0) as f64, (down - before.1) as f64);
            if (least..=most as f64).contains(&dx.hypot(dy)) {
                self.camera_px = (right, down);
                let (from_s, to_s) = (0.0, draft.timeline.duration_s());
                return Label {
                    kind: Kind::CameraMoved,
                    from_s,
                    to_s,
                };
            }
        }
    }
}
