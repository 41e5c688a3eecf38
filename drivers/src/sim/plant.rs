//! The simulated robot as the mechanics behind emulated drives.
//!
//! Responsible for what follows from torques. Not responsible for drives, encoders and their resolution: those are the
//! emulator's, and `encoder_noise_rad` is not heeded here.

use super::error::SceneError;
use super::robot::Drive;
use super::stage::Stage;
use super::world::World;
use crate::testkit::emulate::Plant;
use visuomotor_runtime::clock::Instant;

/// A robot that torques drive. Its time is that of its steps: the emulator takes one whenever so much of its own time has
/// passed.
///
/// At the beginning something props the arm up; it gives way to the first torque, and from then on the arm falls when its
/// drives let go.
pub struct SimPlant {
    stage: Stage,
    propped: bool,
}

impl SimPlant {
    pub(super) fn new(stage: Stage) -> Result<Self, SceneError> {
        let robot = stage.world.scene().config().robot.model();
        if robot.drive != Drive::Torques {
            let reason = format!(
                "{} has position servos of its own: nothing can be emulated in front of it",
                robot.name
            );
            return Err(SceneError::Invalid {
                key: "robot",
                reason,
            });
        }
        let mut plant = Self {
            stage,
            propped: true,
        };
        plant.stage.publish();
        Ok(plant)
    }

    pub fn world(&self) -> &World {
        &self.stage.world
    }

    pub fn world_mut(&mut self) -> &mut World {
        &mut self.stage.world
    }

    /// Starts again in another world at time `now`, with that world's arm pose, propped up. For simulated time: it locks.
    pub fn replace(&mut self, world: Box<World>, now: Instant) -> Box<World> {
        let last = self.stage.replace(world, now);
        self.propped = true;
        self.stage.publish();
        last
    }

    /// Starts again in the same world at time `now`, propped up.
    pub fn restart(&mut self, now: Instant) {
        self.stage.world.start(now);
        self.propped = true;
        self.stage.publish();
    }
}

impl Plant for SimPlant {
    /// The fingers count as one.
    fn joints(&self) -> usize {
        self.world().scene().config().robot.joints() + 1
    }

    fn step_s(&self) -> f64 {
        self.world().step_s()
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.world().joint_state(joint)
    }

    fn step(&mut self, tau_nm: &[f64]) {
        self.stage.take_next();
        self.propped &= tau_nm.iter().all(|&tau| tau == 0.0);
        let world = &mut self.stage.world;
        world.apply_torques(tau_nm);
        if self.propped {
            world.step_propped();
        } else {
            world.step();
        }
        self.stage.publish();
    }
}
