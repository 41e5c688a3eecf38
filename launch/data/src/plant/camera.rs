//! Defects of frames: what they show, which are there, and how they are stamped.
//!
//! Not responsible for the arm.

use super::{Draft, Random, Spoiling, moved as later};
use crate::lint::View;
use crate::timeline::Timeline;
use rand::RngExt;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::{Duration, Instant};

type Span = Option<(f64, f64)>;

/// So far do the joints go together while a frame is repeated: what nobody sees move cannot be seen to stand still.
const SEEN_MOVING_RAD: f64 = 0.008;
/// A camera that is slower than this shows no offset but by its stamps.
const FAST_S: f64 = 1.0 / 15.0;

impl Draft {
    fn frame_s(&self, frame: usize) -> f64 {
        self.timeline
            .seconds(self.timeline.frames[frame].captured_at)
    }

    /// So many frames in a row, somewhere inside: the first of them.
    fn some_frames(&self, count: usize, random: &mut Random) -> Option<usize> {
        let last = self.frames.len().checked_sub(count)?;
        (last > 1).then(|| random.random_range(1..last))
    }

    fn frame_period_s(&self) -> Option<f64> {
        let last = self.frames.len().checked_sub(1).filter(|last| *last > 0)?;
        Some((self.frame_s(last) - self.frame_s(0)) / last as f64)
    }

    /// Some `count` frames in a row, and the one before, between which the arm moves.
    fn moving_frames(&self, count: usize, random: &mut Random) -> Option<usize> {
        let view = View::of(&self.timeline);
        (0..50).find_map(|_| {
            let first = self.some_frames(count, random)?;
            let way_rad = view.way_rad(self.frame_s(first - 1), self.frame_s(first + count - 1));
            (way_rad > SEEN_MOVING_RAD).then_some(first)
        })
    }

    /// Frames at their usual rate while nothing but the pixels' noise changes.
    pub(super) fn film_rest(
        &mut self,
        since: Instant,
        until: Instant,
        random: &mut Random,
    ) -> Option<()> {
        let period_s = View::of(&self.timeline).frame_period_s?;
        let period = Duration::from_ticks((1e9 * period_s) as u64);
        let at = self
            .timeline
            .frames
            .iter()
            .rposition(|frame| frame.captured_at <= since)?;
        let (shown, still) = (self.timeline.frames[at].clone(), self.frames[at].clone());
        let mut next = shown.captured_at + period;
        let mut added = 0;
        let upto = match self.timeline.frames.get(at + 1) {
            Some(frame) => frame.captured_at,
            None => until,
        };
        while next + Duration::from_ticks(period.as_ticks() / 2) < upto {
            added += 1;
            let mut record = shown.clone();
            record.captured_at = next;
            record.sequence += added as u32;
            self.timeline.frames.insert(at + added, record);
            self.frames.insert(at + added, noisy(&still, random));
            next += period;
        }
        for frame in &mut self.timeline.frames[at + added + 1..] {
            frame.sequence += added as u32;
        }
        Some(())
    }
}

fn noisy(image: &Image, random: &mut Random) -> Image {
    let mut noisy = image.clone();
    for level in &mut noisy.rgb {
        *level = level
            .saturating_add(random.random_range(0..4))
            .saturating_sub(random.random_range(0..4));
    }
    noisy
}

/// What a moved camera sees; at the edges, what it saw there before.
pub fn moved(image: &Image, right_px: i64, down_px: i64) -> Image {
    let (width, height) = (i64::from(image.width), i64::from(image.height));
    let mut rgb = Vec::with_capacity(image.rgb.len());
    for y in 0..height {
        for x in 0..width {
            let from_x = (x - right_px).clamp(0, width - 1);
            let from_y = (y - down_px).clamp(0, height - 1);
            let at = 3 * (from_y * width + from_x) as usize;
            rgb.extend_from_slice(&image.rgb[at..at + 3]);
        }
    }
    Image { rgb, ..*image }
}

