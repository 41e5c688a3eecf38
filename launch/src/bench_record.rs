//! `visuomotor bench record`: what recording costs, and whether anything is lost or grows, over minutes.
//!
//! The session is [`crate::dry_run`]'s: real control loop, rings, recorder and disk. Not responsible for what a killed
//! recorder loses ([`crate::bench_kill`]).

use crate::cli::BenchRecordArgs;
use crate::config::Launch;
use crate::dry_run::{Directory, DryRun, PatternCamera};
use crate::error::{CommandError, Grade};
use crate::output;
use crate::threads;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use visuomotor_runtime::camera::{Camera, Frame};
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::clock::linux::{LinuxMono, thread_cpu_time};
use visuomotor_runtime::episode::{Summary, jpeg};

/// How often memory and the writer's CPU time are read.
const LOOK: Duration = Duration::from_ticks(250_000_000);
/// Frames that are compressed once more to know what that costs.
const JPEG_FRAMES: u32 = 60;
/// The writer may take this share of a core without JPEG.
const WRITER_SHARE_MAX: f64 = 0.05;
/// Memory may grow by this share after the first tenth of the time.
const GROWTH_MAX: f64 = 0.02;

/// Its field names are those of `bench record --json`.
#[derive(Debug, Serialize)]
struct Findings {
    seconds: f64,
    episodes: u32,
    steps: u64,
    frames: u64,
    observations: u64,
    dropped: u64,
    /// Of one core, of all that the recorder's thread does.
    recorder_share: f64,
    /// Of one core; frames times what one costs when it is compressed on a thread of its own.
    jpeg_share: f64,
    jpeg_ms: f64,
    /// The difference of the two.
    writer_share: f64,
    /// Resident memory after the first tenth of the time, and at the end, MB.
    memory_early_mb: f64,
    memory_end_mb: f64,
    megabytes: f64,
}

pub fn run(args: &BenchRecordArgs) -> Result<Grade, CommandError> {
    output::check_json(args.json.as_deref())?;
    let launch = Launch::read(&args.launch).map_err(CommandError::input)?;
    let temporary;
    let directory = match &args.dir {
        Some(directory) => {
            output::directory(directory)?;
            directory.as_path()
        }
        None => {
            temporary = Directory::new("bench-record")?;
            temporary.path()
        }
    };
    let period = Duration::from_ticks((1e9 / args.fps) as u64);
    let size_px = (args.width_px, args.height_px);
    let camera = PatternCamera::new(size_px, period);
    let mut dry = DryRun::new(&launch, directory, args.seed, camera.clone())?;
    let watch = Watch::default();
    let (summaries, looks) = thread::scope(|scope| {
        let looks = scope.spawn(|| watch.look());
        let summaries = episodes(args, &launch, &mut dry);
        watch.ended.store(true, Ordering::Relaxed);
        (summaries, looks.join().unwrap_or_default())
    });
    let summaries = summaries?;
    let findings = Findings::of(args, directory, &summaries, &looks, jpeg_ms(camera)?);
    output::report(&findings, &findings, args.json.as_deref())?;
    let well = findings.dropped == 0
        && findings.writer_share <= WRITER_SHARE_MAX
        && findings.memory_end_mb <= findings.memory_early_mb * (1.0 + GROWTH_MAX);
    Ok(if well { Grade::Good } else { Grade::Short })
}

fn episodes(
    args: &BenchRecordArgs,
    launch: &Launch,
    dry: &mut DryRun<'_>,
) -> Result<Vec<Summary>, CommandError> {
    let mut left_s = args.seconds;
    let mut summaries = Vec::new();
    while left_s > 0.0 {
        let span_s = args.episode_s.unwrap_or(left_s).min(left_s);
        let ended = dry.run(
            Duration::from_ticks((span_s * 1e9) as u64),
            |arm, controller, link, ready| threads::control(launch, arm, controller, link, ready),
        )?;
        summaries.push(ended.recorded);
        dry.seed += 1;
        left_s -= span_s;
    }
    Ok(summaries)
}

