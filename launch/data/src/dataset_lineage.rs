//! Where a data set comes from: which recordings, made by which code, limits, cameras and checkpoints.
//!
//! Responsible for the content and the form of `visuomotor_lineage.json` (in `meta/` of a LeRobot data set, at the top of a
//! plain Parquet one), for the identity of a data set, and for saying in what its episodes differ. Not responsible for
//! what the facts of one episode are ([`visuomotor_runtime::episode::Header`]).

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use visuomotor_runtime::episode::{EpisodeError, Header, Sha256, TextMap};

/// Of this file's form. It grows whenever a reader must know the difference.
pub const LINEAGE_VERSION: u32 = 1;
/// The file's name.
pub const LINEAGE_FILE: &str = "visuomotor_lineage.json";

/// The whole file; JSON keys are the names of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetLineage {
    /// [`LINEAGE_VERSION`] of the writer.
    pub lineage_version: u32,
    /// SHA-256 of the compact JSON of all the other fields, keys in alphabetical order: 64 hexadecimal digits.
    pub identity: String,
    /// `lerobot-v3.0` or `parquet`.
    pub format: String,
    /// Version and commit of the program that made the data set.
    pub made_by: String,
    /// What was asked for, by option, such as `fps`.
    pub options: BTreeMap<String, String>,
    /// SHA-256 of every data file, by its path inside the data set; not of what is in `meta/`.
    pub files: BTreeMap<String, String>,
    /// In the order of their index in the data set.
    pub episodes: Vec<EpisodeLineage>,
    /// Recordings that were given and are not in the data set.
    pub refused: Vec<Refused>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpisodeLineage {
    /// Of the recording: [`visuomotor_runtime::episode::Origin::id`].
    pub source_id: String,
    /// Name of the recording's file, without directories.
    pub source_file: String,
    /// Of the recording's bytes.
    pub source_sha256: String,
    /// As `terminated`, `step_limit`, `fault` or `stopped`.
    pub ending: String,
    /// `null` where nobody and nothing judged it.
    pub success: Option<bool>,
    /// Actions that were taken.
    pub actions: u32,
    /// Everything that the recording says of itself, as its MCAP metadata records say it: by record name
    /// (`visuomotor.code`, `visuomotor.robot`, `visuomotor.policy`, `visuomotor.checkpoints`, …), then by key.
    /// [`EpisodeLineage::header`] makes a header of it.
    pub records: BTreeMap<String, TextMap>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub source_file: String,
    pub reason: String,
}

/// A fact in which the episodes of one data set differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mixed {
    /// Record name, such as `visuomotor.checkpoints`, or record name and key.
    pub what: String,
    /// How many episodes have which value.
    pub values: BTreeMap<String, usize>,
}

/// What makes episodes incomparable if it differs. Seeds, start times and scenes differ by nature.
const TELLING: [(&str, Option<&str>); 12] = [
    ("visuomotor.episode", Some("schema_version")),
    ("visuomotor.code", Some("git_commit")),
    ("visuomotor.code", Some("git_dirty")),
    ("visuomotor.robot", Some("controller_sha256")),
    ("visuomotor.robot", Some("limits_sha256")),
    ("visuomotor.robot", Some("description_sha256")),
    ("visuomotor.clock", Some("source")),
    ("visuomotor.camera", None),
    ("visuomotor.solver", None),
    ("visuomotor.policy", Some("manifest_sha256")),
    ("visuomotor.checkpoints", None),
    ("visuomotor.policy_settings", None),
];

impl DatasetLineage {
    /// With the identity that the content has.
    pub fn sealed(mut self) -> Self {
        self.identity = self.identity_of_content();
        self
    }

    /// What [`DatasetLineage::identity`] has to be.
    pub fn identity_of_content(&self) -> String {
        // A value keeps its keys in alphabetical order, and these types always make one.
        let mut content = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = content.as_object_mut() {
            fields.remove("identity");
        }
        Sha256::of(content.to_string().as_bytes()).to_string()
    }

    /// Facts in which the episodes differ although they should not; none where all come from one program, arm, camera and
    /// policy.
    pub fn mixed(&self) -> Vec<Mixed> {
        let facts = TELLING.iter().map(|(record, key)| {
            let mut values = BTreeMap::new();
            for episode in &self.episodes {
                *values.entry(episode.fact(record, *key)).or_default() += 1;
            }
            let what = match key {
                Some(key) => format!("{record}.{key}"),
                None => (*record).to_owned(),
            };
            Mixed { what, values }
        });
        facts.filter(|fact| fact.values.len() > 1).collect()
    }
}

impl EpisodeLineage {
    /// # Errors
    /// Names the record or key that is missing or unreadable.
    pub fn header(&self) -> Result<Header, EpisodeError> {
        Header::from_records(&self.records)
    }

    fn fact(&self, record: &str, key: Option<&str>) -> String {
        let Some(map) = self.records.get(record) else {
            return "none".to_owned();
        };
        match key {
            Some(key) => map.get(key).map_or("none", String::as_str).to_owned(),
            None => {
                let pairs: Vec<_> = map
                    .iter()
                    .map(|(key, text)| format!("{key}={text}"))
                    .collect();
                pairs.join(" ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged;

    fn lineage() -> DatasetLineage {
        let header = staged::header();
        let records = header.to_records().into_iter();
        let records = records.map(|(name, map)| (name.to_owned(), map)).collect();
        let episode = EpisodeLineage {
            source_id: header.origin.id,
            source_file: "a.mcap".into(),
            source_sha256: Sha256::of(b"a").to_string(),
            ending: "terminated".into(),
            success: Some(true),
            actions: 8,
            records,
        };
        let lineage = DatasetLineage {
            lineage_version: LINEAGE_VERSION,
            identity: String::new(),
            format: "parquet".into(),
            made_by: "0.1.0".into(),
            options: BTreeMap::new(),
            files: BTreeMap::new(),
            episodes: vec![episode.clone(), episode],
            refused: Vec::new(),
        };
        lineage.sealed()
    }

    #[test]
    fn comes_back_and_knows_its_identity() {
        let lineage = lineage();
        let text = serde_json::to_string_pretty(&lineage).unwrap();
        let back: DatasetLineage = serde_json::from_str(&text).unwrap();
        assert_eq!(back, lineage);
        assert_eq!(back.identity_of_content(), lineage.identity);
        assert_eq!(back.episodes[0].header().unwrap(), staged::header());
        let mut other = back;
        other.episodes[1].success = None;
        assert_ne!(other.identity_of_content(), lineage.identity);
    }

    #[test]
    fn says_in_what_episodes_differ() {
        let mut lineage = lineage();
        assert_eq!(lineage.mixed(), []);
        let records = &mut lineage.episodes[1].records;
        let mut set = |record: &str, key: &str| {
            let map = records.get_mut(record).unwrap();
            map.insert(key.into(), "other".into());
        };
        set("visuomotor.robot", "limits_sha256");
        set("visuomotor.checkpoints", "trunk.onnx");
        set("visuomotor.camera", "fovy_deg");
        set("visuomotor.episode", "id");
        let mixed = lineage.mixed();
        let what: Vec<_> = mixed.iter().map(|fact| fact.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "visuomotor.robot.limits_sha256",
                "visuomotor.camera",
                "visuomotor.checkpoints"
            ]
        );
        assert!(mixed[0].values.values().all(|&count| count == 1));
    }
}
