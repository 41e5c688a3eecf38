//! The state that one thread keeps for one time base: rtic-time's queue, and the compare register of its "timer".
//!
//! Not responsible for what time it is or how it passes: that is the backend's.

use rtic_monotonics::TimerQueueBackend;
use rtic_time::timer_queue::TimerQueue;
use std::cell::Cell;

/// Compare value while no task waits.
const NEVER: u64 = u64::MAX;

pub(super) struct Timer<B: TimerQueueBackend<Ticks = u64>> {
    pub queue: TimerQueue<B>,
    compare_ns: Cell<u64>,
}

impl<B: TimerQueueBackend<Ticks = u64>> Timer<B> {
    /// rtic-time asks for a `'static` queue. One is leaked per thread, because its list is safe for one thread only:
    /// a wait that is dropped while another thread takes it from the list would be read after it is freed.
    pub fn leak(backend: B) -> &'static Self {
        let timer = Self {
            queue: TimerQueue::new(),
            compare_ns: Cell::new(NEVER),
        };
        timer.queue.initialize(backend);
        Box::leak(Box::new(timer))
    }

    pub fn set_compare(&self, instant_ns: u64) {
        self.compare_ns.set(instant_ns);
    }

    pub fn disable(&self) {
        self.compare_ns.set(NEVER);
    }

    /// Wakes the tasks that are due and sets the compare value to the first that is not.
    pub fn release_due(&self) {
        // SAFETY: the executor calls this outside of every task, on the one thread that uses this queue, which is what
        // the timer's interrupt is to a microcontroller.
        unsafe { self.queue.on_monotonic_interrupt() }
    }

    pub fn is_empty(&self) -> bool {
        self.compare_ns.get() == NEVER
    }

    /// The next instant that a task waits for, ns.
    pub fn next_ns(&self) -> u64 {
        assert!(
            !self.is_empty(),
            "no task waits for an instant: nothing can ever wake this thread"
        );
        self.compare_ns.get()
    }
}
