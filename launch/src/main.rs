//! `visuomotor`: the command that runs, evaluates and trains closed-loop grasping policies.
//!
//! Responsible for dispatching the command line and for the exit code. Start reading at [`cli`] for what can be asked,
//! or at `visuomotor_runtime::control_loop` for the loop itself.

// Much of the command line is about evaluating in simulation.
#![cfg_attr(not(feature = "sim"), expect(dead_code))]

mod allocations;
mod any_arm;
mod baked;
#[cfg(feature = "sim")]
mod batch;
mod bench_drivers;
#[cfg(feature = "sim")]
mod bench_handoff;
mod bench_ik;
#[cfg(feature = "sim")]
mod bench_kill;
mod bench_lint;
mod bench_reach;
#[cfg(feature = "sim")]
mod bench_realtime;
#[cfg(feature = "sim")]
mod bench_record;
mod bench_tick;
#[cfg(feature = "sim")]
mod bin;
mod cli;
#[cfg(feature = "sim")]
mod collect;
#[cfg(feature = "sim")]
mod collect_sim;
mod config;
#[cfg(feature = "sim")]
mod contact_sheet;
#[cfg(all(test, feature = "sim"))]
mod control_thread_tests;
mod doctor;
#[cfg(feature = "sim")]
mod drawing;
#[cfg(feature = "sim")]
mod dry_run;
mod emulate;
mod episodes;
mod error;
#[cfg(feature = "sim")]
mod eval;
mod export;
mod film;
#[cfg(feature = "fleet")]
mod fleet;
mod fuzz;
mod import;
mod import_calibration;
#[cfg(feature = "sim")]
mod jobs;
mod lineage;
mod lint;
mod output;
mod played;
mod policy;
mod policy_check;
#[cfg(feature = "sim")]
mod progress;
mod quantiles;
mod recorded;
mod recording;
mod recover;
mod replay;
#[cfg(feature = "sim")]
mod replay_on;
mod report;
#[cfg(feature = "sim")]
mod rig;
mod run;
mod session;
mod show;
#[cfg(feature = "sim")]
mod simulate;
mod source;
mod stage;
mod status;
mod supervision;
#[cfg(all(test, feature = "sim"))]
mod system_calls;
mod threads;
mod trim;
mod verify;
#[cfg(feature = "sim")]
mod video;
mod wiring;

use clap::Parser;
use cli::{BenchCommand, Cli, Command, PolicyCommand};
use error::{CommandError, Grade};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match dispatch(&cli.command) {
        Ok(grade) => grade.into(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

#[cfg(feature = "sim")]
fn dispatch(command: &Command) -> Result<Grade, CommandError> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Emulate(args) => emulate::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Bin(args) => bin::run(args),
        Command::CollectSim(args) => collect_sim::run(args),
        Command::Policy(PolicyCommand::Check(args)) => policy_check::run(args),
        #[cfg(feature = "fleet")]
        Command::Forward(args) => fleet::forward(args),
        #[cfg(feature = "fleet")]
        Command::Collect(args) => fleet::collect(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Replay(args) => match args.on {
            Some(stage) => replay_on::run(args, stage),
            None => replay::run(args),
        },
        Command::Export(command) => export::run(command),
        Command::Import(command) => import::run(command),
        Command::Recover(args) => recover::run(args),
        Command::Trim(args) => trim::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Show(args) => show::run(args),
        Command::Episodes(args) => episodes::run(args),
        Command::Lineage(args) => lineage::run(args),
        Command::Lint(args) => lint::run(args),
        Command::FuzzSafety(args) => fuzz::run(args),
        Command::Bench(BenchCommand::Realtime(args)) => bench_realtime::run(args),
        Command::Bench(BenchCommand::Handoff(args)) => bench_handoff::run(args),
        Command::Bench(BenchCommand::Record(args)) => bench_record::run(args),
        Command::Bench(BenchCommand::Kill(args)) => bench_kill::run(args),
        Command::Bench(BenchCommand::Tick(args)) => bench_tick::run(args),
        Command::Bench(BenchCommand::Ik(args)) => bench_ik::run(args),
        Command::Bench(BenchCommand::Reach(args)) => bench_reach::run(args),
        Command::Bench(BenchCommand::Drivers(args)) => bench_drivers::run(args),
        Command::Bench(BenchCommand::Lint(args)) => bench_lint::run(args),
    }
}

/// Without the simulator nothing is evaluated: the launch file and its policy are still checked, and refused by name.
#[cfg(not(feature = "sim"))]
fn dispatch(command: &Command) -> Result<Grade, CommandError> {
    let (path, choice) = match command {
        Command::Run(args) => return run::run(args),
        Command::Doctor(args) => return doctor::run(args),
        Command::Emulate(args) => return emulate::run(args),
        Command::Eval(args) => (&args.launch, &args.policy),
        Command::Bin(args) => (&args.launch, &args.policy),
        Command::CollectSim(args) => (&args.launch, &args.policy),
        #[cfg(feature = "fleet")]
        Command::Forward(args) => return fleet::forward(args),
        #[cfg(feature = "fleet")]
        Command::Collect(args) => return fleet::collect(args),
        Command::Policy(PolicyCommand::Check(args)) => return policy_check::run(args),
        Command::Replay(args) if args.on.is_none() => return replay::run(args),
        Command::Replay(_) => return Err(CommandError::input("`--on` needs the simulator")),
        Command::Export(command) => return export::run(command),
        Command::Import(command) => return import::run(command),
        Command::Recover(args) => return recover::run(args),
        Command::Trim(args) => return trim::run(args),
        Command::Verify(args) => return verify::run(args),
        Command::Show(args) => return show::run(args),
        Command::Episodes(args) => return episodes::run(args),
        Command::Lineage(args) => return lineage::run(args),
        Command::Lint(args) => return lint::run(args),
        Command::FuzzSafety(args) => return fuzz::run(args),
        Command::Bench(BenchCommand::Tick(args)) => return bench_tick::run(args),
        Command::Bench(BenchCommand::Ik(args)) => return bench_ik::run(args),
        Command::Bench(BenchCommand::Reach(args)) => return bench_reach::run(args),
        Command::Bench(BenchCommand::Drivers(args)) => return bench_drivers::run(args),
        Command::Bench(BenchCommand::Lint(args)) => return bench_lint::run(args),
    };
    let launch = config::Launch::read(path).map_err(CommandError::input)?;
    wiring::controller(
        &launch,
        visuomotor_runtime::safety::OperatingMode::default(),
    )
    .map_err(CommandError::input)?;
    policy::open(&launch, choice.as_ref(), policy::Pictures::Scene).map_err(CommandError::input)?;
    Err(CommandError::input(format!(
        "{} needs the simulator, which this program was built without; build it with the feature `sim`",
        path.display()
    )))
}
