//! Known defects, planted into sound recordings: what [`crate::lint`] is measured with.
//!
//! Responsible for drafts of episodes with one defect each, labelled exactly. Not responsible for finding anything, nor for
//! what a defect is worth. Everything follows from the random number generator that is given.

mod arm;
mod camera;
mod file;
mod score;
mod series;
#[cfg(test)]
mod tests;
mod time;
mod write;

pub use score::{Score, is_found_by};
pub use series::{Mistake, Series};

use crate::lint::Kind;
use crate::picture;
use crate::timeline::Timeline;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::io::Cursor;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::episode::EpisodeError;

pub type Random = Xoshiro256PlusPlus;

/// Where which defect is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Label {
    pub kind: Kind,
    pub from_s: f64,
    pub to_s: f64,
}

/// An episode that is about to be written again.
#[derive(Clone, Debug)]
pub struct Draft {
    pub timeline: Timeline,
    /// Of every frame and of every observation, decoded: they replace what the timeline has.
    frames: Vec<Image>,
    observed: Vec<Image>,
    /// What is done to the file after it was written.
    spoiling: Spoiling,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Spoiling {
    #[default]
    Nothing,
    /// Only this share of its bytes is kept.
    CutTo(f64),
    /// None of its bytes is an episode's.
    Overwritten,
    WithoutOutcome,
    /// This frame's picture is cut in the middle.
    Frame(usize),
}

/// A defect's size is drawn where it is planted: from twice what is just harmless, or nearer. `None` where this episode has no
/// room for it.
type Planter = fn(&mut Draft, &mut Random) -> Option<(f64, f64)>;

/// Every kind but what is no defect.
const PLANTERS: [(Kind, Planter); 29] = [
    (Kind::Unreadable, file::overwrite),
    (Kind::Damaged, file::cut),
    (Kind::Incomplete, file::without_outcome),
    (Kind::LostRecords, file::lose),
    (Kind::NoLabel, file::unlabel),
    (Kind::TooShort, time::shorten),
    (Kind::Idle, time::pause),
    (Kind::ClockBackwards, time::step_back),
    (Kind::MissingTicks, time::drop_ticks),
    (Kind::LoopStall, time::stall),
    (Kind::TickRate, time::slow_ticks),
    (Kind::FrameRate, camera::slow),
    (Kind::DecisionRate, time::slow_decisions),
    (Kind::NotFinite, arm::not_finite),
    (Kind::JointJump, arm::jump),
    (Kind::StaleSamples, arm::hold_sample),
    (Kind::FailedReads, arm::fail_reads),
    (Kind::FollowerLag, arm::lag),
    (Kind::FollowerOffset, arm::offset),
    (Kind::ClippedActions, arm::clip),
    (Kind::LimitedCommands, arm::limit),
    (Kind::DuplicatedFrame, camera::duplicate),
    (Kind::FrozenCamera, camera::freeze),
    (Kind::MissingFrames, camera::drop_frames),
    (Kind::BadFrame, camera::spoil),
    (Kind::DarkFrames, camera::darken),
    (Kind::BrightFrames, camera::brighten),
    (Kind::ClockSkew, camera::skew),
    (Kind::OldFrames, camera::age),
];

/// The kinds that [`Draft::plant`] can plant, and [`Kind::CameraMoved`], which is a matter of several episodes.
pub fn kinds() -> impl Iterator<Item = Kind> {
    let planted = PLANTERS.iter().map(|(kind, _)| *kind);
    planted.chain([Kind::CameraMoved])
}

impl Draft {
    /// `None` of an episode with a picture that does not decode.
    pub fn of(timeline: Timeline) -> Option<Self> {
        let frames = timeline.frames.iter();
        let frames = frames.map(|frame| picture::decode_jpeg(&frame.jpeg).ok());
        let observed = timeline.observed.iter();
        let observed = observed.map(|seen| picture::decode_png(&seen.png).ok());
        Some(Self {
            frames: frames.collect::<Option<_>>()?,
            observed: observed.collect::<Option<_>>()?,
            timeline,
            spoiling: Spoiling::Nothing,
        })
    }

    pub fn plant(&mut self, kind: Kind, random: &mut Random) -> Option<Label> {
        let (_, planter) = PLANTERS.iter().find(|(planted, _)| *planted == kind)?;
        let (from_s, to_s) = planter(self, random)?;
        Some(Label { kind, from_s, to_s })
    }

    /// All frames as a camera sees them that was moved by so many pixels.
    pub fn move_camera(&mut self, right_px: i64, down_px: i64) {
        for image in self.frames.iter_mut() {
            *image = camera::moved(image, right_px, down_px);
        }
    }

    /// Writes the episode and reads it again.
    pub fn read_back(&self) -> Result<Timeline, EpisodeError> {
        let mut bytes = write::episode(self)?;
        match self.spoiling {
            Spoiling::CutTo(share) => bytes.truncate((share * bytes.len() as f64) as usize),
            Spoiling::Overwritten => bytes.fill(b'x'),
            _ => {}
        }
        let mut timeline = Timeline::read(Cursor::new(bytes))?;
        match self.spoiling {
            Spoiling::WithoutOutcome => timeline.outcome = None,
            Spoiling::Frame(frame) => {
                let jpeg = &mut timeline.frames[frame].jpeg;
                jpeg.truncate(40);
            }
            _ => {}
        }
        Ok(timeline)
    }

    fn all(&self) -> (f64, f64) {
        (0.0, self.timeline.duration_s())
    }

    fn tick_s(&self, tick: usize) -> f64 {
        self.timeline.seconds(self.timeline.ticks[tick].due)
    }

    /// So many ticks in a row, somewhere inside: the first of them.
    fn some_ticks(&self, count: usize, random: &mut Random) -> Option<usize> {
        let last = self.timeline.ticks.len().checked_sub(count + 2)?;
        (last > 2).then(|| random.random_range(2..last))
    }
}

/// `at`, later by so many ns.
fn moved(at: Instant, ns: i64) -> Instant {
    Instant::from_ticks(at.as_ticks().saturating_add_signed(ns))
}
