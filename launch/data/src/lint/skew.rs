//! Whether camera and joints share a clock.
//!
//! Two checks, and each says when it cannot be made. By the stamps: a frame that was looked at before it was taken, or long
//! after, has a stamp of another clock, and so has one of an age that drifts; that works at every frame rate, and sees only
//! large offsets where nobody knows how old frames usually are. By what the frames show:
//! the picture changes when the arm moves, so the change from frame to frame is compared with the way of the joints, at
//! many offsets; that needs a camera at [`RATE_MIN_HZ`] and an arm that moves now and then.
//!
//! Not responsible for the age of single frames, which the runtime's watchdog judges while it runs.

use super::exposure::shows_something;
use super::{Finding, Kind, View, median};
use nalgebra::{DMatrix, DVector};
use std::ops::RangeInclusive;
use visuomotor_runtime::episode::ClockSource;

/// A slower camera smears the arm's starts and stops over more than the offsets that matter.
const RATE_MIN_HZ: f64 = 15.0;
const FRAMES_MIN: usize = 40;
/// Offsets are tried up to so much, s, in such steps.
const OFFSET_MAX_S: f64 = 0.4;
const STEP_S: f64 = 0.005;
/// A person's eye, and a policy at 4 Hz, see nothing of less; two frames at 32 fps have their own jitter.
const SKEW_MAX_S: f64 = 0.045;
/// Pictures and joints that agree less than this at their best offset say nothing about it.
const AGREEMENT_MIN: f64 = 0.6;
/// Simulated stamps are rounded to a physics step, s.
const ROUNDING_S: f64 = 0.006;
/// Observations in each half of an episode below which no drift is told.
const HALF_MIN: usize = 3;
/// A drift from one half of an episode to the other, s, and in errors of the means.
const DRIFTED_S: f64 = 0.015;
const ERRORS: f64 = 3.0;
/// So much better than without any offset has the best one to be: a real one of 60 ms gains twice that, chance less.
const GAIN_MIN: f64 = 0.1;

pub fn check(view: &View<'_>) -> Vec<Finding> {
    let ages = frame_ages(view);
    let by_stamps = || Finding::new(Kind::ClockSkew, view.all()).with("by", "stamps");
    if let Some(age_s) = median(ages.iter().map(|(_, age_s)| *age_s))
        && !possible_ages_s(view).contains(&age_s)
    {
        return vec![by_stamps().measured("frame_age_ms", 1e3 * age_s)];
    }
    if let Some(drift) = drift(view) {
        return vec![by_stamps().measured("drift_ms_per_s", -1e3 * drift)];
    }
    match by_motion(view) {
        None => vec![Finding::new(Kind::SkewUnchecked, view.all())],
        Some(offset_s) if offset_s.abs() > SKEW_MAX_S => {
            let finding = Finding::new(Kind::ClockSkew, view.all()).with("by", "motion");
            vec![finding.measured("offset_ms", 1e3 * offset_s)]
        }
        Some(_) => Vec::new(),
    }
}

/// When the policy looked, and how old its frame was then, s.
pub fn frame_ages(view: &View<'_>) -> Vec<(f64, f64)> {
    let seconds = |at| view.timeline.seconds(at);
    let age = |at_s: f64, captured_s: f64| (at_s, at_s - captured_s);
    let seen = view.timeline.observations.iter();
    seen.map(|seen| age(seconds(seen.observed_at), seconds(seen.frame_captured_at)))
        .collect()
}

fn possible_ages_s(view: &View<'_>) -> RangeInclusive<f64> {
    let is_simulated = view.timeline.header.clock.source == ClockSource::Simulated;
    match view.expectations.frame_latency_s.filter(|_| is_simulated) {
        Some((least_s, most_s)) => least_s - ROUNDING_S..=most_s + ROUNDING_S,
        None => 0.0..=view.expectations.frame_age_max_s,
    }
}

