//! Defects of time: rests, gaps, stamps and rates of ticks and decisions.
//!
//! Not responsible for frames, but that they stay where they belong.

use super::{Draft, Random, moved};
use crate::lint::View;
use crate::timeline::Tick;
use rand::RngExt;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::safety::Intervention;

type Span = Option<(f64, f64)>;

impl Draft {
    /// Every stamp of the episode, but ticks' numbers.
    fn shift(&mut self, shift: impl Fn(Instant) -> Instant) {
        let timeline = &mut self.timeline;
        for tick in &mut timeline.ticks {
            tick.due = shift(tick.due);
            if let Ok(measured) = &mut tick.measured {
                measured.sampled_at = shift(measured.sampled_at);
            }
            if let Some(decision) = &mut tick.decision {
                decision.frame_captured_at = shift(decision.frame_captured_at);
            }
        }
        // What was looked at shortly before an instant belongs to what was seen there, and stays with its frame.
        let stays = |frame: Instant| shift(frame) == frame;
        for observation in &mut timeline.observations {
            if !stays(observation.frame_captured_at) {
                observation.observed_at = shift(observation.observed_at);
                observation.frame_captured_at = shift(observation.frame_captured_at);
                observation.gripper.sampled_at = shift(observation.gripper.sampled_at);
            }
        }
        for seen in &mut timeline.observed {
            if !stays(seen.captured_at) {
                seen.observed_at = shift(seen.observed_at);
                seen.captured_at = shift(seen.captured_at);
            }
        }
        for record in &mut timeline.decisions {
            if !stays(record.decision.frame_captured_at) {
                record.decided_at = shift(record.decided_at);
                record.decision.frame_captured_at = shift(record.decision.frame_captured_at);
            }
        }
        for frame in &mut timeline.frames {
            frame.captured_at = shift(frame.captured_at);
        }
        if let Some((outcome, _)) = &mut timeline.outcome {
            outcome.ended_at = shift(outcome.ended_at);
        }
    }

    fn period(&self) -> Option<Duration> {
        let view = View::of(&self.timeline);
        view.tick_period_s
            .map(|period_s| Duration::from_ticks((1e9 * period_s).round() as u64))
    }
}

/// 0.2 to 0.9 s are left.
pub fn shorten(draft: &mut Draft, random: &mut Random) -> Span {
    let left_s = random.random_range(0.2..0.9);
    let count = draft.timeline.ticks.len();
    let keep = (0..count)
        .take_while(|&tick| draft.tick_s(tick) < left_s)
        .count();
    draft.timeline.ticks.truncate(keep);
    let end = draft.timeline.ticks.last()?.due;
    let timeline = &mut draft.timeline;
    timeline.frames.retain(|frame| frame.captured_at <= end);
    draft.frames.truncate(timeline.frames.len());
    timeline.observations.retain(|seen| seen.observed_at <= end);
    timeline.observed.retain(|seen| seen.observed_at <= end);
    draft.observed.truncate(timeline.observed.len());
    timeline.decisions.retain(|record| record.decided_at <= end);
    Some(draft.all())
}

/// 2.8 to 10 s in which nothing moves but the pixels' noise; at the start, in the middle, or at the end.
pub fn pause(draft: &mut Draft, random: &mut Random) -> Span {
    let period = draft.period()?;
    let rest = Duration::from_millis(random.random_range(2800..10_000));
    let added = rest.as_ticks() / period.as_ticks();
    let rest = Duration::from_ticks(added * period.as_ticks());
    let count = draft.timeline.ticks.len();
    let at = match random.random_range(0..3) {
        0 => 1,
        1 => random.random_range(1..count - 1),
        _ => count - 2,
    };
    let since = draft.timeline.ticks[at].due;
    let until = since + rest;
    draft.shift(|instant| {
        if instant > since {
            instant + rest
        } else {
            instant
        }
    });
    let still = draft.timeline.ticks[at];
    let resting = (1..=added).map(|k| {
        let later = Duration::from_ticks(k * period.as_ticks());
        let mut tick = Tick {
            tick: still.tick + k,
            due: still.due + later,
            decision: None,
            request: None,
            missed: 0,
            ..still
        };
        if let Ok(measured) = &mut tick.measured {
            measured.sampled_at += later;
            measured.dq.iter_mut().for_each(|dq| *dq = 0.0);
            // An encoder's noise.
            for q in measured.q.iter_mut() {
                *q += random.random_range(-2e-4..2e-4);
            }
        }
        tick.report.intervention = Intervention::Nothing;
        if let Some(commanded) = &mut tick.commanded {
            commanded.dq.iter_mut().for_each(|dq| *dq = 0.0);
        }
        tick
    });
    let resting: Vec<Tick> = resting.collect();
    for tick in &mut draft.timeline.ticks[at + 1..] {
        tick.tick += added;
        // A sample from before, which this tick still uses, is as old as it was.
        if let Ok(measured) = &mut tick.measured
            && measured.sampled_at <= since
        {
            measured.sampled_at += rest;
        }
    }
    draft.timeline.ticks.splice(at + 1..at + 1, resting);
    draft.film_rest(since, until, random)?;
    Some((draft.timeline.seconds(since), draft.timeline.seconds(until)))
}

