//! The process's critical section, which rtic-time enters around its queue.
//!
//! A lock that knows its thread. While the thread that runs the control loop under a real-time policy has it reserved,
//! every other thread that tries to enter panics: a thread of ordinary priority that is preempted inside would stop
//! the control loop for as long as the scheduler likes. Unreserved (tests, simulations on several threads) it is an
//! ordinary lock, contended for nanoseconds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

static SECTION: Section = Section::new();

struct ProcessSection;
critical_section::set_impl!(ProcessSection);

// SAFETY: `Section` admits one thread at a time (`admits_one_thread_at_a_time`), orders what it protects by acquire and
// release, and lets its holder enter again.
unsafe impl critical_section::Impl for ProcessSection {
    unsafe fn acquire() -> bool {
        SECTION.enter()
    }

    unsafe fn release(nested: bool) {
        if !nested {
            SECTION.leave();
        }
    }
}

/// Reserves the section when the calling thread runs under SCHED_FIFO or SCHED_RR.
///
/// # Panics
/// When another thread has it reserved.
pub(super) fn reserve_when_real_time() -> Option<Reservation<'static>> {
    // SAFETY: asks for the calling thread's own policy; no pointers.
    let policy = unsafe { libc::sched_getscheduler(0) };
    let real_time = matches!(
        policy & !libc::SCHED_RESET_ON_FORK,
        libc::SCHED_FIFO | libc::SCHED_RR
    );
    real_time.then(|| SECTION.reserve())
}

const NOBODY: usize = 0;

struct Section {
    /// Token of the thread inside, or [`NOBODY`].
    holder: AtomicUsize,
    /// Token of the only thread that may enter, or [`NOBODY`].
    reserved_for: AtomicUsize,
}

/// The section is reserved for the thread that made this, until it is dropped.
pub(super) struct Reservation<'a>(&'a Section);

impl Section {
    const fn new() -> Self {
        Self {
            holder: AtomicUsize::new(NOBODY),
            reserved_for: AtomicUsize::new(NOBODY),
        }
    }

    /// Returns whether this thread was inside already.
    fn enter(&self) -> bool {
        let me = thread_token();
        if self.holder.load(Ordering::Relaxed) == me {
            return true;
        }
        while self
            .holder
            .compare_exchange_weak(NOBODY, me, Ordering::SeqCst, Ordering::Relaxed)
            .is_err()
        {
            assert_admitted(self.admits(me));
            thread::yield_now();
        }
        // Checked from inside: either `reserve` sees this thread and waits for it, or this thread sees the reservation.
        let admitted = self.admits(me);
        if !admitted {
            self.leave();
        }
        assert_admitted(admitted);
        false
    }

    fn leave(&self) {
        self.holder.store(NOBODY, Ordering::Release);
    }

    fn admits(&self, thread: usize) -> bool {
        let reserved_for = self.reserved_for.load(Ordering::SeqCst);
        reserved_for == NOBODY || reserved_for == thread
    }

    fn reserve(&self) -> Reservation<'_> {
        let me = thread_token();
        let claim =
            self.reserved_for
                .compare_exchange(NOBODY, me, Ordering::SeqCst, Ordering::SeqCst);
        assert!(
            claim.is_ok(),
            "another thread has reserved the critical section"
        );
        // Sleeps instead of spinning: the thread inside may need this very CPU to leave.
        while self.holder.load(Ordering::SeqCst) != NOBODY {
            thread::sleep(Duration::from_micros(50));
        }
        Reservation(self)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.0.reserved_for.store(NOBODY, Ordering::SeqCst);
    }
}

/// A caller's mistake. Judged on one look: whoever was turned away is outside, even if the reservation ends meanwhile.
fn assert_admitted(admitted: bool) {
    assert!(
        admitted,
        "the critical section is reserved for the control thread; thread {:?} may not enter",
        thread::current().name()
    );
}

/// Not [`NOBODY`], and different for every living thread.
fn thread_token() -> usize {
    thread_local! {
        static TOKEN: u8 = const { 0 };
    }
    TOKEN.with(|token| std::ptr::from_ref(token).addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn admits_one_thread_at_a_time() {
        let (section, count) = (Section::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let nested = section.enter();
                        // Not atomic as a whole: increments are lost when two threads are inside.
                        let seen = count.load(Ordering::Relaxed);
                        thread::yield_now();
                        count.store(seen + 1, Ordering::Relaxed);
                        assert!(!nested);
                        section.leave();
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 2_000);
    }

    #[test]
    fn the_holder_may_enter_again() {
        let section = Section::new();
        assert!(!section.enter());
        assert!(section.enter());
    }

    #[test]
    fn a_reservation_keeps_other_threads_out_until_it_is_dropped() {
        let section = Section::new();
        let enters = || {
            thread::scope(|scope| {
                scope
                    .spawn(|| {
                        section.enter();
                        section.leave();
                    })
                    .join()
                    .is_ok()
            })
        };
        let reservation = section.reserve();
        assert!(!enters());
        assert!(
            !section.enter(),
            "the reserving thread enters, and the refused one has left"
        );
        section.leave();
        drop(reservation);
        assert!(enters());
    }

    #[test]
    fn a_reservation_waits_for_the_thread_inside() {
        let section = Section::new();
        let (inside, is_inside) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let section = &section;
            scope.spawn(move || {
                section.enter();
                inside.send(()).unwrap();
                may_leave.recv().unwrap();
                section.leave();
            });
            is_inside.recv().unwrap();
            let reserving = scope.spawn(move || {
                let _reservation = section.reserve();
                section.holder.load(Ordering::SeqCst)
            });
            while section.reserved_for.load(Ordering::SeqCst) == NOBODY {
                thread::yield_now();
            }
            assert!(!reserving.is_finished());
            leave.send(()).unwrap();
            assert_eq!(reserving.join().unwrap(), NOBODY);
        });
    }
}
