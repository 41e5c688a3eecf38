//! Finds episodes, manifests, shards and data sets below directories, and reads what each says of itself.
//!
//! Tolerant: what is not there is not known. Not responsible for how they hang together ([`super::graph`]).

use super::Problem;
use crate::{DatasetLineage, LINEAGE_FILE, list, paths};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use visuomotor_runtime::episode::{Sha256, TextMap};

pub type Records = BTreeMap<String, TextMap>;

#[derive(Debug, Default)]
pub struct Found {
    pub episodes: Vec<FoundEpisode>,
    pub manifests: Vec<FoundManifest>,
    pub shards: Vec<FoundShard>,
    pub datasets: Vec<FoundDataset>,
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
pub struct FoundEpisode {
    pub path: PathBuf,
    pub id: String,
    pub records: Records,
    pub success: Option<bool>,
    /// Only known where something speaks of hashes.
    pub sha256: Option<String>,
}

#[derive(Debug)]
pub struct FoundManifest {
    pub path: PathBuf,
    pub name: String,
    pub sha256: String,
    /// SHA-256 of each model file, by name.
    pub files: TextMap,
    /// What it was trained on, by name, id or SHA-256.
    pub shards: Vec<String>,
    pub episodes: Vec<String>,
    pub datasets: Vec<String>,
    pub code: String,
}

#[derive(Debug)]
pub struct FoundShard {
    pub path: PathBuf,
    pub name: String,
    pub policy: String,
    pub policy_sha256: String,
}

#[derive(Debug)]
pub struct FoundDataset {
    pub path: PathBuf,
    /// [`DatasetLineage::identity`]
    pub sha256: String,
    pub episodes: Vec<Source>,
}

/// One episode of a data set.
#[derive(Debug)]
pub struct Source {
    pub id: String,
    pub sha256: String,
    pub records: Records,
}

pub fn below(paths: &[PathBuf]) -> Result<Found, (PathBuf, io::Error)> {
    let mut found = Found::default();
    for path in paths {
        let metadata = path.metadata().map_err(|error| (path.clone(), error))?;
        match metadata.is_dir() {
            true => found.directory(path),
            false => found.file(path),
        }
    }
    let mut seen = BTreeSet::new();
    found
        .episodes
        .retain(|episode| seen.insert(episode.path.clone()));
    if found.speaks_of_hashes() {
        found.hash_episodes();
    }
    Ok(found)
}

impl Found {
    fn problem(&mut self, path: &Path, why: impl ToString) {
        self.problems.push(Problem {
            path: path.to_owned(),
            why: why.to_string(),
        });
    }

    fn directory(&mut self, directory: &Path) {
        let entries = match directory.read_dir() {
            Ok(entries) => entries,
            Err(error) => return self.problem(directory, error),
        };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for path in entries {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // A link to a directory may lead back here.
            let is_directory = path.is_dir() && !path.is_symlink();
            match is_directory {
                true if name.starts_with('.') || name.ends_with(".tmp") => {}
                true if name.starts_with("shard-") => self.shard(&path, name),
                true => self.directory(&path),
                false => self.file(&path),
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(paths::FINISHED) || name.ends_with(paths::OPEN) {
            self.episode(path);
        } else if name.ends_with(".toml") {
            self.manifest(path);
        } else if name == LINEAGE_FILE {
            self.dataset(path);
        }
    }

    fn episode(&mut self, path: &Path) {
        match list::read(path) {
            Ok((header, facts, _)) => {
                let records = header.to_records().into_iter();
                self.episodes.push(FoundEpisode {
                    path: path.to_owned(),
                    id: facts.id,
                    records: records.map(|(name, map)| (name.to_owned(), map)).collect(),
                    success: facts.success,
                    sha256: None,
                });
            }
            Err(error) => self.problem(path, error),
        }
    }

    /// Other files of this kind, launch files among them, are passed over.
    fn manifest(&mut self, path: &Path) {
        let Ok(text) = std::fs::read_to_string(path) else {
            return;
        };
        let Ok(table) = text.parse::<toml::Table>() else {
            return;
        };
        let word = |value: &toml::Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        let graphs = table
            .values()
            .filter_map(|part| Some((word(part, "file")?, word(part, "sha256")?)));
        let files: TextMap = graphs.collect();
        if files.is_empty() {
            return;
        }
        let lineage = table.get("lineage");
        let words = |key: &str| -> Vec<String> {
            let values = lineage.and_then(|table| table.get(key)?.as_array());
            values
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect()
        };
        let named = table
            .get("name")
            .and_then(toml::Value::as_str)
            .map(str::to_owned);
        let stem = || {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        self.manifests.push(FoundManifest {
            path: path.to_owned(),
            name: named.unwrap_or_else(stem),
            sha256: Sha256::of(text.as_bytes()).to_string(),
            files,
            shards: words("shards"),
            episodes: words("episodes"),
            datasets: words("datasets"),
            code: lineage
                .and_then(|table| word(table, "code"))
                .unwrap_or_default(),
        });
    }

    fn shard(&mut self, path: &Path, name: String) {
        let meta = match json(&path.join("meta.json")) {
            Ok(meta) => meta,
            Err(why) => return self.problem(path, why),
        };
        self.shards.push(FoundShard {
            path: path.to_owned(),
            name,
            policy: text(&meta, "policy").unwrap_or_default(),
            policy_sha256: text(&meta, "policy_sha256").unwrap_or_default(),
        });
    }

    fn dataset(&mut self, path: &Path) {
        let value = match json(path) {
            Ok(value) => value,
            Err(why) => return self.problem(path, why),
        };
        let lineage: DatasetLineage = match serde_json::from_value(value) {
            Ok(lineage) => lineage,
            Err(why) => return self.problem(path, why),
        };
        // LeRobot keeps what it says of itself in `meta/`.
        let beside = path.parent().unwrap_or(path);
        let root = match beside.file_name() {
            Some(name) if name == "meta" => beside.parent().unwrap_or(beside),
            _ => beside,
        };
        let sources = lineage.episodes.into_iter().map(|episode| Source {
            id: episode.source_id,
            sha256: episode.source_sha256,
            records: episode.records,
        });
        self.datasets.push(FoundDataset {
            path: root.to_owned(),
            sha256: lineage.identity,
            episodes: sources.collect(),
        });
    }

    fn speaks_of_hashes(&self) -> bool {
        let derived =
            |episode: &FoundEpisode| episode.records.contains_key("visuomotor.derivation");
        !self.datasets.is_empty()
            || self.episodes.iter().any(derived)
            || self
                .manifests
                .iter()
                .any(|manifest| !manifest.episodes.is_empty())
    }

    fn hash_episodes(&mut self) {
        let mut problems = Vec::new();
        for episode in &mut self.episodes {
            match std::fs::read(&episode.path) {
                Ok(bytes) => episode.sha256 = Some(Sha256::of(&bytes).to_string()),
                Err(error) => problems.push((episode.path.clone(), error)),
            }
        }
        for (path, error) in problems {
            self.problem(&path, error);
        }
    }
}

fn json(path: &Path) -> Result<Value, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}
