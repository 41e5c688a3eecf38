//! Time. The only module that may read the operating system's clock or sleep.
//!
//! Responsible for the time base on the traits of rtic-monotonics, for the [`executor`] that runs a fixed set of
//! tasks on it, and for the periodic [`Ticker`]. Not responsible for scheduling rights, locked memory and CPU affinity
//! ([`crate::realtime`]). Everywhere else time is an argument of type [`Instant`].
//!
//! ```text
//! async fn control<C: Clock>(..)  --executor::run::<LinuxMono>-->  sleeps until each deadline
//!                                 --executor::run::<SimMono>---->  jumps to each deadline
//! async fn poll<C: Clock>(..)     --block_on, ThreadMono-------->  sleeps, alone on its thread
//! ```
//!
//! Each thread has a timer queue (and, simulated, a clock) of its own. A task that waits must therefore be dropped on
//! the thread that polled it; [`executor::run`] keeps it there.

mod critical;
pub mod executor;
pub mod linux;
pub mod sim;
pub mod thread;
mod ticker;
mod timer;

pub use linux::LinuxMono;
pub use sim::SimMono;
pub use thread::{ThreadMono, block_on};
pub(crate) use ticker::give_way;
pub use ticker::{Tick, Ticker};

pub use rtic_monotonics::Timebase;

use rtic_monotonics::Monotonic;

/// Monotonic time since an arbitrary epoch, u64 nanoseconds.
pub type Instant = fugit::MonotonicInstant<u64, 1, 1_000_000_000>;
/// A span of time, u64 nanoseconds.
pub type Duration = fugit::Duration<u64, 1, 1_000_000_000>;

/// What a task needs of time: the same task runs on every implementation.
///
/// Tasks wait with `C::delay_until`. `C::delay` waits one nanosecond longer than asked (rtic-time's rule for
/// hardware counters), so a period built from it drifts.
pub trait Clock: Monotonic + Timebase<Instant = Instant, Duration = Duration> {}

impl<T: Timebase<Instant = Instant, Duration = Duration>> Clock for T {}

/// A clock on which [`executor::run`] can run several tasks.
pub trait ExecutorClock: Clock {
    /// Wakes every task of this thread whose instant has come.
    fn release_due();

    /// Lets time pass until the next instant that a task of this thread waits for, at least as
    /// [`ExecutorClock::release_due`] last saw it; may return early.
    ///
    /// # Panics
    /// When no task waits for an instant: nothing else could ever wake this thread.
    fn idle();
}
