//! The launch file: everything that a person decides about one robot and its task, parsed and validated once.
//!
//! A [`Launch`] that exists is consistent: its files are there, the robot has the joints that the code expects, and no
//! limit exceeds the robot's own. Every error says which file, line and key to change. Relative paths in the file
//! start at its directory. Not responsible for opening devices or policies ([`crate::wiring`]).

mod check;
mod hardware;

pub use hardware::{ArmConfig, CameraConfig, CameraDevice};

use crate::source::{InputError, Source};
use check::check_home;
use hardware::{ArmTable, CameraTable};
use nalgebra::{Isometry3, Translation3, UnitQuaternion, Vector3};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use visuomotor_policies::PolicyConfig;
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::clock::Duration;
use visuomotor_runtime::exactly::exactly;
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::kinematics::{Chain, ChainError};
use visuomotor_runtime::pace::PaceMaker;
use visuomotor_runtime::realtime::Preference;
use visuomotor_runtime::safety::{
    Collision, CollisionConfig, Limits, LimitsConfig, ToolLimits, Workspace,
};
use visuomotor_runtime::setpoint::SetpointLimits;
use visuomotor_runtime::units::JointPositions;

/// Joints of the simulated arm.
pub const JOINTS: usize = 7;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    robot: RobotTable,
    task: Task,
    action: ActionScale,
    control: Control,
    arm: Option<ArmTable>,
    camera: Option<CameraTable>,
    #[serde(default)]
    setpoint: SetpointLimits,
    #[serde(default)]
    watchdogs: Watchdogs,
    limits: LimitsConfig,
    workspace: Workspace,
    #[serde(default)]
    collision: CollisionConfig,
    policy: Option<PolicyConfig>,
    episode: Option<Episode>,
    #[cfg(feature = "sim")]
    scene: Option<visuomotor_drivers::sim::SceneConfig>,
    /// Only the simulator reads it.
    #[cfg(not(feature = "sim"))]
    #[serde(rename = "scene")]
    _scene: Option<toml::Table>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RobotTable {
    urdf: PathBuf,
    base_link: String,
    tip_link: String,
    home_rad: Vec<f64>,
    posture_gain_per_s: Vec<f64>,
}

/// A well-formed launch file that is not yet checked against the robot that it describes.
#[derive(Clone, Debug)]
pub struct LaunchFile {
    pub source: Source,
    tables: Tables,
}

/// A validated launch file, with its robot of `N` joints.
#[derive(Clone, Debug)]
pub struct Launch<const N: usize = JOINTS> {
    pub source: Source,
    pub urdf_text: String,
    pub chain: Chain<N>,
    pub robot: Robot<N>,
    pub task: Task,
    pub action: ActionScale,
    pub control: Control,
    /// Without it the arm is simulated.
    pub arm: Option<ArmConfig>,
    /// Without it the camera is simulated.
    pub camera: Option<CameraConfig>,
    pub setpoint: SetpointLimits,
    pub watchdogs: Watchdogs,
    pub limits: Limits<N>,
    pub tool_limits: ToolLimits,
    pub collision: Collision<N>,
    /// What `collision` was read from.
    pub shapes: CollisionConfig,
    /// Not opened yet: another policy may be asked for.
    pub policy: Option<PolicyConfig>,
    pub episode: Option<Episode>,
    #[cfg(feature = "sim")]
    pub scene: Option<visuomotor_drivers::sim::SceneConfig>,
}

#[derive(Clone, Debug)]
pub struct Robot<const N: usize> {
    pub urdf: PathBuf,
    pub base_link: String,
    /// The frame between the fingertips.
    pub tip_link: String,
    /// Posture in which a session starts and toward which redundancy is pulled.
    pub home_rad: [f64; N],
    /// How fast redundancy pulls each joint toward `home_rad`; 0 leaves the joint to the task.
    pub posture_gain_per_s: [f64; N],
}

