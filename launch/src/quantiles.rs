//! Quantiles, and the CPU times of one thread that benches take them of.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use visuomotor_runtime::clock::linux::thread_cpu_time;

/// Nearest rank; all 0 for no values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Quantiles {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share| nearest_rank(&values, share);
        Self {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }

    /// Of a histogram of spans in ns, in us.
    pub fn microseconds(ns: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 * 1e-3;
        Self {
            p50: us(ns.value_at_quantile(0.5)),
            p99: us(ns.value_at_quantile(0.99)),
            p999: us(ns.value_at_quantile(0.999)),
            max: us(ns.max()),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50,
            p99,
            p999,
            max,
        } = self;
        write!(
            f,
            "{p50:.1} us median, {p99:.1} us 99 %, {p999:.1} us 99.9 %, {max:.1} us at most"
        )
    }
}

/// The value at a share of sorted values; 0 for none.
pub fn nearest_rank<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

/// What `act` gives, and the CPU time that it takes, us.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, f64) {
    let before = thread_cpu_time();
    let result = act();
    (
        result,
        (thread_cpu_time() - before).as_ticks() as f64 * 1e-3,
    )
}

#[cfg(test)]
mod tests {
    use super::Quantiles;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let thousand = Quantiles::of((1..=1000).rev().map(f64::from).collect());
        let expected = Quantiles {
            p50: 500.0,
            p99: 990.0,
            p999: 999.0,
            max: 1000.0,
        };
        assert_eq!(thousand, expected);
        assert_eq!(Quantiles::of(Vec::new()).max, 0.0);
        assert_eq!(Quantiles::of(vec![7.0]).p50, 7.0);
    }
}
