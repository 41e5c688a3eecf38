//! A Copper graph that logs per cycle what a control tick of visuomotor hands over, at 1 kHz, and what a cycle costs.
//!
//! usage: copper-handoff LOG CYCLES
//!
//! Two graphs take turns, cycle by cycle: one logs everything, the other nothing. Everything is a step record every
//! cycle, a record of the policy at 4 Hz and an image at 32 Hz. Prints, as JSON, the CPU time of the thread in each cycle of
//! both and what the clock's own reading costs, ns.

use bincode::{Decode, Encode};
use cu29::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(1);
const CYCLES_PER_DECISION: u32 = 250;
const CYCLES_PER_FRAME: u32 = 31;
const PRIORITY: i32 = 80;
/// Cycles before the first that counts.
const WARM_UP: u32 = 200;
const SLAB_BYTES: usize = 512 << 20;

/// As many bytes as a step with its health has in visuomotor's ring.
const ROWS: usize = 11;

#[derive(Clone, Debug, Default, Encode, Decode, Serialize, Deserialize, Reflect)]
pub struct StepRecord {
    numbers: [[f64; 8]; ROWS],
}

/// As many as an observation with its decision.
#[derive(Clone, Debug, Default, Encode, Decode, Serialize, Deserialize, Reflect)]
pub struct PolicyRecord {
    numbers: [f64; 32],
}

/// 64 x 64 pixels of three bytes.
#[derive(Clone, Debug, Default, Encode, Decode, Serialize, Deserialize, Reflect)]
pub struct ImageRecord {
    rgb: Vec<u8>,
}

/// A source that speaks every so many cycles.
macro_rules! source {
    ($task:ident, $message:ty, $every:expr, $make:expr) => {
        #[derive(Reflect)]
        pub struct $task {
            cycle: u32,
            value: $message,
        }

        impl Freezable for $task {}

        impl CuSrcTask for $task {
            type Resources<'r> = ();
            type Output<'m> = output_msg!($message);

            fn new(_: Option<&ComponentConfig>, _: Self::Resources<'_>) -> CuResult<Self> {
                Ok(Self { cycle: 0, value: $make })
            }

            fn process(&mut self, context: &CuContext, output: &mut Self::Output<'_>) -> CuResult<()> {
                if self.cycle.is_multiple_of($every) {
                    output.tov = Tov::Time(context.now());
                    output.set_payload(self.value.clone());
                } else {
                    output.clear_payload();
                }
                self.cycle += 1;
                Ok(())
            }
        }
    };
}

source!(Steps, StepRecord, 1, StepRecord { numbers: [[0.123_456_789; 8]; ROWS] });
source!(Decisions, PolicyRecord, CYCLES_PER_DECISION, PolicyRecord { numbers: [0.123_456_789; 32] });
source!(Frames, ImageRecord, CYCLES_PER_FRAME, ImageRecord { rgb: vec![127; 64 * 64 * 3] });

#[derive(Reflect)]
pub struct Sink;

impl Freezable for Sink {}

impl CuSinkTask for Sink {
    type Resources<'r> = ();
    type Input<'m> = input_msg!('m, StepRecord, PolicyRecord, ImageRecord);

    fn new(_: Option<&ComponentConfig>, _: Self::Resources<'_>) -> CuResult<Self> {
        Ok(Self)
    }

    fn process(&mut self, _: &CuContext, input: &Self::Input<'_>) -> CuResult<()> {
        std::hint::black_box(input);
        Ok(())
    }
}

mod logged {
    use super::*;

    #[copper_runtime(config = "logged.ron")]
    struct Graph {}

    /// Starts the graph; a call of what this returns is a cycle.
    pub fn start(log: &str) -> CuResult<impl FnMut() -> CuResult<()> + use<>> {
        let graph = Graph::builder().with_log_path(log, Some(SLAB_BYTES))?.build()?;
        let mut running = graph.start()?;
        Ok(move || running.run_one_iteration())
    }
}

mod silent {
    use super::*;

    #[copper_runtime(config = "silent.ron")]
    struct Graph {}

    /// Starts the graph; a call of what this returns is a cycle.
    pub fn start(log: &str) -> CuResult<impl FnMut() -> CuResult<()> + use<>> {
        let graph = Graph::builder().with_log_path(log, Some(SLAB_BYTES))?.build()?;
        let mut running = graph.start()?;
        Ok(move || running.run_one_iteration())
    }
}

fn main() -> CuResult<()> {
    let words: Vec<String> = std::env::args().collect();
    let [_, log, cycles] = &words[..] else {
        eprintln!("usage: copper-handoff LOG CYCLES");
        std::process::exit(2);
    };
    let cycles: u32 = cycles.parse().map_err(|error| CuError::from(format!("{cycles}: {error}")))?;
    let (mut logged, mut silent) = (logged::start(log)?, silent::start(&format!("{log}.silent"))?);
    let real_time = enter_fifo();
    let mut times = [Vec::with_capacity(cycles as usize), Vec::with_capacity(cycles as usize)];
    let mut clock = Vec::with_capacity(cycles as usize);
    let mut due = now_ns(libc::CLOCK_MONOTONIC);
    for cycle in 0..2 * (WARM_UP + cycles) {
        due += PERIOD.as_nanos() as u64 / 2;
        sleep_until(due);
        let before = now_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        if cycle % 2 == 0 {
            logged()?;
        } else {
            silent()?;
        }
        let after = now_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        let again = now_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        if cycle >= 2 * WARM_UP {
            times[cycle as usize % 2].push(after - before);
            clock.push(again - after);
        }
    }
    println!(
        "{{\"bytes_per_cycle\":{},\"real_time\":{real_time},\"logged_ns\":{:?},\"silent_ns\":{:?},\"clock_ns\":{:?}}}",
        size_of::<StepRecord>(),
        times[0],
        times[1],
        clock
    );
    Ok(())
}

/// Whether the kernel grants it.
fn enter_fifo() -> bool {
    // SAFETY: plain integers, for which zero is valid; the call takes flags and a pointer that outlives it.
    unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = PRIORITY;
        libc::mlockall(libc::MCL_CURRENT) == 0 && libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) == 0
    }
}

fn now_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn sleep_until(at_ns: u64) {
    let at = libc::timespec { tv_sec: (at_ns / 1_000_000_000) as _, tv_nsec: (at_ns % 1_000_000_000) as _ };
    // SAFETY: `at` outlives the call; a remainder is not asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &at, std::ptr::null_mut()) };
}
