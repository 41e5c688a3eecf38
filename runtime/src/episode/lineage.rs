//! Where an episode comes from: everything that was baked into its data, by name and hash.
//!
//! Responsible for the form of these facts in the file: one MCAP metadata record a topic, values as text. Not
//! responsible for gathering them: whoever wires the system together knows them.

use super::{EpisodeError, older};
use sha2::Digest;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Version of the layout of topics, messages and metadata. It grows whenever a reader must know the difference; older
/// versions are still read.
pub const SCHEMA_VERSION: u32 = 4;

pub type TextMap = BTreeMap<String, String>;

/// A SHA-256, as 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(hash))
    }
}

/// The clock that every instant of the episode was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// Time jumps from deadline to deadline.
    Simulated,
    /// CLOCK_MONOTONIC of the controller's computer.
    Monotonic,
}

impl fmt::Display for ClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simulated => "simulated",
            Self::Monotonic => "monotonic",
        })
    }
}

impl FromStr for ClockSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "simulated" => Ok(Self::Simulated),
            "monotonic" => Ok(Self::Monotonic),
            other => Err(format!("no clock is called `{other}`")),
        }
    }
}

/// Names of the joints, base to tip; separated by commas in text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JointNames(pub Vec<String>);

impl fmt::Display for JointNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for JointNames {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(
            text.split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        ))
    }
}

/// Structs whose fields go to and from one metadata record each.
macro_rules! sections {
    ($(
        $(#[$doc:meta])*
        $record:literal $name:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl Section for $name {
            const RECORD: &str = $record;

            fn to_map(&self) -> TextMap {
                [$( (stringify!($field).to_owned(), self.$field.to_string()), )*].into()
            }

            fn from_map(map: &TextMap) -> Result<Self, EpisodeError> {
                Ok(Self { $( $field: value(map, $record, stringify!($field))?, )* })
            }
        }
    )*};
}

pub(super) trait Section: Sized {
    const RECORD: &str;
    fn to_map(&self) -> TextMap;
    fn from_map(map: &TextMap) -> Result<Self, EpisodeError>;
}

fn value<T: FromStr<Err: fmt::Display>>(
    map: &TextMap,
    record: &'static str,
    key: &'static str,
) -> Result<T, EpisodeError> {
    let bad = |reason: String| EpisodeError::Header {
        record,
        key,
        reason,
    };
    let text = map.get(key).ok_or_else(|| bad("it is missing".into()))?;
    text.parse().map_err(|error: T::Err| bad(error.to_string()))
}

sections! {
    "visuomotor.episode" Origin {
        /// [`SCHEMA_VERSION`] of the writer.
        schema_version: u32,
        /// Unique among the episodes that are kept together.
        id: String,
        /// Wall-clock time at the start, RFC 3339 in UTC; empty in simulated time, where there is none.
        started_at_utc: String,
        /// Where its launch file was found, which is attached too; empty where nobody said it.
        launch: String,
        /// What the robot was to do, in a person's words; empty where nobody said it.
        task: String,
    }

    /// Only of an episode that was made of another one.
    "visuomotor.derivation" Derivation {
        /// `trimmed`, `recovered`, `imported` (every stamp is an index divided by a rate) or `imported with true stamps`.
        how: String,
        /// [`Origin::id`] of the parent, or the path of a file that is no episode.
        parent_id: String,
        /// Of the parent's bytes.
        parent_sha256: Sha256,
        /// First and last nanosecond of the parent's log that is in here.
        from_ns: u64,
        to_ns: u64,
    }

    /// The program that ran.
    "visuomotor.code" Code {
        version: String,
        /// `unknown` when it was not built from a git checkout.
        git_commit: String,
        /// Whether the checkout had changes that are not in the commit, when this crate was last compiled.
        git_dirty: bool,
        /// Of the executable file: it alone identifies what ran, whatever it was built from.
        executable_sha256: Sha256,
    }

    "visuomotor.robot" Robot {
        name: String,
        joint_names: JointNames,
        /// Of the controller's settings.
        controller_sha256: Sha256,
        /// Of the limits that safety enforced.
        limits_sha256: Sha256,
        /// Of the robot description (URDF).
        description_sha256: Sha256,
    }

    "visuomotor.policy" PolicyIdentity {
        name: String,
        /// Where its manifest was found; empty where it has none.
        manifest: String,
        manifest_sha256: Sha256,
        /// Given to the policy when the episode began.
        seed: u64,
    }

    /// Only of a simulated episode.
    "visuomotor.scene" Scene {
        seed: u64,
        /// Whose objects: `train`, `validation` or `test`.
        split: String,
        /// Directory of meshes that were taken instead of the launch file's objects; empty for the launch file's.
        objects: String,
    }

    "visuomotor.clock" Clock {
        source: ClockSource,
        /// Whether the control thread had a real-time priority.
        realtime_granted: bool,
    }

    /// What a live session asked of the operating system and got.
    "visuomotor.realtime" Realtime {
        /// Whether it would not have started without all of it.
        required: bool,
        memory_locked: bool,
        fifo: bool,
        /// Whether the control thread had the CPU of its own that was asked for.
        affinity: bool,
        cpu_latency: bool,
        /// Names of the checks that failed, as `visuomotor doctor` calls them, separated by commas.
        missing: String,
    }
}

impl Code {
    /// What was known when this crate was compiled.
    pub fn of_this_build(executable_sha256: Sha256) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            git_commit: env!("VISUOMOTOR_GIT_COMMIT").into(),
            git_dirty: env!("VISUOMOTOR_GIT_DIRTY") == "true",
            executable_sha256,
        }
    }
}

