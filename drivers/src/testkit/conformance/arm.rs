//! What every arm's driver owes the runtime, one check each.
//!
//! [`run`] makes all of them on an arm's [`Bench`], for every seed; [`super::schedule`] mixes the faults at random. The line is
//! the only thing that is ever wrong here but for [`drive_faults_surface`].

use super::bench::{Bench, LineFault};
use super::drive::{Arms, Drive, Reads};
use super::{Outcome, ensure};
use std::ops::Range;
use visuomotor_runtime::arm::{Arm, ArmError, Fingers};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::safety::StopCategory;

const MS: Duration = Duration::from_ticks(1_000_000);
/// As long as an answer may be late, and a little more: after that the line is as if nothing had been.
pub(super) const RECOVERY: Duration = Duration::from_ticks(120_000_000);

/// What it demands, and itself, of a seed.
pub type Check = (&'static str, fn(u64) -> Outcome);

/// Every kind of fault, as the checks use them.
pub const FAULTS: [LineFault; 11] = [
    LineFault::Delay {
        by: Duration::from_ticks(3_000_000),
    },
    LineFault::Delay {
        by: Duration::from_ticks(17_000_000),
    },
    LineFault::Delay {
        by: Duration::from_ticks(50_000_000),
    },
    LineFault::LoseRequests { share: 0.3 },
    LineFault::LoseAnswers { share: 0.3 },
    LineFault::LoseAnswers { share: 1.0 },
    LineFault::Corrupt { share: 0.3 },
    LineFault::Duplicate { share: 0.5 },
    LineFault::Truncate { share: 0.3 },
    LineFault::Disconnect,
    LineFault::Babble,
];

/// All checks but those that need more than a bench: [`no_call_allocates`] and [`super::schedule::run`].
pub fn checks<B: Bench<N>, const N: usize>() -> [Check; 9] {
    [
        ("ages are never under-estimated", ages_are_honest::<B, N>),
        (
            "a failed read is an error, never an old value",
            failed_reads_are_errors::<B, N>,
        ),
        (
            "a stop is idempotent in every state",
            stops_are_idempotent::<B, N>,
        ),
        ("a stop gets through a bad line", stops_get_through::<B, N>),
        (
            "reading and writing take bounded time",
            io_is_bounded::<B, N>,
        ),
        (
            "the first command is the measurement",
            first_command_is_measurement::<B, N>,
        ),
        ("a fault of a drive surfaces", drive_faults_surface::<B, N>),
        (
            "the drives stop when the driver vanishes",
            watchdog_stops_the_drives::<B, N>,
        ),
        (
            "after a fault of the line all is as before",
            faults_pass::<B, N>,
        ),
    ]
}

/// Makes all checks of [`checks`] for each seed.
///
/// # Panics
/// When one finds something: with the check, the seed that shows it again, and what is wrong.
pub fn run<B: Bench<N>, const N: usize>(seeds: Range<u64>) {
    for seed in seeds {
        for (name, check) in checks::<B, N>() {
            assert_eq!(check(seed), Ok(()), "{name}: seed {seed}");
        }
    }
}

/// Pushed by hand at 1 rad/s, up and down, an arm is read through every kind of fault: each joint of each reading was there at
/// some time since the reading says it was sampled.
pub fn ages_are_honest<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    let mut faults = vec![None];
    faults.extend(FAULTS.map(Some));
    for fault in faults {
        let named = |what: String| format!("{fault:?}, no power: {what}");
        pushed(Drive::<B, _, N>::connected(seed)?, fault).map_err(named)?;
        let mut arm = Arms::<B, N>::enabled(seed)?;
        arm.stay_off(3)?;
        pushed(arm, fault).map_err(|what| format!("{fault:?}, after a stop: {what}"))?;
    }
    Ok(())
}

