//! Which request an answer may belong to, on a line whose answers do not say it.
//!
//! Servo buses and CAN actuators answer with numbers and without a serial number. After an answer was missed, the next one may
//! be the late one. So an answer counts as one to the oldest request that may still be answered: its age is then over-estimated,
//! by one period a lost answer, and never under-estimated. Not responsible for waiting.

use visuomotor_runtime::clock::{Duration, Instant};

/// No line keeps an answer for longer than this: drive, adapter and driver together.
pub const ANSWER_LATE_MAX: Duration = Duration::from_ticks(50_000_000);
/// A request that is older than this is not answered any more: the answer itself took its time before it was late.
pub const FORGOTTEN_AFTER: Duration = Duration::from_ticks(60_000_000);
/// More requests than this are not open at once; at 1 kHz it is a little more than [`FORGOTTEN_AFTER`].
const OPEN_MAX: usize = 64;

/// The requests to one device that may still be answered, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Outstanding {
    sent: [Instant; OPEN_MAX],
    open: usize,
}

impl Default for Outstanding {
    fn default() -> Self {
        Self {
            sent: [Instant::from_ticks(0); OPEN_MAX],
            open: 0,
        }
    }
}

impl Outstanding {
    /// A request is sent at `now`. Those that are too old to be answered any more are forgotten; says how many.
    pub fn request(&mut self, now: Instant) -> usize {
        let is_late = |sent: &Instant| now.checked_duration_since(*sent) > Some(FORGOTTEN_AFTER);
        let late = self.sent[..self.open]
            .iter()
            .take_while(|sent| is_late(sent))
            .count();
        self.sent.copy_within(late..self.open, 0);
        self.open -= late;
        // Where there is no room the oldest stays: that can only make answers look older.
        if self.open < OPEN_MAX {
            self.sent[self.open] = now;
            self.open += 1;
        }
        late
    }

    /// An answer has come: when what it says was measured at the earliest. `None` when nothing was asked.
    pub fn answer(&mut self) -> Option<Instant> {
        let oldest = self.sent[..self.open].first().copied()?;
        self.sent.copy_within(1..self.open, 0);
        self.open -= 1;
        Some(oldest)
    }

    /// How many requests may still be answered.
    pub fn open(&self) -> usize {
        self.open
    }

    /// What was asked until `sent` has been answered, or never will be: the line kept its order, and the answer to something
    /// later that says what it answers has come.
    pub fn forget_until(&mut self, sent: Instant) {
        let gone = self.sent[..self.open]
            .iter()
            .take_while(|&&request| request <= sent)
            .count();
        self.sent.copy_within(gone..self.open, 0);
        self.open -= gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_ticks(ms * 1_000_000)
    }

    #[test]
    fn a_lost_answer_makes_the_following_ones_look_one_period_older_for_a_while() {
        let mut open = Outstanding::default();
        assert_eq!(open.answer(), None);
        open.request(at(0));
        assert_eq!(open.answer(), Some(at(0)));
        assert_eq!(open.answer(), None);
        // The answer to 10 is lost, or late: nobody knows.
        open.request(at(10));
        for ms in (20..=60).step_by(10) {
            open.request(at(ms));
            assert_eq!(open.answer(), Some(at(ms - 10)));
        }
        // Silence until no old answer can be on its way any more.
        assert_eq!(open.request(at(130)), 1);
        assert_eq!((open.answer(), open.answer()), (Some(at(130)), None));
    }

    #[test]
    fn what_an_answer_with_a_name_overtook_is_forgotten() {
        let mut open = Outstanding::default();
        for ms in [0, 10, 20] {
            open.request(at(ms));
        }
        open.forget_until(at(10));
        assert_eq!(
            (open.open(), open.answer(), open.answer()),
            (1, Some(at(20)), None)
        );
    }

    #[test]
    fn no_number_of_unanswered_requests_makes_an_answer_too_young() {
        let mut open = Outstanding::default();
        for k in 0..200 {
            open.request(Instant::from_ticks(k));
        }
        assert_eq!(open.answer(), Some(Instant::from_ticks(0)));
    }
}
