//! The simulated arm as the control loop sees it.
//!
//! Responsible for bounded time: [`Arm::read`] steps the physics that are due (a fraction of a millisecond) and neither
//! allocates nor locks. Not responsible for limits.

use super::iiwa14::JOINTS;
use super::noise::bell;
use super::rig::{Board, Exchange};
use super::snapshot::Snapshot;
use super::world::World;
use rand_xoshiro::Xoshiro256PlusPlus;
use triple_buffer::Input;
use visuomotor_runtime::arm::{Arm, ArmError, ArmState};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::safety::{SafeCommand, StopCategory};

const ENCODER_NOISE: u64 = 1;

pub struct SimArm {
    world: Box<World>,
    outputs: Vec<Input<Snapshot>>,
    board: Board,
    exchange: Exchange,
    rng: Xoshiro256PlusPlus,
    /// What the encoders showed after the last physics step: between two steps they show the same.
    state: ArmState<JOINTS>,
}

impl SimArm {
    pub(super) fn new(
        world: Box<World>,
        outputs: Vec<Input<Snapshot>>,
        board: Board,
        exchange: Exchange,
    ) -> Self {
        let rng = world.scene().rng(ENCODER_NOISE);
        let state = world.arm_state();
        let mut arm = Self {
            world,
            outputs,
            board,
            exchange,
            rng,
            state,
        };
        arm.publish();
        arm
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Starts again in another world at time `now`, with that world's arm pose. For simulated time: it locks.
    pub fn replace(&mut self, world: Box<World>, now: Instant) -> Box<World> {
        self.board.post(world.scene());
        let last = std::mem::replace(&mut self.world, world);
        self.restart(now);
        last
    }

    /// Starts again in the same world at time `now`.
    pub fn restart(&mut self, now: Instant) {
        self.world.start(now);
        self.rng = self.world.scene().rng(ENCODER_NOISE);
        self.publish();
    }

    fn take_next(&mut self) {
        let Some(mut next) = self.exchange.next.pop() else {
            return;
        };
        next.continue_from(&self.world);
        self.rng = next.scene().rng(ENCODER_NOISE);
        let last = std::mem::replace(&mut self.world, next);
        // There is room: the feeder empties this queue before each offer.
        let returned = self.exchange.last.push(last);
        debug_assert!(returned.is_ok());
        self.publish();
    }

    pub(super) fn publish(&mut self) {
        self.state = self.world.arm_state();
        let noise_rad = self.world.scene().config().encoder_noise_rad;
        if noise_rad > 0.0 {
            for joint in 0..JOINTS {
                self.state.q[joint] += noise_rad * bell(&mut self.rng);
            }
        }
        for output in &mut self.outputs {
            output.input_buffer_mut().copy_from(self.world.snapshot());
            output.publish();
        }
    }
}

impl Arm<JOINTS> for SimArm {
    fn read(&mut self, now: Instant) -> Result<ArmState<JOINTS>, ArmError> {
        self.take_next();
        if self.world.advance_to(now) > 0 {
            self.publish();
        }
        Ok(self.state)
    }

    fn write(&mut self, command: &SafeCommand<JOINTS>) -> Result<(), ArmError> {
        self.world
            .command(command.q(), command.dq(), command.fingers());
        Ok(())
    }

    fn stop(&mut self, category: StopCategory) {
        match category {
            StopCategory::Zero | StopCategory::One => self.world.brake(),
            StopCategory::Two => self.world.hold(),
        }
    }
}
