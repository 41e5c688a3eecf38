//! The tables `[arm]` and `[camera]`: which devices a physical robot is made of. Without them it is simulated.
//!
//! Not responsible for the keys of a device: its driver documents and checks them.

use crate::source::{InputError, Source};
use serde::Deserialize;
use std::path::Path;
use visuomotor_drivers::can::CanConfig;
use visuomotor_drivers::replay_camera::{AsAsked, ReplayCamera, ReplayConfig, ReplayError};
use visuomotor_drivers::servo_bus::{self, Calibration, ServoBusConfig};
use visuomotor_drivers::v4l::V4lConfig;
use visuomotor_policies::manifest::CameraMount;
use visuomotor_runtime::camera::Camera;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::kinematics::{Chain, Dynamics};
use visuomotor_runtime::safety::Limits;
use visuomotor_runtime::units::{JointAccelerations, JointPositions, JointVelocities};

/// `[arm.servo_bus]` or `[arm.can]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmTable {
    ServoBus(ServoBusConfig),
    Can(CanConfig),
}

/// An arm that is there.
#[derive(Clone, Debug)]
pub enum ArmConfig {
    ServoBus(ServoBusConfig, Calibration),
    Can(CanConfig),
}

impl ArmConfig {
    /// Whether the drives go on holding the arm under power when nobody speaks to them any more.
    pub fn holds_by_itself(&self) -> bool {
        matches!(self, Self::ServoBus(..))
    }
}

/// So many control periods may pass before drives hear the next command, and nothing be wrong: two lost in a row, and a loop
/// that was late.
const SILENT_PERIODS: f64 = 4.0;
/// Until its drives stop, an arm whose program has died goes on pressing. ISO/TS 15066 takes contact for longer than half a
/// second for clamping (quasi-static), with half the force that a short one may have.
const WATCHDOG_MS_MAX: f64 = 500.0;
/// One reading is no stall, and a servo that pushes burns.
const STALL_PERIODS: f64 = 2.0;
const STALL_MS_MAX: f64 = 5000.0;

impl ArmTable {
    /// Reads what the table refers to, and compares it with the control loop.
    ///
    /// # Errors
    /// When a calibration is missing, is none, or is another arm's; when a tick has no time for the line; when drives would stop
    /// in normal operation, or too late.
    pub(super) fn complete(
        self,
        source: &Source,
        joints: usize,
        period: Duration,
    ) -> Result<ArmConfig, InputError> {
        match self {
            Self::Can(config) => {
                let line = Line::new(source, config.io_time_max(), period)?;
                line.check_watchdog("arm.can.watchdog_ms", config.watchdog_ms)?;
                Ok(ArmConfig::Can(config))
            }
            Self::ServoBus(config) => {
                if let Some(problem) = config.problem() {
                    return Err(source.error_in("arm.servo_bus", problem));
                }
                let calibration = calibration(source, &config, joints)?;
                let io = servo_bus::io_time_max(&config, &calibration);
                let line = Line::new(source, io, period)?;
                if let Some(watchdog_ms) = config.watchdog_ms {
                    line.check_watchdog("arm.servo_bus.watchdog_ms", watchdog_ms)?;
                }
                line.check_stall(config.stall.time_ms)?;
                Ok(ArmConfig::ServoBus(config, calibration))
            }
        }
    }
}

/// Compares CAN drives with the robot description.
///
/// # Errors
/// When the drives contradict themselves, or cannot carry the arm where it starts, or their own rotors.
pub(super) fn check_drives<const N: usize>(
    source: &Source,
    config: &CanConfig,
    (chain, urdf_text): (&Chain<N>, &str),
    home: &JointPositions<N>,
    limits: &Limits<N>,
) -> Result<(), InputError> {
    let refuse = |problem: String| Err(source.error_in("arm.can", problem));
    if let Err(problem) = config.check(chain.limits()) {
        return refuse(problem);
    }
    let dynamics = Dynamics::new(chain, urdf_text, config.gravity_m_per_s2)
        .map_err(|error| source.error_in("robot.urdf", error))?;
    let (dq, ddq) = (JointVelocities::zeros(), JointAccelerations::zeros());
    let held = dynamics.torques(home, &dq, &ddq);
    for (i, (joint, bounds)) in config.joint.iter().zip(limits.joints()).enumerate() {
        let (id, most) = (joint.id, joint.torque_limit_nm);
        let (hold, turn) = (held[i].abs(), joint.rotor_inertia_kg_m2 * bounds.ddq_max);
        let holds = hold <= most;
        if !holds {
            return refuse(format!(
                "drive {id}: by the masses of the URDF it takes {hold:.1} N·m to hold the arm at home_rad, and its \
                 torque_limit_nm is {most}: correct the masses, gravity_m_per_s2 or the limit"
            ));
        }
        if turn > most {
            return refuse(format!(
                "drive {id}: with rotor_inertia_kg_m2 = {} its own rotor takes {turn:.1} N·m at the joint's acceleration limit \
                 of {} rad/s², and its torque_limit_nm is {most}: correct one of them",
                joint.rotor_inertia_kg_m2, bounds.ddq_max
            ));
        }
    }
    Ok(())
}

