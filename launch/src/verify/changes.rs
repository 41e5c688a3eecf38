//! What is baked into an episode and is another thing today, entry by entry of its lineage.
//!
//! Not responsible for whether it makes a difference ([`super`]).

use crate::baked;
use crate::config::Launch;
use crate::policy::Identity;
use serde::Serialize;
use std::collections::BTreeSet;
use visuomotor_runtime::episode::{Code, Header, SCHEMA_VERSION, Sha256, TextMap};

/// An entry of the lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Limits,
    Controller,
    Description,
    Solver,
    Camera,
    Checkpoint,
    PolicyManifest,
    PolicySettings,
    Schema,
    Code,
}

impl Entry {
    pub fn name(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Controller => "controller settings",
            Self::Description => "robot description",
            Self::Solver => "solver",
            Self::Camera => "camera",
            Self::Checkpoint => "checkpoint",
            Self::PolicyManifest => "policy manifest",
            Self::PolicySettings => "policy settings",
            Self::Schema => "schema",
            Self::Code => "code",
        }
    }

    /// Whether it can make a controller answer otherwise.
    pub fn concerns_controller(self) -> bool {
        matches!(
            self,
            Self::Limits | Self::Controller | Self::Description | Self::Solver
        )
    }

    /// Whether it can make a policy decide otherwise.
    pub fn concerns_policy(self) -> bool {
        matches!(
            self,
            Self::Checkpoint | Self::PolicyManifest | Self::PolicySettings
        )
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub entry: Entry,
    /// What of it, where it has parts: a constant of the solver, a file of the policy.
    pub part: Option<String>,
    pub recorded: String,
    pub today: String,
}

/// What differs between the recorded lineage and today's robot and code. Policies are looked at apart ([`of_policy`]).
pub fn of_robot<const N: usize>(header: &Header, launch: &Launch<N>, code: &Code) -> Vec<Change> {
    let mut changes = Vec::new();
    let (recorded, today) = (&header.robot, baked::robot(launch));
    for (entry, recorded, today) in [
        (Entry::Limits, recorded.limits_sha256, today.limits_sha256),
        (
            Entry::Controller,
            recorded.controller_sha256,
            today.controller_sha256,
        ),
        (
            Entry::Description,
            recorded.description_sha256,
            today.description_sha256,
        ),
    ] {
        one(&mut changes, entry, recorded.to_string(), today.to_string());
    }
    let version = header.origin.schema_version;
    if version > 3 {
        // Before, no episode said it.
        of_map(
            &mut changes,
            Entry::Solver,
            &header.solver,
            &baked::solver(),
        );
    }
    let today = baked::camera(launch, header.clock.source);
    if !today.is_empty() {
        of_map(&mut changes, Entry::Camera, &header.camera, &today);
    }
    let (old, new) = (version.to_string(), SCHEMA_VERSION.to_string());
    one(&mut changes, Entry::Schema, old, new);
    one(&mut changes, Entry::Code, build(&header.code), build(code));
    changes
}

/// What differs between the recorded policy and that of today. `files` are today's hashes of the recorded checkpoints.
pub fn of_policy(header: &Header, today: Option<&Identity>, files: &TextMap) -> Vec<Change> {
    let mut changes = Vec::new();
    of_map(&mut changes, Entry::Checkpoint, &header.checkpoints, files);
    if let (Some(recorded), Some(today)) = (&header.policy, today) {
        let (old, new) = (recorded.manifest_sha256, today.manifest_sha256);
        one(
            &mut changes,
            Entry::PolicyManifest,
            old.to_string(),
            new.to_string(),
        );
        of_map(
            &mut changes,
            Entry::PolicySettings,
            &header.policy_settings,
            &today.settings,
        );
    }
    changes
}

fn one(changes: &mut Vec<Change>, entry: Entry, recorded: String, today: String) {
    if recorded != today {
        changes.push(Change {
            entry,
            part: None,
            recorded,
            today,
        });
    }
}

fn of_map(changes: &mut Vec<Change>, entry: Entry, recorded: &TextMap, today: &TextMap) {
    let keys: BTreeSet<&String> = recorded.keys().chain(today.keys()).collect();
    for key in keys {
        let text = |map: &TextMap| map.get(key).map_or("missing", String::as_str).to_owned();
        let (recorded, today) = (text(recorded), text(today));
        if recorded != today {
            changes.push(Change {
                entry,
                part: Some(key.clone()),
                recorded,
                today,
            });
        }
    }
}

/// A build in a few words. The executable's hash stands for everything that it was built from.
fn build(code: &Code) -> String {
    let dirty = if code.git_dirty { "+changes" } else { "" };
    let Sha256(hash) = code.executable_sha256;
    let executable: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {}{dirty} {executable}", code.version, code.git_commit)
}
