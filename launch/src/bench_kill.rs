//! `visuomotor bench kill`: what a recording loses when its program is killed, at random moments.
//!
//! Kills `visuomotor bench record` again and again, and looks at what it left behind. Not responsible for recovering
//! ([`visuomotor_runtime::episode::derive`]) nor for power failures: what the kernel has taken survives here.

use crate::cli::BenchKillArgs;
use crate::dry_run::Directory;
use crate::error::{CommandError, Grade};
use crate::output;
use crate::quantiles::Quantiles;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use visuomotor_data::Timeline;
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::episode::{How, Sha256, derive};

/// A recording may lose so much of the open episode.
const LOSS_MAX_MS: f64 = 100.0;
/// Short, so that kills come at every point of an episode.
const EPISODE_S: f64 = 1.5;
/// A kill comes within this time after the first file is there.
const SPAN_S: f64 = 4.0;
const POLL: Duration = Duration::from_ticks(5_000_000);
const START_MAX: Duration = Duration::from_ticks(20_000_000_000);

/// Its field names are those of `bench kill --json`.
#[derive(Debug, Serialize)]
struct Findings {
    kills: u32,
    /// Kills that left an open episode with ticks in it.
    open: u32,
    /// From the last tick that is recovered to the kill, ms.
    lost_ms: Quantiles,
    /// Kills that cost more than 100 ms.
    over_100_ms: u32,
    /// Closed episodes that were looked at.
    closed: u32,
    /// Closed episodes that were not whole, or not what they had been.
    damaged: u32,
    /// Open files that could not be recovered.
    unrecoverable: u32,
    /// Recovered episodes in which a tick is missing in between.
    with_gaps: u32,
}

pub fn run(args: &BenchKillArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(args.seed);
    let mut tally = Tally::default();
    for k in 0..args.kills {
        let directory = Directory::new(&format!("bench-kill-{k}"))?;
        let delay_s = rng.random::<f64>() * SPAN_S;
        kill_once(args, directory.path(), delay_s, &mut tally)?;
        eprint!("\r{} of {} kills", k + 1, args.kills);
    }
    eprintln!();
    let findings = tally.findings(args.kills);
    output::report(&findings, &findings, args.json.as_deref())?;
    let well = findings.damaged == 0
        && findings.unrecoverable == 0
        && findings.with_gaps == 0
        && findings.over_100_ms == 0;
    Ok(if well { Grade::Good } else { Grade::Short })
}

#[derive(Default)]
struct Tally {
    lost_ms: Vec<f64>,
    closed: u32,
    damaged: u32,
    unrecoverable: u32,
    with_gaps: u32,
}

fn kill_once(
    args: &BenchKillArgs,
    directory: &Path,
    delay_s: f64,
    tally: &mut Tally,
) -> Result<(), CommandError> {
    let program = std::env::current_exe().map_err(CommandError::failed)?;
    let mut command = Command::new(program);
    command
        .args(["bench", "record"])
        .arg(&args.launch)
        .args(["--seconds", "3600", "--episode-s", &EPISODE_S.to_string()])
        .args(["--fps", "30", "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = Recorder(command.spawn().map_err(CommandError::failed)?);
    let started = LinuxMono::now();
    while files(directory).is_empty() {
        let ended = child.0.try_wait().map_err(CommandError::failed)?.is_some();
        if ended || LinuxMono::now() - started > START_MAX {
            return Err(CommandError::failed(
                "`visuomotor bench record` did not start",
            ));
        }
        LinuxMono::sleep_until(LinuxMono::now() + POLL);
    }
    let delay = Duration::from_ticks((delay_s * 1e9) as u64);
    LinuxMono::sleep_until(LinuxMono::now() + delay);
    let before = closed(directory);
    let killed_at = LinuxMono::now();
    child.0.kill().map_err(CommandError::failed)?;
    child.0.wait().map_err(CommandError::failed)?;
    tally.look(directory, &before, killed_at);
    Ok(())
}

struct Recorder(Child);

impl Drop for Recorder {
    fn drop(&mut self) {
        // Both fail only for a child that has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn is_closed(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "mcap")
}

/// Closed episodes and their hashes.
fn closed(directory: &Path) -> BTreeMap<PathBuf, Sha256> {
    let closed = files(directory).into_iter().filter(|path| is_closed(path));
    closed
        .filter_map(|path| {
            let hash = Sha256::of(&fs::read(&path).ok()?);
            Some((path, hash))
        })
        .collect()
}

impl Tally {
    fn look(&mut self, directory: &Path, before: &BTreeMap<PathBuf, Sha256>, killed_at: Instant) {
        let after = closed(directory);
        let touched = before
            .iter()
            .filter(|(path, hash)| after.get(*path) != Some(hash));
        self.damaged += touched.count() as u32;
        for path in files(directory) {
            let Ok(bytes) = fs::read(&path) else { continue };
            if is_closed(&path) {
                self.closed += 1;
                let read = Timeline::read(Cursor::new(&bytes));
                let whole = read.is_ok_and(|it| it.damage.is_none() && it.outcome.is_some());
                self.damaged += u32::from(!whole);
            } else {
                self.recover(&bytes, killed_at);
            }
        }
    }

    fn recover(&mut self, bytes: &[u8], killed_at: Instant) {
        let recovered = derive(bytes, How::Recovered)
            .and_then(|derived| Timeline::read(Cursor::new(derived.file)));
        let Ok(timeline) = recovered else {
            // A file that was created this very moment has no header yet, and nothing to lose.
            self.unrecoverable += u32::from(!bytes.is_empty());
            return;
        };
        let Some(last) = timeline.ticks.last() else {
            return;
        };
        let lost = killed_at.checked_duration_since(last.due);
        let lost_ms = lost.map_or(0.0, |lost| lost.as_nanos() as f64 * 1e-6);
        self.lost_ms.push(lost_ms);
        // A deadline that was missed is no tick.
        let gap = timeline
            .ticks
            .windows(2)
            .any(|pair| pair[1].tick != pair[0].tick + 1);
        self.with_gaps += u32::from(gap);
    }

    fn findings(self, kills: u32) -> Findings {
        let over = self.lost_ms.iter().filter(|&&lost| lost > LOSS_MAX_MS);
        Findings {
            kills,
            open: self.lost_ms.len() as u32,
            over_100_ms: over.count() as u32,
            lost_ms: Quantiles::of(self.lost_ms),
            closed: self.closed,
            damaged: self.damaged,
            unrecoverable: self.unrecoverable,
            with_gaps: self.with_gaps,
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quantiles { p50, p99, max, .. } = self.lost_ms;
        writeln!(
            f,
            "lost       {p50:.0} ms median, {p99:.0} ms 99 %, {max:.0} ms at most, of {} open episodes; {} over 100 ms",
            self.open, self.over_100_ms
        )?;
        writeln!(
            f,
            "recovered  {} could not be, {} with ticks missing in between",
            self.unrecoverable, self.with_gaps
        )?;
        writeln!(
            f,
            "closed     {} looked at, {} damaged",
            self.closed, self.damaged
        )
    }
}
