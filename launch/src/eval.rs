//! `visuomotor eval`: the success rate of a policy on scenes that it has never seen, in simulated time.

use crate::any_arm::{self, AnyArm};
use crate::batch;
use crate::cli::{EvalArgs, Share};
use crate::config::Launch;
use crate::contact_sheet;
use crate::error::{CommandError, Grade};
use crate::film::{Both, Film};
use crate::jobs::Outcome;
use crate::output;
use crate::policy::{self, OpenPolicy, Pictures};
use crate::recording::{Lineage, Particulars, Recording};
use crate::report::{Class, EpisodeResult, Report};
use crate::rig::{Drawn, Rig};
use crate::source::InputError;
use crate::video;
use std::fs;
use std::path::{Path, PathBuf};
use visuomotor_drivers::sim::Split;
use visuomotor_runtime::camera::Image;

/// Side of the people's view in videos.
const VIEW_PX: u32 = 320;
/// More failures than this do not make a contact sheet clearer.
const STRIPS_MAX: usize = 40;

pub fn run(args: &EvalArgs) -> Result<Grade, CommandError> {
    any_arm::run(args, &args.launch)
}

impl AnyArm for EvalArgs {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError> {
        evaluate(self, launch.clone())
    }
}

fn evaluate<const N: usize>(args: &EvalArgs, mut launch: Launch<N>) -> Result<Grade, CommandError> {
    if let (Some(directory), Some(scene)) = (&args.objects, &mut launch.scene) {
        scene.objects.load(directory).map_err(CommandError::input)?;
    }
    let sheet = match &args.sheet {
        Some(sheet) => sheet.clone(),
        None => default_sheet(args, &launch).map_err(CommandError::input)?,
    };
    let strips = StripDirectory::beside(&sheet, args.worker.share.is_some());
    let OpenPolicy { policy, identity } =
        policy::open(&launch, args.policy.as_ref(), Pictures::Scene)
            .map_err(CommandError::input)?;
    let lineage = Lineage::new(&launch, identity).map_err(CommandError::failed)?;
    let view_px = args.video.is_some().then_some(VIEW_PX);
    let mut rig =
        Rig::new(&launch, args.split.into(), policy, view_px).map_err(CommandError::input)?;
    rig.set_mode(args.mode.chosen());
    // Only now: what is refused leaves nothing behind.
    prepare(args, &sheet, &strips)?;
    let period_ms = (1e3 / launch.task.action_rate_hz) as u32;
    let film = Film::default();
    let mut evaluation = Evaluation {
        args,
        lineage,
        strips: &strips,
        film,
        period_ms,
    };
    let mut episode = |seed| evaluation.episode(&mut rig, seed);
    if let Some(share) = args.worker.share {
        batch::work(share, &mut episode)?;
        return Ok(Grade::Good);
    }
    let all = Share {
        first: args.seed,
        count: args.episodes,
    };
    let outcome = batch::run(all, args.jobs, &mut episode)?;
    conclude(args, &sheet, &strips, outcome)
}

/// What is wrong with the places to write to shows before the first episode.
fn prepare(args: &EvalArgs, sheet: &Path, strips: &StripDirectory) -> Result<(), CommandError> {
    output::check_json(args.json.as_deref())?;
    if let Some(parent) = sheet.parent().filter(|parent| *parent != Path::new("")) {
        output::directory(parent)?;
    }
    output::directory(&strips.0)?;
    for directory in [&args.record, &args.video].into_iter().flatten() {
        output::directory(directory)?;
    }
    Ok(())
}

fn default_sheet<const N: usize>(
    args: &EvalArgs,
    launch: &Launch<N>,
) -> Result<PathBuf, InputError> {
    let beside = match args.video.as_ref().or(args.record.as_ref()) {
        Some(directory) => directory,
        None => launch.episode_dir()?,
    };
    Ok(beside.join("failures.png"))
}

struct Evaluation<'a, const N: usize> {
    args: &'a EvalArgs,
    lineage: Lineage<'a, N>,
    strips: &'a StripDirectory,
    film: Film,
    /// Between two decisions.
    period_ms: u32,
}

