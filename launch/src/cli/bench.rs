//! `visuomotor bench …`: what may be measured.
//!
//! Not responsible for measuring it (`bench_*.rs`).

use super::{episodes, seed};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// CPU time of kinematics, quadratic program and whole control tick; allocations.
    Tick(BenchTickArgs),
    /// How often and how fast the position solver finds a reachable pose.
    Ik(BenchIkArgs),
    /// How punctual the control loop is on a fully loaded machine, in turns with a bare loop and with cyclictest.
    #[cfg(feature = "sim")]
    Realtime(BenchRealtimeArgs),
    /// CPU time in which the control thread hands over everything that is recorded.
    #[cfg(feature = "sim")]
    Handoff(BenchHandoffArgs),
    /// What recording costs over minutes: CPU time, memory, losses.
    #[cfg(feature = "sim")]
    Record(BenchRecordArgs),
    /// What a recording loses when its program is killed at random moments.
    #[cfg(feature = "sim")]
    Kill(BenchKillArgs),
    /// How much longer than necessary a motion takes through the safety filter, and whether an arm at a limit chatters.
    Reach(BenchReachArgs),
    /// The drivers of physical arms and cameras on emulated lines: rate, I/O time, bus load, losses, watchdogs, random faults.
    Drivers(BenchDriversArgs),
    /// Precision and recall of `lint` on defects that are planted into sound recordings.
    Lint(super::BenchLintArgs),
}

const BENCH_REACH_EXAMPLES: &str = "\
Examples:
  visuomotor bench reach
  visuomotor bench reach --motions 2000 --seed 2 --json -

Times are simulated, so the figures are the same on every machine. Exit code 1 when a motion takes more than 1.15 times
the time that the slowest joint needs by itself, or when the arm does not rest at a limit.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_REACH_EXAMPLES)]
pub struct BenchReachArgs {
    /// Launch file whose arm and limits are measured; of seven joints.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// Random motions.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = episodes())]
    pub motions: u32,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const BENCH_DRIVERS_EXAMPLES: &str = "\
Examples:
  visuomotor bench drivers
  visuomotor bench drivers --schedules 10000 --json -
      The figure of a release.
  visuomotor bench drivers --schedules 1 --seed 4711
      What schedule 4711 brings out, once more.

The very drivers, with an emulated line and emulated devices in virtual time, exact to the byte or the bit: the figures are
the same on every machine. A schedule is up to five faults of the line at any time (late, lost, damaged, doubled, cut,
unplugged, babble; for cameras up to five kinds) while an arm moves, stops and starts again; a violation is a broken promise:
an age under-estimated, a call that takes too long, a stop that gives power, no recovery.

JSON: seed, schedules, drivers [{driver, figures, shortfalls (in words), violations [{seed, what, replay (a command)}]}].
figures of an arm: period_ms, cycles_per_s, io_ms_max (measured), io_time_max_ms (promised), bits_per_tick, line_load (0 to
1), lost_answer {tried, readings_lost_max, age_steps_max, settled_after_ticks_max}, silence {watchdog_ms, all_go_on_ms,
all_stopped_ms} or null where drives have no watchdog; of a camera: rate_hz, frames_per_s, age_ms_max, capture_ms_max,
timeout_ms, lost_frame_age_steps_max, lost, lost_counted.

Exit code 1 when there is a violation, or a driver is slower than its loop (100 Hz serial, 250 Hz CAN), takes longer than it
promises, loses more than a reading and a step of age by a lost answer, or a watchdog does not keep its time within 2 ms.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_DRIVERS_EXAMPLES)]
pub struct BenchDriversArgs {
    /// Schedules of faults for each driver, from the seed on.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = episodes())]
    pub schedules: u32,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const BENCH_REALTIME_EXAMPLES: &str = "\
Examples:
  visuomotor bench realtime
  visuomotor bench realtime --seconds 300 --json -

It loads the machine itself: a busy thread on every CPU and a writer that syncs a file. In turns, slice by slice: ours, the
whole control loop, recording everything, with an arm that follows; bare, a loop that sleeps until each deadline and
computes for as long as the median of ours; cyclictest, where it is installed (Debian's rt-tests) and may have its
priority. What counts are the ratios, since machines are shared: below 1, ours waits less; - means that the other never
waited. Needs the rights that `visuomotor doctor` lists to say anything about real time.

Exit code 1 when the control thread allocated.";

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
#[command(after_help = BENCH_REALTIME_EXAMPLES)]
pub struct BenchRealtimeArgs {
    /// Launch file whose controller runs.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// Of all slices together, s; one slice of each is the least.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = super::seconds)]
    pub seconds: f64,
    /// Length of a slice, s.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub slice: u32,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const BENCH_HANDOFF_EXAMPLES: &str = "\
Examples:
  visuomotor bench handoff
  visuomotor bench handoff --seconds 60 --json -

The control loop runs at its rate with an arm that follows, camera and policy beside it, everything recorded. Measured is
what it takes to pass on a tick: newest observation, newest step, and the step with its health for the recorder. CPU time of
the thread; the median of what reading that clock costs is subtracted, and given.

Exit code 1 when the control thread allocated or a record was dropped.";

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
#[command(after_help = BENCH_HANDOFF_EXAMPLES)]
pub struct BenchHandoffArgs {
    /// Launch file whose controller runs.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// How long, s.
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = super::seconds)]
    pub seconds: f64,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BenchIkArgs {
    /// Launch file whose arm and limits are measured.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// Random reachable poses.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = episodes())]
    pub poses: u32,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const BENCH_TICK_EXAMPLES: &str = "\
Examples:
  visuomotor bench tick
  visuomotor bench tick --ticks 1000000 --json -

Exit code 1 when a tick allocated.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_TICK_EXAMPLES)]
pub struct BenchTickArgs {
    /// Launch file whose arm and limits are measured.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// Control ticks to measure.
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub ticks: u64,
    /// Also write the quadratic programs that are timed, with their answers, as JSON.
    #[arg(long, value_name = "FILE")]
    pub programs: Option<PathBuf>,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

const BENCH_RECORD_EXAMPLES: &str = "\
Examples:
  visuomotor bench record
  visuomotor bench record --seconds 600 --json -
      The figure of a release: 1 kHz and 30 pictures of 640 x 480 a second.

JSON: steps, frames, observations, dropped; shares of one core: recorder_share, jpeg_share (frames times jpeg_ms, which is
measured on a thread of its own), writer_share (the difference); memory_early_mb (after a tenth of the time),
memory_end_mb. Exit code 1 when something is dropped, when the writer takes more than 5 % of a core without JPEG, or when
memory grows.";

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
#[command(after_help = BENCH_RECORD_EXAMPLES)]
pub struct BenchRecordArgs {
    /// Launch file whose controller runs.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// How long, s.
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = super::seconds)]
    pub seconds: f64,
    /// Begin a new episode after so long, s; without it there is one.
    #[arg(long, value_name = "S", value_parser = super::seconds)]
    pub episode_s: Option<f64>,
    /// Pictures a second.
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = rate)]
    pub fps: f64,
    #[arg(long, value_name = "PX", default_value_t = 640, value_parser = clap::value_parser!(u32).range(8..=8192))]
    pub width_px: u32,
    #[arg(long, value_name = "PX", default_value_t = 480, value_parser = clap::value_parser!(u32).range(8..=8192))]
    pub height_px: u32,
    /// Keep the episodes in this directory.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[cfg(feature = "sim")]
