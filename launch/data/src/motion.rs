//! How the arm moved, as few robust poses: what tells rest from motion, and how far it went between two instants.
//!
//! Not responsible for what rest or motion mean for an episode ([`crate::idle`], [`crate::lint`]).

use crate::timeline::{Measured, Timeline};
use visuomotor_runtime::clock::{Duration, Instant};

/// Poses are medians of so much time: shorter than anything that an arm does, longer than an encoder's glitch.
const BIN: Duration = Duration::from_millis(20);
/// A bin ends after so many ticks at the latest, whatever their stamps say.
const TICKS_MAX: usize = 64;

/// The arm's pose at about one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Pose {
    /// Of the bin's first tick.
    pub at: Instant,
    /// rad, and behind the joints the aperture in m.
    pub values: Vec<f64>,
}

/// Of all ticks that measured only finite numbers, in their order.
pub fn poses(timeline: &Timeline) -> Vec<Pose> {
    let mut poses = Vec::new();
    let mut bin: Vec<(Instant, Measured)> = Vec::new();
    for tick in &timeline.ticks {
        let Ok(measured) = tick.measured else {
            continue;
        };
        if !measured.q.iter().all(|q| q.is_finite()) || !measured.aperture_m.is_finite() {
            continue;
        }
        let is_full = bin.first().is_some_and(|(since, _)| {
            let age = tick.due.checked_duration_since(*since);
            bin.len() >= TICKS_MAX || age.is_none_or(|age| age >= BIN)
        });
        if is_full {
            poses.extend(median(&bin));
            bin.clear();
        }
        bin.push((tick.due, measured));
    }
    poses.extend(median(&bin));
    poses
}

fn median(bin: &[(Instant, Measured)]) -> Option<Pose> {
    let (at, first) = bin.first()?;
    let middle = |value: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = bin.iter().map(|(_, measured)| value(measured)).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut values: Vec<f64> = (0..first.q.len())
        .map(|joint| middle(&|measured| measured.q.get(joint).copied().unwrap_or(0.0)))
        .collect();
    values.push(middle(&|measured| measured.aperture_m));
    Some(Pose { at: *at, values })
}

/// The farthest that a joint or the fingers are from where they were, in multiples of what counts as still: rad, m.
pub fn departure(from: &Pose, to: &Pose, (still_rad, still_m): (f64, f64)) -> f64 {
    let fingers = from.values.len().saturating_sub(1);
    let pairs = from.values.iter().zip(&to.values).enumerate();
    let shares = pairs.map(|(k, (a, b))| {
        let still = if k == fingers { still_m } else { still_rad };
        (a - b).abs() / still
    });
    shares.fold(0.0, f64::max)
}

/// The way that the joints together went up to each pose, rad.
pub fn travelled_rad(poses: &[Pose]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut travelled = vec![0.0; poses.len().min(1)];
    for pair in poses.windows(2) {
        let joints = pair[0].values.len().saturating_sub(1);
        let steps = pair[0].values.iter().zip(&pair[1].values).take(joints);
        sum += steps.map(|(a, b)| (b - a).powi(2)).sum::<f64>().sqrt();
        travelled.push(sum);
    }
    travelled
}
