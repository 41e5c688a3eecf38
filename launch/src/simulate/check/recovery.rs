//! A well system: nothing stops it before something is wrong, and once nothing is wrong any more, a person who clears stops
//! gets the arm to work again.

use super::{Found, Pair, demand};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::fault::Fault;

/// Long enough to come to rest, to be seen by a person, and for some requests that are refused.
pub const RECOVERY_MAX: Duration = Duration::from_millis(1_500);

pub struct Recovery {
    /// Nothing is wrong before.
    faults_begin: Instant,
    /// Nothing is wrong from here on.
    faults_over: Instant,
    latched_since: Option<Instant>,
}

impl Recovery {
    pub fn new(faults_begin: Instant, faults_over: Instant) -> Self {
        Self {
            faults_begin,
            faults_over,
            latched_since: None,
        }
    }

    pub fn check(&mut self, pair: Pair<'_>) -> Found {
        let now = pair.now();
        let fault = pair.step.fault;
        // What lies in the tray may hold an arm back that presses on it: no fault of ours is needed for that one.
        let meant = fault.is_none_or(|fault| matches!(fault, Fault::Tracking { .. }));
        let well = now >= self.faults_begin || meant;
        demand(well, "well", || {
            format!(
                "{:?} although nothing is wrong",
                fault.map(|fault| fault.to_string())
            )
        })?;
        if pair.step.phase.latched().is_none() || now < self.faults_over {
            self.latched_since = None;
            return Ok(());
        }
        let since = *self.latched_since.get_or_insert(now);
        demand(now - since <= RECOVERY_MAX, "recovers", || {
            format!(
                "{:?} stays latched after all faults",
                pair.step.fault.map(|fault| fault.to_string())
            )
        })
    }
}
