//! Periodic deadlines on a fixed grid.

use super::{Clock, Duration, Instant};
use std::future::poll_fn;
use std::marker::PhantomData;
use std::task::Poll;

/// One wake-up of a periodic task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The deadline that this tick serves, on the grid.
    pub due: Instant,
    /// Wake-up minus `due`; less than a period.
    pub jitter: Duration,
    /// Deadlines since the last tick that were skipped because a later one had passed too.
    pub missed: u64,
}

/// Deadlines `first + k * period`. A late tick serves the newest deadline that has passed, never several in a burst.
pub struct Ticker<C> {
    next_due: Instant,
    period: Duration,
    clock: PhantomData<C>,
}

impl<C: Clock> Ticker<C> {
    /// # Panics
    /// When the period is zero.
    pub fn new(first: Instant, period: Duration) -> Self {
        assert!(!period.is_zero(), "a ticker needs a period");
        Self {
            next_due: first,
            period,
            clock: PhantomData,
        }
    }

    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next deadline, and lets others run at least once even when it has passed.
    pub async fn tick(&mut self) -> Tick {
        if C::now() < self.next_due {
            C::delay_until(self.next_due).await;
        } else {
            give_way().await;
        }
        let late_ns = (C::now() - self.next_due).as_ticks();
        let period_ns = self.period.as_ticks();
        let missed = late_ns / period_ns;
        let due = self.next_due + Duration::from_ticks(missed * period_ns);
        self.next_due = due + self.period;
        Tick {
            due,
            jitter: Duration::from_ticks(late_ns % period_ns),
            missed,
        }
    }

    /// For a deadline that something else gives: it is now, the next one is a period from now, and others run at least
    /// once. Returns how many periods, rounded, have passed since the last deadline beyond the one that this one ends.
    pub async fn restart(&mut self) -> u64 {
        give_way().await;
        let now = C::now();
        let overdue = now
            .checked_duration_since(self.next_due)
            .unwrap_or(Duration::ZERO);
        self.next_due = now + self.period;
        let period_ns = self.period.as_ticks();
        (overdue.as_ticks() + period_ns / 2) / period_ns
    }
}

/// Without this a low-priority task that always overruns would never return to the executor.
pub(crate) async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::linux::thread_cpu_time;
    use crate::clock::{SimMono, executor};
    use proptest::prelude::*;
    use rtic_monotonics::Timebase;
    use std::cell::Cell;
    use std::pin::pin;

    const PERIOD: Duration = Duration::from_millis(1);

    /// The ticks of a task that computes for `work` after each of them.
    fn ticks_with_work(work: &[Duration]) -> Vec<Tick> {
        let mut ticks = Vec::new();
        SimMono::reset();
        executor::run::<SimMono>(&mut [pin!(async {
            let mut ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
            for &duration in work {
                ticks.push(ticker.tick().await);
                SimMono::spend(duration);
            }
        })]);
        ticks
    }

    #[test]
    fn ten_minutes_at_1_khz_are_exact() {
        const TICKS: u64 = 600_000;
        let start = thread_cpu_time();
        executor::run::<SimMono>(&mut [pin!(async {
            let mut ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
            for k in 0..TICKS {
                let due = SimMono::EPOCH + Duration::from_millis(k);
                let expected = Tick {
                    due,
                    jitter: Duration::ZERO,
                    missed: 0,
                };
                assert_eq!(ticker.tick().await, expected);
            }
        })]);
        assert_eq!(
            SimMono::now() - SimMono::EPOCH,
            Duration::from_millis(TICKS - 1)
        );
        let cpu = thread_cpu_time() - start;
        println!("{} ns CPU a simulated tick", cpu.as_ticks() / TICKS);
    }

    #[test]
    fn overruns_skip_deadlines_and_are_counted() {
        let us = Duration::from_micros;
        // (work after the tick, the tick's due in ms, jitter, missed)
        let cases = [
            (us(999), 0, us(0), 0),
            (us(1000), 1, us(0), 0),
            (us(1200), 2, us(0), 0),
            (us(100), 3, us(200), 0),
            (us(3700), 4, us(0), 0),
            (us(2000), 7, us(700), 3 - 1),
            (us(0), 9, us(700), 1),
        ];
        let ticks = ticks_with_work(&cases.map(|(work, ..)| work));
        for (tick, (_, due_ms, jitter, missed)) in ticks.into_iter().zip(cases) {
            let due = SimMono::EPOCH + Duration::from_millis(due_ms);
            assert_eq!(
                tick,
                Tick {
                    due,
                    jitter,
                    missed
                }
            );
        }
    }

    #[test]
    fn a_task_that_always_overruns_does_not_starve_a_higher_one() {
        let high_ticks = Cell::new(0);
        executor::run::<SimMono>(&mut [
            pin!(SimMono::delay_until(
                SimMono::EPOCH + Duration::from_millis(100)
            )),
            pin!(async {
                let mut ticker = Ticker::<SimMono>::new(SimMono::EPOCH, Duration::from_millis(5));
                loop {
                    ticker.tick().await;
                    high_ticks.set(high_ticks.get() + 1);
                }
            }),
            pin!(async {
                let mut ticker = Ticker::<SimMono>::new(SimMono::EPOCH, PERIOD);
                loop {
                    ticker.tick().await;
                    SimMono::spend(Duration::from_millis(4));
                }
            }),
        ]);
        assert_eq!(high_ticks.get(), 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_deadline_is_served_or_counted_and_none_is_early(
            work_ns in prop::collection::vec(0_u64..5_000_000, 1..50),
        ) {
            let work: Vec<_> = work_ns.into_iter().map(Duration::from_ticks).collect();
            let mut wake_before = None;
            let mut grid = 0;
            for (tick, work) in ticks_with_work(&work).into_iter().zip(&work) {
                grid += tick.missed;
                prop_assert_eq!(tick.due, SimMono::EPOCH + Duration::from_millis(grid));
                prop_assert!(tick.jitter < PERIOD);
                let wake = tick.due + tick.jitter;
                if let Some(free) = wake_before {
                    prop_assert!(wake == free || (wake > free && tick.jitter.is_zero()));
                }
                wake_before = Some(wake + *work);
                grid += 1;
            }
        }
    }
}