impl<const N: usize> Evaluation<'_, N> {
    fn episode(&mut self, rig: &mut Rig<'_, N>, seed: u64) -> Result<EpisodeResult, CommandError> {
        self.film.clear();
        let perturb = self.args.perturb;
        let result = match &self.args.record {
            None => rig
                .episode(seed, perturb, &mut self.film)
                .map_err(CommandError::failed)?,
            Some(directory) => {
                let drawn = Drawn::of(rig.launch(), seed, perturb).map_err(CommandError::failed)?;
                let particulars = Particulars {
                    seed,
                    policy_seed: drawn.policy_seed,
                    split: Split::from(self.args.split).name(),
                    objects: self.args.objects.as_deref(),
                };
                let mut recording = Recording::simulated(&self.lineage, directory, &particulars)
                    .map_err(CommandError::input)?;
                let observer = &mut Both(&mut self.film, &mut recording);
                let result = rig
                    .episode(seed, perturb, observer)
                    .map_err(CommandError::failed)?;
                recording.close(&result).map_err(CommandError::failed)?;
                result
            }
        };
        let class = result.class.name();
        if result.class != Class::Success {
            let strip = contact_sheet::strip(&self.film.seen, &format!("seed {seed}  {class}"));
            write(&self.strips.strip(seed), |path| {
                contact_sheet::write_png(path, &strip)
            })?;
        }
        if let Some(directory) = &self.args.video {
            let path = directory.join(format!("{seed:08}-{class}.gif"));
            write(&path, |path| {
                video::write_gif(path, &self.film.views, self.period_ms)
            })?;
        }
        Ok(result)
    }
}

fn conclude(
    args: &EvalArgs,
    sheet: &Path,
    strips: &StripDirectory,
    outcome: Outcome,
) -> Result<Grade, CommandError> {
    let report = Report::of(outcome.results, outcome.interrupted);
    let images = strips.read(&report.failed_seeds)?;
    if !images.is_empty() {
        write(sheet, |path| {
            contact_sheet::write_png(path, &contact_sheet::sheet(&images))
        })?;
        eprintln!(
            "contact sheet of {} failures: {}",
            images.len(),
            sheet.display()
        );
    }
    if let Some(directory) = &args.video {
        eprintln!("videos: {}", directory.display());
    }
    if let Some(directory) = &args.record {
        eprintln!("episodes: {}", directory.display());
    }
    output::report(&report, &report, args.json.as_deref())?;
    let good = report.successes > 0 && report.success_rate >= args.require && !outcome.interrupted;
    Ok(if good { Grade::Good } else { Grade::Short })
}

fn write(
    path: &Path,
    write: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), CommandError> {
    write(path).map_err(|error| {
        CommandError::failed(InputError::file(
            path,
            format!("cannot be written: {error}"),
        ))
    })
}

/// Film strips of failures, until they make one sheet. The processes of one evaluation share it.
struct StripDirectory(PathBuf);

impl StripDirectory {
    /// Named after the process that reads it, so that two evaluations at once do not share one.
    fn beside(sheet: &Path, worker: bool) -> Self {
        let reader = match worker {
            true => std::os::unix::process::parent_id(),
            false => std::process::id(),
        };
        Self(sheet.with_extension(format!("strips-{reader}")))
    }

    fn strip(&self, seed: u64) -> PathBuf {
        self.0.join(format!("{seed}.png"))
    }

    /// The first strips, in the order of the seeds; the directory is gone afterwards.
    fn read(&self, seeds: &[u64]) -> Result<Vec<Image>, CommandError> {
        let strip = |seed: &u64| contact_sheet::read_png(&self.strip(*seed));
        let strips = seeds
            .iter()
            .take(STRIPS_MAX)
            .map(strip)
            .collect::<Result<_, _>>();
        fs::remove_dir_all(&self.0).map_err(CommandError::failed)?;
        strips.map_err(CommandError::failed)
    }
}
