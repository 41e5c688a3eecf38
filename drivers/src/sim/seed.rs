//! One number makes one scene, and no scene belongs to two splits.
//!
//! The pair (split, seed) is packed into one u64 (seed in the upper 62 bits, split in the lower 2) and mixed by a
//! bijection, so two different pairs can never start the same random sequence: training, validation and test objects
//! are disjoint by construction, whatever seeds are asked for.

use super::SceneError;

/// Which set of objects and scenes a seed is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Split {
    Train = 0,
    Validation = 1,
    Test = 2,
}

/// Largest seed: it shares a u64 with the split.
pub const SEED_MAX: u64 = (1 << 62) - 1;

impl Split {
    /// As launch files, commands and episodes call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Train, Self::Validation, Self::Test]
            .into_iter()
            .find(|split| split.name() == name)
    }

    /// The seed of the scene's random sequence; injective in (split, seed).
    pub fn mix(self, seed: u64) -> Result<u64, SceneError> {
        if seed > SEED_MAX {
            return Err(SceneError::Invalid {
                key: "seed",
                reason: format!("{seed} is greater than {SEED_MAX}"),
            });
        }
        Ok(bijection(seed << 2 | self as u64))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): invertible, every input bit reaches every output bit.
pub fn bijection(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_pairs_share_a_sequence() {
        let mut seen = HashSet::new();
        for split in [Split::Train, Split::Validation, Split::Test] {
            for seed in (0..2000).chain(SEED_MAX - 2000..=SEED_MAX) {
                assert!(seen.insert(split.mix(seed).unwrap()), "{split:?} {seed}");
            }
        }
    }

    #[test]
    fn a_seed_that_would_reach_into_the_split_is_refused() {
        assert!(Split::Train.mix(SEED_MAX + 1).is_err());
    }
}
