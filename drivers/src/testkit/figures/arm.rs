//! The figures of an arm's driver.

use super::ms;
use crate::testkit::conformance::arm::longest_io;
use crate::testkit::conformance::{Arms, Bench, Drive, LineFault, Metered};
use serde::Serialize;
use visuomotor_runtime::arm::{Arm, Fingers};
use visuomotor_runtime::clock::{Duration, Instant};

/// Slower than an arm is moved while nothing is wrong, rad/s.
const DQ: f64 = 0.1;
const CYCLES: u32 = 500;
/// There and back again, in ticks.
const TICKS: u32 = 250;
/// Rounds in which an answer may get lost, and ticks until the next one.
const ROUNDS: u32 = 100;
const ROUND_TICKS: u32 = 40;
/// As much more than before an age may be, in periods, and count as the same.
const AGE_SLACK: f64 = 0.1;
/// How exactly a watchdog has to keep its time, ms: what a command is under way.
const WATCHDOG_SLACK_MS: u32 = 2;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmFigures {
    pub period_ms: f64,
    /// Reading and writing without a pause.
    pub cycles_per_s: f64,
    /// The longest that reading and writing, or a stop, took with every kind of fault of the line.
    pub io_ms_max: f64,
    pub io_time_max_ms: f64,
    /// On the line, both ways, reading and writing once a period.
    pub bits_per_tick: f64,
    /// The share of the time in which the line is not free.
    pub line_load: f64,
    pub lost_answer: LostAnswer,
    /// Where drives end by themselves when they hear nothing.
    pub silence: Option<Silence>,
}

/// What it costs that exactly one answer is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LostAnswer {
    /// How often that was tried.
    pub tried: u32,
    pub readings_lost_max: u32,
    /// How much older readings look afterwards, in periods.
    pub age_steps_max: f64,
    /// Until they look as young as before.
    pub settled_after_ticks_max: u32,
}

/// What the drives do after their controller was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Silence {
    pub watchdog_ms: u32,
    /// Until then, after the last command, no drive had stopped; in steps of 1 ms.
    pub all_go_on_ms: u32,
    /// From then on all had.
    pub all_stopped_ms: u32,
}

impl ArmFigures {
    /// Where the driver falls short of what is asked of every one, in words.
    pub fn shortfalls(&self) -> Vec<String> {
        let mut short = Vec::new();
        let mut demand = |holds: bool, what: String| {
            if !holds {
                short.push(what);
            }
        };
        let rate_hz = 1e3 / self.period_ms;
        let (rate, most) = (self.cycles_per_s, self.io_time_max_ms);
        demand(
            rate >= rate_hz,
            format!("{rate:.0} cycles a second, and its loop needs {rate_hz:.0}"),
        );
        demand(
            self.io_ms_max <= most && most < self.period_ms,
            format!(
                "reading and writing takes {:.2} ms, said to be at most {most:.2}, in a tick of {} ms",
                self.io_ms_max, self.period_ms
            ),
        );
        let lost = self.lost_answer;
        demand(
            lost.tried > 0 && lost.readings_lost_max <= 1 && lost.age_steps_max <= 1.0 + AGE_SLACK,
            format!("a lost answer costs more than one reading and one step of age: {lost:?}"),
        );
        if let Some(silence) = self.silence {
            let Silence {
                watchdog_ms,
                all_go_on_ms,
                all_stopped_ms,
            } = silence;
            demand(
                all_go_on_ms + WATCHDOG_SLACK_MS >= watchdog_ms
                    && all_stopped_ms <= watchdog_ms + WATCHDOG_SLACK_MS,
                format!(
                    "a watchdog of {watchdog_ms} ms stops drives between {all_go_on_ms} and {all_stopped_ms} ms"
                ),
            );
        }
        short
    }
}

