//! The cross-entropy method over one action: which motion and verb does a critic like best?
//!
//! Draws motions, keeps the best ones (*elites*), draws the next ones around them (Rubinstein, 1999; as in QT-Opt,
//! Kalashnikov et al., 2018). The verbs are not drawn: the critic values all four for each motion. Works on any
//! critic, given as a closure; allocates only in its constructor.

use crate::random::{Rng, normal, uniform};
use serde::{Deserialize, Serialize};
use visuomotor_runtime::action::Verb;
use visuomotor_runtime::policy::PolicyError;

/// x, y, z, yaw in [-1, 1]: shares of the action scale.
pub type Motion = [f32; 4];

/// The smallest population that makes sense.
pub const SAMPLES_MIN: usize = 8;
/// Half of the first population is drawn this much narrower: most good motions are small.
const NARROW: f32 = 0.35;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CemConfig {
    /// Candidates an iteration.
    pub samples: usize,
    pub iterations: usize,
    /// The best candidates of an iteration, around which the next ones are drawn.
    pub elites: usize,
    /// Half width of the first, uniform draw, as a share of the whole range.
    pub initial_spread: f32,
    /// Added to the elites' standard deviation, as a share of the range.
    pub min_spread: f32,
}

impl CemConfig {
    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        if !(SAMPLES_MIN..=65_536).contains(&self.samples) {
            return Some(format!(
                "samples is {}; use {SAMPLES_MIN} to 65536",
                self.samples
            ));
        }
        if !(1..=100).contains(&self.iterations) {
            return Some(format!("iterations is {}; use 1 to 100", self.iterations));
        }
        if !(1..=self.samples).contains(&self.elites) {
            return Some(format!(
                "elites is {}; use 1 to samples ({})",
                self.elites, self.samples
            ));
        }
        if !(self.initial_spread > 0.0 && self.initial_spread <= 1.0) {
            return Some(format!(
                "initial_spread is {}; use a number above 0, at most 1",
                self.initial_spread
            ));
        }
        if !(0.0..=1.0).contains(&self.min_spread) {
            return Some(format!(
                "min_spread is {}; use a number from 0 to 1",
                self.min_spread
            ));
        }
        None
    }
}

/// The best action that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    pub motion: Motion,
    pub verb: Verb,
    /// The critic's value of it.
    pub value: f32,
}

/// See the module.
pub struct ActionSearch {
    config: CemConfig,
    motions: Vec<Motion>,
    /// One value a verb.
    values: Vec<[f32; 4]>,
    /// Candidates, best first as far as sorted.
    order: Vec<usize>,
    /// Where the last search ended; the next one starts with it as one of its candidates.
    last_mean: Option<Motion>,
}

impl ActionSearch {
    /// `config` has no [`CemConfig::problem`].
    pub fn new(config: CemConfig) -> Self {
        assert!(config.problem().is_none(), "{config:?}");
        Self {
            config,
            motions: vec![[0.0; 4]; config.samples],
            values: vec![[0.0; 4]; config.samples],
            order: (0..config.samples).collect(),
            last_mean: None,
        }
    }

    pub fn config(&self) -> &CemConfig {
        &self.config
    }

    /// Forgets the last search.
    pub fn reset(&mut self) {
        self.last_mean = None;
    }

    /// Searches with `score`, which writes the value of each verb for each motion. Verbs that are not `allowed` (in the
    /// order of [`Verb::ALL`]) are never chosen; at least one is.
    pub fn search(
        &mut self,
        rng: &mut Rng,
        allowed: [bool; 4],
        mut score: impl FnMut(&[Motion], &mut [[f32; 4]]) -> Result<(), PolicyError>,
    ) -> Result<Best, PolicyError> {
        assert!(allowed.contains(&true));
        self.draw_first(rng);
        let mut best: Option<Best> = None;
        for iteration in 0..self.config.iterations {
            score(&self.motions, &mut self.values)?;
            if self
                .values
                .as_flattened()
                .iter()
                .any(|value| !value.is_finite())
            {
                return Err(PolicyError::NotFinite);
            }
            let leader = self.sort_elites(&allowed);
            if best.is_none_or(|b| leader.value > b.value) {
                best = Some(leader);
            }
            let (mean, spread) = self.elite_distribution(leader.verb, &allowed);
            self.last_mean = Some(mean);
            if iteration + 1 < self.config.iterations {
                self.draw_next(rng, mean, spread, best.map_or(mean, |b| b.motion));
            }
        }
        best.ok_or(PolicyError::NotFinite)
    }