fn pushed<B, R, const N: usize>(mut drive: Drive<B, R, N>, fault: Option<LineFault>) -> Outcome
where
    B: Bench<N>,
    R: Reads<N>,
{
    const TICKS: u32 = 60;
    let from = drive.bench.now() + drive.bench.period() * 10;
    let until = from + drive.bench.period() * (TICKS - 20);
    if let Some(fault) = fault {
        drive.bench.schedule(from, until, fault);
    }
    let mut read = 0;
    for tick in 0..TICKS {
        if tick % 10 == 0 {
            drive
                .bench
                .push_by_hand(if tick % 20 == 0 { 1.0 } else { -1.0 });
        }
        drive.tick();
        let answer = drive
            .read()
            .map_err(|what| format!("tick {tick}: {what}"))?;
        read += u32::from(answer.is_ok());
        if let (None, Err(error)) = (fault, answer) {
            return Err(format!("tick {tick}: no reading on a sound line: {error}"));
        }
        if let (None, Ok(state)) = (fault, answer) {
            let age = drive.bench.now() - state.sampled_at;
            let most = drive.bench.period() * 2;
            ensure(age <= most, || {
                format!("tick {tick}: on a sound line a reading is {age} old")
            })?;
        }
    }
    drive.bench.push_by_hand(0.0);
    ensure(read > 0, || "nothing was read at all".to_owned())?;
    ensure(fault.is_none() || drive.bench.injected() > 0, || {
        "no fault was injected".to_owned()
    })
}

/// Without any answer every read fails, and with some lost no sample is delivered twice.
pub fn failed_reads_are_errors<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    for (fault, all) in [
        (LineFault::LoseAnswers { share: 1.0 }, true),
        (LineFault::LoseRequests { share: 1.0 }, true),
        (LineFault::Corrupt { share: 1.0 }, true),
        (LineFault::Truncate { share: 1.0 }, true),
        (LineFault::Disconnect, true),
        (LineFault::LoseAnswers { share: 0.3 }, false),
    ] {
        let mut arm = Arms::<B, N>::enabled(seed)?;
        arm.start()?;
        let period = arm.bench.period();
        let from = arm.bench.now();
        arm.bench.schedule(from, from + period * 42, fault);
        let (mut last, mut failed) = (None, 0);
        for tick in 0..40 {
            let answer = arm
                .step(0.2)
                .map_err(|what| format!("{fault:?}, tick {tick}: {what}"))?;
            failed += u32::from(answer.is_err());
            let Ok(state) = answer else { continue };
            // What was on its way when the window began may still come.
            ensure(!all || tick < 2, || {
                format!(
                    "{fault:?}, tick {tick}: a reading of {} where nothing comes",
                    state.sampled_at
                )
            })?;
            let twice = last.replace(state.sampled_at) == Some(state.sampled_at);
            ensure(!twice, || {
                format!(
                    "{fault:?}, tick {tick}: the sample of {} was delivered twice",
                    state.sampled_at
                )
            })?;
        }
        ensure(failed > 0, || format!("{fault:?}: no read failed"))?;
    }
    Ok(())
}

/// Any sequence of stops, under power or not: after 0 and 1 no drive has power, and no stop gives it back; after 2 no goal moves
/// any more. Only a command gives power back, where it says.
pub fn stops_are_idempotent<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    use StopCategory::{One, Two, Zero};
    for order in [
        &[Zero][..],
        &[One],
        &[Two],
        &[Two, Two, Zero, Zero, Two],
        &[One, Zero, One, Two],
    ] {
        for moving in [false, true] {
            let named = |what: String| format!("{order:?}, moving: {moving}: {what}");
            let mut arm = Arms::<B, N>::enabled(seed)?;
            arm.start()?;
            for _ in 0..20 {
                if moving {
                    arm.step(0.5)?.map_err(|error| named(error.to_string()))?;
                }
            }
            let mut powered = true;
            for category in order {
                powered &= *category == Two;
                for _ in 0..2 {
                    arm.driver.0.stop(*category);
                    arm.driver.0.stop(*category);
                    arm.tick();
                    let _ = arm.read().map_err(named)?;
                }
                stays_stopped(&mut arm, powered)
                    .map_err(|what| named(format!("{category:?}: {what}")))?;
            }
            starts_again(&mut arm).map_err(named)?;
        }
    }
    Ok(())
}

