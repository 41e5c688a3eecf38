//! When the loop ticks: by its own clock, or slaved to the robot's own cycle.
//!
//! Responsible for the [`Tick`]s of both, and for ticking on where the robot falls silent, so that the watchdogs see it.
//! Not responsible for what a tick does ([`crate::control_loop`]), nor for hearing a robot ([`Arm::wait_cycle`]).

use crate::arm::Arm;
use crate::clock::{Clock, Duration, Instant, Tick, Ticker, give_way};
use std::marker::PhantomData;

/// Who says when a tick begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaceMaker {
    #[default]
    Timer,
    /// Only for an arm with a cycle of its own: [`Arm::owns_cycle`].
    Robot,
}

pub enum Pace<C> {
    Timer(Ticker<C>),
    Robot(RobotCycle<C>),
}

impl<C: Clock> Pace<C> {
    /// The first tick is due at `first`; a robot may begin earlier.
    ///
    /// # Panics
    /// When the period is zero.
    pub fn new(maker: PaceMaker, first: Instant, period: Duration) -> Self {
        match maker {
            PaceMaker::Timer => Self::Timer(Ticker::new(first, period)),
            PaceMaker::Robot => Self::Robot(RobotCycle::new(first, period)),
        }
    }

    /// Waits for the next tick, and lets others run at least once.
    pub async fn tick<const N: usize>(&mut self, arm: &mut impl Arm<N>) -> Tick {
        match self {
            Self::Timer(ticker) => ticker.tick().await,
            Self::Robot(cycle) => cycle.tick(arm).await,
        }
    }
}

/// Ticks at the starts of a robot's cycles, and by the own clock while there are none.
pub struct RobotCycle<C> {
    /// When the last tick was due.
    last: Instant,
    /// Nominal; the robot's own may drift from it.
    period: Duration,
    /// The last tick came by the own clock: the robot's next cycle may start at any time after it.
    alone: bool,
    clock: PhantomData<C>,
}

impl<C: Clock> RobotCycle<C> {
    fn new(first: Instant, period: Duration) -> Self {
        assert!(!period.is_zero(), "a cycle needs a period");
        Self {
            last: first - period,
            period,
            alone: true,
            clock: PhantomData,
        }
    }

    async fn tick<const N: usize>(&mut self, arm: &mut impl Arm<N>) -> Tick {
        // A loop that always overruns finds the next cycle begun already.
        give_way().await;
        // A cycle may come late by a period before the own clock takes its place.
        let patience = if self.alone { 1 } else { 2 };
        let until = self.last + self.period * patience;
        let heard = arm.wait_cycle(until).await.ok();
        let start = heard.filter(|&start| self.is_next(start));
        if start.is_none() {
            C::delay_until(until).await;
        }
        let period_ns = self.period.as_ticks();
        let from = start.unwrap_or(self.last);
        let late_ns = (C::now() - from).as_ticks();
        let due = from + Duration::from_ticks(late_ns / period_ns * period_ns);
        let cycles = ((due - self.last).as_ticks() + period_ns / 2) / period_ns;
        self.last = due;
        self.alone = start.is_none();
        Tick {
            due,
            jitter: Duration::from_ticks(late_ns % period_ns),
            missed: cycles.saturating_sub(1),
        }
    }

