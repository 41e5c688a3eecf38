//! `visuomotor bench handoff`: what passing everything on costs the control thread, in CPU time of that thread.
//!
//! Not responsible for what the tick itself costs ([`crate::bench_tick`]).

use crate::allocations;
use crate::cli::BenchHandoffArgs;
use crate::config::{JOINTS, Launch};
use crate::dry_run::{Directory, DryRun, FollowingArm, PatternCamera, Ready};
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::Quantiles;
use crate::threads::ControlLink;
use serde::Serialize;
use std::fmt;
use std::pin::pin;
use visuomotor_runtime::clock::linux::{LinuxMono, thread_cpu_time};
use visuomotor_runtime::clock::{Duration, executor};
use visuomotor_runtime::control_loop::{self, Exchange};
use visuomotor_runtime::controller::{Controller, Outputs, Request};
use visuomotor_runtime::health::{Health, HealthMeter};
use visuomotor_runtime::pace::Pace;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::realtime::{Preference, Thread, ThreadPlan};
use visuomotor_runtime::step::Step;

/// The first ticks touch everything for the first time.
const WARM_UP: usize = 200;

/// Its field names are those of `bench handoff --json`.
#[derive(Debug, Serialize)]
struct Findings {
    ticks: usize,
    /// What goes through the ring to the recorder in a tick.
    bytes_per_tick: usize,
    /// Without the clock's own cost.
    handoff_us: Quantiles,
    /// What reading the clock costs; its median has been subtracted.
    clock_us: Quantiles,
    /// Measuring the tick's health, which comes before and is not in the above.
    health_us: Quantiles,
    allocations: u64,
    dropped: u64,
    recorded: Recorded,
    fifo: bool,
    memory_locked: bool,
}

#[derive(Debug, Serialize)]
struct Recorded {
    steps: u64,
    frames: u64,
    observations: u64,
    decisions: u64,
}

/// Passes everything on to a link, and notes what that takes.
struct Timed {
    link: ControlLink,
    handoff: Vec<Duration>,
    health: Vec<Duration>,
    clock: Vec<Duration>,
}

impl Exchange<JOINTS> for Timed {
    fn decision(&mut self) -> Option<Decision> {
        self.link.decision()
    }

    fn request(&mut self) -> Option<Request> {
        self.link.request()
    }

    fn publish(&mut self, outputs: &Outputs<JOINTS>) {
        let begin = thread_cpu_time();
        let health = self.link.measure(&outputs.step);
        let measured = thread_cpu_time();
        self.link.hand_over(outputs, health);
        let handed_over = thread_cpu_time();
        let end = thread_cpu_time();
        if self.handoff.len() < self.handoff.capacity() {
            self.health.push(measured - begin);
            self.handoff.push(handed_over - measured);
            self.clock.push(end - handed_over);
        }
    }

    fn ended(&self) -> bool {
        self.link.ended()
    }
}

pub fn run(args: &BenchHandoffArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    let directory = Directory::new("bench-handoff")?;
    let dry = DryRun::new(
        &launch,
        directory.path(),
        args.seed,
        PatternCamera::of(&launch),
    )?;
    let span = Duration::from_ticks((args.seconds * 1e9) as u64);
    let ended = dry.run(span, |arm, controller, link, ready| {
        control(&launch, span, arm, controller, link, ready)
    })?;
    let (timed, allocations) = ended
        .control
        .ok_or_else(|| CommandError::failed("the control thread could not start"))?;
    let us = |times: &[Duration]| {
        let counted = times.iter().skip(WARM_UP);
        counted.map(|time| time.as_ticks() as f64 * 1e-3).collect()
    };
    let clock_us = Quantiles::of(us(&timed.clock));
    let without_clock = |times: &[Duration]| {
        let times: Vec<f64> = us(times);
        let rest = times.iter().map(|time| (time - clock_us.p50).max(0.0));
        Quantiles::of(rest.collect())
    };
    let lost = ended.recorded.lost;
    let findings = Findings {
        ticks: timed.handoff.len().saturating_sub(WARM_UP),
        bytes_per_tick: size_of::<(Step<JOINTS>, Option<Health>)>(),
        handoff_us: without_clock(&timed.handoff),
        health_us: without_clock(&timed.health),
        clock_us,
        allocations,
        dropped: lost.steps + lost.frames + lost.events,
        recorded: Recorded {
            steps: ended.recorded.steps,
            frames: ended.recorded.frames,
            observations: ended.recorded.observations,
            decisions: ended.recorded.decisions,
        },
        fifo: ended.granted.fifo,
        memory_locked: ended.granted.memory_locked,
    };
    output::report(&findings, &findings, args.json.as_deref())?;
    Ok(if findings.allocations == 0 && findings.dropped == 0 {
        Grade::Good
    } else {
        Grade::Short
    })
}

/// As [`crate::threads::control`], with a clock around the hand-off; with it the calls of the allocator.
fn control(
    launch: &Launch,
    span: Duration,
    arm: &mut FollowingArm,
    controller: &mut Controller<JOINTS>,
    mut link: ControlLink,
    ready: &Ready,
) -> Option<(Timed, u64)> {
    let plan = ThreadPlan::control(launch.control.cpu);
    let entered = Thread::enter(Preference::Preferred, plan).map_err(|error| error.to_string());
    let _ = ready.send(entered);
    link.meter = Some(HealthMeter::of_this_thread());
    let period = launch.control_period();
    let room = || Vec::with_capacity((span.as_ticks() / period.as_ticks()) as usize);
    let mut timed = Timed {
        link,
        handoff: room(),
        health: room(),
        clock: room(),
    };
    let mut allocations = 0;
    let pace = Pace::<LinuxMono>::new(launch.control.pace, LinuxMono::now() + period, period);
    let ticks = control_loop::control(pace, arm, controller, &mut timed);
    executor::run::<LinuxMono>(&mut [pin!(async {
        ((), allocations) = allocations::count_in(ticks).await;
    })]);
    Some((timed, allocations))
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hand-off      {}", self.handoff_us)?;
        writeln!(f, "health        {}", self.health_us)?;
        writeln!(f, "clock         {}", self.clock_us)?;
        let Recorded {
            steps,
            frames,
            observations,
            decisions,
        } = self.recorded;
        writeln!(
            f,
            "recorded      {steps} steps of {} bytes, {frames} frames, {observations} observations, {decisions} decisions; \
             {} dropped",
            self.bytes_per_tick, self.dropped
        )?;
        writeln!(
            f,
            "allocations   {} in {} ticks{}",
            self.allocations,
            self.ticks,
            if self.fifo {
                ""
            } else {
                "; without SCHED_FIFO"
            }
        )
    }
}
