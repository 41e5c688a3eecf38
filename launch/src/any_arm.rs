//! Commands that take any arm: how many joints it has is read once at the start, and from there on it is compiled in.
//!
//! Not responsible for what the launch file says ([`crate::config`]).

use crate::config::{Launch, LaunchFile};
use crate::error::{CommandError, Grade};
use std::path::Path;
use visuomotor_runtime::kinematics::rotations;

pub trait AnyArm {
    fn run<const N: usize>(&self, launch: &Launch<N>) -> Result<Grade, CommandError>;
}

/// Runs the command with the arm of a launch file. The only place that says which numbers of joints there are.
pub fn run(command: &impl AnyArm, path: &Path) -> Result<Grade, CommandError> {
    let file = LaunchFile::read(path).map_err(CommandError::input)?;
    match file.joints() {
        5 => with::<5>(command, file),
        6 => with::<6>(command, file),
        7 => with::<7>(command, file),
        other => {
            let problem = format!("{other} values, but an arm has 5, 6 or 7 joints");
            let error = file.source.error_in("robot.home_rad", problem);
            Err(CommandError::input(error))
        }
    }
}

fn with<const N: usize>(command: &impl AnyArm, file: LaunchFile) -> Result<Grade, CommandError> {
    let launch = Launch::<N>::new(file).map_err(CommandError::input)?;
    if rotations(N) < 3 {
        tracing::warn!(
            "{} has {N} joints: its tool keeps {}; the rest of the rotation is dropped",
            launch.robot.name(),
            task::<N>()
        );
    }
    command.run(&launch)
}

/// What an arm of so many joints keeps of the tool's pose.
pub fn task<const N: usize>() -> String {
    format!("position + {} rotations", rotations(N))
}
