//! The one time line that everything on the page shares: seconds to columns, and where its marks stand.
//!
//! Not responsible for what is drawn along it.

use crate::timeline::Timeline;

/// Width of every picture of time; the browser stretches it to its window.
pub const COLUMNS: f64 = 1000.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeScale {
    pub from_s: f64,
    pub to_s: f64,
}

impl TimeScale {
    /// From the first to the last of ticks, frames and outcome.
    pub fn of(timeline: &Timeline) -> Self {
        let ticks = timeline.ticks.iter().map(|tick| tick.due);
        let frames = timeline.frames.iter().map(|frame| frame.captured_at);
        let ended = timeline.outcome.map(|(outcome, _)| outcome.ended_at);
        let times = ticks
            .chain(frames)
            .chain(ended)
            .map(|at| timeline.seconds(at));
        let (from_s, to_s) = times.fold((0.0_f64, 0.0_f64), |(from, to), at| {
            (from.min(at), to.max(at))
        });
        Self {
            from_s,
            // Something to divide by, in an episode of one tick too.
            to_s: to_s.max(from_s + 1e-3),
        }
    }

    pub fn column(&self, s: f64) -> f64 {
        COLUMNS * (s - self.from_s) / (self.to_s - self.from_s)
    }

    pub fn columns_per_s(&self) -> f64 {
        COLUMNS / (self.to_s - self.from_s)
    }

    /// Round numbers, s: some five to ten of them.
    pub fn marks(&self) -> Vec<f64> {
        let span = self.to_s - self.from_s;
        let power = 10_f64.powf((span / 5.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = steps
            .into_iter()
            .find(|step| span / step <= 10.0)
            .unwrap_or(span);
        let first = (self.from_s / step).ceil() as i64;
        let last = (self.to_s / step).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::Stage;
    use std::io::Cursor;

    #[test]
    fn marks_are_round_and_few() {
        for span in [1e-3, 0.02, 0.9, 1.0, 6.3, 30.0, 59.9, 600.0, 1e5] {
            let marks = TimeScale {
                from_s: -0.1 * span,
                to_s: span,
            }
            .marks();
            assert!((4..=12).contains(&marks.len()), "{span}: {marks:?}");
            assert!(marks.iter().all(|mark| (-0.1 * span..=span).contains(mark)));
        }
    }

    #[test]
    fn an_episode_without_length_has_a_scale() {
        for ticks in [0, 1] {
            let mut stage = Stage {
                ticks,
                ..Stage::default()
            };
            stage.outcome.ended_at = crate::staged::at_ms(0);
            let timeline = Timeline::read(Cursor::new(stage.file())).unwrap();
            let scale = TimeScale::of(&timeline);
            assert!(scale.to_s > scale.from_s);
            assert_eq!(scale.column(scale.to_s), COLUMNS);
        }
    }
}
