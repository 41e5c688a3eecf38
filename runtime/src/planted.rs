//! Bugs that are planted on purpose, to see the simulation find them: a checker that finds nothing proves nothing.
//!
//! Only with the feature `planted-bugs`, which no shipped program has: without it nothing can be planted, and the compiler
//! removes every trace. Not responsible for finding them.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $bug:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $doc])* $bug,)*
        }

        impl Bug {
            pub const ALL: &[Bug] = &[$(Bug::$bug,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Bug::$bug => $name,)*
                }
            }
        }
    };
}

bugs! {
    /// Decisions about old frames move the tool.
    IgnoredAge "ignored-age",
    /// A lost link is named and stops nothing.
    SkippedLatch "skipped-latch",
    /// What finds its queue full is not counted.
    SilentDrop "silent-drop",
    /// A stop may be cleared while the arm still moves.
    ClearedInMotion "cleared-in-motion",
    /// A failed read is replaced by the last sample, stamped now.
    StaleSample "stale-sample",
    /// Commands that could not be sent are not noticed.
    IgnoredWriteError "ignored-write-error",
    /// A latched stop is weakened by a milder one that comes later.
    WeakenedStop "weakened-stop",
    /// The operator's watchdog sleeps.
    OperatorForgotten "operator-forgotten",
    /// The arm is armed where it was commanded last, not where it is.
    ArmedElsewhere "armed-elsewhere",
    /// The controller remembers something that its inputs do not say.
    HiddenState "hidden-state",
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use super::Bug;
    use std::sync::OnceLock;

    static PLANTED: OnceLock<Bug> = OnceLock::new();

    /// What a controller has no business to know: now and then 1.
    pub fn hidden_state() -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static TICKS: AtomicU64 = AtomicU64::new(0);
        if !is_planted(Bug::HiddenState) {
            return 0;
        }
        u64::from(TICKS.fetch_add(1, Ordering::Relaxed) % 1_009 == 0)
    }

    /// How far from where the arm is it is armed, rad.
    pub fn elsewhere_rad() -> f64 {
        if is_planted(Bug::ArmedElsewhere) {
            return 1e-3;
        }
        0.0
    }

    /// For the rest of the process.
    ///
    /// # Panics
    /// When there is one already.
    pub fn plant(bug: Bug) {
        assert!(PLANTED.set(bug).is_ok(), "one bug at a time");
    }

    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(&bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub use planting::{elsewhere_rad, hidden_state, is_planted, plant};

#[cfg(not(feature = "planted-bugs"))]
pub const fn is_planted(_: Bug) -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
pub const fn hidden_state() -> u64 {
    0
}

#[cfg(not(feature = "planted-bugs"))]
pub const fn elsewhere_rad() -> f64 {
    0.0
}
