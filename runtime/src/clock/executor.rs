//! Runs a fixed set of tasks on one thread, by priority, on any [`ExecutorClock`].
//!
//! Cooperative: a task keeps the thread until it awaits. Allocates one waker a task before the first poll and
//! nothing afterwards. Not a general executor: no spawning, and nothing but time ends an idle wait, so a wake from
//! another thread is seen at the next deadline (threads hand over through [`crate::handoff`], which is polled).

use super::{ExecutorClock, critical};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};

pub const TASKS_MAX: usize = 32;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `tasks` until the first completes; those that still wait are the caller's to drop.
///
/// Of all tasks that are ready the one with the lowest index runs, so index 0 has the highest priority. A thread
/// under a real-time policy has the process's critical section for itself meanwhile.
///
/// # Panics
/// For no task or more than [`TASKS_MAX`], for a run inside of a run, and when every task waits for something other
/// than time.
pub fn run<C: ExecutorClock>(tasks: &mut [Pin<&mut dyn Future<Output = ()>>]) {
    assert!(
        (1..=TASKS_MAX).contains(&tasks.len()),
        "{} tasks, not 1 to {TASKS_MAX}",
        tasks.len()
    );
    let _run = Run::begin();
    let _reservation = critical::reserve_when_real_time();

    let mut unfinished = u32::MAX >> (TASKS_MAX - tasks.len());
    let ready = Arc::new(AtomicU32::new(unfinished));
    let wakers: Vec<Waker> = (0..tasks.len())
        .map(|task| {
            Arc::new(ReadyBit {
                ready: ready.clone(),
                bit: 1 << task,
            })
            .into()
        })
        .collect();

    loop {
        C::release_due();
        let runnable = ready.load(Ordering::Acquire) & unfinished;
        if runnable == 0 {
            C::idle();
            continue;
        }
        let task = runnable.trailing_zeros() as usize;
        ready.fetch_and(!(1 << task), Ordering::AcqRel);
        if tasks[task]
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[task]))
            .is_ready()
        {
            if task == 0 {
                return;
            }
            unfinished &= !(1 << task);
        }
    }
}

/// Whether the calling thread is inside [`run`].
pub(super) fn is_running() -> bool {
    RUNNING.get()
}

struct Run;

impl Run {
    fn begin() -> Self {
        assert!(
            !RUNNING.replace(true),
            "this thread already runs an executor"
        );
        Self
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        RUNNING.set(false);
    }
}

struct ReadyBit {
    ready: Arc<AtomicU32>,
    bit: u32,
}

impl Wake for ReadyBit {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.fetch_or(self.bit, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Duration, Instant, LinuxMono, SimMono, Ticker};
    use rtic_monotonics::Timebase;
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    fn at_ms(ms: u64) -> Instant {
        SimMono::EPOCH + Duration::from_millis(ms)
    }

    /// Periods of 3, 5 and 10 ms for 60 ms, as (task, ms).
    fn trace_of_three_rates() -> Vec<(usize, u64)> {
        let trace = RefCell::new(Vec::new());
        let rate = async |task: usize, period_ms: u64| {
            let mut ticker = Ticker::<SimMono>::new(at_ms(0), Duration::from_millis(period_ms));
            loop {
                let due = ticker.tick().await.due;
                trace
                    .borrow_mut()
                    .push((task, (due - SimMono::EPOCH).as_millis()));
            }
        };
        reset_and_run(&mut [
            pin!(SimMono::delay_until(at_ms(60))),
            pin!(rate(1, 3)),
            pin!(rate(2, 5)),
            pin!(rate(3, 10)),
        ]);
        trace.into_inner()
    }

    fn reset_and_run(tasks: &mut [Pin<&mut dyn Future<Output = ()>>]) {
        SimMono::reset();
        run::<SimMono>(tasks);
    }

    #[test]
    fn rates_interleave_by_time_then_priority_and_repeat_exactly() {
        let trace = trace_of_three_rates();
        let mut expected: Vec<(usize, u64)> = [(1, 3), (2, 5), (3, 10)]
            .into_iter()
            .flat_map(|(task, period_ms)| {
                (0..60).step_by(period_ms).map(move |ms| (task, ms as u64))
            })
            .collect();
        expected.sort_by_key(|&(task, ms)| (ms, task));
        assert_eq!(trace, expected);
        assert_eq!(trace, trace_of_three_rates());
    }

