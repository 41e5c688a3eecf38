//! What surrounds an arm where it is simulated: objects that can be exchanged, and a judge that knows how they fare.
//!
//! At a physical arm there is none of it: nobody changes the tray but a person, and nobody judges. Not responsible for what is
//! made of a judgement ([`crate::report`]).

use crate::report::Judged;
use crate::wiring::WiringError;

pub trait Stage {
    /// Makes the scene of this seed ready.
    fn prepare(&mut self, seed: u64) -> Result<(), WiringError>;

    /// Puts what was prepared in front of the arm, which goes on where it is; false while the scene before is still on its way.
    fn present(&mut self) -> bool;

    /// How the objects fare now; `None` in the moment between two scenes.
    fn judge(&mut self) -> Option<Judged>;
}

#[cfg(feature = "sim")]
pub use simulated::Simulated;

#[cfg(feature = "sim")]
mod simulated {
    use super::*;
    use visuomotor_drivers::sim::{Judgement, SceneConfig, SceneFeeder, SimObserver, Split, World};

    pub struct Simulated {
        pub config: SceneConfig,
        pub split: Split,
        pub feeder: SceneFeeder,
        pub judge: SimObserver,
        pub next: Option<Box<World>>,
    }

    impl Stage for Simulated {
        fn prepare(&mut self, seed: u64) -> Result<(), WiringError> {
            let world = World::build(&self.config, self.split, seed)?;
            self.next = Some(Box::new(world));
            Ok(())
        }

        fn present(&mut self) -> bool {
            let Some(world) = self.next.take() else {
                return true;
            };
            self.next = self.feeder.offer(world).err();
            self.next.is_none()
        }

        fn judge(&mut self) -> Option<Judged> {
            self.judge.judge().as_ref().map(Judged::from)
        }
    }

    impl From<&Judgement> for Judged {
        fn from(judgement: &Judgement) -> Self {
            Self {
                success: judgement.success,
                held: judgement.gripped.is_some(),
                held_height_m: judgement.held_height_m,
                reachable: judgement.in_tray > 0,
            }
        }
    }
}
