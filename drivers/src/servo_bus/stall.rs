//! Notices a servo that pushes and gets nowhere, before it burns.
//!
//! Not responsible for what follows: a joint's stall is a fault, a gripper's is how it holds things ([`super::arm`]).

use super::config::StallConfig;
use visuomotor_runtime::clock::{Duration, Instant};

/// Of one servo.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stall {
    since: Option<Instant>,
}

impl Stall {
    /// Whether it is one: much load, far from the goal, and both for a while.
    pub fn is_seen(
        &mut self,
        at: Instant,
        load_share: f64,
        error_rad: f64,
        config: &StallConfig,
    ) -> bool {
        let pushes = load_share.abs() >= config.load_share && error_rad.abs() >= config.error_rad;
        if !pushes {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(at);
        let time = Duration::from_ticks(u64::from(config.time_ms) * 1_000_000);
        at.checked_duration_since(since)
            .is_some_and(|lasting| lasting >= time)
    }

    pub fn forget(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_load_and_error_together_and_long_enough_are_a_stall() {
        let config = StallConfig {
            load_share: 0.8,
            error_rad: 0.1,
            time_ms: 100,
        };
        let mut stall = Stall::default();
        let mut at = |ms: u64, load: f64, error: f64| {
            stall.is_seen(Instant::from_ticks(ms * 1_000_000), load, error, &config)
        };
        assert!(!at(0, 0.9, 0.05) && !at(200, 0.9, 0.05));
        assert!(!at(300, 0.5, 0.5) && !at(500, 0.5, 0.5));
        assert!(!at(600, -0.9, -0.2) && !at(699, -0.9, -0.2) && at(700, -0.9, -0.2));
        assert!(!at(710, 0.1, 0.2) && !at(720, 0.9, 0.2) && at(820, 0.9, 0.2));
    }
}