impl RobotTable {
    /// # Errors
    /// When a list has not one value for each of `N` joints.
    fn of_joints<const N: usize>(self, source: &Source) -> Result<Robot<N>, InputError> {
        let for_each = |key: &str, values: Vec<f64>| {
            let found = values.len();
            values.try_into().map_err(|_| {
                let problem = format!("{found} values where the arm has {N} joints");
                source.error_in(&format!("robot.{key}"), problem)
            })
        };
        Ok(Robot {
            urdf: self.urdf,
            base_link: self.base_link,
            tip_link: self.tip_link,
            home_rad: for_each("home_rad", self.home_rad)?,
            posture_gain_per_s: for_each("posture_gain_per_s", self.posture_gain_per_s)?,
        })
    }
}

impl<const N: usize> Robot<N> {
    /// The description's file name without its extension.
    pub fn name(&self) -> String {
        self.urdf
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    }
}

/// Where the task is and where the tool may be asked to go. Lengths in m, task frame unless said otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Centre of the tray's floor, base frame; the task frame's axes are parallel to the base frame's.
    #[serde(deserialize_with = "exactly")]
    pub origin_in_base_m: [f64; 3],
    /// Corners of the box that TCP goals stay in.
    #[serde(deserialize_with = "exactly")]
    pub goal_low_m: [f64; 3],
    #[serde(deserialize_with = "exactly")]
    pub goal_high_m: [f64; 3],
    /// The unwrapped yaw goal stays within plus and minus this.
    pub goal_yaw_max_rad: f64,
    /// Corners of the box from which each episode's start is drawn.
    #[serde(deserialize_with = "exactly")]
    pub start_low_m: [f64; 3],
    #[serde(deserialize_with = "exactly")]
    pub start_high_m: [f64; 3],
    pub start_yaw_max_rad: f64,
    /// Actions a second.
    pub action_rate_hz: f64,
    /// Actions an episode at most.
    pub steps_max: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub rate_hz: f64,
    /// Whether to start without real-time rights; without the key they are required.
    #[serde(default)]
    pub real_time: Preference,
    /// By which clock the loop ticks.
    #[serde(default)]
    pub pace: PaceMaker,
    /// The control thread's own CPU, by number.
    pub cpu: Option<usize>,
}

/// After how long silence, or at what lag, the arm stops.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watchdogs {
    pub arm_silence_ms_max: f64,
    /// Between two ticks of the control loop.
    pub loop_gap_ms_max: f64,
    pub policy_silence_ms_max: f64,
    /// Of whoever moves the arm by hand.
    pub teleop_silence_ms_max: f64,
    pub frame_age_ms_max: f64,
    /// How far a measured joint may lag its command.
    pub tracking_rad_max: f64,
}

impl Default for Watchdogs {
    fn default() -> Self {
        Self {
            arm_silence_ms_max: 20.0,
            loop_gap_ms_max: 20.0,
            policy_silence_ms_max: 500.0,
            teleop_silence_ms_max: 100.0,
            frame_age_ms_max: 150.0,
            tracking_rad_max: 0.2,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// Where `run` writes its recordings.
    pub dir: PathBuf,
    /// What the robot is to do, in a person's words: every episode says it, and so do the data sets made of them.
    #[serde(default)]
    pub task: String,
    /// What happens when records of an episode are lost.
    #[serde(default)]
    pub on_loss: OnLoss,
}

/// What a session does when a disk that takes nothing, or a recorder that falls behind, costs records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Goes on: what is lost is counted in the episode and told.
    #[default]
    Continue,
    /// Stops the arm under control and ends the session.
    Stop,
}

impl LaunchFile {
    /// # Errors
    /// When the file cannot be read or is no launch file.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        Self::parse(Source::read(path)?)
    }

    /// What a recorded episode says of the robot and its task; the scene is not needed any more.
    ///
    /// # Errors
    /// When this program's launch files have other keys.
    pub fn recorded(source: Source) -> Result<Self, InputError> {
        let file = Self::parse(source)?;
        #[cfg(feature = "sim")]
        let file = Self {
            tables: Tables {
                scene: None,
                ..file.tables
            },
            ..file
        };
        Ok(file)
    }

