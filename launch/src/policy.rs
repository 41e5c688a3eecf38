//! Which policy decides: the launch file's, or another that the command line names; and whether it can decide there.
//!
//! Not responsible for what a policy is ([`visuomotor_policies`]), nor for what it must have in common with the robot
//! ([`fit`]).

mod fit;

use crate::config::Launch;
use crate::source::{InputError, Source};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use visuomotor_policies::manifest::{GraphSpec, Manifest};
use visuomotor_policies::{CemOverrides, PolicyConfig, PolicyKind, PolicyOpenError};
use visuomotor_runtime::episode::{Sha256, TextMap};
use visuomotor_runtime::policy::Policy;

/// What `--policy` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyChoice {
    Scripted,
    Weak,
    Manifest(PathBuf),
}

impl FromStr for PolicyChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "scripted" => Self::Scripted,
            "weak" => Self::Weak,
            path => Self::Manifest(path.into()),
        })
    }
}

/// Which pictures the policy will see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pictures {
    /// In real time: those of the launch file's camera; of its scene where it names none.
    Live,
    /// In simulated time: always those of the scene.
    Scene,
    /// Those that were looked at when an episode was recorded.
    Recorded,
}

/// A policy that is ready to decide.
pub struct OpenPolicy {
    pub policy: Box<dyn Policy>,
    pub identity: Identity,
}

/// What a recording says about the policy.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: String,
    /// `None` where a policy has none.
    pub manifest: Option<Source>,
    /// Of the manifest; of the name where there is none.
    pub manifest_sha256: Sha256,
    /// SHA-256 of each model file, by name.
    pub checkpoints: TextMap,
    /// Settings of the action search in force.
    pub settings: TextMap,
}

/// Why a policy did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The launch file names it, or does not fit it.
    #[error(transparent)]
    Launch(#[from] InputError),
    /// The command line names it.
    #[error(transparent)]
    Choice(PolicyOpenError),
    /// The command line names it, and nothing tells it what it has to know.
    #[error("--policy {name}: {problem}")]
    Privileged { name: String, problem: String },
}

/// Loads the policy and checks it against the robot.
///
/// # Errors
/// When a file is missing or damaged, when the policy was made for another robot, or knows what a physical one does not tell;
/// points into the launch file where that has to change.
pub fn open<const N: usize>(
    launch: &Launch<N>,
    choice: Option<&PolicyChoice>,
    pictures: Pictures,
) -> Result<OpenPolicy, OpenError> {
    let chosen;
    let (config, directory) = match choice {
        None => (
            in_file(launch)?,
            launch.source.path.parent().unwrap_or(Path::new("")),
        ),
        Some(choice) => {
            chosen = choice.config();
            (&chosen, Path::new(""))
        }
    };
    let refuse = |error: PolicyOpenError| match choice {
        None => OpenError::Launch(in_launch_file(launch, &error)),
        Some(_) => OpenError::Choice(error),
    };
    let identity = match config.read_manifest(directory).map_err(refuse)? {
        Some(manifest) => {
            fit::check(launch, &manifest, pictures)?;
            let path = directory.join(config.manifest.as_deref().unwrap_or(Path::new("")));
            Identity::learned(manifest, Source::read(&path)?, config)
        }
        None => {
            let identity = Identity::scripted(config.kind);
            if pictures == Pictures::Live && launch.arm.is_some() {
                return Err(privileged(launch, choice, identity.name));
            }
            identity
        }
    };
    let policy = visuomotor_policies::open(config, directory, &launch.action).map_err(refuse)?;
    Ok(OpenPolicy { policy, identity })
}

fn in_file<const N: usize>(launch: &Launch<N>) -> Result<&PolicyConfig, InputError> {
    let missing = "missing; say who acts in a [policy] table or with --policy";
    let policy = launch.policy.as_ref();
    policy.ok_or_else(|| launch.source.error_in("policy", missing))
}

impl PolicyChoice {
    fn config(&self) -> PolicyConfig {
        let (kind, manifest) = match self {
            Self::Scripted => (PolicyKind::Scripted, None),
            Self::Weak => (PolicyKind::Weak, None),
            Self::Manifest(path) => (PolicyKind::Critic, Some(path.clone())),
        };
        PolicyConfig {
            kind,
            manifest,
            cem: CemOverrides::default(),
            hard_rules: false,
        }
    }
}

impl Identity {
    /// Where its manifest was found; empty where it has none.
    pub fn path(&self) -> String {
        let manifest = self.manifest.as_ref();
        manifest.map_or_else(String::new, |source| source.path.display().to_string())
    }

    fn learned(manifest: Manifest, source: Source, config: &PolicyConfig) -> Self {
        let model = |graph: &GraphSpec| {
            (
                graph.file.get_ref().display().to_string(),
                graph.sha256.get_ref().clone(),
            )
        };
        Self {
            manifest_sha256: manifest.sha256.parse().unwrap_or(Sha256::of(b"")),
            checkpoints: [model(&manifest.trunk), model(&manifest.head)].into(),
            settings: [
                ("cem".to_owned(), format!("{:?}", manifest.cem)),
                ("overrides".to_owned(), format!("{:?}", config.cem)),
                ("hard_rules".to_owned(), config.hard_rules.to_string()),
            ]
            .into(),
            name: manifest.name,
            manifest: Some(source),
        }
    }

    fn scripted(kind: PolicyKind) -> Self {
        let name = format!("{kind:?}").to_lowercase();
        Self {
            manifest_sha256: Sha256::of(name.as_bytes()),
            manifest: None,
            name,
            checkpoints: TextMap::new(),
            settings: TextMap::new(),
        }
    }
}

/// A scripted policy is told where the objects are, and no camera tells that.
fn privileged<const N: usize>(
    launch: &Launch<N>,
    choice: Option<&PolicyChoice>,
    name: String,
) -> OpenError {
    let shown = launch.source.path.display();
    let problem = format!(
        "{name:?} needs the simulator's truth, and this arm is a physical one: run a trained policy with `--policy \
         path/to/manifest.toml`, or try {name:?} in simulated time with `visuomotor eval {shown}`; `visuomotor emulate {shown}` \
         serves simulated drives to a trained one"
    );
    match choice {
        None => OpenError::Launch(launch.source.error_in("policy.kind", problem)),
        Some(_) => OpenError::Privileged { name, problem },
    }
}

fn in_launch_file<const N: usize>(launch: &Launch<N>, error: &PolicyOpenError) -> InputError {
    match error {
        PolicyOpenError::Config { field, problem } => {
            launch.source.error_in(&format!("policy.{field}"), problem)
        }
        other => launch.source.error_in("policy.manifest", other),
    }
}
