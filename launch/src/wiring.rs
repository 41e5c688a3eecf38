//! Turns a validated launch file into parts that run: the only file that names concrete drivers.
//!
//! Not responsible for what the parts do, nor for checking the launch file ([`crate::config`]).

#[cfg(feature = "sim")]
mod emulated;
mod robot;

#[cfg(feature = "sim")]
pub use emulated::SimulatedArm;
pub use robot::{Parts, connect, parts};

use crate::config::Launch;
use crate::source::InputError;
use nalgebra::Vector3;
use rand::{Rng, RngExt};
use visuomotor_drivers::can::CanConfig;
use visuomotor_runtime::arm::{Arm, BringUpError};
use visuomotor_runtime::controller::{Controller, ControllerConfig};
use visuomotor_runtime::goal::GoalLimits;
use visuomotor_runtime::kinematics::Dynamics;
use visuomotor_runtime::kinematics::ik::{self, IkError};
use visuomotor_runtime::kinematics::pose;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::pace::PaceMaker;
use visuomotor_runtime::safety::{LimitsError, NotAtRest, OperatingMode, Safety};
use visuomotor_runtime::units::JointPositions;
use visuomotor_runtime::watchdogs::Watchdogs;

/// Attempts of the position solver from random joint positions.
const RESTARTS: u32 = 50;

#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Limits(#[from] LimitsError),
    #[error(transparent)]
    Mode(#[from] NotAtRest),
    #[error("the start pose {pose:?} cannot be reached: {error}")]
    Start { pose: TcpPose, error: IkError },
    #[error("{0} has no [scene] table: there is nothing to simulate")]
    NoScene(String),
    #[error(transparent)]
    BringUp(#[from] BringUpError),
    #[cfg(feature = "sim")]
    #[error(transparent)]
    Scene(#[from] visuomotor_drivers::sim::SceneError),
    #[cfg(feature = "sim")]
    #[error(transparent)]
    Render(#[from] visuomotor_drivers::sim::RenderError),
}

/// # Errors
/// When the loop should follow a cycle that the arm does not have.
pub fn check_pace<const N: usize>(
    launch: &Launch<N>,
    arm: &impl Arm<N>,
) -> Result<(), WiringError> {
    if launch.control.pace == PaceMaker::Timer || arm.owns_cycle() {
        return Ok(());
    }
    let problem = "this arm has no cycle of its own that the loop could follow; say \"timer\"";
    Err(launch.source.error_in("control.pace", problem).into())
}

/// A controller that begins in this operating mode.
pub fn controller<const N: usize>(
    launch: &Launch<N>,
    mode: OperatingMode,
) -> Result<Controller<N>, WiringError> {
    let period = launch.control_period();
    let mut safety = Safety::new(
        launch.chain.clone(),
        launch.limits,
        launch.tool_limits,
        launch.collision.clone(),
        launch.T_base_task(),
        period,
    )?;
    safety.set_mode(mode)?;
    let config = ControllerConfig {
        T_base_task: launch.T_base_task(),
        period,
        goal: GoalLimits {
            position_min_m: Vector3::from(launch.task.goal_low_m),
            position_max_m: Vector3::from(launch.task.goal_high_m),
            yaw_max_rad: launch.task.goal_yaw_max_rad,
            scale: launch.action,
        },
        setpoint: launch.setpoint,
        watchdogs: Watchdogs {
            arm_silence_max: crate::config::duration_ms(launch.watchdogs.arm_silence_ms_max),
            loop_gap_max: crate::config::duration_ms(launch.watchdogs.loop_gap_ms_max),
            policy_silence_max: crate::config::duration_ms(launch.watchdogs.policy_silence_ms_max),
            teleop_silence_max: crate::config::duration_ms(launch.watchdogs.teleop_silence_ms_max),
            frame_age_max: crate::config::duration_ms(launch.watchdogs.frame_age_ms_max),
            tracking_max_rad: launch.watchdogs.tracking_rad_max,
        },
        posture: launch.home(),
        posture_gain_per_s: launch.robot.posture_gain_per_s.into(),
        dq_max: launch.limits.dq_max(),
    };
    Ok(Controller::new(config, launch.chain.clone(), safety))
}

/// A tool pose drawn from the launch file's start box.
pub fn draw_start<const N: usize>(launch: &Launch<N>, rng: &mut impl Rng) -> TcpPose {
    let task = &launch.task;
    let mut between = |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    TcpPose {
        position_m: Vector3::from_fn(|axis, _| {
            between(task.start_low_m[axis], task.start_high_m[axis])
        }),
        yaw_rad: between(-task.start_yaw_max_rad, task.start_yaw_max_rad),
    }
}

/// Joint positions that hold the tool at `start`, near the home posture.
pub fn start_joints<const N: usize>(
    launch: &Launch<N>,
    start: &TcpPose,
    rng: &mut impl Rng,
) -> Result<JointPositions<N>, WiringError> {
    let goal = pose::tool_pose(&launch.T_base_task(), start);
    let limits = launch.limits.of_chain(&launch.chain);
    match ik::solve_pose(&launch.chain, &goal, &launch.home(), &limits, rng, RESTARTS) {
        Ok(found) => Ok(found.q),
        Err(error) => Err(WiringError::Start {
            pose: *start,
            error,
        }),
    }
}

/// What moving the arm of a CAN bus takes.
pub fn dynamics<const N: usize>(
    launch: &Launch<N>,
    config: &CanConfig,
) -> Result<Dynamics<N>, WiringError> {
    let dynamics = Dynamics::new(&launch.chain, &launch.urdf_text, config.gravity_m_per_s2);
    let refused = |error| launch.source.error_in("robot.urdf", error);
    Ok(dynamics.map_err(refused)?)
}

#[cfg(feature = "sim")]
pub fn scene<const N: usize>(
    launch: &Launch<N>,
) -> Result<&visuomotor_drivers::sim::SceneConfig, WiringError> {
    launch
        .scene
        .as_ref()
        .ok_or_else(|| WiringError::NoScene(launch.source.path.display().to_string()))
}