/// Slower than the policy decides: 1.2 to 3 frames a second.
pub fn slow(draft: &mut Draft, random: &mut Random) -> Span {
    let wanted_s = 1.0 / random.random_range(1.2..3.3);
    let every = (wanted_s / draft.frame_period_s()?).round().max(2.0) as usize;
    let first = draft.timeline.frames.first()?.sequence;
    let kept = (0..draft.frames.len()).step_by(every);
    let (mut frames, mut pictures) = (Vec::new(), Vec::new());
    for (k, frame) in kept.enumerate() {
        let mut record = draft.timeline.frames[frame].clone();
        record.sequence = first + k as u32;
        frames.push(record);
        pictures.push(draft.frames[frame].clone());
    }
    draft.timeline.frames = frames;
    draft.frames = pictures;
    (draft.frames.len() >= 3).then(|| draft.all())
}

/// One frame again: with its own stamp, or with the next one's.
pub fn duplicate(draft: &mut Draft, random: &mut Random) -> Span {
    let frame = draft.moving_frames(1, random)?;
    let before = draft.frames[frame - 1].clone();
    if random.random_bool(0.5) {
        draft.frames[frame] = before;
    } else {
        let record = draft.timeline.frames[frame - 1].clone();
        draft.timeline.frames.insert(frame, record);
        draft.frames.insert(frame, before);
    }
    Some((draft.frame_s(frame - 1), draft.frame_s(frame)))
}

/// 3 to 15 frames with one content.
pub fn freeze(draft: &mut Draft, random: &mut Random) -> Span {
    let most = (draft.frames.len().checked_sub(2)?).min(14);
    let count = random.random_range(2..=most.max(2));
    let first = draft.moving_frames(count, random)?;
    let before = draft.frames[first - 1].clone();
    draft.frames[first..first + count].fill(before);
    Some((draft.frame_s(first - 1), draft.frame_s(first + count - 1)))
}

/// 1 to 10 frames; half of the cameras count the others as if nothing had happened.
pub fn drop_frames(draft: &mut Draft, random: &mut Random) -> Span {
    let most = draft.frames.len().checked_sub(4)?.min(10);
    let count = random.random_range(1..=most.max(1));
    let first = draft.some_frames(count, random)?;
    let span = (draft.frame_s(first - 1), draft.frame_s(first + count));
    draft.timeline.frames.drain(first..first + count);
    draft.frames.drain(first..first + count);
    if random.random_bool(0.5) {
        for frame in &mut draft.timeline.frames[first..] {
            frame.sequence -= count as u32;
        }
    }
    Some(span)
}

fn upper_half(image: &Image) -> Image {
    let height = image.height / 2;
    let rgb = image.rgb[..3 * (image.width * height) as usize].to_vec();
    Image {
        width: image.width,
        height,
        rgb,
    }
}

/// A frame that does not decode, or that is only half of one.
pub fn spoil(draft: &mut Draft, random: &mut Random) -> Span {
    let frame = draft.some_frames(1, random)?;
    match random.random_bool(0.5) {
        true => draft.spoiling = Spoiling::Frame(frame),
        false => draft.frames[frame] = upper_half(&draft.frames[frame]),
    }
    Some((draft.frame_s(frame), draft.frame_s(frame)))
}

/// 1 to 10 frames with 0 to 8 % of their light.
pub fn darken(draft: &mut Draft, random: &mut Random) -> Span {
    let share = random.random_range(0.0..0.08);
    expose(draft, random, |level| share * level)
}

/// 1 to 10 frames with 4 to 12 times their light.
pub fn brighten(draft: &mut Draft, random: &mut Random) -> Span {
    let gain = random.random_range(4.0..12.0);
    expose(draft, random, |level| gain * level)
}

