//! The `[policy]` table of a launch file, and how it becomes a policy.

use crate::cem::CemConfig;
use crate::critic::QtOpt;
use crate::error::PolicyOpenError;
use crate::hand_eye::HandEye;
use crate::learned::Learned;
use crate::manifest::{CriticKind, Manifest};
use crate::scripted::PrivilegedExpert;
use crate::task::{ACTION_SCALE, Workspace};
use crate::weak::PrivilegedWeak;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::policy::Policy;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyKind {
    /// A learned policy; its manifest says of which sort.
    Critic,
    /// The privileged expert: simulation only.
    Scripted,
    /// The privileged, deliberately bad policy that collects the first training data: simulation only.
    Weak,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    pub kind: PolicyKind,
    /// The manifest of a `critic`, relative to the launch file.
    pub manifest: Option<PathBuf>,
    /// Changes to the manifest's search settings.
    #[serde(default)]
    pub cem: CemOverrides,
    /// Lets proprioception forbid a `critic-q` to end an episode with empty hands.
    #[serde(default)]
    pub hard_rules: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CemOverrides {
    pub samples: Option<usize>,
    pub iterations: Option<usize>,
    pub elites: Option<usize>,
    pub initial_spread: Option<f32>,
    pub min_spread: Option<f32>,
}

impl CemOverrides {
    fn apply(&self, cem: CemConfig) -> CemConfig {
        CemConfig {
            samples: self.samples.unwrap_or(cem.samples),
            iterations: self.iterations.unwrap_or(cem.iterations),
            elites: self.elites.unwrap_or(cem.elites),
            initial_spread: self.initial_spread.unwrap_or(cem.initial_spread),
            min_spread: self.min_spread.unwrap_or(cem.min_spread),
        }
    }
}

impl PolicyConfig {
    /// The manifest of a critic; `None` for the scripted policies. `base_dir` is the launch file's folder.
    pub fn read_manifest(&self, base_dir: &Path) -> Result<Option<Manifest>, PolicyOpenError> {
        let complain = |field, problem: &str| {
            Err(PolicyOpenError::Config {
                field,
                problem: problem.into(),
            })
        };
        match (self.kind, &self.manifest) {
            (PolicyKind::Critic, Some(path)) => Manifest::read(&base_dir.join(path)).map(Some),
            (PolicyKind::Critic, None) => complain(
                "manifest",
                "missing; a policy of kind \"critic\" names its manifest",
            ),
            (_, Some(_)) => complain(
                "manifest",
                "only a policy of kind \"critic\" has one; remove the line",
            ),
            (_, None) if self.cem != CemOverrides::default() => complain(
                "cem",
                "only a policy of kind \"critic\" searches; remove the table",
            ),
            (_, None) if self.hard_rules => complain(
                "hard_rules",
                "only a policy of kind \"critic\" has them; remove the line",
            ),
            (_, None) => Ok(None),
        }
    }
}

/// Opens the policy that `config` asks for. `base_dir` is the folder that relative paths start from; `scale` is the
/// controller's action scale, which must be the one that the policy acts in.
pub fn open(
    config: &PolicyConfig,
    base_dir: &Path,
    scale: &ActionScale,
) -> Result<Box<dyn Policy>, PolicyOpenError> {
    let manifest = config.read_manifest(base_dir)?;
    check_scale(
        manifest.as_ref().map_or(&ACTION_SCALE, |m| &m.action_scale),
        scale,
    )?;
    Ok(match (manifest, config.kind) {
        (Some(manifest), _) => open_learned(manifest, &config.cem, config.hard_rules)?,
        (None, PolicyKind::Weak) => Box::new(PrivilegedWeak::new(Workspace::default())),
        (None, _) => Box::new(PrivilegedExpert::new(Workspace::default())),
    })
}

/// Opens a critic: loads its graphs, checks them and runs the self-test.
pub fn open_learned(
    manifest: Manifest,
    overrides: &CemOverrides,
    hard_rules: bool,
) -> Result<Box<dyn Learned>, PolicyOpenError> {
    let cem = overrides.apply(manifest.cem);
    if let Some(problem) = cem.problem() {
        return Err(PolicyOpenError::Config {
            field: "cem",
            problem,
        });
    }
    Ok(match manifest.kind {
        CriticKind::Q => Box::new(QtOpt::open(manifest, cem, hard_rules)?),
        CriticKind::Grasp if hard_rules => {
            let problem = format!(
                "{} is a `critic-grasp`, whose rules are built in; remove the line",
                manifest.name
            );
            return Err(PolicyOpenError::Config {
                field: "hard_rules",
                problem,
            });
        }
        CriticKind::Grasp => Box::new(HandEye::open(manifest, cem)?),
    })
}

fn check_scale(policy: &ActionScale, controller: &ActionScale) -> Result<(), PolicyOpenError> {
    if policy == controller {
        return Ok(());
    }
    let problem = format!(
        "it acts in {policy:?}, the controller in {controller:?}; give the controller the policy's"
    );
    Err(PolicyOpenError::Config {
        field: "action scale",
        problem,
    })
}