fn stays_stopped<B: Bench<N>, const N: usize>(arm: &mut Arms<B, N>, powered: bool) -> Outcome {
    let goals = arm.bench.goals();
    ensure(powered || goals.iter().all(Option::is_none), || {
        format!("drives still have power: {goals:?}")
    })?;
    for tick in 0..10 {
        arm.tick();
        let _ = arm.read()?;
        let after = arm.bench.goals();
        ensure(after == goals, || {
            format!("goals move {tick} ticks after the stop: {goals:?} -> {after:?}")
        })?;
    }
    Ok(())
}

fn starts_again<B: Bench<N>, const N: usize>(arm: &mut Arms<B, N>) -> Outcome {
    arm.start()?;
    for _ in 0..3 {
        let stepped = arm.step(0.0)?;
        stepped.map_err(|error| format!("a command after the stop: {error}"))?;
    }
    arm.tick();
    goals_are_here(arm).map_err(|what| format!("a command after the stop: {what}"))
}

/// Every drive has power and is told to be where it is.
fn goals_are_here<B: Bench<N>, const N: usize>(arm: &Arms<B, N>) -> Outcome {
    // Once by reading, once by writing.
    let allowed = 2.0 * arm.bench.resolution();
    let truth = arm.bench.truth(arm.bench.now());
    for (i, (goal, q)) in arm.bench.goals().into_iter().zip(truth).enumerate() {
        ensure(goal.is_some_and(|goal| (goal - q).abs() <= allowed), || {
            format!("joint {i} is at {q} rad and told to go to {goal:?}")
        })?;
    }
    Ok(())
}

/// A stop that is asked for in every tick, as the controller does, gets through a line that loses much.
pub fn stops_get_through<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    for fault in [
        LineFault::LoseRequests { share: 0.5 },
        LineFault::LoseAnswers { share: 1.0 },
        LineFault::Corrupt { share: 0.5 },
        LineFault::Babble,
    ] {
        let mut arm = Arms::<B, N>::enabled(seed)?;
        arm.start()?;
        let from = arm.bench.now();
        arm.bench
            .schedule(from, from + arm.bench.period() * 60, fault);
        arm.stay_off(40)?;
        let goals = arm.bench.goals();
        ensure(goals.iter().all(Option::is_none), || {
            format!("{fault:?}: after 40 stops drives have power: {goals:?}")
        })?;
    }
    Ok(())
}

/// A read and a write together, and a stop, keep the caller for at most `io_time_max`, whatever the line does.
pub fn io_is_bounded<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    longest_io::<B, N>(seed).map(|_| ())
}

/// The longest that a read and a write together, or a stop, have taken with each kind of fault.
///
/// # Errors
/// When one takes longer than `io_time_max`.
pub fn longest_io<B: Bench<N>, const N: usize>(seed: u64) -> Result<Duration, String> {
    let mut longest = Duration::ZERO;
    for fault in FAULTS {
        let mut arm = Arms::<B, N>::enabled(seed)?;
        arm.start()?;
        let from = arm.bench.now();
        arm.bench
            .schedule(from, from + arm.bench.period() * 30, fault);
        for tick in 0..40 {
            let named = |what: String| format!("{fault:?}, tick {tick}: {what}");
            arm.tick();
            longest = longest.max(timed_io(&mut arm).map_err(named)?);
        }
        ensure(arm.bench.injected() > 0, || {
            format!("{fault:?}: nothing was injected")
        })?;
    }
    Ok(longest)
}

