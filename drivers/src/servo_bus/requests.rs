//! Which request an answer belongs to.
//!
//! Servos answer without a serial number, and after a lost answer [`crate::outstanding`] has to count every later one as one older:
//! on a bus that is read without a pause the ages would grow with each loss. But how many registers an answer has is the asker's
//! choice. So requests ask for up to [`TAGS`] - 1 registers more than they need, each time another number, and the answer's length
//! says which of them it answers. A lost answer then costs its own reading and nothing else.

use super::SERVOS_MAX;
use crate::outstanding::ANSWER_LATE_MAX;
use visuomotor_runtime::clock::{Duration, Instant};

pub const TAGS: usize = 8;
/// After that no answer comes any more: as late as it may be, and its time on the wire.
const OPEN_MAX: Duration = Duration::from_ticks(ANSWER_LATE_MAX.as_ticks() + 20_000_000);

/// The requests that may still be answered.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// By tag and servo, when it was sent: the earliest when there are several.
    open: [[Option<Instant>; SERVOS_MAX]; TAGS],
    servos: usize,
    last: usize,
}

impl Requests {
    pub fn new(servos: usize) -> Self {
        Self {
            open: [[None; SERVOS_MAX]; TAGS],
            servos,
            last: 0,
        }
    }

    /// Forgets what is too old to be answered any more.
    pub fn forget_late(&mut self, now: Instant) {
        let is_late = |sent: Instant| now.checked_duration_since(sent) > Some(OPEN_MAX);
        for sent in self.open.iter_mut().flatten() {
            *sent = sent.filter(|sent| !is_late(*sent));
        }
    }

    /// The tag of the request that is sent at `now`: one that nobody may still answer to, where there is one.
    pub fn request(&mut self, now: Instant) -> usize {
        self.forget_late(now);
        let next = |k: usize| (self.last + 1 + k) % TAGS;
        let is_free = |tag: &usize| self.open[*tag].iter().all(Option::is_none);
        let tag = (0..TAGS).map(next).find(is_free).unwrap_or(next(0));
        // Where an older one is open it stays: that can only make the answer look older.
        for sent in &mut self.open[tag][..self.servos] {
            *sent = sent.or(Some(now));
        }
        self.last = tag;
        tag
    }

    /// A servo has answered: when what it says was measured at the earliest. `None` when it was not asked, or has answered.
    pub fn answer(&mut self, servo: usize, tag: usize) -> Option<Instant> {
        self.open.get_mut(tag)?.get_mut(servo)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_ticks(ms * 1_000_000)
    }

    #[test]
    fn a_lost_answer_costs_nothing_but_itself_and_a_late_or_doubled_one_is_known() {
        let mut requests = Requests::new(2);
        assert_eq!(requests.answer(0, 3), None);
        let lost = requests.request(at(0));
        for k in 1..100 {
            let tag = requests.request(at(10 * k));
            assert_ne!((tag, k < 5), (lost, true));
            for servo in 0..2 {
                assert_eq!(requests.answer(servo, tag), Some(at(10 * k)));
                assert_eq!(requests.answer(servo, tag), None);
            }
        }
        let late = requests.request(at(1000));
        let tag = requests.request(at(1010));
        assert_eq!(requests.answer(1, late), Some(at(1000)));
        assert_eq!(requests.answer(1, tag), Some(at(1010)));
    }

    #[test]
    fn when_no_tag_is_free_answers_look_too_old_and_never_too_young() {
        let mut requests = Requests::new(1);
        let first = requests.request(at(0));
        for ms in 1..=8 {
            requests.request(at(ms));
        }
        assert_eq!(requests.answer(0, first), Some(at(0)));
        // After a silence everything is as new.
        let tag = requests.request(at(100));
        assert_eq!(requests.answer(0, tag), Some(at(100)));
    }
}
