//! Real time for a thread that runs one task and nothing else: who waits, sleeps.
//!
//! Has no queue and so no critical section, which belongs to the control thread alone. Not for several tasks on one thread:
//! that is [`super::executor`].

use super::{Duration, Instant, LinuxMono};
use rtic_monotonics::Timebase;
use rtic_time::TimeoutError;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

const NEVER: Instant = Instant::from_ticks(u64::MAX);

thread_local! {
    /// The earliest instant that the task of this thread waits for, since it was polled last.
    static WAKE_AT: Cell<Instant> = const { Cell::new(NEVER) };
}

/// Monotonic over CLOCK_MONOTONIC for [`block_on`].
pub struct ThreadMono;

/// Runs one task on the calling thread, to its end.
///
/// # Panics
/// When the task waits for something other than time: nothing could ever wake it.
pub fn block_on<T>(task: impl Future<Output = T>) -> T {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut task = pin!(task);
    loop {
        WAKE_AT.set(NEVER);
        if let Poll::Ready(result) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        if woken.0.swap(false, Ordering::Relaxed) {
            continue;
        }
        let wake_at = WAKE_AT.get();
        assert!(
            wake_at != NEVER,
            "the task waits for no instant: nothing can ever wake it"
        );
        LinuxMono::sleep_until(wake_at);
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Timebase for ThreadMono {
    type Instant = Instant;
    type Duration = Duration;

    fn now() -> Instant {
        LinuxMono::now()
    }

    async fn delay(duration: Duration) {
        Self::delay_until(Self::now() + duration).await;
    }

    async fn delay_until(instant: Instant) {
        poll_fn(|_| {
            if Self::now() >= instant {
                return Poll::Ready(());
            }
            WAKE_AT.set(WAKE_AT.get().min(instant));
            Poll::Pending
        })
        .await;
    }

    async fn timeout_at<F: Future>(instant: Instant, future: F) -> Result<F::Output, TimeoutError> {
        let mut future = pin!(future);
        let mut limit = pin!(Self::delay_until(instant));
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => limit.as_mut().poll(context).map(|()| Err(TimeoutError)),
        })
        .await
    }

    async fn timeout_after<F: Future>(
        duration: Duration,
        future: F,
    ) -> Result<F::Output, TimeoutError> {
        Self::timeout_at(Self::now() + duration, future).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Ticker;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_waits_sleeps_and_is_never_early() {
        let start = ThreadMono::now();
        let woken = block_on(async {
            ThreadMono::delay_until(start + MS * 3).await;
            let first = ThreadMono::now();
            ThreadMono::delay_until(start).await;
            ThreadMono::delay(MS * 2).await;
            [first, ThreadMono::now()]
        });
        assert!(woken[0] >= start + MS * 3 && woken[1] >= woken[0] + MS * 2);
    }

    #[test]
    fn a_timeout_ends_what_waits_longer_and_nothing_else() {
        block_on(async {
            let start = ThreadMono::now();
            let far = start + Duration::from_secs(1_000);
            let never = ThreadMono::timeout_at(start + MS, ThreadMono::delay_until(far)).await;
            assert!(never.is_err() && ThreadMono::now() >= start + MS);
            let soon = async {
                ThreadMono::delay(MS).await;
                7
            };
            let done = ThreadMono::timeout_after(Duration::from_secs(1_000), soon).await;
            assert!(matches!(done, Ok(7)));
        });
    }

    #[test]
    fn a_ticker_ticks() {
        let start = ThreadMono::now();
        let mut ticker = Ticker::<ThreadMono>::new(start, MS);
        let (mut ticks, mut due) = (0, start);
        block_on(async {
            while due < start + MS * 10 {
                let tick = ticker.tick().await;
                due = tick.due;
                ticks += 1 + tick.missed;
            }
        });
        assert_eq!(ticks, 1 + (due - start).as_millis());
    }

    #[test]
    #[should_panic(expected = "nothing can ever wake it")]
    fn waiting_for_nothing_is_an_error_and_not_a_hang() {
        block_on(std::future::pending::<()>());
    }
}