/// One tick's reading, writing and a stop, each timed.
fn timed_io<B: Bench<N>, const N: usize>(arm: &mut Arms<B, N>) -> Result<Duration, String> {
    let most = arm.driver.0.io_time_max() + arm.bench.processor_time_max();
    let command = arm.commands.next(0.1, Fingers::Closed)?;
    let start = arm.bench.now();
    let _ = arm.read()?;
    let _ = arm.driver.0.write(&command);
    let tick = arm.bench.now() - start;
    ensure(tick <= most, || {
        format!("reading and writing took {tick}, more than {most}")
    })?;
    let start = arm.bench.now();
    arm.driver.0.stop(StopCategory::Two);
    let stop = arm.bench.now() - start;
    ensure(stop <= most, || {
        format!("a stop took {stop}, more than {most}")
    })?;
    Ok(tick.max(stop))
}

/// No drive has power before `enable`; when it comes on, and with the first command of a controller at rest, every drive is told
/// to stay where it is.
pub fn first_command_is_measurement<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    let mut connected = Drive::<B, _, N>::connected(seed)?;
    connected.ticks(3);
    let goals = connected.bench.goals();
    ensure(goals.iter().all(Option::is_none), || {
        format!("before it is enabled the arm has power: {goals:?}")
    })?;
    // Somebody moves it between the two steps: where it was found does not count.
    connected.bench.push_by_hand(0.5);
    for _ in 0..20 {
        connected.tick();
        let _ = connected.read()?;
    }
    connected.bench.push_by_hand(0.0);
    connected.ticks(2);
    let mut arm = connected.enable()?;
    goals_are_here(&arm).map_err(|what| format!("enabled: {what}"))?;
    arm.ticks(2);
    goals_are_here(&arm).map_err(|what| format!("two ticks later: {what}"))?;
    arm.start()?;
    let stepped = arm.step(0.0)?;
    stepped.map_err(|error| format!("the first command: {error}"))?;
    arm.tick();
    goals_are_here(&arm).map_err(|what| format!("the first command: {what}"))
}

/// Whichever drive fails, it is an error of the drive within few ticks, and stays one.
pub fn drive_faults_surface<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    for joint in 0..N {
        let mut arm = Arms::<B, N>::enabled(seed)?;
        arm.start()?;
        for _ in 0..5 {
            let stepped = arm.step(0.1)?;
            stepped.map_err(|error| format!("before anything is broken: {error}"))?;
        }
        arm.bench.break_drive(joint);
        let mut surfaced = Vec::new();
        for _ in 0..10 {
            surfaced.push(matches!(arm.step(0.1)?, Err(ArmError::Drive { .. })));
        }
        ensure(surfaced[4..].iter().all(|&fault| fault), || {
            format!("joint {joint} is broken; errors of a drive by tick: {surfaced:?}")
        })?;
    }
    Ok(())
}

/// The driver is gone, as after a kill -9: within the drives' own time they stand still, and want nothing else.
pub fn watchdog_stops_the_drives<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    let mut arm = Arms::<B, N>::enabled(seed)?;
    let Some(watchdog) = arm.bench.watchdog() else {
        return Ok(());
    };
    arm.start()?;
    for _ in 0..30 {
        arm.step(1.0)?.map_err(|error| error.to_string())?;
    }
    let Drive {
        mut bench, driver, ..
    } = arm;
    drop(driver);
    ensure(!bench.stopped_by_watchdog().contains(&true), || {
        "the watchdog stops drives that are spoken to".to_owned()
    })?;
    let moving_from = bench.truth(bench.now());
    // What turns needs a moment to come to rest after its drive has stopped.
    bench.advance(bench.now() + watchdog + MS * 100);
    ensure(!bench.stopped_by_watchdog().contains(&false), || {
        format!(
            "drives that a watchdog has stopped {} after the driver vanished: {:?}",
            watchdog + MS * 100,
            bench.stopped_by_watchdog()
        )
    })?;
    let (goals, before) = (bench.goals(), bench.truth(bench.now()));
    bench.advance(bench.now() + MS * 100);
    let (goals_after, after) = (bench.goals(), bench.truth(bench.now()));
    ensure(goals == goals_after, || {
        format!("goals still move: {goals:?} -> {goals_after:?}")
    })?;
    for i in 0..N {
        let resolution = bench.resolution();
        ensure((after[i] - before[i]).abs() <= resolution, || {
            format!("joint {i} still moves: {} -> {} rad", before[i], after[i])
        })?;
        ensure((after[i] - moving_from[i]).abs() <= 0.2, || {
            format!(
                "joint {i} went on from {} to {} rad",
                moving_from[i], after[i]
            )
        })?;
        let wants = goals_after[i].map_or(0.0, |goal| (goal - after[i]).abs());
        ensure(wants <= 0.02 + resolution, || {
            format!(
                "joint {i} stands at {} rad and still wants to {:?}",
                after[i], goals_after[i]
            )
        })?;
    }
    Ok(())
}

