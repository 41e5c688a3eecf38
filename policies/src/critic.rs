//! The QT-Opt policy: at every step, the action whose value is highest for what the camera sees now.
//!
//! The trunk looks at the image once a tick; the head values the candidates of each iteration of the search
//! (Kalashnikov et al., 2018). Nothing of an episode is remembered but the last search's mean.

use crate::cem::{ActionSearch, CemConfig};
use crate::error::PolicyOpenError;
use crate::features::state_vector;
use crate::learned::Learned;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::random::{Rng, SeedableRng};
use crate::task::APERTURE_EMPTY_M;
use visuomotor_runtime::action::{Action, Verb};
use visuomotor_runtime::arm::Fingers;
use visuomotor_runtime::observation::{GripperObservation, Observation};
use visuomotor_runtime::policy::{Decision, Policy, PolicyError};

/// With hard rules: below this height of the TCP the episode does not end, m.
const TERMINATE_HEIGHT_M: f64 = 0.09;

/// See the module.
pub struct QtOpt {
    model: Model,
    search: ActionSearch,
    rng: Rng,
    /// Ends the episode only with closed, blocked fingers at a height: proprioception overrules the critic.
    hard_rules: bool,
}

impl QtOpt {
    /// `manifest` is of kind `critic-q`; `cem` has no [`CemConfig::problem`].
    pub fn open(
        manifest: Manifest,
        cem: CemConfig,
        hard_rules: bool,
    ) -> Result<Self, PolicyOpenError> {
        let model = Model::open(manifest, cem.samples)?;
        Ok(Self {
            model,
            search: ActionSearch::new(cem),
            rng: Rng::seed_from_u64(0),
            hard_rules,
        })
    }

    fn allowed(&self, gripper: &GripperObservation) -> [bool; 4] {
        let holds = gripper.fingers == Fingers::Closed
            && gripper.aperture_m > APERTURE_EMPTY_M
            && gripper.measured.position_m.z > TERMINATE_HEIGHT_M;
        [true, true, true, holds || !self.hard_rules]
    }
}

impl Policy for QtOpt {
    fn reset(&mut self, seed: u64) {
        self.rng = Rng::seed_from_u64(seed);
        self.search.reset();
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Result<Decision, PolicyError> {
        let allowed = self.allowed(&observation.gripper);
        let Self {
            model, search, rng, ..
        } = self;
        model.observe(
            &observation.frame.image,
            &state_vector(&observation.gripper),
        )?;
        let best = search.search(rng, allowed, |motions, values| model.score(motions, values))?;
        let action = match best.verb {
            Verb::Terminate => Action {
                verb: Verb::Terminate,
                ..Action::hold()
            },
            verb => model
                .manifest()
                .action_scale
                .action(best.motion.map(f64::from), verb),
        };
        Ok(Decision {
            action,
            q_value: f64::from(best.value),
            frame_captured_at: observation.frame.captured_at,
            step: observation.step,
        })
    }
}

impl Learned for QtOpt {
    fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    fn cem(&self) -> &CemConfig {
        self.search.config()
    }

    fn run_graphs(&mut self) -> Result<(), PolicyError> {
        self.model.run_graphs(self.search.config().iterations)
    }
}
