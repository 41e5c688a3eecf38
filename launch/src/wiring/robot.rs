//! The arm and the camera that a launch file names, ready for a session; and where they are simulated, what surrounds them.

use super::WiringError;
use crate::config::{ArmConfig, CameraConfig, CameraDevice, Launch};
use crate::stage::Stage;
use crate::threads::TruthSource;
use rand::Rng;
use visuomotor_drivers::can::{CanArm, ConnectedCanArm, SocketCan};
use visuomotor_drivers::replay_camera::{RealTime, ReplayCamera};
use visuomotor_drivers::servo_bus::{SerialLine, ServoArm, ServoBus};
use visuomotor_drivers::v4l::{Opened, V4lCamera};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, BringUpError, Connected};
use visuomotor_runtime::camera::Camera;
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

/// Everything of a robot that a session moves, looks through and asks.
pub struct Parts<const N: usize> {
    pub arm: ConnectedArm<N>,
    pub camera: CameraSeat,
    /// Only where the arm is simulated, like what follows.
    pub stage: Option<Box<dyn Stage>>,
    pub truth: Option<TruthSource>,
}

/// Opens the camera on the thread that will look through it.
pub type CameraSeat = Box<dyn FnOnce() -> Result<Box<dyn Camera>, String> + Send>;

/// An arm that answers and has no power yet.
pub enum ConnectedArm<const N: usize> {
    #[cfg(feature = "sim")]
    Sim(visuomotor_drivers::sim::SimArm<N>),
    ServoBus(Box<ServoBus<SerialLine, N>>),
    Can(Box<ConnectedCanArm<SocketCan, N>>),
}

/// An arm under power.
pub enum EnabledArm<const N: usize> {
    #[cfg(feature = "sim")]
    Sim(visuomotor_drivers::sim::SimArm<N>),
    ServoBus(Box<ServoArm<SerialLine, N>>),
    Can(Box<CanArm<SocketCan, N>>),
}

/// Does the same with whichever arm it is.
macro_rules! each {
    ($of:ident, $self:expr, $arm:ident => $do:expr) => {
        match $self {
            #[cfg(feature = "sim")]
            $of::Sim($arm) => $do,
            $of::ServoBus($arm) => $do,
            $of::Can($arm) => $do,
        }
    };
}

impl<const N: usize> Connected<N> for ConnectedArm<N> {
    type Enabled = EnabledArm<N>;

    fn io_time_max(&self) -> Duration {
        match self {
            #[cfg(feature = "sim")]
            Self::Sim(_) => Duration::ZERO,
            Self::ServoBus(arm) => arm.io_time_max(),
            Self::Can(arm) => arm.io_time_max(),
        }
    }

    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        each!(Self, self, arm => arm.read(now))
    }

    fn enable(self) -> Result<EnabledArm<N>, BringUpError> {
        match self {
            #[cfg(feature = "sim")]
            Self::Sim(mut arm) => {
                arm.restart(LinuxMono::now());
                Ok(EnabledArm::Sim(arm))
            }
            Self::ServoBus(arm) => Ok(EnabledArm::ServoBus(Box::new(arm.enable()?))),
            Self::Can(arm) => Ok(EnabledArm::Can(Box::new(arm.enable()?))),
        }
    }
}

impl<const N: usize> Arm<N> for EnabledArm<N> {
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        each!(Self, self, arm => arm.read(now))
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        each!(Self, self, arm => arm.write(command))
    }

    fn io_time_max(&self) -> Duration {
        each!(Self, self, arm => arm.io_time_max())
    }

    fn stop(&mut self, category: StopCategory) {
        each!(Self, self, arm => arm.stop(category))
    }
}