const CAMERA: &str = "visuomotor.camera";
const SOLVER: &str = "visuomotor.solver";
const CHECKPOINTS: &str = "visuomotor.checkpoints";
const POLICY_SETTINGS: &str = "visuomotor.policy_settings";

#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub origin: Origin,
    pub code: Code,
    pub robot: Robot,
    pub clock: Clock,
    /// `None` in simulated time, and in files of version 1 and 2.
    pub realtime: Option<Realtime>,
    /// The camera's mount and calibration, in the launch file's words.
    pub camera: TextMap,
    /// What the code itself fixes in its inverse kinematics, by name; empty in files before version 4.
    pub solver: TextMap,
    /// `None` when a person drives.
    pub policy: Option<PolicyIdentity>,
    /// SHA-256 of each model file, by name.
    pub checkpoints: TextMap,
    /// How the policy searches for its action (CEM: samples, iterations, elites, spread), in the launch file's words.
    pub policy_settings: TextMap,
    pub scene: Option<Scene>,
    /// `None` when it was recorded as it is.
    pub derivation: Option<Derivation>,
}

impl Header {
    /// The metadata records, by name, in the order in which they are written.
    pub fn to_records(&self) -> Vec<(&'static str, TextMap)> {
        fn record<S: Section>(section: &S) -> (&'static str, TextMap) {
            (S::RECORD, section.to_map())
        }
        let mut records = vec![
            record(&self.origin),
            record(&self.code),
            record(&self.robot),
            record(&self.clock),
        ];
        records.extend(self.realtime.iter().map(record));
        records.extend(self.policy.iter().map(record));
        records.extend(self.scene.iter().map(record));
        records.extend(self.derivation.iter().map(record));
        records.push((CAMERA, self.camera.clone()));
        records.push((SOLVER, self.solver.clone()));
        records.push((CHECKPOINTS, self.checkpoints.clone()));
        records.push((POLICY_SETTINGS, self.policy_settings.clone()));
        records
    }

    /// Of the writer; `None` where the records do not say it.
    pub(super) fn schema_version(records: &BTreeMap<String, TextMap>) -> Option<u32> {
        let origin = records.get(Origin::RECORD)?;
        origin.get("schema_version")?.parse().ok()
    }

    /// # Errors
    /// Names the record and key that is missing or unreadable.
    pub fn from_records(records: &BTreeMap<String, TextMap>) -> Result<Self, EpisodeError> {
        let records = &older::records(records);
        fn optional<S: Section>(
            records: &BTreeMap<String, TextMap>,
        ) -> Result<Option<S>, EpisodeError> {
            records.get(S::RECORD).map(S::from_map).transpose()
        }
        fn required<S: Section>(records: &BTreeMap<String, TextMap>) -> Result<S, EpisodeError> {
            optional(records)?.ok_or(EpisodeError::MissingRecord { record: S::RECORD })
        }
        let map = |name: &'static str| {
            records
                .get(name)
                .cloned()
                .ok_or(EpisodeError::MissingRecord { record: name })
        };
        let origin: Origin = required(records)?;
        if !(1..=SCHEMA_VERSION).contains(&origin.schema_version) {
            return Err(EpisodeError::SchemaVersion {
                found: origin.schema_version,
            });
        }
        Ok(Self {
            origin,
            code: required(records)?,
            robot: required(records)?,
            clock: required(records)?,
            realtime: optional(records)?,
            camera: map(CAMERA)?,
            solver: map(SOLVER)?,
            policy: optional(records)?,
            checkpoints: map(CHECKPOINTS)?,
            policy_settings: map(POLICY_SETTINGS)?,
            scene: optional(records)?,
            derivation: optional(records)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::samples::header;

    fn records(header: &Header) -> BTreeMap<String, TextMap> {
        header
            .to_records()
            .into_iter()
            .map(|(name, map)| (name.to_owned(), map))
            .collect()
    }

    #[test]
    fn header_comes_back() {
        let without = Header {
            realtime: None,
            policy: None,
            scene: None,
            ..header()
        };
        for expected in [header(), without] {
            assert_eq!(Header::from_records(&records(&expected)).unwrap(), expected);
        }
    }

    #[test]
    fn errors_name_record_and_key() {
        type Damage = fn(&mut BTreeMap<String, TextMap>);
        let cases: [(Damage, &str); 5] = [
            (
                |r| drop(r.remove("visuomotor.robot")),
                "record `visuomotor.robot` is missing",
            ),
            (
                |r| drop(r.remove("visuomotor.camera")),
                "record `visuomotor.camera` is missing",
            ),
            (
                |r| drop(r.get_mut("visuomotor.scene").unwrap().remove("seed")),
                "`visuomotor.scene` is unreadable at `seed`",
            ),
            (
                |r| {
                    drop(
                        r.get_mut("visuomotor.clock")
                            .unwrap()
                            .insert("source".into(), "sun".into()),
                    )
                },
                "called `sun`",
            ),
            (
                |r| {
                    drop(
                        r.get_mut("visuomotor.episode")
                            .unwrap()
                            .insert("schema_version".into(), "9".into()),
                    )
                },
                "version 9",
            ),
        ];
        for (damage, expected) in cases {
            let mut records = records(&header());
            damage(&mut records);
            let error = Header::from_records(&records).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn hash_is_that_of_the_standard() {
        // FIPS 180-4, example of a one-block message.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Sha256::of(b"abc")));
        for bad in ["", "ba", &"x".repeat(64), &"é".repeat(32)] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }

    #[test]
    fn build_knows_its_commit_or_says_that_it_does_not() {
        let commit = Code::of_this_build(Sha256::of(b"")).git_commit;
        let is_hash = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash || commit == "unknown", "{commit}");
    }
}
