//! The simulated arm as the control loop sees it.
//!
//! Responsible for bounded time: [`Arm::read`] steps the physics that are due (a fraction of a millisecond) and neither
//! allocates nor locks. Not responsible for limits.

use super::error::SceneError;
use super::noise::bell;
use super::robot::Drive;
use super::stage::Stage;
use super::world::World;
use rand_xoshiro::Xoshiro256PlusPlus;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

const ENCODER_NOISE: u64 = 1;

/// An arm of `N` joints on position servos.
pub struct SimArm<const N: usize = 7> {
    stage: Stage,
    rng: Xoshiro256PlusPlus,
    /// What the encoders showed after the last physics step: between two steps they show the same.
    state: ArmState<N>,
}

impl<const N: usize> SimArm<N> {
    pub(super) fn new(stage: Stage) -> Result<Self, SceneError> {
        let config = stage.world.scene().config();
        let robot = config.robot.model();
        if robot.joints != N {
            return Err(SceneError::Invalid {
                key: "robot",
                reason: format!("{} has {} joints, not {N}", robot.name, robot.joints),
            });
        }
        if robot.drive != Drive::Positions {
            let reason = format!(
                "{} is driven by torques: it moves behind the emulated drives of an [arm] table",
                robot.name
            );
            return Err(SceneError::Invalid {
                key: "robot",
                reason,
            });
        }
        let rng = stage.world.scene().rng(ENCODER_NOISE);
        let state = stage.world.arm_state();
        let mut arm = Self { stage, rng, state };
        arm.publish();
        Ok(arm)
    }

    pub fn world(&self) -> &World {
        &self.stage.world
    }

    pub fn world_mut(&mut self) -> &mut World {
        &mut self.stage.world
    }

    /// Starts again in another world at time `now`, with that world's arm pose. For simulated time: it locks.
    pub fn replace(&mut self, world: Box<World>, now: Instant) -> Box<World> {
        let last = self.stage.replace(world, now);
        self.restart(now);
        last
    }

    /// Starts again in the same world at time `now`.
    pub fn restart(&mut self, now: Instant) {
        self.stage.world.start(now);
        self.rng = self.world().scene().rng(ENCODER_NOISE);
        self.publish();
    }

    pub(super) fn publish(&mut self) {
        self.state = self.world().arm_state();
        let noise_rad = self.world().scene().config().encoder_noise_rad;
        if noise_rad > 0.0 {
            for joint in 0..N {
                self.state.q[joint] += noise_rad * bell(&mut self.rng);
            }
        }
        self.stage.publish();
    }
}

impl<const N: usize> Arm<N> for SimArm<N> {
    fn read(&mut self, now: Instant) -> Result<ArmState<N>, ArmError> {
        if self.stage.take_next() {
            self.rng = self.world().scene().rng(ENCODER_NOISE);
            self.publish();
        }
        if self.stage.world.advance_to(now) > 0 {
            self.publish();
        }
        Ok(self.state)
    }

    fn write(&mut self, command: &SafeCommand<N>) -> Result<(), ArmError> {
        let world = &mut self.stage.world;
        world.command(command.q(), command.dq(), command.fingers());
        Ok(())
    }

    fn stop(&mut self, category: StopCategory) {
        match category {
            StopCategory::Zero | StopCategory::One => self.stage.world.brake(),
            StopCategory::Two => self.stage.world.hold(),
        }
    }
}