/// Measures the driver on the bench that `seed` draws.
///
/// # Errors
/// When it does not work at all.
pub fn arm<B: Metered<N>, const N: usize>(seed: u64) -> Result<ArmFigures, String> {
    let mut arm = Arms::<B, N>::enabled(seed)?;
    arm.start()?;
    let period = arm.bench.period();
    let bits_per_tick = bits_per_tick(&mut arm)?;
    let bits_per_s = arm.bench.bits_per_s() as f64;
    Ok(ArmFigures {
        period_ms: ms(period),
        cycles_per_s: cycles_per_s::<B, N>(seed)?,
        io_ms_max: ms(longest_io::<B, N>(seed)?),
        io_time_max_ms: ms(arm.driver.0.io_time_max()),
        bits_per_tick,
        line_load: bits_per_tick / (bits_per_s * ms(period) * 1e-3),
        lost_answer: lost_answer::<B, N>(seed)?,
        silence: silence::<B, N>(seed)?,
    })
}

fn cycles_per_s<B: Bench<N>, const N: usize>(seed: u64) -> Result<f64, String> {
    let mut arm = Arms::<B, N>::enabled(seed)?;
    arm.start()?;
    let start = arm.bench.now();
    for cycle in 0..CYCLES {
        let named = |error| format!("cycle {cycle}: {error}");
        arm.read()?.map_err(named)?;
        let command = arm.commands.next(DQ, Fingers::Open)?;
        arm.driver.0.write(&command).map_err(named)?;
    }
    let taken = arm.bench.now() - start;
    Ok(f64::from(CYCLES) * 1e9 / taken.as_ticks() as f64)
}

fn bits_per_tick<B: Metered<N>, const N: usize>(arm: &mut Arms<B, N>) -> Result<f64, String> {
    let before = arm.bench.bits();
    for tick in 0..TICKS {
        let dq = if tick < TICKS / 2 { 0.5 } else { -0.5 };
        let stepped = arm.step(dq)?;
        stepped.map_err(|error| format!("tick {tick} of a sound line: {error}"))?;
    }
    Ok((arm.bench.bits() - before) as f64 / f64::from(TICKS))
}

/// A tick at rest, which has just begun, and how long before its beginning the reading was sampled, in periods; `None` without a reading.
fn sampled_before<B: Bench<N>, const N: usize>(
    arm: &mut Arms<B, N>,
) -> Result<Option<f64>, String> {
    let start = arm.bench.now();
    let answer = arm.read()?;
    let command = arm.commands.next(0.0, Fingers::Open)?;
    let written = arm.driver.0.write(&command);
    let Ok(state) = answer.and_then(|state| written.map(|()| state)) else {
        return Ok(None);
    };
    let since_start = |at: Instant| at.as_ticks() as f64 - start.as_ticks() as f64;
    let period = arm.bench.period().as_ticks() as f64;
    Ok(Some(-since_start(state.sampled_at) / period))
}

/// The line loses answers by chance in one tick; what counts are the rounds in which it was one.
fn lost_answer<B: Bench<N>, const N: usize>(seed: u64) -> Result<LostAnswer, String> {
    let mut arm = Arms::<B, N>::enabled(seed)?;
    arm.start()?;
    let period = arm.bench.period();
    // The first ticks are others: nothing was written before them.
    let mut young = 0.0;
    for _ in 0..ROUND_TICKS {
        young = sampled_before(&mut arm)?.ok_or("no reading on a sound line")?;
        arm.tick();
    }
    let mut lost = LostAnswer::default();
    for _ in 0..ROUNDS {
        let injected = arm.bench.injected();
        let from = arm.bench.now();
        let share = 1.0 / (N as f64 + 1.0);
        let fault = LineFault::LoseAnswers { share };
        // So long at least a sound line is read, and the next tick has not begun.
        arm.bench.schedule(from, from + period / 2, fault);
        let (mut readings_lost, mut age_steps, mut settled_after) = (0, 0.0_f64, 0);
        for tick in 1..=ROUND_TICKS {
            match sampled_before(&mut arm)? {
                Some(age) => {
                    age_steps = age_steps.max(age - young);
                    if age - young > AGE_SLACK {
                        settled_after = tick;
                    }
                }
                None => (readings_lost, settled_after) = (readings_lost + 1, tick),
            }
            arm.tick();
        }
        if settled_after == ROUND_TICKS {
            return Err(format!(
                "after {} lost answers readings look older for {ROUND_TICKS} ticks and more",
                arm.bench.injected() - injected
            ));
        }
        if arm.bench.injected() - injected == 1 {
            lost.tried += 1;
            lost.readings_lost_max = lost.readings_lost_max.max(readings_lost);
            lost.age_steps_max = lost.age_steps_max.max(age_steps);
            lost.settled_after_ticks_max = lost.settled_after_ticks_max.max(settled_after);
        }
    }
    Ok(lost)
}

