//! Simulated time: it stands still while tasks run and jumps to the next deadline when all of them wait.
//!
//! Never reads the operating system's clock, so a run is a function of its tasks alone. Every thread has its own
//! simulated time: simulations on different threads run side by side, and one thread runs one after the other.

use super::timer::Timer;
use super::{Duration, ExecutorClock, Instant, executor};
use rtic_monotonics::{TimerQueueBackend, TimerQueueBasedMonotonic};
use rtic_time::timer_queue::TimerQueue;
use std::cell::Cell;

thread_local! {
    static TIMER: &'static Timer<SimBackend> = Timer::leak(SimBackend);
    static NOW_NS: Cell<u64> = const { Cell::new(SimMono::EPOCH.as_ticks()) };
}

/// Monotonic over simulated time of the calling thread.
pub struct SimMono;

impl SimMono {
    /// When simulated time starts. Not zero, so that "a latency before now" exists from the first tick on.
    pub const EPOCH: Instant = Instant::from_ticks(1_000_000_000);

    pub fn now() -> Instant {
        Instant::from_ticks(NOW_NS.get())
    }

    /// Puts this thread's time back to [`SimMono::EPOCH`]: every simulation then sees the same instants.
    ///
    /// # Panics
    /// Inside of a running simulation, or while a task of the last one still waits (drop it first).
    pub fn reset() {
        assert!(
            !executor::is_running(),
            "a simulation runs on this thread: it cannot be reset"
        );
        Self::release_due();
        assert!(
            TIMER.with(|timer| timer.is_empty()),
            "a task of the last simulation still waits: drop it before the next one"
        );
        NOW_NS.set(Self::EPOCH.as_ticks());
    }

    /// Lets `duration` pass while the calling task keeps the processor: models a computation that takes time.
    pub fn spend(duration: Duration) {
        NOW_NS.set(NOW_NS.get() + duration.as_ticks());
    }
}

impl ExecutorClock for SimMono {
    fn release_due() {
        TIMER.with(|timer| timer.release_due());
    }

    fn idle() {
        NOW_NS.set(TIMER.with(|timer| timer.next_ns()));
    }
}

impl TimerQueueBasedMonotonic for SimMono {
    type Backend = SimBackend;
    type Instant = Instant;
    type Duration = Duration;
}

/// What rtic-time's queue asks of [`SimMono`].
pub struct SimBackend;

impl TimerQueueBackend for SimBackend {
    type Ticks = u64;

    fn now() -> u64 {
        NOW_NS.get()
    }

    fn set_compare(instant: u64) {
        TIMER.with(|timer| timer.set_compare(instant));
    }

    fn clear_compare_flag() {}

    /// The executor looks at the queue after every poll, so nothing has to be pended.
    fn pend_interrupt() {}

    fn disable_timer() {
        TIMER.with(|timer| timer.disable());
    }

    fn timer_queue() -> &'static TimerQueue<Self> {
        TIMER.with(|timer| &timer.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtic_monotonics::Timebase;
    use std::pin::pin;

    #[test]
    fn time_passes_only_by_waiting_and_spending() {
        executor::run::<SimMono>(&mut [pin!(async {
            assert_eq!(SimMono::now(), SimMono::EPOCH);
            SimMono::spend(Duration::from_millis(3));
            SimMono::delay_until(SimMono::EPOCH + Duration::from_millis(10)).await;
            assert_eq!(SimMono::now(), SimMono::EPOCH + Duration::from_millis(10));
        })]);
        SimMono::reset();
        assert_eq!(SimMono::now(), SimMono::EPOCH);
    }

    #[test]
    fn threads_have_their_own_time() {
        SimMono::spend(Duration::from_secs(5));
        std::thread::spawn(|| assert_eq!(SimMono::now(), SimMono::EPOCH))
            .join()
            .unwrap();
    }

    #[test]
    #[should_panic(expected = "it cannot be reset")]
    fn reset_inside_a_simulation_is_refused() {
        executor::run::<SimMono>(&mut [pin!(async { SimMono::reset() })]);
    }

    #[test]
    #[should_panic(expected = "still waits")]
    fn reset_is_refused_while_a_task_of_the_last_run_waits() {
        let end = SimMono::EPOCH + Duration::from_millis(1);
        let mut first = pin!(SimMono::delay_until(end));
        let mut longer = pin!(SimMono::delay_until(end + Duration::from_millis(1)));
        executor::run::<SimMono>(&mut [first.as_mut(), longer.as_mut()]);
        SimMono::reset();
    }
}