    fn draw_first(&mut self, rng: &mut Rng) {
        let half = self.motions.len() / 2;
        for (i, motion) in self.motions.iter_mut().enumerate() {
            let width = self.config.initial_spread * if i < half { 1.0 } else { NARROW };
            *motion = std::array::from_fn(|_| width * uniform(rng, -1.0, 1.0) as f32);
        }
        self.motions[0] = [0.0; 4];
        if let Some(mean) = self.last_mean {
            self.motions[1] = mean;
        }
    }

    /// Around the elites; their mean, the best motion so far and no motion stay in the population.
    fn draw_next(&mut self, rng: &mut Rng, mean: Motion, spread: Motion, best: Motion) {
        for motion in &mut self.motions {
            *motion = std::array::from_fn(|k| {
                (mean[k] + spread[k] * normal(rng) as f32).clamp(-1.0, 1.0)
            });
        }
        self.motions[0] = mean;
        self.motions[1] = best;
        self.motions[2] = [0.0; 4];
    }

    /// Brings the elites to the front of `order`, and gives the first.
    fn sort_elites(&mut self, allowed: &[bool; 4]) -> Best {
        let Self {
            values,
            order,
            config,
            motions,
            ..
        } = self;
        let key = |&i: &usize| best_verb(&values[i], allowed).1;
        // The index breaks ties, so that a search is reproducible.
        let compare = |a: &usize, b: &usize| key(b).total_cmp(&key(a)).then(a.cmp(b));
        order.select_nth_unstable_by(config.elites - 1, compare);
        order[..config.elites].sort_unstable_by(compare);
        let (verb, value) = best_verb(&values[order[0]], allowed);
        Best {
            motion: motions[order[0]],
            verb,
            value,
        }
    }

    /// Mean and spread of those elites whose best verb is `verb`: motions for different verbs do not mix.
    fn elite_distribution(&self, verb: Verb, allowed: &[bool; 4]) -> (Motion, Motion) {
        let elites = || {
            let chosen = self.order[..self.config.elites].iter();
            chosen
                .filter(|&&i| best_verb(&self.values[i], allowed).0 == verb)
                .map(|&i| &self.motions[i])
        };
        let count = elites().count() as f32;
        let mean: Motion = std::array::from_fn(|k| elites().map(|m| m[k]).sum::<f32>() / count);
        let spread = std::array::from_fn(|k| {
            let variance = elites().map(|m| (m[k] - mean[k]).powi(2)).sum::<f32>() / count;
            variance.sqrt() + self.config.min_spread
        });
        (mean, spread)
    }
}