fn expose(draft: &mut Draft, random: &mut Random, light: impl Fn(f64) -> f64) -> Span {
    let most = draft.frames.len().checked_sub(3)?.min(10);
    let count = random.random_range(1..=most.max(1));
    let first = draft.some_frames(count, random)?;
    for image in &mut draft.frames[first..first + count] {
        for level in &mut image.rgb {
            *level = light(f64::from(*level)).round().clamp(0.0, 255.0) as u8;
        }
    }
    Some((draft.frame_s(first), draft.frame_s(first + count - 1)))
}

/// A clock that is 60 to 300 ms off, or drifts by as much. A slow camera's stamps must lie by so much beyond what is possible:
/// 20 ms or more.
pub fn skew(draft: &mut Draft, random: &mut Random) -> Span {
    let seen = draft.timeline.observations.first()?;
    let age = seen
        .observed_at
        .checked_duration_since(seen.frame_captured_at)?;
    let age_ms = 1e-6 * age.as_ticks() as f64;
    let expectations = View::of(&draft.timeline).expectations;
    let possible_s = expectations.frame_latency_s;
    let (youngest_s, oldest_s) = possible_s.unwrap_or((0.0, expectations.frame_age_max_s));
    let ahead = random.random_bool(0.5);
    let drifts = draft.timeline.observations.len() >= DRIFTING && random.random_bool(0.3);
    let least_ms = match (drifts || draft.frame_period_s()? < FAST_S, ahead) {
        (true, _) => 60.0,
        (false, true) => age_ms - 1e3 * youngest_s + 20.0,
        (false, false) => 1e3 * oldest_s - age_ms + 20.0,
    };
    let offset_ms = least_ms.max(60.0) + random.random_range(0.0..240.0);
    let ns = 1e6 * if ahead { offset_ms } else { -offset_ms };
    let (start, end) = (draft.timeline.start(), draft.timeline.ticks.last()?.due);
    let length = end.checked_duration_since(start)?.as_ticks() as f64;
    restamp(&mut draft.timeline, |captured_at| {
        let since = captured_at.as_ticks().saturating_sub(start.as_ticks());
        let share = if drifts { since as f64 / length } else { 1.0 };
        later(captured_at, (ns * share) as i64)
    });
    Some(draft.all())
}

/// So many observations at least show a drift.
const DRIFTING: usize = 8;

/// Every stamp of a frame, wherever it is.
fn restamp(timeline: &mut Timeline, stamp: impl Fn(Instant) -> Instant) {
    let frames = timeline
        .frames
        .iter_mut()
        .map(|frame| &mut frame.captured_at);
    let observed = timeline
        .observed
        .iter_mut()
        .map(|seen| &mut seen.captured_at);
    let seen = timeline
        .observations
        .iter_mut()
        .map(|seen| &mut seen.frame_captured_at);
    let decided = timeline
        .decisions
        .iter_mut()
        .map(|record| &mut record.decision.frame_captured_at);
    for captured_at in frames.chain(observed).chain(seen).chain(decided) {
        *captured_at = stamp(*captured_at);
    }
}

/// One to three observations in a row whose frames are 20 to 300 ms older than is allowed.
pub fn age(draft: &mut Draft, random: &mut Random) -> Span {
    let most = draft.timeline.observations.len().checked_sub(1)? / 2;
    let count = random.random_range(1..=most.clamp(1, 3));
    let last = draft.timeline.observations.len().checked_sub(count)?;
    let first = (most > 0).then(|| random.random_range(0..=last))?;
    let limit_s = View::of(&draft.timeline).expectations.frame_age_max_s;
    let ns = 1e9 * limit_s + 1e6 * random.random_range(20.0..300.0);
    let timeline = &mut draft.timeline;
    for k in first..first + count {
        let seen = &mut timeline.observations[k];
        seen.frame_captured_at = later(seen.observed_at, -ns as i64);
        if let Some(record) = timeline.decisions.get_mut(k) {
            record.decision.frame_captured_at = seen.frame_captured_at;
        }
    }
    let at_s = |k: usize| timeline.seconds(timeline.observations[k].observed_at);
    Some((at_s(first), at_s(first + count - 1)))
}
