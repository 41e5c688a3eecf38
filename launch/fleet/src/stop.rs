//! The wish that a running forwarder or collector comes to its end.
//!
//! Not responsible for who has it: a person at the keyboard, a time that is over, a number that is reached.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by everyone who may ask for the end and everyone who waits.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub fn ask(&self) {
        let (asked, changed) = &*self.0;
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    pub fn is_asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits this long, or less when the end is asked for; whether it is.
    pub fn wait(&self, duration: Duration) -> bool {
        let (asked, changed) = &*self.0;
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, _) = changed
            .wait_timeout_while(asked, duration, |asked| !*asked)
            .unwrap_or_else(PoisonError::into_inner);
        *asked
    }
}