    #[test]
    fn at_equal_deadlines_the_lower_index_runs_first_whoever_waited_first() {
        let order = RefCell::new(Vec::new());
        let wait_from = async |task: usize, from_ms: u64| {
            SimMono::delay_until(at_ms(from_ms)).await;
            SimMono::delay_until(at_ms(10)).await;
            order.borrow_mut().push(task);
            SimMono::delay_until(at_ms(11)).await;
        };
        reset_and_run(&mut [
            pin!(wait_from(0, 9)),
            pin!(wait_from(1, 5)),
            pin!(wait_from(2, 1)),
        ]);
        assert_eq!(order.into_inner(), [0, 1, 2]);
    }

    #[test]
    fn a_task_that_falls_due_while_a_lower_one_computes_runs_next() {
        let order = RefCell::new(Vec::new());
        let compute = async |task: usize, due_ms: u64, work_ms: u64| {
            SimMono::delay_until(at_ms(due_ms)).await;
            SimMono::spend(Duration::from_millis(work_ms));
            order.borrow_mut().push(task);
        };
        reset_and_run(&mut [
            pin!(SimMono::delay_until(at_ms(100))),
            pin!(compute(1, 12, 0)),
            pin!(compute(2, 10, 5)),
            pin!(compute(3, 10, 5)),
        ]);
        assert_eq!(order.into_inner(), [2, 1, 3]);
    }

    #[test]
    fn a_finished_task_is_not_polled_again() {
        let (polls, waker) = (Cell::new(0), Cell::new(Waker::noop().clone()));
        reset_and_run(&mut [
            pin!(async {
                SimMono::delay_until(at_ms(5)).await;
                waker.replace(Waker::noop().clone()).wake();
                SimMono::delay_until(at_ms(6)).await;
            }),
            pin!(poll_fn(|context| {
                polls.set(polls.get() + 1);
                waker.set(context.waker().clone());
                Poll::Ready(())
            })),
        ]);
        assert_eq!(polls.get(), 1);
    }

    #[test]
    #[should_panic(expected = "nothing can ever wake this thread")]
    fn waiting_for_nothing_is_an_error_and_not_a_hang() {
        run::<SimMono>(&mut [pin!(std::future::pending())]);
    }

    #[test]
    #[should_panic(expected = "already runs an executor")]
    fn a_run_inside_of_a_run_is_refused() {
        run::<SimMono>(&mut [pin!(async { run::<SimMono>(&mut [pin!(async {})]) })]);
    }

    #[test]
    fn the_same_task_runs_in_simulated_and_in_real_time() {
        /// Ticks for 100 ms; gives the deadlines served, those missed, and when the last was due after the start.
        async fn tick_100_ms<C: Clock>(result: &Cell<(u64, u64, Duration)>) {
            let start = C::now();
            let mut ticker = Ticker::<C>::new(start, Duration::from_millis(1));
            let (mut served, mut missed) = (0, 0);
            loop {
                let tick = ticker.tick().await;
                served += 1;
                missed += tick.missed;
                if tick.due - start >= Duration::from_millis(100) {
                    return result.set((served, missed, tick.due - start));
                }
            }
        }
        let result = Cell::new((0, 0, Duration::ZERO));
        run::<SimMono>(&mut [pin!(tick_100_ms::<SimMono>(&result))]);
        assert_eq!(result.get(), (101, 0, Duration::from_millis(100)));

        let before = LinuxMono::now();
        run::<LinuxMono>(&mut [pin!(tick_100_ms::<LinuxMono>(&result))]);
        let elapsed = LinuxMono::now() - before;
        let (served, missed, last_due) = result.get();
        // A loaded host makes ticks late, but never too early and none uncounted.
        assert_eq!(served + missed, 1 + last_due.as_millis());
        assert!(
            last_due <= elapsed,
            "{last_due} after the start, {elapsed} passed"
        );
        assert!(served >= 2, "{served} ticks served in {elapsed}");
    }
}
