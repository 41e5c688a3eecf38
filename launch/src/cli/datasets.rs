//! What may be asked of data sets: episodes out to what others train with, and in again.
//!
//! Not responsible for doing it ([`crate::export`], [`crate::import`]).

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// A LeRobot data set, version 3.0, at a fixed rate, pictures embedded.
    Lerobot(ExportLerobotArgs),
    /// Plain Parquet: a table of ticks and one of the policy's steps, nothing resampled.
    Parquet(ExportParquetArgs),
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Episodes out of a LeRobot data set, version 3.0: one file for each of its episodes.
    Lerobot(ImportLerobotArgs),
    /// A servo arm's calibration out of LeRobot's.
    Calibration(super::ImportCalibrationArgs),
}

pub const EXPORT_LEROBOT_EXAMPLES: &str = "\
Examples:
  visuomotor export lerobot episodes/ --fps 30 --out datasets/pick
  visuomotor export lerobot a.mcap b.mcap --out datasets/two --json - | jq .residual_ms

A row is an instant of a fixed grid. It gets the newest picture and joint state that were taken at or before it, never a
later one, and as its action the last command that was sent before the next row. `timestamp` is frame_index / fps, as
LeRobot demands; when everything was really taken stands in the columns `visuomotor.*_ns`, and how old it was at its row is
reported as the residual. Every recording is one episode or is refused with a reason.

Interrupted, the same command goes on where it was; nothing is overwritten.

JSON: out, given, episodes, refused [{source_file, reason}], rows, fps, resumed_after (recordings that an interrupted export
had done), residual_ms {image, state, tcp: {p50, max}}, residual_ms_by_episode, identity (SHA-256 of the lineage), mixed
[{what, values}]: facts in which the episodes differ, such as checkpoints, limits, camera.
Exit code 1 when a recording was refused.";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_LEROBOT_EXAMPLES)]
pub struct ExportLerobotArgs {
    /// Episodes, and directories of episodes.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Directory of the data set: empty, new, or begun by the same command.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Rows a second [default: the camera's rate in the first recording, rounded].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub fps: Option<u32>,
    /// What the robot was to do, instead of what the recordings say.
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// Refuse an episode in which a picture or joint state is older at its row [default: three periods of its camera].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_age_ms: Option<u32>,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub const EXPORT_PARQUET_EXAMPLES: &str = "\
Examples:
  visuomotor export parquet episodes/ --out tables/pick
      Then: pandas.read_parquet('tables/pick/steps')

ticks/: every tick of the control loop. steps/: every observation of the policy with its picture, the action taken on it and
what it brought, as in RLDS (is_first, is_last, is_terminal, reward, discount). launch/data/README.md lists the columns.

Interrupted, the same command goes on where it was; nothing is overwritten.

JSON: out, given, episodes, refused [{source_file, reason}], rows (ticks), steps, resumed_after, identity, mixed.
Exit code 1 when a recording was refused.";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_PARQUET_EXAMPLES)]
pub struct ExportParquetArgs {
    /// Episodes, and directories of episodes.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Directory of the tables: empty, new, or begun by the same command.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What the robot was to do, instead of what the recordings say.
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

pub const IMPORT_LEROBOT_EXAMPLES: &str = "\
Examples:
  visuomotor import lerobot datasets/pick --out episodes/
  visuomotor import lerobot datasets/two_cameras --camera observation.images.wrist --out episodes/

A data set that was exported here gives back its rows with their true stamps and their lineage. Others have no stamps but
frame_index / fps; the episodes say so (derivation `imported`), and their numbers are taken for rad and m. Robots of 5 to 7
joints, with or without a gripper. What a data set does not hold is NaN in the episode.

Interrupted, the same command goes on where it was; nothing is overwritten.

JSON: out, episodes, rows, resumed_after, true_stamps, camera, left_out (columns that episodes have no place for).";

#[derive(Debug, Args)]
#[command(after_help = IMPORT_LEROBOT_EXAMPLES)]
pub struct ImportLerobotArgs {
    /// The data set's directory, with `meta/` in it.
    #[arg(value_name = "DIR")]
    pub dataset: PathBuf,
    /// Directory of the episodes: empty, new, or begun by the same command.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The column whose pictures to take, where there are several.
    #[arg(long, value_name = "COLUMN")]
    pub camera: Option<String>,
    /// Go on without pictures that are in videos, which are not decoded.
    #[arg(long)]
    pub skip_video: bool,
    /// Write the report as JSON; `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
