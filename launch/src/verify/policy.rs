//! A recorded policy once more: today's checkpoint looks at the very pixels that were looked at then, and has to decide the
//! same.
//!
//! Not responsible for what the decisions did ([`super`] feeds them to the controller as they were recorded).

use crate::config::Launch;
use crate::policy::{self, Identity, OpenPolicy, Pictures, PolicyChoice};
use serde::Serialize;
use std::path::{Path, PathBuf};
use visuomotor_data::picture::decode_png;
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::episode::{Episode, Sha256, TextMap};
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::{Decision, Policy};

/// Another processor may round otherwise in a network's sums; decisions that differ by more are other decisions. In m, rad
/// and shares of 1.
const ROUNDING_MAX: f64 = 1e-5;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Decided {
    pub decisions: usize,
    /// Every bit of every decision is the same.
    pub identical: bool,
    /// The most that a number of a decision differs by, verbs being the same.
    pub difference_max: f64,
    pub first_difference: Option<PolicyDifference>,
    /// Why it could not be looked at.
    pub not_verified: Option<String>,
}

impl Decided {
    /// Whether nothing differs by more than another processor's rounding.
    pub fn agrees(&self) -> bool {
        self.first_difference.is_none()
    }
}

/// The first decision that is another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyDifference {
    pub step: u32,
    pub field: &'static str,
    pub recorded: String,
    pub today: String,
    pub magnitude: Option<f64>,
}

/// Today's policy of an episode: the launch file's own where it names the recorded one, else the recorded manifest, or that
/// which a person names.
pub struct Today {
    pub identity: Option<Identity>,
    /// Today's hashes of the recorded checkpoints, by name.
    pub files: TextMap,
    policy: Result<Box<dyn Policy>, String>,
}

impl Today {
    pub fn open(episode: &Episode<7>, launch: &Launch, asked: Option<&Path>) -> Self {
        let recorded = episode.header.policy.as_ref();
        let manifest = recorded.map_or("", |policy| policy.manifest.as_str());
        let manifest = asked.map_or_else(|| PathBuf::from(manifest), Path::to_owned);
        if manifest.as_os_str().is_empty() {
            return Self::none("the policy had no manifest: it knew what no recording holds");
        }
        let directory = manifest.parent().unwrap_or(Path::new(""));
        let files = hashes(directory, &episode.header.checkpoints);
        let own = launch.policy.as_ref().and_then(|policy| {
            let directory = launch.source.path.parent()?;
            Some(directory.join(policy.manifest.as_deref()?))
        });
        let choice = (own.as_ref() != Some(&manifest)).then_some(PolicyChoice::Manifest(manifest));
        match policy::open(launch, choice.as_ref(), Pictures::Recorded) {
            Ok(OpenPolicy { policy, identity }) => Self {
                identity: Some(identity),
                files,
                policy: Ok(policy),
            },
            Err(error) => Self {
                identity: None,
                files,
                policy: Err(error.to_string()),
            },
        }
    }

    fn none(why: &str) -> Self {
        Self {
            identity: None,
            files: TextMap::new(),
            policy: Err(why.to_owned()),
        }
    }

    /// Whether there is nothing to compare the recorded checkpoints with.
    pub fn has_manifest(&self) -> bool {
        self.identity.is_some() || !self.files.is_empty()
    }

    pub fn decide_again(self, episode: &Episode<7>) -> Decided {
        let mut policy = match self.policy {
            Ok(policy) => policy,
            Err(why) => return not_verified(why),
        };
        let Some(identity) = &episode.header.policy else {
            return not_verified("nobody but a person decided");
        };
        if let Some(why) = incomplete(episode) {
            return not_verified(why);
        }
        policy.reset(identity.seed);
        let mut decided = Decided {
            identical: true,
            ..Decided::default()
        };
        let looks = episode.observations.iter().zip(&episode.observed);
        for ((record, picture), then) in looks.zip(&episode.decisions) {
            let image = match decode_png(&picture.png) {
                Ok(image) => image,
                Err(error) => return not_verified(error.to_string()),
            };
            let frame = Frame {
                captured_at: record.frame_captured_at,
                sequence: record.frame_sequence,
                image,
            };
            let observation = Observation {
                frame: &frame,
                gripper: record.gripper,
                step: record.step,
                truth: None,
            };
            let now = match policy.decide(&observation) {
                Ok(now) => now,
                Err(error) => return not_verified(format!("step {}: {error}", record.step)),
            };
            decided.decisions += 1;
            if !decided.note(&then.decision, &now) {
                break;
            }
        }
        decided
    }
}

