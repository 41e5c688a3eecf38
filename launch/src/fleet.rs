//! `visuomotor forward` and `visuomotor collect`: from the command line to the fleet's crate, and back as a report.
//!
//! Neither is a process that moves an arm. Not responsible for how episodes travel or are kept ([`visuomotor_fleet`]).

use crate::cli::{CollectFleetArgs, ForwardArgs, Output};
use crate::error::{CommandError, Grade};
use crate::output;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use visuomotor_fleet::collect::{self, Place};
use visuomotor_fleet::forward::{self, Forwarder};
use visuomotor_fleet::network::Network;
use visuomotor_fleet::shelf::Shelf;
use visuomotor_fleet::{FleetError, Stop};

pub fn forward(args: &ForwardArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let network = Network {
        config: args.config.clone(),
        listen: Vec::new(),
        connect: args.connect.clone(),
    };
    let forwarder = Forwarder {
        directory: args.episodes.clone(),
        robot: args.robot.clone(),
        config: network.robot().map_err(CommandError::input)?,
        once: args.once,
    };
    let stop = stop(args.seconds);
    let json = args.json.as_deref();
    let report = forwarder.run(&stop, &mut |name| tell(json, name));
    let report = Forwarded(report.map_err(graded)?);
    output::report(&report, &report.0, json)?;
    let is_short = report.0.waiting > 0 || !report.0.refused.is_empty();
    Ok(if is_short { Grade::Short } else { Grade::Good })
}

pub fn collect(args: &CollectFleetArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let network = Network {
        config: args.config.clone(),
        listen: args.listen.clone(),
        connect: args.connect.clone(),
    };
    let config = network.collector().map_err(CommandError::input)?;
    let place = place(args)?;
    let stop = stop(args.seconds);
    let json = args.json.as_deref();
    let wanted = args.episodes.map_or(u64::MAX, u64::from);
    let stored = AtomicU64::new(0);
    let report = collect::run(&config, place, &stop, &|record| {
        let mark = if record.complete { "" } else { " (incomplete)" };
        tell(json, &format_args!("{}{mark}", record.stored_as));
        if stored.fetch_add(1, Ordering::Relaxed) + 1 >= wanted {
            stop.ask();
        }
    });
    let report = Collected(report.map_err(graded)?);
    output::report(&report, &report.0, json)?;
    let is_short = args.episodes.is_some() && report.0.episodes < wanted;
    Ok(if is_short { Grade::Short } else { Grade::Good })
}

fn place(args: &CollectFleetArgs) -> Result<Place, CommandError> {
    match (&args.out, &args.staging) {
        (Output::Directory(_), Some(_)) => Err(CommandError::input(
            "--staging is for an object store: a directory keeps parts in itself, so that a finished one only gets its name",
        )),
        (Output::Directory(root), None) => {
            output::directory(root)?;
            Ok(Place::directory(root))
        }
        (Output::S3 { .. }, None) => Err(CommandError::input(
            "an object store needs --staging DIR: a local directory for index and parts",
        )),
        (Output::S3 { bucket, prefix }, Some(staging)) => {
            output::directory(staging)?;
            Ok(Place::objects(s3(bucket, prefix)?, staging))
        }
    }
}

#[cfg(feature = "s3")]
fn s3(bucket: &str, prefix: &str) -> Result<Shelf, CommandError> {
    Shelf::s3(bucket, prefix).map_err(CommandError::input)
}

#[cfg(not(feature = "s3"))]
fn s3(bucket: &str, prefix: &str) -> Result<Shelf, CommandError> {
    Err(CommandError::input(format!(
        "s3://{bucket}/{prefix}: this program was built without S3; build it with `cargo build --features s3`"
    )))
}

/// The end that a person asks for with Ctrl-C, or a time limit.
fn stop(seconds: Option<f64>) -> Stop {
    let stop = Stop::default();
    let interrupted = stop.clone();
    if let Err(error) = ctrlc::set_handler(move || interrupted.ask()) {
        tracing::warn!(%error, "Ctrl-C will end the process without a report");
    }
    if let Some(seconds) = seconds {
        let over = stop.clone();
        thread::spawn(move || {
            if !over.wait(Duration::from_secs_f64(seconds)) {
                over.ask();
            }
        });
    }
    stop
}

/// A line for people, unless standard output belongs to a program.
fn tell(json: Option<&Path>, line: &impl fmt::Display) {
    if json != Some(Path::new("-")) {
        // Nobody reads any more: that ends no collector.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// What was given is wrong, or the machine is.
fn graded(error: FleetError) -> CommandError {
    match error {
        FleetError::File { .. } | FleetError::Busy(_) => CommandError::input(error),
        FleetError::Network(_) | FleetError::Store(_) => CommandError::failed(error),
    }
}

struct Forwarded(forward::Report);

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        let (delivered, known) = (report.delivered, report.known_before);
        write!(
            f,
            "{delivered} episodes delivered ({} bytes",
            report.bytes_delivered
        )?;
        writeln!(
            f,
            ", {} sent; {known} were there before)",
            report.bytes_sent
        )?;
        for refused in &report.refused {
            writeln!(f, "refused: {refused}")?;
        }
        if report.waiting > 0 {
            writeln!(f, "{} not delivered yet", report.waiting)?;
        }
        Ok(())
    }
}

struct Collected(collect::Report);

impl fmt::Display for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        let robots = report.robots.len();
        write!(f, "{} episodes of {robots} robots stored", report.episodes)?;
        writeln!(
            f,
            " ({} bytes), {} of them incomplete",
            report.bytes_stored, report.incomplete
        )?;
        if report.partials > 0 {
            writeln!(f, "{} arrived in part", report.partials)?;
        }
        Ok(())
    }
}