fn rate(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if (0.1..=1000.0).contains(&value) {
        Ok(value)
    } else {
        Err("expected 0.1 to 1000 a second".to_owned())
    }
}

const BENCH_KILL_EXAMPLES: &str = "\
Examples:
  visuomotor bench kill
  visuomotor bench kill --kills 200 --json -

Each kill is a SIGKILL to a `visuomotor bench record` of its own. JSON: kills, open (that left an open episode), lost_ms
(from the last tick that is recovered to the kill: p50, p99, p999, max), over_100_ms, closed, damaged (closed episodes that
are not whole or were changed), unrecoverable, with_gaps. Exit code 1 when a closed episode is damaged, an open one cannot be
recovered or has a gap, or a kill costs more than 100 ms.";

#[cfg(feature = "sim")]
#[derive(Debug, Args)]
#[command(after_help = BENCH_KILL_EXAMPLES)]
pub struct BenchKillArgs {
    /// Launch file whose controller runs.
    #[arg(default_value = "launch/robots/sim_iiwa14.toml")]
    pub launch: PathBuf,
    /// How often.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = episodes())]
    pub kills: u32,
    /// Of the moments.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = seed())]
    pub seed: u64,
    /// Write the figures as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// For the test that every documented line can be typed.
#[cfg(test)]
pub const EXAMPLES: [&str; 7] = [
    BENCH_DRIVERS_EXAMPLES,
    BENCH_REACH_EXAMPLES,
    BENCH_TICK_EXAMPLES,
    BENCH_REALTIME_EXAMPLES,
    BENCH_HANDOFF_EXAMPLES,
    BENCH_RECORD_EXAMPLES,
    BENCH_KILL_EXAMPLES,
];
