//! Real time: CLOCK_MONOTONIC, and the only places that ask Linux for any time or sleep.
//!
//! The "timer interrupt" of [`LinuxMono`] is the return of `clock_nanosleep` on the thread that runs the tasks: one
//! system call and one voluntary context switch a tick.

use super::timer::Timer;
use super::{Duration, ExecutorClock, Instant};
use rtic_monotonics::{TimerQueueBackend, TimerQueueBasedMonotonic};
use rtic_time::timer_queue::TimerQueue;

const NS_PER_S: u64 = 1_000_000_000;

thread_local! {
    static TIMER: &'static Timer<LinuxBackend> = Timer::leak(LinuxBackend);
}

/// Monotonic over CLOCK_MONOTONIC.
pub struct LinuxMono;

impl LinuxMono {
    /// Time since an arbitrary epoch; does not advance while the machine is suspended.
    pub fn now() -> Instant {
        Instant::from_ticks(read_ns(libc::CLOCK_MONOTONIC))
    }

    /// Blocks the calling thread until `instant`, or until a signal handler has run.
    ///
    /// For threads outside of the executor; a task awaits `delay_until` instead.
    pub fn sleep_until(instant: Instant) {
        let at_ns = instant.as_ticks();
        let at = libc::timespec {
            tv_sec: (at_ns / NS_PER_S) as libc::time_t,
            tv_nsec: (at_ns % NS_PER_S) as _,
        };
        // SAFETY: `at` outlives the call, and a null remainder is allowed (and unused) with TIMER_ABSTIME.
        let error = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &at,
                std::ptr::null_mut(),
            )
        };
        debug_assert!(
            error == 0 || error == libc::EINTR,
            "clock_nanosleep: {error}"
        );
    }
}

impl ExecutorClock for LinuxMono {
    fn release_due() {
        TIMER.with(|timer| timer.release_due());
    }

    fn idle() {
        Self::sleep_until(Instant::from_ticks(TIMER.with(|timer| timer.next_ns())));
    }
}

impl TimerQueueBasedMonotonic for LinuxMono {
    type Backend = LinuxBackend;
    type Instant = Instant;
    type Duration = Duration;
}

/// What rtic-time's queue asks of [`LinuxMono`].
pub struct LinuxBackend;

impl TimerQueueBackend for LinuxBackend {
    type Ticks = u64;

    fn now() -> u64 {
        read_ns(libc::CLOCK_MONOTONIC)
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

/// CPU time that the calling thread has used since it started.
pub fn thread_cpu_time() -> Duration {
    Duration::from_ticks(read_ns(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// Civil time since 1970-01-01 UTC: for names and headers of files. It may jump; nothing is ever scheduled by it.
pub fn unix_time() -> Duration {
    Duration::from_ticks(read_ns(libc::CLOCK_REALTIME))
}

fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "Linux has always had clock {clock}");
    time.tv_sec as u64 * NS_PER_S + time.tv_nsec as u64
}