/// From some tick on the clock is 5 to 300 ms behind.
pub fn step_back(draft: &mut Draft, random: &mut Random) -> Span {
    let first = draft.some_ticks(50, random)?;
    let back_ns = random.random_range(5_000_000..300_000_000_i64);
    let since = draft.timeline.ticks[first].due;
    let span = (
        draft.tick_s(first) - 1e-9 * back_ns as f64,
        draft.tick_s(first),
    );
    draft.shift(|instant| {
        if instant >= since {
            moved(instant, -back_ns)
        } else {
            instant
        }
    });
    Some(span)
}

/// 1 to 200 ticks, without a word.
pub fn drop_ticks(draft: &mut Draft, random: &mut Random) -> Span {
    let count = random.random_range(1..=200);
    let first = draft.some_ticks(count, random)?;
    let span = (draft.tick_s(first - 1), draft.tick_s(first + count));
    draft.timeline.ticks.drain(first..first + count);
    Some(span)
}

/// 1.02 to 3 times as long as the watchdog allows, as the loop itself reports it.
pub fn stall(draft: &mut Draft, random: &mut Random) -> Span {
    let count = random.random_range(205..600);
    let first = draft.some_ticks(count, random)?;
    let span = (draft.tick_s(first - 1), draft.tick_s(first + count));
    let drained = draft.timeline.ticks.drain(first..first + count);
    let missed = count as u64 + drained.map(|tick| tick.missed).sum::<u64>();
    let ticks = &mut draft.timeline.ticks[first..];
    ticks.first_mut()?.missed += missed;
    for tick in ticks {
        tick.tick -= count as u64;
    }
    Some(span)
}

/// 2.5 to 50 % too slow, or too fast.
pub fn slow_ticks(draft: &mut Draft, random: &mut Random) -> Span {
    let period = draft.period()?.as_ticks() as f64;
    let factor = random.random_range(1.025..1.5_f64);
    let factor = if random.random_bool(0.5) {
        factor
    } else {
        1.0 / factor
    };
    let old = std::mem::take(&mut draft.timeline.ticks);
    let first = old.first()?;
    let count = (old.len() as f64 / factor) as usize;
    let spread = (0..count).map(|k| {
        let mut tick = old[((k as f64 * factor) as usize).min(old.len() - 1)];
        let due = moved(first.due, (k as f64 * factor * period) as i64);
        if let Ok(measured) = &mut tick.measured {
            let age = tick.due.checked_duration_since(measured.sampled_at);
            measured.sampled_at = moved(due, -(age.map_or(0, |age| age.as_ticks()) as i64));
        }
        Tick {
            tick: first.tick + k as u64,
            due,
            missed: 0,
            ..tick
        }
    });
    draft.timeline.ticks = spread.collect();
    Some(draft.all())
}

/// A half or a third of the decisions.
pub fn slow_decisions(draft: &mut Draft, random: &mut Random) -> Span {
    let decisions = &mut draft.timeline.decisions;
    let every = random.random_range(2..=3);
    let kept: Vec<_> = decisions.iter().step_by(every).copied().collect();
    *decisions = kept;
    (decisions.len() >= 3).then(|| draft.all())
}