/// How the age of frames grows, s each s: from the first half of the observations to the second by clearly more than chance,
/// for a free camera's frames are up to a period older than others. Frames that are too old by themselves do not count.
pub fn drift(view: &View<'_>) -> Option<f64> {
    let mut ages = frame_ages(view);
    ages.retain(|(_, age_s)| *age_s <= view.expectations.frame_age_max_s);
    let (first, second) = ages.split_at(ages.len() / 2);
    if first.len() < HALF_MIN {
        return None;
    }
    let mean = |half: &[(f64, f64)], part: fn(&(f64, f64)) -> f64| {
        half.iter().map(part).sum::<f64>() / half.len() as f64
    };
    let variance = |half: &[(f64, f64)]| {
        let middle = mean(half, |age| age.1);
        half.iter().map(|age| (age.1 - middle).powi(2)).sum::<f64>() / half.len() as f64
    };
    let grown_s = mean(second, |age| age.1) - mean(first, |age| age.1);
    let error_s = ((variance(first) + variance(second)) / first.len() as f64).sqrt();
    let since_s = mean(second, |age| age.0) - mean(first, |age| age.0);
    let is_clear = grown_s.abs() > DRIFTED_S && grown_s.abs() > ERRORS * error_s;
    (is_clear && since_s > 0.0).then(|| grown_s / since_s)
}

/// How far the frames' stamps are ahead of the joints' clock, s; `None` where that cannot be said.
fn by_motion(view: &View<'_>) -> Option<f64> {
    let changes = changes(view);
    if changes.len() < FRAMES_MIN || view.frame_period_s? > 1.0 / RATE_MIN_HZ {
        return None;
    }
    let count = (OFFSET_MAX_S / STEP_S) as i32;
    let offsets = (-count..=count).map(|k| f64::from(k) * STEP_S);
    let scores: Vec<(f64, f64)> = offsets
        .filter_map(|offset_s| Some((offset_s, agreement(view, &changes, offset_s)?)))
        .collect();
    let best = scores.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let without = agreement(view, &changes, 0.0).unwrap_or(0.0);
    if best.1 < AGREEMENT_MIN {
        return None;
    }
    Some(if best.1 - without < GAIN_MIN {
        0.0
    } else {
        best.0
    })
}

/// From, to, and how much the picture changed a second, of all pairs of consecutive frames.
fn changes(view: &View<'_>) -> Vec<(f64, f64, f64)> {
    let pairs = view.pictures.windows(2).zip(view.frames_s.windows(2));
    let mut changes: Vec<_> = pairs
        .filter_map(|(pictures, times)| {
            let [Some(a), Some(b)] = pictures else {
                return None;
            };
            let (from, to) = (times[0], times[1]);
            let is_pair = to > from && to - from < 2.0 / RATE_MIN_HZ;
            // A camera that shows nothing, or nothing new, has no say about when.
            let tells = is_pair && shows_something(a) && shows_something(b) && a != b;
            let change = a.change(b).filter(|_| tells)?;
            Some((from, to, (change / (to - from)).sqrt()))
        })
        .collect();
    // Somebody who switches a lamp or clears the table changes more than any arm.
    changes.sort_by(|a, b| a.2.total_cmp(&b.2));
    let usual = changes
        .get(changes.len() * 9 / 10)
        .map_or(0.0, |change| change.2);
    for change in &mut changes {
        change.2 = change.2.min(1.5 * usual);
    }
    changes
}

/// How well the joints' speeds explain the pictures' change when the stamps are `offset_s` ahead of the joints' clock: the
/// multiple correlation, since each joint moves another share of the picture.
fn agreement(view: &View<'_>, changes: &[(f64, f64, f64)], offset_s: f64) -> Option<f64> {
    let (start_s, end_s) = view.all();
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(changes.len());
    let mut wanted = Vec::with_capacity(changes.len());
    for (from, to, change) in changes {
        let (from, to) = (from - offset_s, to - offset_s);
        if from >= start_s && to <= end_s {
            let (a, b) = (view.pose_at(from)?, view.pose_at(to)?);
            let speeds = a
                .iter()
                .zip(&b)
                .map(|(a, b)| ((b - a).abs() / (to - from)).sqrt());
            rows.push(speeds.collect());
            wanted.push(*change);
        }
    }
    let columns = rows.first()?.len();
    if rows.len() < FRAMES_MIN.max(4 * columns) {
        return None;
    }
    let x = DMatrix::from_fn(rows.len(), columns, |row, column| rows[row][column]);
    let y = DVector::from_vec(wanted);
    let x = centred(x);
    let y = y.add_scalar(-y.mean());
    let square = x.tr_mul(&x);
    // A joint that hardly moves must not explain the noise.
    let ridge =
        DMatrix::identity(columns, columns) * (1e-3 * square.trace() / columns as f64 + 1e-9);
    let weights = (square + ridge).cholesky()?.solve(&x.tr_mul(&y));
    let fit = x * weights;
    let agreement = fit.dot(&y) / (fit.norm() * y.norm());
    agreement.is_finite().then_some(agreement)
}

fn centred(mut x: DMatrix<f64>) -> DMatrix<f64> {
    for mut column in x.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    x
}