fn calibration(
    source: &Source,
    config: &ServoBusConfig,
    joints: usize,
) -> Result<Calibration, InputError> {
    const KEY: &str = "arm.servo_bus.calibration";
    let directory = source.path.parent().unwrap_or(Path::new(""));
    let file = Source::read(&directory.join(&config.calibration)).map_err(|error| {
        source.error_in(
            KEY,
            format!("{error}; a path is relative to the launch file"),
        )
    })?;
    let calibration =
        Calibration::parse(&file.text).map_err(|error| InputError::file(&file.path, error))?;
    calibration
        .check_protocol(config.protocol)
        .map_err(|error| {
            let problem = format!(
                "{error}; correct `model`, or arm.servo_bus.protocol in {}",
                source.path.display()
            );
            InputError::file(&file.path, problem)
        })?;
    let found = calibration.joints.len();
    if found != joints {
        let problem = format!("it has {found} joints, and the arm has {joints}");
        return Err(source.error_in(KEY, problem));
    }
    Ok(calibration)
}

/// What the control loop and the line to the arm ask of each other.
struct Line<'a> {
    source: &'a Source,
    io_ms: f64,
    period_ms: f64,
}

impl<'a> Line<'a> {
    /// # Errors
    /// When a tick may have no time left after reading and writing.
    fn new(source: &'a Source, io: Duration, period: Duration) -> Result<Self, InputError> {
        let [io_ms, period_ms] = [io, period].map(|time| time.as_ticks() as f64 * 1e-6);
        if io < period {
            return Ok(Self {
                source,
                io_ms,
                period_ms,
            });
        }
        let problem = format!(
            "a tick of {period_ms:.1} ms has no time for the arm, whose line may take {io_ms:.1} ms; lower it"
        );
        Err(source.error_in("control.rate_hz", problem))
    }

    fn check_watchdog(&self, key: &str, watchdog_ms: u32) -> Result<(), InputError> {
        let (io_ms, period_ms) = (self.io_ms, self.period_ms);
        let least = (SILENT_PERIODS * period_ms + io_ms).ceil();
        let problem = if f64::from(watchdog_ms) < least {
            format!(
                "{watchdog_ms} ms is less than {SILENT_PERIODS} control periods of {period_ms:.1} ms and {io_ms:.1} ms on the \
                 line: drives would stop though two commands were lost at most; set it to {least} or more, or raise \
                 control.rate_hz"
            )
        } else if f64::from(watchdog_ms) > WATCHDOG_MS_MAX {
            format!(
                "{watchdog_ms} ms is too long: so long an arm whose program has died goes on pressing, and after \
                 {WATCHDOG_MS_MAX} ms whoever is in its way counts as clamped; set it between {least} and {WATCHDOG_MS_MAX}"
            )
        } else {
            return Ok(());
        };
        Err(self.source.error_in(key, problem))
    }

    fn check_stall(&self, time_ms: u32) -> Result<(), InputError> {
        let least = (STALL_PERIODS * self.period_ms).ceil();
        if (least..=STALL_MS_MAX).contains(&f64::from(time_ms)) {
            return Ok(());
        }
        let problem = format!(
            "{time_ms} ms is outside {least} to {STALL_MS_MAX}: one reading is no stall, and a servo that pushes burns"
        );
        Err(self.source.error_in("arm.servo_bus.stall.time_ms", problem))
    }
}

/// `[camera]`, with `[camera.v4l]` or `[camera.replay]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraTable {
    mount: Option<CameraMount>,
    v4l: Option<V4lConfig>,
    replay: Option<ReplayConfig>,
}

/// A camera that is there.
#[derive(Clone, Debug)]
pub struct CameraConfig {
    /// Where it is, as far as a person has said it; a policy that was trained with another mount is refused.
    pub mount: Option<CameraMount>,
    pub device: CameraDevice,
}

#[derive(Clone, Debug)]
pub enum CameraDevice {
    V4l(V4lConfig),
    Replay(ReplayConfig),
}

impl CameraTable {
    pub(super) fn complete(self, source: &Source) -> Result<CameraConfig, InputError> {
        let directory = source.path.parent().unwrap_or(Path::new(""));
        let device = match (self.v4l, self.replay) {
            (Some(config), None) => {
                config
                    .validate()
                    .map_err(|error| source.error_in("camera.v4l", error))?;
                CameraDevice::V4l(config)
            }
            (None, Some(mut config)) => {
                config.path = directory.join(config.path);
                CameraDevice::Replay(config)
            }
            _ => {
                let problem = "say either [camera.v4l] or [camera.replay]";
                return Err(source.error_in("camera", problem));
            }
        };
        Ok(CameraConfig {
            mount: self.mount,
            device,
        })
    }
}

impl CameraConfig {
    /// Width and height that the policy gets.
    ///
    /// # Errors
    /// When that is the recording's own size, and it cannot be read.
    pub fn output_px(&self) -> Result<[u32; 2], ReplayError> {
        match &self.device {
            CameraDevice::V4l(config) => {
                let crop = config.crop_px.map(|[_, _, width, height]| [width, height]);
                Ok(config.output_px.or(crop).unwrap_or(config.size_px))
            }
            CameraDevice::Replay(config) => {
                let played = ReplayCamera::open(config, Instant::from_ticks(0), AsAsked)?;
                Ok(played.size().into())
            }
        }
    }
}