    /// Neither a cycle that was served already nor one from the future, nor a second one in the same period.
    fn is_next(&self, start: Instant) -> bool {
        let after = start.checked_duration_since(self.last);
        let soonest_ns = match self.alone {
            true => 1,
            false => self.period.as_ticks().div_ceil(2),
        };
        start <= C::now() && after.is_some_and(|after| after.as_ticks() >= soonest_ns)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arm::{ArmError, ArmState};
    use crate::clock::{SimMono, executor};
    use crate::safety::{SafeCommand, StopCategory};
    use proptest::prelude::*;
    use rtic_monotonics::Timebase;
    use std::pin::pin;

    const PERIOD: Duration = Duration::from_millis(1);

    fn at_us(us: u64) -> Instant {
        SimMono::EPOCH + Duration::from_micros(us)
    }

    /// Waits until the robot's next cycle, of which `starts_us` are the starts after the epoch, in order. A cycle is told
    /// once, and only the newest.
    pub(crate) async fn hear_cycle(
        starts_us: &mut Vec<u64>,
        until: Instant,
    ) -> Result<Instant, ArmError> {
        let begun = starts_us.partition_point(|&us| at_us(us) <= SimMono::now());
        if let Some(newest) = starts_us.drain(..begun).next_back() {
            return Ok(at_us(newest));
        }
        let next = starts_us.first().copied().map(at_us);
        let next = next.filter(|&start| start <= until);
        SimMono::delay_until(next.unwrap_or(until)).await;
        let start = next.ok_or(ArmError::NoAnswer)?;
        starts_us.remove(0);
        Ok(start)
    }

    /// Only its cycle matters.
    struct Cycling(Vec<u64>);

    impl Arm<7> for Cycling {
        fn read(&mut self, _: Instant) -> Result<ArmState<7>, ArmError> {
            Err(ArmError::NoAnswer)
        }

        fn write(&mut self, _: &SafeCommand<7>) -> Result<(), ArmError> {
            Ok(())
        }

        fn stop(&mut self, _: StopCategory) {}

        fn owns_cycle(&self) -> bool {
            true
        }

        async fn wait_cycle(&mut self, until: Instant) -> Result<Instant, ArmError> {
            hear_cycle(&mut self.0, until).await
        }
    }

    /// The ticks of a loop that works for so many µs after each of them.
    fn ticks(arm: &mut impl Arm<7>, work_us: &[u64]) -> Vec<Tick> {
        let mut ticks = Vec::new();
        SimMono::reset();
        executor::run::<SimMono>(&mut [pin!(async {
            let mut pace = Pace::<SimMono>::new(PaceMaker::Robot, at_us(1_000), PERIOD);
            for &us in work_us {
                ticks.push(pace.tick(arm).await);
                SimMono::spend(Duration::from_micros(us));
            }
        })]);
        ticks
    }

    fn tick(due_us: u64, jitter_us: u64, missed: u64) -> Tick {
        Tick {
            due: at_us(due_us),
            jitter: Duration::from_micros(jitter_us),
            missed,
        }
    }

    #[test]
    fn ticks_follow_a_cycle_that_drifts() {
        // 0.4 % slower and faster than nominal: nothing is ever missed, and the own clock never ticks.
        for drift_us in [1_004, 996] {
            let starts: Vec<u64> = (0..2_000).map(|k| 300 + k * drift_us).collect();
            let found = ticks(&mut Cycling(starts.clone()), &[200; 2_000]);
            let expected: Vec<Tick> = starts.iter().map(|&us| tick(us, 0, 0)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn cycles_that_do_not_come_are_bridged_by_the_own_clock_and_counted() {
        let starts = vec![300, 1_300, 3_290, 7_280, 8_280];
        let found = ticks(&mut Cycling(starts), &[0; 9]);
        let expected = [
            tick(300, 0, 0),
            tick(1_300, 0, 0),
            // One is missing, and the next one comes in time.
            tick(3_290, 0, 1),
            // Three are missing: after two periods the own clock ticks, and goes on with its own period.
            tick(5_290, 0, 1),
            tick(6_290, 0, 0),
            tick(7_280, 0, 0),
            tick(8_280, 0, 0),
            // And then none comes any more.
            tick(10_280, 0, 1),
            tick(11_280, 0, 0),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_robot_that_never_begins_does_not_delay_the_first_tick() {
        let found = ticks(&mut Cycling(Vec::new()), &[0; 3]);
        assert_eq!(
            found,
            [tick(1_000, 0, 0), tick(2_000, 0, 0), tick(3_000, 0, 0)]
        );
    }

    #[test]
    fn a_loop_that_overruns_serves_the_newest_cycle_and_counts_the_others() {
        let starts: Vec<u64> = (1..20).map(|k| k * 1_000).collect();
        let found = ticks(&mut Cycling(starts), &[400, 1_200, 3_700, 0, 0]);
        let expected = [
            tick(1_000, 0, 0),
            tick(2_000, 0, 0),
            tick(3_000, 200, 0),
            tick(6_000, 900, 2),
            tick(7_000, 0, 0),
        ];
        assert_eq!(found, expected);
    }

    /// Says at once whatever it is told to say.
    struct Broken(fn() -> Result<Instant, ArmError>);

    impl Arm<7> for Broken {
        fn read(&mut self, _: Instant) -> Result<ArmState<7>, ArmError> {
            Err(ArmError::NoAnswer)
        }

        fn write(&mut self, _: &SafeCommand<7>) -> Result<(), ArmError> {
            Ok(())
        }

        fn stop(&mut self, _: StopCategory) {}

        async fn wait_cycle(&mut self, _: Instant) -> Result<Instant, ArmError> {
            (self.0)()
        }
    }

    #[test]
    fn a_driver_that_answers_nonsense_at_once_does_not_make_the_loop_race() {
        let answers: [fn() -> Result<Instant, ArmError>; 4] = [
            || Err(ArmError::Malformed),
            || Ok(Instant::from_ticks(0)),
            || Ok(at_us(0)),
            || Ok(SimMono::now() + Duration::from_micros(1)),
        ];
        for answer in answers {
            let found = ticks(&mut Broken(answer), &[0; 3]);
            assert_eq!(
                found,
                [tick(1_000, 0, 0), tick(2_000, 0, 0), tick(3_000, 0, 0)]
            );
        }
        // A cycle whenever it is asked: after the first one only the own clock counts, or half a period has passed.
        let found = ticks(&mut Broken(|| Ok(SimMono::now())), &[100; 40]);
        let span = found[39].due - found[1].due;
        assert!(span >= Duration::from_millis(19), "{span}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_tick_is_early_or_repeated_whatever_cycles_come(
            gaps_us in prop::collection::vec(0_u64..4_000, 0..60),
            work_us in prop::collection::vec(0_u64..3_000, 1..60),
        ) {
            let mut us = 0;
            let starts = gaps_us.iter().map(|gap| { us += gap; us }).collect();
            let mut free = SimMono::EPOCH;
            let mut last: Option<Tick> = None;
            for (tick, work) in ticks(&mut Cycling(starts), &work_us).into_iter().zip(&work_us) {
                let wake = tick.due + tick.jitter;
                prop_assert!(tick.jitter < PERIOD && wake >= free);
                if let Some(last) = last {
                    prop_assert!(tick.due > last.due);
                    // A silent robot costs two periods at most.
                    let waited = wake.checked_duration_since(free).unwrap_or(Duration::ZERO);
                    prop_assert!(waited <= PERIOD * 2);
                    let cycles = 1.0 + tick.missed as f64;
                    let spanned = (tick.due - last.due).as_ticks() as f64 * 1e-6;
                    prop_assert!((spanned - cycles).abs() <= 1.0, "{spanned} ms, {cycles} cycles");
                }
                free = wake + Duration::from_micros(*work);
                last = Some(tick);
            }
        }
    }
}
