//! The arm and the camera that a launch file names, ready for a session; and where they are simulated, what surrounds them.

use super::{WiringError, check_pace, scene, start_joints};
use crate::config::Launch;
use crate::stage::Stage;
use crate::threads::TruthSource;
use rand::Rng;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, BringUpError, Connected};
use visuomotor_runtime::camera::Camera;
use visuomotor_runtime::clock::{Duration, Instant};
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
}

/// An arm under power.
pub enum EnabledArm<const N: usize> {
    #[cfg(feature = "sim")]
    Sim(visuomotor_drivers::sim::SimArm<N>),
}

/// Does the same with whichever arm it is.
macro_rules! each {
    ($of:ident, $self:expr, $arm:ident => $do:expr) => {
        match $self {
            #[cfg(feature = "sim")]
            $of::Sim($arm) => $do,
        }
    };
}

impl<const N: usize> Connected<N> for ConnectedArm<N> {
    type Enabled = EnabledArm<N>;

    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        each!(Self, self, arm => arm.read(now))
    }

    fn enable(self) -> Result<EnabledArm<N>, BringUpError> {
        match self {
            #[cfg(feature = "sim")]
            Self::Sim(mut arm) => {
                arm.restart(visuomotor_runtime::clock::LinuxMono::now());
                Ok(EnabledArm::Sim(arm))
            }
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

/// Opens what the launch file names. A simulated arm begins at `start`, in the scene of this split and seed.
pub fn parts<const N: usize>(
    launch: &Launch<N>,
    split: &str,
    seed: u64,
    start: &TcpPose,
    rng: &mut impl Rng,
) -> Result<Parts<N>, WiringError> {
    simulated(launch, split, seed, start, rng)
}

#[cfg(feature = "sim")]
fn simulated<const N: usize>(
    launch: &Launch<N>,
    split: &str,
    seed: u64,
    start: &TcpPose,
    rng: &mut impl Rng,
) -> Result<Parts<N>, WiringError> {
    use crate::stage::Simulated;
    use visuomotor_drivers::sim::{Rig, Split, View, World};
    let config = scene(launch)?;
    let split = Split::of_name(split).unwrap_or(Split::Test);
    let mut world = World::build(config, split, seed)?;
    world.place_arm(start_joints(launch, start, rng)?.0.into());
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
