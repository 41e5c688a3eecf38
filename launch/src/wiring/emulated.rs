//! The arm of a simulated episode: the simulator's own; or, where the launch file names a physical one, that one's very driver,
//! with an emulated line, emulated drives and the physics behind it, all in simulated time.
//!
//! Not responsible for the drives ([`visuomotor_drivers::testkit::emulate`]) nor for the physics.

use super::WiringError;
use crate::config::{ArmConfig, Launch};
use std::cell::RefCell;
use std::rc::Rc;
use visuomotor_drivers::can::CanArm;
use visuomotor_drivers::port::{CanPort, SerialPort};
use visuomotor_drivers::servo_bus::{ServoArm, ServoBus};
use visuomotor_drivers::sim::{Rig, SceneFeeder, SimArm, SimPlant, World};
use visuomotor_drivers::testkit::emulate::can::{CanDrives, CanLink};
use visuomotor_drivers::testkit::emulate::servo::{SerialLink, ServoDevice};
use visuomotor_runtime::arm::{Arm, ArmError, ArmState, Connected};
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

/// Bringing an arm up takes some of the line's time; it begins so long before an episode.
const BRING_UP: Duration = Duration::from_ticks(900_000_000);

type Shared = Rc<RefCell<SimPlant>>;

pub enum SimulatedArm<const N: usize> {
    Direct(SimArm<N>),
    Wired(Box<Wired<N>>),
}

/// A physical arm's driver, with everything behind it.
pub struct Wired<const N: usize> {
    launch: Launch<N>,
    config: ArmConfig,
    plant: Shared,
    /// From the first episode on.
    line: Option<Line<N>>,
}

/// A driver and the line that it speaks on.
enum Line<const N: usize> {
    Serial(SerialLink<Shared>, Box<ServoArm<SerialLink<Shared>, N>>),
    Can(CanLink<Shared>, Box<CanArm<CanLink<Shared>, N>>),
}

impl<const N: usize> Line<N> {
    fn advance(&self, at: Instant) {
        match self {
            Self::Serial(link, _) => link.advance(at),
            Self::Can(link, _) => link.advance(at),
        }
    }

    fn now(&self) -> Instant {
        match self {
            Self::Serial(link, _) => link.now(),
            Self::Can(link, _) => link.now(),
        }
    }

    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        self.advance(now);
        match self {
            Self::Serial(_, arm) => arm.read(now),
            Self::Can(_, arm) => arm.read(now),
        }
    }
}

impl<const N: usize> Wired<N> {
    fn connect(&self, begin: Instant) -> Result<Line<N>, WiringError> {
        let plant = self.plant.clone();
        Ok(match &self.config {
            ArmConfig::ServoBus(config, calibration) => {
                let device = ServoDevice::calibrated(calibration, plant, config.baud, begin);
                let link = SerialLink::new(device, begin);
                let arm = ServoBus::connect(link.clone(), config, calibration)?.enable()?;
                Line::Serial(link, Box::new(arm))
            }
            ArmConfig::Can(config) => {
                let link = CanLink::new(CanDrives::new(config, plant, begin), begin);
                let dynamics = super::dynamics(&self.launch, config)?;
                let arm = CanArm::connect(link.clone(), config, dynamics)?.enable()?;
                Line::Can(link, Box::new(arm))
            }
        })
    }

    fn bring_up(&mut self, now: Instant) -> Result<(), WiringError> {
        let begin = now - BRING_UP;
        self.plant.borrow_mut().restart(begin);
        let mut line = self.connect(begin)?;
        // As in a session: whoever has power hears of it in every period.
        let period = self.launch.control_period();
        while line.now() + period < now {
            let _ = line.read(line.now() + period);
        }
        self.line = Some(line);
        Ok(())
    }
}

impl<const N: usize> SimulatedArm<N> {
    /// The arm of this launch file, at the tray of this rig.
    pub fn of(launch: &Launch<N>, rig: Rig) -> Result<(Self, SceneFeeder), WiringError> {
        let Some(config) = &launch.arm else {
            let (arm, feeder) = rig.split()?;
            return Ok((Self::Direct(arm), feeder));
        };
        let (plant, feeder) = rig.split_plant()?;
        let wired = Wired {
            launch: launch.clone(),
            config: config.clone(),
            plant: Rc::new(RefCell::new(plant)),
            line: None,
        };
        Ok((Self::Wired(Box::new(wired)), feeder))
    }

    /// Does something to the world that the arm stands in.
    pub fn in_world<R>(&mut self, act: impl FnOnce(&mut World) -> R) -> R {
        match self {
            Self::Direct(arm) => act(arm.world_mut()),
            Self::Wired(arm) => act(arm.plant.borrow_mut().world_mut()),
        }
    }

    /// Enters another world, of whose arm the posture is taken.
    pub fn replace(&mut self, world: Box<World>, now: Instant) -> Box<World> {
        match self {
            Self::Direct(arm) => arm.replace(world, now),
            Self::Wired(arm) => arm.plant.borrow_mut().replace(world, now),
        }
    }

    /// Starts again in the same world at time `now`: a physical arm is then up, and holds where it is.
    pub fn restart(&mut self, now: Instant) -> Result<(), WiringError> {
        match self {
            Self::Direct(arm) => arm.restart(now),
            Self::Wired(arm) => arm.bring_up(now)?,
        }
        Ok(())
    }
}

impl<const N: usize> Arm<N> for SimulatedArm<N> {
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        match self {
            Self::Direct(arm) => arm.read(now),
            Self::Wired(arm) => arm.line.as_mut().ok_or(ArmError::NoAnswer)?.read(now),
        }
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        match self {
            Self::Direct(arm) => arm.write(command),
            Self::Wired(wired) => match &mut wired.line {
                None => Err(ArmError::NoAnswer),
                Some(Line::Serial(_, arm)) => arm.write(command),
                Some(Line::Can(_, arm)) => arm.write(command),
            },
        }
    }

    fn stop(&mut self, category: StopCategory) {
        match self {
            Self::Direct(arm) => arm.stop(category),
            Self::Wired(wired) => match &mut wired.line {
                None => {}
                Some(Line::Serial(_, arm)) => arm.stop(category),
                Some(Line::Can(_, arm)) => arm.stop(category),
            },
        }
    }
}