fn not_verified(why: impl Into<String>) -> Decided {
    Decided {
        not_verified: Some(why.into()),
        ..Decided::default()
    }
}

/// Why not every look of the policy is there, in order and with its picture.
fn incomplete(episode: &Episode<7>) -> Option<String> {
    let (looks, pictures) = (&episode.observations, &episode.observed);
    if looks.is_empty() {
        return Some("the policy decided nothing".to_owned());
    }
    if pictures.is_empty() {
        let version = episode.header.origin.schema_version;
        return Some(format!(
            "schema version {version} kept no pictures without loss; from version 4 on policies can be verified"
        ));
    }
    let steps = || 0_u32..looks.len() as u32;
    let all = looks.iter().map(|look| look.step).eq(steps())
        && pictures.iter().map(|picture| picture.step).eq(steps())
        && episode
            .decisions
            .iter()
            .map(|decided| decided.decision.step)
            .eq(steps());
    (!all).then(|| "observations or decisions are missing".to_owned())
}

/// SHA-256 of today's files of these names; what cannot be read is not there.
fn hashes(directory: &Path, checkpoints: &TextMap) -> TextMap {
    let hash = |name: &String| {
        let bytes = std::fs::read(directory.join(name)).ok()?;
        Some((name.clone(), Sha256::of(&bytes).to_string()))
    };
    checkpoints.keys().filter_map(hash).collect()
}

impl Decided {
    /// False when this decision is another one.
    fn note(&mut self, then: &Decision, now: &Decision) -> bool {
        if then.action.verb != now.action.verb {
            let (recorded, today) = (then.action.verb, now.action.verb);
            self.differs(
                then,
                "verb",
                format!("{recorded:?}"),
                format!("{today:?}"),
                None,
            );
            return false;
        }
        let moved = (then.action.translation_m - now.action.translation_m).amax();
        let turned = (then.action.yaw_rad - now.action.yaw_rad).abs();
        // A policy without an estimate says NaN.
        let estimated = match then.q_value.is_nan() && now.q_value.is_nan() {
            true => 0.0,
            false => (then.q_value - now.q_value).abs(),
        };
        self.identical &= moved == 0.0 && turned == 0.0 && estimated == 0.0;
        for (field, difference, recorded, today) in [
            (
                "translation_m",
                moved,
                format!("{:?}", then.action.translation_m.as_slice()),
                format!("{:?}", now.action.translation_m.as_slice()),
            ),
            (
                "yaw_rad",
                turned,
                then.action.yaw_rad.to_string(),
                now.action.yaw_rad.to_string(),
            ),
            (
                "q_value",
                estimated,
                then.q_value.to_string(),
                now.q_value.to_string(),
            ),
        ] {
            // NaN on one side only is a difference too.
            if difference.is_nan() || difference > ROUNDING_MAX {
                self.differs(then, field, recorded, today, Some(difference));
                return false;
            }
            self.difference_max = self.difference_max.max(difference);
        }
        true
    }

    fn differs(
        &mut self,
        then: &Decision,
        field: &'static str,
        recorded: String,
        today: String,
        magnitude: Option<f64>,
    ) {
        self.identical = false;
        self.first_difference = Some(PolicyDifference {
            step: then.step,
            field,
            recorded,
            today,
            magnitude: magnitude.filter(|magnitude| magnitude.is_finite()),
        });
    }
}