/// Opens what the launch file names. A simulated arm begins at `start`, in the scene of this split and seed; a physical one
/// where it is.
pub fn parts<const N: usize>(
    launch: &Launch<N>,
    split: &str,
    seed: u64,
    start: &TcpPose,
    rng: &mut impl Rng,
) -> Result<Parts<N>, WiringError> {
    match (&launch.arm, &launch.camera) {
        (Some(arm), Some(camera)) => Ok(Parts {
            arm: connect(launch, arm)?,
            camera: seat(camera),
            stage: None,
            truth: None,
        }),
        (Some(_), None) => {
            let problem = "a physical arm needs a camera: add [camera.v4l]";
            Err(launch.source.error_in("camera", problem).into())
        }
        (None, camera) => {
            let mut parts = simulated(launch, split, seed, start, rng)?;
            if let Some(camera) = camera {
                parts.camera = seat(camera);
            }
            Ok(parts)
        }
    }
}

/// Finds the arm; it gets no power.
pub fn connect<const N: usize>(
    launch: &Launch<N>,
    config: &ArmConfig,
) -> Result<ConnectedArm<N>, WiringError> {
    Ok(match config {
        ArmConfig::ServoBus(config, calibration) => {
            let port = SerialLine::open(&config.port, config.baud)?;
            let arm = ServoBus::connect(port, config, calibration)?;
            ConnectedArm::ServoBus(Box::new(arm))
        }
        ArmConfig::Can(config) => {
            let port = SocketCan::open(&config.interface, &config.master_ids())?;
            let arm = CanArm::connect(port, config, super::dynamics(launch, config)?)?;
            ConnectedArm::Can(Box::new(arm))
        }
    })
}

fn seat(config: &CameraConfig) -> CameraSeat {
    match config.device.clone() {
        CameraDevice::V4l(config) => Box::new(move || {
            let Opened { camera, warnings } =
                V4lCamera::open(&config).map_err(|error| error.to_string())?;
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            Ok(Box::new(camera))
        }),
        CameraDevice::Replay(config) => {
            Box::new(
                move || match ReplayCamera::open(&config, LinuxMono::now(), RealTime) {
                    Ok(camera) => Ok(Box::new(camera)),
                    Err(error) => Err(error.to_string()),
                },
            )
        }
    }
}

#[cfg(not(feature = "sim"))]
fn simulated<const N: usize>(
    launch: &Launch<N>,
    _: &str,
    _: u64,
    _: &TcpPose,
    _: &mut impl Rng,
) -> Result<Parts<N>, WiringError> {
    let problem = "this program was built without the simulator: name a physical arm in [arm.servo_bus] or [arm.can], or build \
                   it with the feature `sim`";
    Err(launch.source.error_in("arm", problem).into())
}

#[cfg(feature = "sim")]
fn simulated<const N: usize>(
    launch: &Launch<N>,
    split: &str,
    seed: u64,
    start: &TcpPose,
    rng: &mut impl Rng,
) -> Result<Parts<N>, WiringError> {
    use super::{check_pace, scene, start_joints};
    use crate::stage::Simulated;
    use visuomotor_drivers::sim::{Rig, Split, View, World};
    let config = scene(launch)?;
    let split = Split::of_name(split).unwrap_or(Split::Test);
    let mut world = World::build(config, split, seed)?;
    world.place_arm::<N>(start_joints(launch, start, rng)?.0.into());
    let mut rig = Rig::new(world);
    let seat = rig.camera(View::Policy);
    let (mut knows, judge) = (rig.observer(), rig.observer());
    let (arm, feeder) = rig.split()?;
    check_pace(launch, &arm)?;
    Ok(Parts {
        arm: ConnectedArm::Sim(arm),
        camera: Box::new(move || match seat.open() {
            Ok(camera) => Ok(Box::new(camera)),
            Err(error) => Err(error.to_string()),
        }),
        stage: Some(Box::new(Simulated {
            config: config.clone(),
            split,
            feeder,
            judge,
            next: None,
        })),
        truth: Some(Box::new(move |truth| knows.truth(truth).is_some())),
    })
}
