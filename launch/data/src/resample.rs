//! A fixed rate out of streams that have their own stamps.
//!
//! The rule: an output instant gets the newest sample that was *taken* at or before it (zero-order hold). Nothing is
//! interpolated, and nothing that was taken later is ever looked at. How old that sample is at the output instant is its
//! residual: 0 where a sample was taken in that very nanosecond, at most the stream's own period where none is missing.
//!
//! Not responsible for what the streams are ([`crate::lerobot`]).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use visuomotor_runtime::clock::Instant;

const NS_PER_S: u64 = 1_000_000_000;
/// Residuals are counted in bins of 0.1 ms.
const BIN_NS: u64 = 100_000;

/// Output instants at `fps`, the first one at `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub start: Instant,
    pub fps: u32,
}

impl Grid {
    /// Rounded down to whole nanoseconds, each from the start: errors do not add up.
    pub fn at(&self, row: u64) -> Instant {
        let offset = u128::from(row) * u128::from(NS_PER_S) / u128::from(self.fps.max(1));
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        Instant::from_ticks(self.start.as_ticks().saturating_add(offset))
    }

    /// Rows from the start to `end`, which is still in.
    pub fn rows(&self, end: Instant) -> u64 {
        if end < self.start {
            return 0;
        }
        let span = end.as_ticks() - self.start.as_ticks();
        let row = u128::from(span) * u128::from(self.fps) / u128::from(NS_PER_S);
        let row = row as u64;
        // Instants are rounded down, so that the next one may be in as well.
        row + 1 + u64::from(self.at(row + 1) <= end)
    }
}

/// Index of the newest of these stamps, which ascend, that is not after `at`.
pub fn newest(stamps: &[Instant], at: Instant) -> Option<usize> {
    stamps.partition_point(|stamp| *stamp <= at).checked_sub(1)
}

/// The median distance of neighbours, ns; `None` of fewer than two stamps.
pub fn median_period_ns(stamps: &[Instant]) -> Option<u64> {
    let pairs = stamps.windows(2);
    let mut periods: Vec<u64> = pairs
        .map(|pair| pair[1].as_ticks().saturating_sub(pair[0].as_ticks()))
        .collect();
    periods.sort_unstable();
    periods.get(periods.len() / 2).copied()
}

/// The residuals of one stream: how old its samples were at the output instants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residuals {
    /// Rows by age in units of 0.1 ms, rounded down.
    bins: BTreeMap<u64, u64>,
    max_ns: u64,
}

impl Residuals {
    pub fn add(&mut self, age_ns: u64) {
        *self.bins.entry(age_ns / BIN_NS).or_default() += 1;
        self.max_ns = self.max_ns.max(age_ns);
    }

    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            *self.bins.entry(*bin).or_default() += count;
        }
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// To within 0.1 ms, ms.
    pub fn p50_ms(&self) -> f64 {
        let total: u64 = self.bins.values().sum();
        let mut below = 0;
        let middle = self.bins.iter().find(|(_, count)| {
            below += **count;
            2 * below >= total
        });
        middle.map_or(0.0, |(bin, _)| *bin as f64 / 10.0)
    }

    pub fn max_ms(&self) -> f64 {
        self.max_ns as f64 * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sees_no_future() {
        let stamps = [10, 20, 20, 30].map(Instant::from_ticks);
        for (at, expected) in [
            (9, None),
            (10, Some(0)),
            (19, Some(0)),
            (20, Some(2)),
            (29, Some(2)),
            (1000, Some(3)),
        ] {
            assert_eq!(newest(&stamps, Instant::from_ticks(at)), expected, "{at}");
        }
        assert_eq!(newest(&[], Instant::from_ticks(5)), None);
    }

    proptest! {
        #[test]
        fn the_grid_has_all_instants_up_to_the_end(start in 1..u64::MAX / 4, fps in 1..1000_u32, row in 0..100_000_u64) {
            let grid = Grid { start: Instant::from_ticks(start), fps };
            prop_assert_eq!(grid.rows(grid.at(row)), row + 1);
            let before = Instant::from_ticks(grid.at(row).as_ticks().wrapping_sub(1));
            prop_assert_eq!(grid.rows(before), row);
        }
    }

    #[test]
    fn residuals_are_counted() {
        let mut residuals = Residuals::default();
        assert_eq!((residuals.p50_ms(), residuals.max_ms()), (0.0, 0.0));
        for ms in [0, 1, 2, 3, 400] {
            residuals.add(ms * 1_000_000);
        }
        let mut twice = residuals.clone();
        twice.merge(&residuals);
        for residuals in [residuals, twice] {
            assert_eq!((residuals.p50_ms(), residuals.max_ms()), (2.0, 400.0));
        }
        let stamps = [0, 10, 30, 40, 50].map(Instant::from_ticks);
        assert_eq!(median_period_ns(&stamps), Some(10));
        assert_eq!(median_period_ns(&stamps[..1]), None);
    }
}
