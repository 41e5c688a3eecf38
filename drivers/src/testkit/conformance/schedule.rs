//! Faults of the line, drawn at random: several at once, at any time, while an arm moves, stops and starts again.
//!
//! The demands are those of [`super::arm`] that hold whatever happens. A schedule follows from its seed alone.

use super::Outcome;
use super::arm::recovers;
use super::bench::{Bench, LineFault};
use super::drive::Arms;
use crate::outstanding::ANSWER_LATE_MAX;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;
use visuomotor_runtime::arm::{Arm, Fingers};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::safety::StopCategory;

/// Of a schedule, before the line is sound again.
const TICKS: u32 = 40;
const WINDOWS_MAX: u32 = 5;
/// rad/s.
const DQ_MAX: f64 = 0.6;

/// Makes one schedule for each seed.
///
/// # Panics
/// When the driver breaks a demand: with the seed that shows it again, and what is wrong.
pub fn run<B: Bench<N>, const N: usize>(seeds: Range<u64>) {
    for seed in seeds {
        assert_eq!(check::<B, N>(seed), Ok(()), "fault schedule of seed {seed}");
    }
}

fn fault(rng: &mut Xoshiro256PlusPlus) -> LineFault {
    let share = rng.random_range(0.05..=1.0);
    match rng.random_range(0..8) {
        0 => {
            let by = rng.random_range(0..=ANSWER_LATE_MAX.as_ticks());
            LineFault::Delay {
                by: Duration::from_ticks(by),
            }
        }
        1 => LineFault::LoseRequests { share },
        2 => LineFault::LoseAnswers { share },
        3 => LineFault::Corrupt { share },
        4 => LineFault::Duplicate { share },
        5 => LineFault::Truncate { share },
        6 => LineFault::Disconnect,
        _ => LineFault::Babble,
    }
}

/// What the loop does in a schedule.
enum Mood {
    Moving(f64),
    Stopping(StopCategory),
}

/// Makes the schedule of this seed.
///
/// # Errors
/// With what the driver does that it must not, and what the line did.
pub fn check<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut arm = Arms::<B, N>::enabled(seed)?;
    arm.start()?;
    let (start, span) = (arm.bench.now(), (arm.bench.period() * TICKS).as_ticks());
    let mut drawn = Vec::new();
    for _ in 0..rng.random_range(1..=WINDOWS_MAX) {
        let from = rng.random_range(0..span);
        let until = rng.random_range(from..=span);
        let fault = fault(&mut rng);
        let [from, until] = [from, until].map(|ns| start + Duration::from_ticks(ns));
        arm.bench.schedule(from, until, fault);
        drawn.push((from, until, fault));
    }
    let lived = live(&mut arm, &mut rng).and_then(|()| recovers(&mut arm));
    lived.map_err(|what| format!("{what}\nline: {drawn:#?}"))
}

/// The ticks of a schedule: whatever is answered, ages are honest, calls return in time and stops hold.
fn live<B: Bench<N>, const N: usize>(
    arm: &mut Arms<B, N>,
    rng: &mut Xoshiro256PlusPlus,
) -> Outcome {
    let mut mood = Mood::Moving(rng.random_range(-DQ_MAX..=DQ_MAX));
    for tick in 0..TICKS {
        if rng.random_bool(0.1) {
            mood = match rng.random_range(0..6) {
                0 => Mood::Stopping(StopCategory::Zero),
                1 => Mood::Stopping(StopCategory::One),
                2 => Mood::Stopping(StopCategory::Two),
                _ => Mood::Moving(rng.random_range(-DQ_MAX..=DQ_MAX)),
            };
        }
        step(arm, &mood).map_err(|what| format!("tick {tick}: {what}"))?;
    }
    Ok(())
}

fn step<B: Bench<N>, const N: usize>(arm: &mut Arms<B, N>, mood: &Mood) -> Outcome {
    arm.tick();
    let start = arm.bench.now();
    let answer = arm.read()?;
    // Not before the read: a command of the tick before may have been on its way until now.
    let powered_before = arm.bench.goals().map(|goal| goal.is_some());
    match (mood, answer) {
        (Mood::Moving(dq), _) => {
            let command = arm.commands.next(*dq, Fingers::Open)?;
            let _ = arm.driver.0.write(&command);
        }
        (Mood::Stopping(category), answer) => {
            arm.driver.0.stop(*category);
            // What starts again starts where it is.
            if let Ok(state) = answer {
                arm.commands.start_at(&state)?;
            }
        }
    }
    let taken = arm.bench.now() - start;
    let most = arm.driver.0.io_time_max() + arm.bench.processor_time_max();
    if taken > most {
        return Err(format!(
            "reading and writing took {taken}, more than {most}"
        ));
    }
    if let Mood::Stopping(_) = mood {
        let powered = arm.bench.goals().map(|goal| goal.is_some());
        if (0..N).any(|i| powered[i] && !powered_before[i]) {
            return Err(format!(
                "a stop gave power: {powered_before:?} -> {powered:?}"
            ));
        }
    }
    Ok(())
}
