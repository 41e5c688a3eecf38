//! Where a world is stepped: whoever moves the arm owns it, shows it to those who look, and takes the next one.
//!
//! Not responsible for what moves the arm: [`super::SimArm`] and [`super::SimPlant`] are.

use super::rig::{Board, Exchange};
use super::snapshot::Snapshot;
use super::world::World;
use triple_buffer::Input;
use visuomotor_runtime::clock::Instant;

pub(super) struct Stage {
    pub world: Box<World>,
    pub outputs: Vec<Input<Snapshot>>,
    pub board: Board,
    pub exchange: Exchange,
}

impl Stage {
    pub fn publish(&mut self) {
        for output in &mut self.outputs {
            output.input_buffer_mut().copy_from(self.world.snapshot());
            output.publish();
        }
    }

    /// Starts again in another world at time `now`, with that world's arm pose. It locks.
    pub fn replace(&mut self, world: Box<World>, now: Instant) -> Box<World> {
        self.board.post(world.scene());
        let last = std::mem::replace(&mut self.world, world);
        self.world.start(now);
        last
    }

    /// Goes on in the world that was offered, if one was, and tells so. Neither allocates nor locks.
    pub fn take_next(&mut self) -> bool {
        let Some(mut next) = self.exchange.next.pop() else {
            return false;
        };
        next.continue_from(&self.world);
        let last = std::mem::replace(&mut self.world, next);
        // There is room: the feeder empties this queue before each offer.
        let returned = self.exchange.last.push(last);
        debug_assert!(returned.is_ok());
        true
    }
}