    pub fn parse(source: Source) -> Result<Self, InputError> {
        let tables = toml::from_str(&source.text)
            .map_err(|error| source.error_at(error.span(), error.message()))?;
        Ok(Self { source, tables })
    }

    /// How many joints the robot has, by its home position.
    pub fn joints(&self) -> usize {
        self.tables.robot.home_rad.len()
    }
}

impl Launch {
    /// The launch file of the simulated arm.
    ///
    /// # Errors
    /// On the first thing that a person has to change; see [`InputError`].
    pub fn read(path: &Path) -> Result<Self, InputError> {
        Self::simulated(LaunchFile::read(path)?)
    }

    fn simulated(file: LaunchFile) -> Result<Self, InputError> {
        if file.joints() != JOINTS {
            let problem = format!(
                "{} values, but the simulated arm has {JOINTS} joints; run, eval, emulate, fuzz-safety, bench tick and bench ik take other arms",
                file.joints()
            );
            return Err(file.source.error_in("robot.home_rad", problem));
        }
        Self::new(file)
    }
}

impl<const N: usize> Launch<N> {
    /// # Errors
    /// On the first thing that a person has to change; see [`InputError`].
    pub fn new(file: LaunchFile) -> Result<Self, InputError> {
        Self::with_urdf(file, |path| std::fs::read_to_string(path))
    }

    /// The same with a robot description from elsewhere than the file that is named.
    pub fn with_urdf(
        file: LaunchFile,
        urdf: impl FnOnce(&Path) -> std::io::Result<String>,
    ) -> Result<Self, InputError> {
        let LaunchFile { source, mut tables } = file;
        let directory = source.path.parent().unwrap_or(Path::new("")).to_owned();
        tables.robot.urdf = directory.join(&tables.robot.urdf);
        if let Some(episode) = &mut tables.episode {
            episode.dir = directory.join(&episode.dir);
        }
        tables
            .workspace
            .validate()
            .map_err(|error| source.error_in("workspace", error))?;
        tables.check(&source)?;
        let robot = tables.robot.clone().of_joints::<N>(&source)?;
        #[cfg(feature = "sim")]
        let scene = scene(&source, &tables, N)?;
        let period = duration_ms(1e3 / tables.control.rate_hz);
        let arm = tables.arm.map(|table| table.complete(&source, N, period));
        let arm = arm.transpose()?;
        let camera = tables.camera.map(|table| table.complete(&source));
        let camera = camera.transpose()?;
        let urdf_text = urdf(&robot.urdf).map_err(|error| {
            let urdf = robot.urdf.display();
            let problem =
                format!("{urdf} cannot be read: {error}; a path is relative to the launch file");
            source.error_in("robot.urdf", problem)
        })?;
        let chain = chain(&source, &robot, &urdf_text)?;
        let limits =
            Limits::new(&chain, &tables.limits).map_err(|error| match error.span.clone() {
                None => source.error_in("limits", error),
                span => source.error_at(span, error),
            })?;
        let tool_limits = ToolLimits::new(tables.workspace, &tables.limits)
            .map_err(|error| source.error_at(error.span.clone(), error))?;
        let collision = Collision::new(&chain, &tables.collision)
            .map_err(|error| source.error_at(error.span.clone(), error))?;
        let origin_in_base_m = tables.task.origin_in_base_m;
        let workspace = &tables.workspace;
        check_home(
            &source,
            &robot,
            &limits,
            &chain,
            &collision,
            workspace,
            origin_in_base_m,
        )?;
        if let Some(ArmConfig::Can(config)) = &arm {
            let robot_model = (&chain, urdf_text.as_str());
            hardware::check_drives(
                &source,
                config,
                robot_model,
                &robot.home_rad.into(),
                &limits,
            )?;
        }
        Ok(Self {
            urdf_text,
            chain,
            robot,
            task: tables.task,
            action: tables.action,
            control: tables.control,
            arm,
            camera,
            setpoint: tables.setpoint,
            watchdogs: tables.watchdogs,
            limits,
            tool_limits,
            collision,
            shapes: tables.collision,
            policy: tables.policy,
            episode: tables.episode,
            #[cfg(feature = "sim")]
            scene,
            source,
        })
    }

