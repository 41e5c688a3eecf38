//! Connects the world's parts: who steps it, who looks at it, and who prepares the next one.
//!
//! The control thread owns the world and publishes snapshots of it, wait-free. Scenes themselves travel by a board that
//! only the other threads read, and an old world travels back to be dropped there: the control thread never allocates,
//! frees or locks.

use super::arm::SimArm;
use super::camera::{CameraSeat, View};
use super::error::SceneError;
use super::plant::SimPlant;
use super::scene::Scene;
use super::snapshot::{Judgement, Snapshot};
use super::stage::Stage;
use super::world::World;
use crossbeam::queue::ArrayQueue;
use std::sync::{Arc, Mutex, PoisonError};
use triple_buffer::{Input, Output, triple_buffer};
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::observation::SceneTruth;

/// Scenes that a late reader may still need: the one before, this one, the next.
const SCENES_KEPT: usize = 3;

/// The scenes whose snapshots may be on their way.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<Vec<Arc<Scene>>>>);

impl Board {
    pub fn post(&self, scene: &Arc<Scene>) {
        let mut scenes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scenes.push(Arc::clone(scene));
        let surplus = scenes.len().saturating_sub(SCENES_KEPT);
        scenes.drain(..surplus);
    }

    pub fn find(&self, id: u64) -> Option<Arc<Scene>> {
        let scenes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scenes.iter().find(|scene| scene.id == id).cloned()
    }
}

/// One reader's end of the snapshots, with the scene that they belong to.
pub(super) struct Watch {
    snapshots: Output<Snapshot>,
    board: Board,
    scene: Arc<Scene>,
}

impl Watch {
    /// The newest snapshot and its scene; `None` while its scene is not on the board any more.
    pub fn newest(&mut self) -> Option<(&Snapshot, &Arc<Scene>)> {
        let snapshot = self.snapshots.read();
        if snapshot.scene != self.scene.id {
            self.scene = self.board.find(snapshot.scene)?;
        }
        Some((snapshot, &self.scene))
    }
}

/// Hands a world's worlds over: the next in, the last out.
#[derive(Clone)]
pub(super) struct Exchange {
    pub next: Arc<ArrayQueue<Box<World>>>,
    pub last: Arc<ArrayQueue<Box<World>>>,
}

/// Collects those who look at a world before it starts.
pub struct Rig {
    world: Box<World>,
    board: Board,
    outputs: Vec<Input<Snapshot>>,
}

impl Rig {
    pub fn new(world: World) -> Self {
        let board = Board::default();
        board.post(world.scene());
        Self {
            world: Box::new(world),
            board,
            outputs: Vec::new(),
        }
    }

    /// A camera, to be opened on the thread that will render.
    pub fn camera(&mut self, view: View) -> CameraSeat {
        CameraSeat::new(self.watch(), view)
    }

    pub fn observer(&mut self) -> SimObserver {
        SimObserver {
            watch: self.watch(),
        }
    }

    /// The arm for the control thread, and the end at which other scenes are handed in.
    ///
    /// # Errors
    /// When the scene's robot has another number of joints, or is driven by torques.
    pub fn split<const N: usize>(self) -> Result<(SimArm<N>, SceneFeeder), SceneError> {
        let (stage, feeder) = self.stage();
        Ok((SimArm::new(stage)?, feeder))
    }

    /// The mechanics for an emulator, and the end at which other scenes are handed in.
    ///
    /// # Errors
    /// When the scene's robot is not driven by torques.
    pub fn split_plant(self) -> Result<(SimPlant, SceneFeeder), SceneError> {
        let (stage, feeder) = self.stage();
        Ok((SimPlant::new(stage)?, feeder))
    }

    fn stage(self) -> (Stage, SceneFeeder) {
        let exchange = Exchange {
            next: Arc::new(ArrayQueue::new(1)),
            last: Arc::new(ArrayQueue::new(2)),
        };
        let feeder = SceneFeeder {
            board: self.board.clone(),
            exchange: exchange.clone(),
        };
        let stage = Stage {
            world: self.world,
            outputs: self.outputs,
            board: self.board,
            exchange,
        };
        (stage, feeder)
    }

    fn watch(&mut self) -> Watch {
        let (input, output) = triple_buffer(self.world.snapshot());
        self.outputs.push(input);
        Watch {
            snapshots: output,
            board: self.board.clone(),
            scene: Arc::clone(self.world.scene()),
        }
    }
}

/// Hands prepared worlds to a running arm.
pub struct SceneFeeder {
    board: Board,
    exchange: Exchange,
}

impl SceneFeeder {
    /// The arm takes this world at its next read, keeps its own pose and time, and sends the old world back, which is
    /// dropped here at the next offer. Gives the world back while the one before has not been taken.
    pub fn offer(&self, world: Box<World>) -> Result<(), Box<World>> {
        while self.exchange.last.pop().is_some() {}
        if self.exchange.next.is_full() {
            return Err(world);
        }
        self.board.post(world.scene());
        self.exchange.next.push(world)
    }
}

/// Looks at the world with the simulator's own knowledge.
pub struct SimObserver {
    watch: Watch,
}

impl SimObserver {
    /// Writes the newest truth and tells its time; `None` in the moment between two scenes.
    pub fn truth(&mut self, truth: &mut SceneTruth) -> Option<Instant> {
        let (snapshot, scene) = self.watch.newest()?;
        snapshot.truth(scene, truth);
        Some(snapshot.captured_at)
    }

    /// The newest judgement; `None` in the moment between two scenes.
    pub fn judge(&mut self) -> Option<Judgement> {
        let (snapshot, scene) = self.watch.newest()?;
        Some(snapshot.judge(scene))
    }
}