fn silence<B: Bench<N>, const N: usize>(seed: u64) -> Result<Option<Silence>, String> {
    let mut arm = Arms::<B, N>::enabled(seed)?;
    let Some(watchdog) = arm.bench.watchdog() else {
        return Ok(None);
    };
    arm.start()?;
    for _ in 0..30 {
        arm.step(DQ)?.map_err(|error| error.to_string())?;
    }
    let Drive {
        mut bench, driver, ..
    } = arm;
    drop(driver);
    let killed = bench.now();
    let watchdog_ms = ms(watchdog) as u32;
    let mut all_go_on_ms = 0;
    for after_ms in 1..=watchdog_ms * 3 {
        bench.advance(killed + Duration::from_millis(after_ms.into()));
        let stopped = bench.stopped_by_watchdog();
        if !stopped.contains(&true) {
            all_go_on_ms = after_ms;
        }
        if !stopped.contains(&false) {
            return Ok(Some(Silence {
                watchdog_ms,
                all_go_on_ms,
                all_stopped_ms: after_ms,
            }));
        }
    }
    Err(format!(
        "a watchdog of {watchdog} has not stopped all drives after three times as long"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_that_falls_short_is_named() {
        let good = ArmFigures {
            period_ms: 10.0,
            cycles_per_s: 300.0,
            io_ms_max: 5.0,
            io_time_max_ms: 6.0,
            bits_per_tick: 900.0,
            line_load: 0.1,
            lost_answer: LostAnswer {
                tried: 9,
                readings_lost_max: 1,
                age_steps_max: 1.0,
                settled_after_ticks_max: 3,
            },
            silence: Some(Silence {
                watchdog_ms: 50,
                all_go_on_ms: 49,
                all_stopped_ms: 51,
            }),
        };
        assert_eq!(good.shortfalls(), Vec::<String>::new());
        let silent = |all_go_on_ms, all_stopped_ms| Silence {
            watchdog_ms: 50,
            all_go_on_ms,
            all_stopped_ms,
        };
        let lost = good.lost_answer;
        for (bad, says) in [
            (
                ArmFigures {
                    cycles_per_s: 99.0,
                    ..good.clone()
                },
                "99 cycles",
            ),
            (
                ArmFigures {
                    io_ms_max: 6.1,
                    ..good.clone()
                },
                "6.10 ms",
            ),
            (
                ArmFigures {
                    io_time_max_ms: 10.0,
                    ..good.clone()
                },
                "at most 10.00",
            ),
            (
                ArmFigures {
                    lost_answer: LostAnswer {
                        readings_lost_max: 2,
                        ..lost
                    },
                    ..good.clone()
                },
                "one reading",
            ),
            (
                ArmFigures {
                    lost_answer: LostAnswer {
                        age_steps_max: 2.0,
                        ..lost
                    },
                    ..good.clone()
                },
                "step of age",
            ),
            (
                ArmFigures {
                    lost_answer: LostAnswer::default(),
                    ..good.clone()
                },
                "tried: 0",
            ),
            (
                ArmFigures {
                    silence: Some(silent(40, 51)),
                    ..good.clone()
                },
                "between 40 and 51",
            ),
            (
                ArmFigures {
                    silence: Some(silent(49, 55)),
                    ..good.clone()
                },
                "between 49 and 55",
            ),
        ] {
            let short = bad.shortfalls();
            assert!(
                short.len() == 1 && short[0].contains(says),
                "{says}: {short:?}"
            );
        }
    }
}