    /// The fault in the launch file's own names.
    pub fn describe(&self, fault: &Fault) -> String {
        match fault {
            Fault::StartsInCollision { pair, depth_m } => {
                let [capsule, other] = self.collision.names(usize::from(*pair));
                format!("{capsule} starts {depth_m:.3} m inside {other}")
            }
            other => other.to_string(),
        }
    }

    /// The task frame in the robot's base frame.
    #[allow(non_snake_case)]
    pub fn T_base_task(&self) -> Isometry3<f64> {
        let origin = Vector3::from(self.task.origin_in_base_m);
        Isometry3::from_parts(Translation3::from(origin), UnitQuaternion::identity())
    }

    pub fn home(&self) -> JointPositions<N> {
        self.robot.home_rad.into()
    }

    /// Where `run` writes its recordings.
    ///
    /// # Errors
    /// When the file does not say so.
    pub fn episode_dir(&self) -> Result<&Path, InputError> {
        let missing = "missing; say in [episode] into which `dir` episodes are written";
        match &self.episode {
            Some(episode) => Ok(&episode.dir),
            None => Err(self.source.error_in("episode", missing)),
        }
    }

    /// What the robot is to do, in a person's words; empty where nobody said it.
    pub fn instruction(&self) -> &str {
        self.episode
            .as_ref()
            .map_or("", |episode| episode.task.as_str())
    }

    pub fn control_period(&self) -> Duration {
        duration_ms(1e3 / self.control.rate_hz)
    }

    pub fn action_period(&self) -> Duration {
        duration_ms(1e3 / self.task.action_rate_hz)
    }
}

/// Rounded to the nearest nanosecond; the value has been checked to be finite, positive and not huge.
pub fn duration_ms(ms: f64) -> Duration {
    Duration::from_ticks((ms * 1e6).round() as u64)
}

fn chain<const N: usize>(
    source: &Source,
    robot: &Robot<N>,
    urdf: &str,
) -> Result<Chain<N>, InputError> {
    Chain::from_urdf(urdf, &robot.base_link, &robot.tip_link).map_err(|error| {
        let key = match &error {
            ChainError::UnknownLink { link, .. } if *link == robot.base_link => "robot.base_link",
            ChainError::UnknownLink { .. } | ChainError::NotConnected { .. } => "robot.tip_link",
            // It says how many joints are expected.
            ChainError::JointCount { .. } => "robot.home_rad",
            _ => "robot.urdf",
        };
        source.error_in(key, format!("{}: {error}", robot.urdf.display()))
    })
}

/// The scene's own idea of where the tray is follows from the task's.
#[cfg(feature = "sim")]
fn scene(
    source: &Source,
    tables: &Tables,
    joints: usize,
) -> Result<Option<visuomotor_drivers::sim::SceneConfig>, InputError> {
    use visuomotor_drivers::sim::SceneError;
    let Some(mut scene) = tables.scene.clone() else {
        return Ok(None);
    };
    if source.has("scene.tray_in_base_m") {
        let message = "the tray is where task.origin_in_base_m says; remove this line";
        return Err(source.error_in("scene.tray_in_base_m", message));
    }
    if scene.robot.joints() != joints {
        let simulated = scene.robot.joints();
        let message = format!("that robot has {simulated} joints, and this arm has {joints}");
        return Err(source.error_in("scene.robot", message));
    }
    scene.tray_in_base_m = tables.task.origin_in_base_m;
    if let Some(meshes) = scene.objects.meshes.take() {
        let directory = source.path.parent().unwrap_or(Path::new("")).join(meshes);
        scene
            .objects
            .load(&directory)
            .map_err(|error| source.error_in("scene.objects.meshes", error))?;
    }
    scene.validate().map_err(|error| match error {
        SceneError::Invalid { key, reason } => source.error_in(&format!("scene.{key}"), reason),
        other => source.error_in("scene", other),
    })?;
    Ok(Some(scene))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