fn best_verb(values: &[f32; 4], allowed: &[bool; 4]) -> (Verb, f32) {
    let mut best = (Verb::Move, f32::NEG_INFINITY);
    for (k, verb) in Verb::ALL.into_iter().enumerate() {
        if allowed[k] && values[k] > best.1 {
            best = (verb, values[k]);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeedableRng;
    use proptest::prelude::{
        ProptestConfig, any, prop_assert, prop_assert_eq, prop_assert_ne, proptest,
    };

    const CONFIG: CemConfig = CemConfig {
        samples: 128,
        iterations: 6,
        elites: 6,
        initial_spread: 1.0,
        min_spread: 0.02,
    };

    /// Each verb has its own peak; the height of a peak is the verb's value there.
    fn peaks(
        centres: [Motion; 4],
        heights: [f32; 4],
    ) -> impl Fn(&[Motion], &mut [[f32; 4]]) -> Result<(), PolicyError> {
        move |motions, values| {
            for (motion, value) in motions.iter().zip(values) {
                for verb in 0..4 {
                    let squares = (0..4)
                        .map(|k| (motion[k] - centres[verb][k]).powi(2))
                        .sum::<f32>();
                    value[verb] = heights[verb] - squares;
                }
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_the_highest_peak(
            centres in proptest::array::uniform4(proptest::array::uniform4(-0.9f32..0.9)),
            best in 0usize..4,
            seed in any::<u64>(),
        ) {
            let mut heights = [0.0; 4];
            heights[best] = 3.0;
            let mut search = ActionSearch::new(CONFIG);
            let score = peaks(centres, heights);
            let found = search.search(&mut Rng::seed_from_u64(seed), [true; 4], score).unwrap();
            prop_assert_eq!(found.verb, Verb::ALL[best]);
            prop_assert!(found.value > 3.0 - 0.25, "{:?}", found);
            prop_assert!(found.motion.iter().all(|m| m.abs() <= 1.0));
        }

        #[test]
        fn never_worse_than_no_motion_and_more_iterations_never_hurt(
            centre in proptest::array::uniform4(-1f32..1.0),
            seed in any::<u64>(),
        ) {
            let value = |iterations| {
                let mut search = ActionSearch::new(CemConfig { iterations, ..CONFIG });
                let score = peaks([centre; 4], [0.0; 4]);
                search.search(&mut Rng::seed_from_u64(seed), [true; 4], score).unwrap().value
            };
            let zero = -centre.iter().map(|c| c * c).sum::<f32>();
            prop_assert!(value(1) >= zero);
            prop_assert!(value(4) >= value(2) && value(2) >= value(1));
        }

        #[test]
        fn a_forbidden_verb_is_never_chosen(forbidden in 0usize..4, seed in any::<u64>()) {
            let mut heights = [0.0; 4];
            heights[forbidden] = 100.0;
            let mut allowed = [true; 4];
            allowed[forbidden] = false;
            let mut search = ActionSearch::new(CONFIG);
            let score = peaks([[0.0; 4]; 4], heights);
            let found = search.search(&mut Rng::seed_from_u64(seed), allowed, score).unwrap();
            prop_assert_ne!(found.verb, Verb::ALL[forbidden]);
            prop_assert!(found.value < 50.0);
        }
    }

    #[test]
    fn the_seed_and_the_last_mean_decide() {
        let centre = [0.6, -0.5, 0.4, 0.7];
        let config = CemConfig {
            iterations: 1,
            ..CONFIG
        };
        let run = |search: &mut ActionSearch| {
            search
                .search(
                    &mut Rng::seed_from_u64(1),
                    [true; 4],
                    peaks([centre; 4], [0.0; 4]),
                )
                .unwrap()
        };
        let mut search = ActionSearch::new(config);
        let first = run(&mut search);
        search.reset();
        assert_eq!(run(&mut search), first);
        // The last mean is a candidate of the next search, so a peak at it is hit exactly.
        let mean = search.last_mean.unwrap();
        let warm = search
            .search(
                &mut Rng::seed_from_u64(2),
                [true; 4],
                peaks([mean; 4], [0.0; 4]),
            )
            .unwrap();
        assert_eq!(warm.motion, mean);
    }

    #[test]
    fn no_motion_is_always_a_candidate() {
        let mut search = ActionSearch::new(CONFIG);
        let mut seen = 0;
        let score = |motions: &[Motion], values: &mut [[f32; 4]]| {
            seen += u32::from(motions.contains(&[0.0; 4]));
            values.fill([0.5; 4]);
            Ok(())
        };
        search
            .search(&mut Rng::seed_from_u64(0), [true; 4], score)
            .unwrap();
        assert_eq!(seen, 6);
    }

    #[test]
    fn a_value_that_is_not_finite_is_an_error() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut search = ActionSearch::new(CONFIG);
            let score = |_: &[Motion], values: &mut [[f32; 4]]| {
                values.fill([0.5; 4]);
                values[9][2] = bad;
                Ok(())
            };
            let found = search.search(&mut Rng::seed_from_u64(0), [true; 4], score);
            assert_eq!(found, Err(PolicyError::NotFinite));
        }
    }

    #[test]
    fn bad_settings_are_told() {
        for (config, word) in [
            (
                CemConfig {
                    samples: 7,
                    ..CONFIG
                },
                "samples",
            ),
            (
                CemConfig {
                    iterations: 0,
                    ..CONFIG
                },
                "iterations",
            ),
            (
                CemConfig {
                    elites: 129,
                    ..CONFIG
                },
                "elites",
            ),
            (
                CemConfig {
                    elites: 0,
                    ..CONFIG
                },
                "elites",
            ),
            (
                CemConfig {
                    initial_spread: f32::NAN,
                    ..CONFIG
                },
                "initial_spread",
            ),
            (
                CemConfig {
                    min_spread: -0.1,
                    ..CONFIG
                },
                "min_spread",
            ),
        ] {
            assert!(
                config.problem().is_some_and(|p| p.starts_with(word)),
                "{config:?}"
            );
        }
        assert_eq!(CONFIG.problem(), None);
    }
}
