//! `visuomotor bench drivers`: what the drivers of physical arms and cameras do on their benches, in figures, and what random
//! faults of their lines bring out.
//!
//! Not responsible for measuring it ([`visuomotor_drivers::testkit::figures`]) nor for the demands
//! ([`visuomotor_drivers::testkit::conformance`]).

use crate::cli::BenchDriversArgs;
use crate::error::{CommandError, Grade};
use crate::output;
use serde::Serialize;
use std::fmt;
use visuomotor_drivers::testkit::conformance::can::CanBench;
use visuomotor_drivers::testkit::conformance::servo::{Dynamixel, Feetech, N, ServoBench};
use visuomotor_drivers::testkit::conformance::{Outcome, schedule, v4l};
use visuomotor_drivers::testkit::figures::{self, ArmFigures, CameraFigures, Violation};

const CAN_JOINTS: usize = 7;

/// A driver with its bench.
struct Driver {
    name: &'static str,
    measure: fn(u64) -> Result<Figures, String>,
    schedule: fn(u64) -> Outcome,
}

const DRIVERS: [Driver; 4] = [
    Driver {
        name: "feetech_so101",
        measure: |seed| figures::arm::<ServoBench<Feetech>, N>(seed).map(Figures::Arm),
        schedule: schedule::check::<ServoBench<Feetech>, N>,
    },
    Driver {
        name: "dynamixel_koch",
        measure: |seed| figures::arm::<ServoBench<Dynamixel>, N>(seed).map(Figures::Arm),
        schedule: schedule::check::<ServoBench<Dynamixel>, N>,
    },
    Driver {
        name: "can_8_drives",
        measure: |seed| figures::arm::<CanBench, CAN_JOINTS>(seed).map(Figures::Arm),
        schedule: schedule::check::<CanBench, CAN_JOINTS>,
    },
    Driver {
        name: "v4l_camera",
        measure: |seed| figures::camera(seed).map(Figures::Camera),
        schedule: |seed| v4l::schedule(seed).map(|_| ()),
    },
];

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Figures {
    Arm(ArmFigures),
    Camera(CameraFigures),
}

/// Its field names are those of `bench drivers --json`.
#[derive(Debug, Serialize)]
struct Findings {
    seed: u64,
    /// For each driver, from this seed on.
    schedules: u32,
    drivers: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    driver: &'static str,
    /// `None` where the driver does not even work on a sound line.
    figures: Option<Figures>,
    /// In words: what is less than is asked of every driver.
    shortfalls: Vec<String>,
    violations: Vec<Replayable>,
}

#[derive(Debug, Serialize)]
struct Replayable {
    #[serde(flatten)]
    violation: Violation,
    /// The command that shows it again.
    replay: String,
}

pub fn run(args: &BenchDriversArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let findings = Findings {
        seed: args.seed,
        schedules: args.schedules,
        drivers: std::thread::scope(|scope| {
            let measure = |driver| scope.spawn(move || Found::of(driver, args));
            let threads = DRIVERS.each_ref().map(measure);
            let found = threads.into_iter().map(|thread| thread.join());
            found.collect::<Result<_, _>>()
        })
        .map_err(|_| CommandError::failed("a bench has panicked"))?,
    };
    output::report(&findings, &findings, args.json.as_deref())?;
    let is_good = |found: &Found| found.shortfalls.is_empty() && found.violations.is_empty();
    Ok(if findings.drivers.iter().all(is_good) {
        Grade::Good
    } else {
        Grade::Short
    })
}

impl Found {
    fn of(driver: &'static Driver, args: &BenchDriversArgs) -> Self {
        let (figures, shortfalls) = match (driver.measure)(args.seed) {
            Ok(figures) => {
                let shortfalls = match &figures {
                    Figures::Arm(figures) => figures.shortfalls(),
                    Figures::Camera(figures) => figures.shortfalls(),
                };
                (Some(figures), shortfalls)
            }
            Err(what) => (None, vec![what]),
        };
        let seeds = args.seed..args.seed + u64::from(args.schedules);
        let violations = figures::violations(seeds, driver.schedule);
        let replayable = |violation: Violation| Replayable {
            replay: format!(
                "visuomotor bench drivers --schedules 1 --seed {}",
                violation.seed
            ),
            violation,
        };
        Self {
            driver: driver.name,
            figures,
            shortfalls,
            violations: violations.into_iter().map(replayable).collect(),
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.drivers {
            writeln!(f, "{}", found.driver)?;
            match &found.figures {
                Some(Figures::Arm(figures)) => arm(f, figures)?,
                Some(Figures::Camera(figures)) => camera(f, figures)?,
                None => {}
            }
            for shortfall in &found.shortfalls {
                writeln!(f, "  FALLS SHORT: {shortfall}")?;
            }
            writeln!(
                f,
                "  {} fault schedules, {} violations",
                self.schedules,
                found.violations.len()
            )?;
            for Replayable { violation, replay } in &found.violations {
                writeln!(f, "  {replay}\n    {}", violation.what)?;
            }
        }
        Ok(())
    }
}

fn arm(f: &mut fmt::Formatter<'_>, figures: &ArmFigures) -> fmt::Result {
    let lost = figures.lost_answer;
    writeln!(
        f,
        "  {:.0} cycles of reading and writing a second; I/O {:.2} ms at most, of {:.2} ms in a tick of {} ms",
        figures.cycles_per_s, figures.io_ms_max, figures.io_time_max_ms, figures.period_ms
    )?;
    writeln!(
        f,
        "  {:.0} bits a tick, {:.0} % of the line",
        figures.bits_per_tick,
        100.0 * figures.line_load
    )?;
    writeln!(
        f,
        "  a lost answer ({} tried): {} reading lost, {:.2} steps of age, settled after {} ticks",
        lost.tried, lost.readings_lost_max, lost.age_steps_max, lost.settled_after_ticks_max
    )?;
    match figures.silence {
        Some(silence) => writeln!(
            f,
            "  killed: a watchdog of {} ms; all drives go on at {} ms, none at {} ms",
            silence.watchdog_ms, silence.all_go_on_ms, silence.all_stopped_ms
        ),
        None => writeln!(f, "  killed: no watchdog, the drives hold their last goal"),
    }
}

fn camera(f: &mut fmt::Formatter<'_>, figures: &CameraFigures) -> fmt::Result {
    writeln!(
        f,
        "  {:.1} of {:.1} frames a second, {:.1} ms old at most; a capture takes {:.1} ms at most, of {:.0} ms",
        figures.frames_per_s,
        figures.rate_hz,
        figures.age_ms_max,
        figures.capture_ms_max,
        figures.timeout_ms
    )?;
    writeln!(
        f,
        "  a lost frame: the next one {:.2} steps older; {} lost, {} counted",
        figures.lost_frame_age_steps_max, figures.lost, figures.lost_counted
    )
}
