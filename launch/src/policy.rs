//! Which policy decides: the launch file's, or another that the command line names.
//!
//! Not responsible for what a policy is ([`visuomotor_policies`]).

use crate::config::Launch;
use crate::source::{InputError, Source};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use visuomotor_policies::manifest::{CameraMount, GraphSpec, Manifest};
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
}

/// Loads the policy and checks it against the robot.
///
/// # Errors
/// When a file is missing or damaged, or the policy was made for another robot; points into the launch file where that
/// has to change.
pub fn open<const N: usize>(
    launch: &Launch<N>,
    choice: Option<&PolicyChoice>,
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
            check_fit(launch, &manifest)?;
            let path = directory.join(config.manifest.as_deref().unwrap_or(Path::new("")));
            Identity::learned(manifest, Source::read(&path)?, config)
        }
        None => Identity::scripted(config.kind),
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

/// What a policy was trained with and the robot does otherwise makes it blind, not merely worse.
fn check_fit<const N: usize>(launch: &Launch<N>, manifest: &Manifest) -> Result<(), InputError> {
    let differs = |key: &str, policy: String, robot: String| {
        let problem = format!(
            "{robot} here, but {} was trained with {policy}",
            manifest.name
        );
        Err(launch.source.error_in(key, problem))
    };
    if manifest.rate_hz != launch.task.action_rate_hz {
        let (policy, robot) = (manifest.rate_hz, launch.task.action_rate_hz);
        return differs("task.action_rate_hz", policy.to_string(), robot.to_string());
    }
    if manifest.max_steps < launch.task.steps_max {
        let (policy, robot) = (manifest.max_steps, launch.task.steps_max);
        return differs(
            "task.steps_max",
            format!("at most {policy}"),
            robot.to_string(),
        );
    }
    let (low, high) = (launch.task.goal_low_m, launch.task.goal_high_m);
    let known = &manifest.workspace;
    let reach = [low[0], low[1], high[0], high[1]].map(f64::abs);
    if reach.iter().any(|&reach| reach > known.xy_max_m)
        || low[2] < known.z_min_m
        || high[2] > known.z_max_m
    {
        let policy = format!("at most {known:?}");
        return differs(
            "task.goal_low_m",
            policy,
            format!("a goal from {low:?} to {high:?}"),
        );
    }
    let size = [manifest.image.width, manifest.image.height];
    let mut cameras = Vec::new();
    if let Some(camera) = &launch.camera {
        let size_px = camera.output_px();
        cameras.push((
            "camera",
            "v4l.output_px",
            "mount",
            size_px,
            camera.mount.clone(),
        ));
    }
    #[cfg(feature = "sim")]
    if let Some(scene) = &launch.scene {
        let mount = CameraMount {
            position_m: scene.camera.position_m,
            target_m: scene.camera.target_m,
            fovy_deg: scene.camera.fovy_deg,
        };
        let size_px = Some(scene.camera.size_px);
        cameras.push(("scene", "camera.size_px", "camera", size_px, Some(mount)));
    }
    for (table, size_key, mount_key, size_px, mount) in cameras {
        if let Some(robot) = size_px.filter(|robot| *robot != size) {
            let key = format!("{table}.{size_key}");
            return differs(&key, format!("{size:?}"), format!("{robot:?}"));
        }
        let Some(mount) = mount.filter(|mount| *mount != manifest.camera) else {
            continue;
        };
        let table = format!("{table}.{mount_key}");
        let trained = &manifest.camera;
        for (key, policy, robot) in [
            ("position_m", trained.position_m, mount.position_m),
            ("target_m", trained.target_m, mount.target_m),
        ] {
            if policy != robot {
                let key = format!("{table}.{key}");
                return differs(&key, format!("{policy:?}"), format!("{robot:?}"));
            }
        }
        let (policy, robot) = (trained.fovy_deg.to_string(), mount.fovy_deg.to_string());
        return differs(&format!("{table}.fovy_deg"), policy, robot);
    }
    Ok(())
}

fn in_launch_file<const N: usize>(launch: &Launch<N>, error: &PolicyOpenError) -> InputError {
    match error {
        PolicyOpenError::Config { field, problem } => {
            launch.source.error_in(&format!("policy.{field}"), problem)
        }
        other => launch.source.error_in("policy.manifest", other),
    }
}
