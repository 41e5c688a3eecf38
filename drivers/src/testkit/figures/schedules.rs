//! Schedules of faults, one for each seed: which of them bring something out.

use crate::testkit::conformance::Outcome;
use serde::Serialize;
use std::ops::Range;
use std::panic::catch_unwind;

/// What a schedule has brought out, and the seed that does it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub seed: u64,
    pub what: String,
}

/// Makes a schedule for each seed. A driver that panics has broken a promise like any other.
pub fn violations(seeds: Range<u64>, schedule: fn(u64) -> Outcome) -> Vec<Violation> {
    let outcome = |seed| {
        let outcome = catch_unwind(move || schedule(seed));
        outcome.unwrap_or_else(|panic| Err(format!("panics: {}", words(&*panic))))
    };
    let found = seeds.map(|seed| (seed, outcome(seed)));
    let broken = found.filter_map(|(seed, outcome)| Some((seed, outcome.err()?)));
    broken
        .map(|(seed, what)| Violation { seed, what })
        .collect()
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_and_a_panic_are_named_with_their_seeds() {
        let schedule = |seed: u64| -> Outcome {
            assert!(seed != 7, "seven");
            if seed == 5 {
                return Err("five".to_owned());
            }
            Ok(())
        };
        let found = violations(0..10, schedule);
        let named = |seed, what: &str| Violation {
            seed,
            what: what.to_owned(),
        };
        assert_eq!(found, [named(5, "five"), named(7, "panics: seven")]);
    }
}