/// What compressing a frame costs, CPU time in ms.
fn jpeg_ms(mut camera: PatternCamera) -> Result<f64, CommandError> {
    let (mut frame, mut bytes) = (Frame::default(), Vec::new());
    let mut spent = Duration::ZERO;
    for _ in 0..JPEG_FRAMES {
        camera
            .capture(LinuxMono::now(), &mut frame)
            .map_err(CommandError::failed)?;
        let before = thread_cpu_time();
        jpeg(&frame.image, &mut bytes).map_err(CommandError::failed)?;
        spent += thread_cpu_time() - before;
    }
    Ok(spent.as_nanos() as f64 * 1e-6 / f64::from(JPEG_FRAMES))
}

/// One look at the process.
#[derive(Clone, Copy, Default)]
struct Look {
    memory_mb: f64,
    /// CPU time of the recorder's threads so far, those that have ended included, s.
    recorder_s: f64,
}

#[derive(Default)]
struct Watch {
    ended: AtomicBool,
}

impl Watch {
    fn look(&self) -> Vec<Look> {
        let mut looks = Vec::new();
        // By number: each episode's recorder is a thread of its own.
        let mut threads: Vec<(u64, f64)> = Vec::new();
        while !self.ended.load(Ordering::Relaxed) {
            for (number, seconds) in recorder_threads() {
                match threads.iter_mut().find(|known| known.0 == number) {
                    Some(known) => known.1 = seconds,
                    None => threads.push((number, seconds)),
                }
            }
            looks.push(Look {
                memory_mb: memory_mb(),
                recorder_s: threads.iter().map(|thread| thread.1).sum(),
            });
            LinuxMono::sleep_until(LinuxMono::now() + LOOK);
        }
        looks
    }
}

/// Numbers and CPU times, s, of this process's threads that record.
fn recorder_threads() -> Vec<(u64, f64)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let recorder = |path: &Path| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let times = fs::read_to_string(path.join("schedstat")).ok()?;
        let ns: f64 = times.split_whitespace().next()?.parse().ok()?;
        let number = path.file_name()?.to_str()?.parse().ok()?;
        (name.trim() == "episode").then_some((number, ns * 1e-9))
    };
    let paths = tasks.filter_map(|task| Some(task.ok()?.path()));
    paths.filter_map(|path| recorder(&path)).collect()
}

fn memory_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) * 1e-3
}

impl Findings {
    fn of(
        args: &BenchRecordArgs,
        directory: &Path,
        summaries: &[Summary],
        looks: &[Look],
        jpeg_ms: f64,
    ) -> Self {
        let sum = |of: fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
        let (early, end) = (looks.get(looks.len() / 10), looks.last());
        let (early, end) = (
            early.copied().unwrap_or_default(),
            end.copied().unwrap_or_default(),
        );
        let frames = sum(|summary| summary.frames);
        let recorder_share = end.recorder_s / args.seconds;
        let jpeg_share = frames as f64 * jpeg_ms * 1e-3 / args.seconds;
        Self {
            seconds: args.seconds,
            episodes: summaries.len() as u32,
            steps: sum(|summary| summary.steps),
            frames,
            observations: sum(|summary| summary.observations),
            dropped: sum(|summary| summary.lost.steps + summary.lost.frames + summary.lost.events),
            recorder_share,
            jpeg_share,
            jpeg_ms,
            writer_share: recorder_share - jpeg_share,
            memory_early_mb: early.memory_mb,
            memory_end_mb: end.memory_mb,
            megabytes: megabytes(directory),
        }
    }
}

fn megabytes(directory: &Path) -> f64 {
    let files = fs::read_dir(directory).into_iter().flatten();
    let lengths = files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len()));
    lengths.sum::<u64>() as f64 * 1e-6
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "recorded   {} steps, {} frames, {} observations in {:.0} s; {:.1} MB; {} dropped",
            self.steps, self.frames, self.observations, self.seconds, self.megabytes, self.dropped
        )?;
        writeln!(
            f,
            "writer     {:.2} % of a core without JPEG, {:.2} % with it ({:.2} ms a frame)",
            100.0 * self.writer_share,
            100.0 * self.recorder_share,
            self.jpeg_ms
        )?;
        writeln!(
            f,
            "memory     {:.1} MB after a tenth of the time, {:.1} MB at the end",
            self.memory_early_mb, self.memory_end_mb
        )
    }
}