/// Through every fault nothing panics, unplugged calls fail, and after its end the arm is read and moved as before.
pub fn faults_pass<B: Bench<N>, const N: usize>(seed: u64) -> Outcome {
    for fault in FAULTS {
        let named = |what: String| format!("{fault:?}: {what}");
        let mut arm = Arms::<B, N>::enabled(seed)?;
        arm.start()?;
        let from = arm.bench.now();
        let until = from + arm.bench.period() * 20;
        arm.bench.schedule(from, until, fault);
        while arm.bench.now() < until {
            let answer = arm.step(0.2).map_err(named)?;
            let failed = answer.is_err() || arm.bench.now() >= until;
            ensure(failed || fault != LineFault::Disconnect, || {
                named("an answer over no line".to_owned())
            })?;
        }
        recovers(&mut arm).map_err(named)?;
    }
    Ok(())
}

/// What a person does after any fault: the controller has stopped with category 0, and it is cleared.
pub(super) fn recovers<B: Bench<N>, const N: usize>(arm: &mut Arms<B, N>) -> Outcome {
    let quiet = arm.bench.now() + RECOVERY;
    while arm.bench.now() < quiet {
        arm.stay_off(1)?;
    }
    let goals = arm.bench.goals();
    ensure(goals.iter().all(Option::is_none), || {
        format!("after a stop over a sound line drives have power: {goals:?}")
    })?;
    for tick in 0..5 {
        arm.tick();
        let answer = arm.read()?;
        answer.map_err(|error| format!("tick {tick} of a sound line is not read: {error}"))?;
    }
    starts_again(arm)
}

/// What the control thread calls does not allocate, on a sound line nor on bad ones. `count` runs what it is given and says how
/// often the allocator was called meanwhile; the program that is tested has it as its global allocator.
///
/// # Panics
/// When something allocates.
pub fn no_call_allocates<B: Bench<N>, const N: usize>(
    seed: u64,
    count: impl Fn(&mut dyn FnMut()) -> u64,
) {
    for fault in FAULTS {
        let calls = allocations::<B, N>(seed, fault, &count);
        assert_eq!(
            calls,
            Ok([0; 3]),
            "{fault:?}: seed {seed}: calls of the allocator in read, write, stop"
        );
    }
}

fn allocations<B: Bench<N>, const N: usize>(
    seed: u64,
    fault: LineFault,
    count: &impl Fn(&mut dyn FnMut()) -> u64,
) -> Result<[u64; 3], String> {
    let mut arm = Arms::<B, N>::enabled(seed)?;
    arm.start()?;
    let from = arm.bench.now() + arm.bench.period() * 10;
    arm.bench
        .schedule(from, from + arm.bench.period() * 20, fault);
    let mut calls = [0; 3];
    for tick in 0..40 {
        arm.tick();
        let command = arm.commands.next(0.2, Fingers::Open)?;
        let (now, driver) = (arm.bench.now(), &mut arm.driver.0);
        calls[0] += count(&mut || _ = driver.read(now));
        calls[1] += count(&mut || _ = driver.write(&command));
        if tick % 10 == 9 {
            calls[2] += count(&mut || driver.stop(StopCategory::One));
        }
    }
    Ok(calls)
}
