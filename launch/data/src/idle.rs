//! When the arm does nothing.
//!
//! Responsible for telling rest from motion by what was measured. Not responsible for whether a rest is one too many
//! ([`crate::lint`]) nor for cutting it off.

use crate::motion::{self, Pose};
use crate::timeline::Timeline;
use visuomotor_runtime::clock::{Duration, Instant};

/// What stays within this of where it was has not moved. rad: above an encoder's noise and the sag of an arm that holds its
/// load, far below anything done on purpose. m, of the distance between the fingers: less than closing on cardboard changes.
const STILL: (f64, f64) = (0.01, 0.002);
/// What is kept before and after motion: a camera and a policy need to see where it began and where it led.
const MARGIN: Duration = Duration::from_millis(500);

/// From just before the first motion to just after the last, within the ticks; `None` when nothing moves.
pub fn busy_span(timeline: &Timeline) -> Option<(Instant, Instant)> {
    let poses = motion::poses(timeline);
    let (first, last) = (poses.first()?, poses.last()?);
    let begins = poses.iter().find(|pose| is_away(first, pose))?;
    let ends = poses.iter().rfind(|pose| is_away(last, pose))?;
    let (start, end) = (timeline.ticks.first()?.due, timeline.ticks.last()?.due);
    let before = begins.at.as_ticks().saturating_sub(MARGIN.as_ticks());
    let after = ends.at.as_ticks().saturating_add(MARGIN.as_ticks());
    let from = Instant::from_ticks(before).max(start);
    let to = Instant::from_ticks(after).min(end);
    (from <= to).then_some((from, to))
}

/// Stretches of at least `least` in which neither joints nor fingers move, in order.
pub fn stretches(poses: &[Pose], least: Duration) -> Vec<(Instant, Instant)> {
    let mut found: Vec<(Instant, Instant)> = Vec::new();
    let mut anchor = 0;
    while anchor < poses.len() {
        let rest = poses[anchor..].iter();
        let count = rest
            .take_while(|pose| !is_away(&poses[anchor], pose))
            .count();
        let count = count.max(1);
        // Up to where it moves, not only to where it was last seen at rest.
        let end = (anchor + count).min(poses.len() - 1);
        let (from, to) = (poses[anchor].at, poses[end].at);
        let lasts = to.checked_duration_since(from);
        if lasts.is_none_or(|lasts| lasts < least) {
            anchor += 1;
            continue;
        }
        match found.last_mut() {
            // It crept too far for one anchor, and still did nothing.
            Some(before) if before.1 >= from => before.1 = to,
            _ => found.push((from, to)),
        }
        anchor += count;
    }
    found
}

fn is_away(from: &Pose, pose: &Pose) -> bool {
    motion::departure(from, pose, STILL) > 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::{Stage, at_ms};
    use std::io::Cursor;
    use visuomotor_runtime::step::Step;

    /// An arm whose joints are `q` of the time in ms.
    fn arm(ticks: u64, q: impl Fn(u64) -> f64) -> Timeline {
        let stage = Stage {
            ticks,
            ..Stage::default()
        };
        let script = |step: &mut Step<7>| {
            if let Ok(state) = &mut step.inputs.arm {
                state.q = [q(step.tick); 7].into();
            }
            true
        };
        Timeline::read(Cursor::new(stage.changed(script, |_| true))).unwrap()
    }

    /// Rest, a motion from `from` to `to` in ms, rest.
    fn ramp(from: u64, to: u64) -> impl Fn(u64) -> f64 {
        move |ms| ms.clamp(from, to) as f64 * 1e-3
    }

    #[test]
    fn what_moves_is_kept_with_margins_and_no_more() {
        let near = |at: Instant, ms: u64| at.as_ticks().abs_diff(at_ms(ms).as_ticks()) < 60_000_000;
        for (motion, span) in [
            ((2000, 3000), (1500, 3500)),
            ((0, 1000), (0, 1500)),
            ((100, 5000), (0, 5000)),
            ((4000, 5000), (3500, 5000)),
        ] {
            let timeline = arm(5000, ramp(motion.0, motion.1));
            let (from, to) = busy_span(&timeline).unwrap();
            assert!(
                near(from, span.0) && near(to, span.1),
                "{motion:?}: {from} {to}"
            );
        }
        // Out and back: where it rests at the end it has been before.
        let back = arm(6000, |ms| {
            0.5 * (ms.clamp(2000, 3000) - 2000) as f64 * 1e-3
                - 0.5 * (ms.clamp(3000, 4000) - 3000) as f64 * 1e-3
        });
        let (from, to) = busy_span(&back).unwrap();
        assert!(near(from, 1520) && near(to, 4480), "{from} {to}");
    }

    #[test]
    fn nothing_moves_nothing_is_kept() {
        assert_eq!(busy_span(&arm(3000, |_| 0.4)), None);
        assert_eq!(busy_span(&arm(0, |_| 0.4)), None);
        let noise = |ms: u64| 0.4 + 1e-3 * (ms as f64).sin();
        assert_eq!(busy_span(&arm(3000, noise)), None);
        // Numbers that are none, and a glitch of an encoder, are no motion.
        let nan = |ms: u64| if ms.is_multiple_of(7) { f64::NAN } else { 0.4 };
        assert_eq!(busy_span(&arm(3000, nan)), None);
        let glitch = |ms: u64| if (1000..1006).contains(&ms) { 0.9 } else { 0.4 };
        assert_eq!(busy_span(&arm(3000, glitch)), None);
    }

    #[test]
    fn fingers_move_too() {
        let script = |step: &mut Step<7>| {
            if let Ok(state) = &mut step.inputs.arm {
                state.q = [0.0; 7].into();
                state.aperture_m = if step.tick < 2000 { 0.08 } else { 0.02 };
            }
            true
        };
        let stage = Stage {
            ticks: 4000,
            ..Stage::default()
        };
        let timeline = Timeline::read(Cursor::new(stage.changed(script, |_| true))).unwrap();
        let (from, to) = busy_span(&timeline).unwrap();
        assert!(at_ms(1480) < from && from < at_ms(1520), "{from}");
        assert!(at_ms(2440) < to && to < at_ms(2520), "{to}");
    }

    #[test]
    fn rests_of_the_least_length_are_found_where_they_are() {
        let least = Duration::from_millis(2500);
        let rests = |timeline: &Timeline| {
            let found = stretches(&motion::poses(timeline), least);
            let ms = |at: Instant| (timeline.seconds(at) * 10.0).round() / 10.0;
            found
                .into_iter()
                .map(|(from, to)| (ms(from), ms(to)))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            rests(&arm(9000, ramp(3000, 6000))),
            [(0.0, 3.0), (6.0, 9.0)]
        );
        assert_eq!(rests(&arm(6000, ramp(2000, 4000))), []);
        assert_eq!(rests(&arm(6000, |_| 0.1)), [(0.0, 6.0)]);
        // Creeping is no motion, and one rest.
        assert_eq!(rests(&arm(20_000, |ms| 2e-6 * ms as f64)), [(0.0, 20.0)]);
    }
}
