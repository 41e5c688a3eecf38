//! Defects of the file as a whole.
//!
//! Not responsible for what is in it.

use super::{Draft, Random, Spoiling};
use rand::RngExt;
use visuomotor_runtime::episode::Losses;

type Span = Option<(f64, f64)>;

pub fn overwrite(draft: &mut Draft, _: &mut Random) -> Span {
    draft.spoiling = Spoiling::Overwritten;
    Some((0.0, 0.0))
}

/// Leaves 65 to 98 %: with less, what is left is short as well.
pub fn cut(draft: &mut Draft, random: &mut Random) -> Span {
    draft.spoiling = Spoiling::CutTo(random.random_range(0.65..0.98));
    Some(draft.all())
}

pub fn without_outcome(draft: &mut Draft, _: &mut Random) -> Span {
    draft.spoiling = Spoiling::WithoutOutcome;
    Some(draft.all())
}

pub fn lose(draft: &mut Draft, random: &mut Random) -> Span {
    let (_, lost) = draft.timeline.outcome.as_mut()?;
    let count = random.random_range(1..100);
    *lost = match random.random_range(0..3) {
        0 => Losses {
            steps: count,
            ..*lost
        },
        1 => Losses {
            frames: count,
            ..*lost
        },
        _ => Losses {
            events: count,
            ..*lost
        },
    };
    Some(draft.all())
}

pub fn unlabel(draft: &mut Draft, _: &mut Random) -> Span {
    draft.timeline.outcome.as_mut()?.0.success = None;
    draft.timeline.annotations.clear();
    Some(draft.all())
}
