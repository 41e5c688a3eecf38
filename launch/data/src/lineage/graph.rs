//! What was found, as nodes and edges.
//!
//! Responsible for who is whose parent. Not responsible for finding or drawing.

use super::gather::{Found, FoundEpisode, Records};
use super::{Edge, How, Kind, Lineage, Node, layers, uniform};
use crate::words;
use std::collections::BTreeMap;
use std::path::Path;
use visuomotor_runtime::episode::Sha256;

#[derive(Default)]
struct Builder {
    nodes: BTreeMap<String, Node>,
    edges: BTreeMap<(String, String, How), usize>,
}

pub fn build(found: Found) -> Lineage {
    let mut builder = Builder::default();
    let by_manifest = builder.manifests(&found);
    let group_of = builder.episodes(&found);
    let shard_of = builder.shards(&found, &by_manifest);
    let dataset_of = builder.datasets(&found, &group_of);
    builder.derivations(&found, &group_of);
    builder.training(&found, &group_of, &shard_of, &dataset_of);
    let sets = sets(&found);
    let edges = builder
        .edges
        .into_iter()
        .map(|((from, to, how), count)| Edge {
            from,
            to,
            how,
            count,
        });
    let mut lineage = Lineage {
        nodes: builder.nodes.into_values().collect(),
        edges: edges.collect(),
        sets,
        cycles: Vec::new(),
        problems: found.problems,
    };
    lineage.cycles = layers::cycles(&lineage);
    lineage
}

/// Which node an episode belongs to, by its id and by its hash. Where several have one id, the first.
struct GroupOf {
    by_id: BTreeMap<String, String>,
    by_sha256: BTreeMap<String, String>,
}

impl GroupOf {
    /// The hash is the better witness.
    fn find(&self, id: &str, sha256: Option<&str>) -> Option<&String> {
        let by_sha256 = sha256.and_then(|hash| self.by_sha256.get(hash));
        by_sha256.or_else(|| self.by_id.get(id))
    }
}

impl Builder {
    fn node(&mut self, id: &str, kind: Kind, label: impl Into<String>) -> &mut Node {
        self.nodes.entry(id.to_owned()).or_insert_with(|| Node {
            id: id.to_owned(),
            kind,
            label: label.into(),
            count: 0,
            members: Vec::new(),
            facts: BTreeMap::new(),
        })
    }

    fn edge(&mut self, from: &str, to: &str, how: How) {
        *self
            .edges
            .entry((from.to_owned(), to.to_owned(), how))
            .or_default() += 1;
    }

    /// Checkpoints that have a manifest; their nodes by the manifest's hash.
    fn manifests(&mut self, found: &Found) -> BTreeMap<String, String> {
        let mut by_manifest = BTreeMap::new();
        for manifest in &found.manifests {
            let Some(hash) = words::checkpoint(&manifest.files) else {
                continue;
            };
            let id = format!("checkpoint {hash}");
            let node = self.node(&id, Kind::Checkpoint, &manifest.name);
            node.members.push(manifest.path.display().to_string());
            node.facts
                .insert("checkpoint_sha256".into(), hash.to_string());
            node.facts
                .insert("manifest_sha256".into(), manifest.sha256.clone());
            node.facts
                .insert("trained_by_code".into(), manifest.code.clone());
            node.facts.extend(manifest.files.clone());
            by_manifest.insert(manifest.sha256.clone(), id);
        }
        by_manifest
    }

    /// The checkpoint that decided; `None` when nothing did.
    fn collector(&mut self, records: &Records) -> Option<String> {
        let policy = records.get("visuomotor.policy");
        let name = policy.and_then(|policy| policy.get("name").cloned());
        let files = records
            .get("visuomotor.checkpoints")
            .filter(|files| !files.is_empty());
        let Some((files, hash)) = files.and_then(|files| Some((files, words::checkpoint(files)?)))
        else {
            // A policy without model files is known by its name.
            let name = name?;
            let id = format!("policy {name}");
            self.node(&id, Kind::Checkpoint, &name);
            return Some(id);
        };
        let id = format!("checkpoint {hash}");
        if !self.nodes.contains_key(&id) {
            let node = self.node(&id, Kind::Checkpoint, name.unwrap_or_default());
            node.facts
                .insert("checkpoint_sha256".into(), hash.to_string());
            node.facts
                .insert("known".into(), "from episodes only".into());
            node.facts.extend(files.clone());
        }
        Some(id)
    }

    fn episodes(&mut self, found: &Found) -> GroupOf {
        let mut group_of = GroupOf {
            by_id: BTreeMap::new(),
            by_sha256: BTreeMap::new(),
        };
        for episode in &found.episodes {
            let directory = parent(&episode.path);
            let traits = uniform::traits(&episode.records);
            let derivation = episode.records.get("visuomotor.derivation");
            let how = derivation
                .and_then(|map| map.get("how").cloned())
                .unwrap_or_default();
            let key = Sha256::of(format!("{traits:?}").as_bytes()).to_string();
            let id = format!("episodes {directory} {} {how}", words::short(&key))
                .trim_end()
                .to_owned();
            let collector = self.collector(&episode.records);
            let node = self.node(&id, Kind::Episodes, directory);
            node.count += 1;
            node.members.push(episode.id.clone());
            node.facts.extend(traits);
            if !how.is_empty() {
                node.facts.insert("derivation".into(), how);
            }
            if let Some(success) = episode.success {
                let key = if success { "succeeded" } else { "failed" };
                let count = node
                    .facts
                    .get(key)
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(0_u64);
                node.facts.insert(key.into(), (count + 1).to_string());
            }
            if let Some(collector) = collector {
                self.edge(&collector, &id, How::Collected);
            }
            if let Some(hash) = &episode.sha256 {
                group_of
                    .by_sha256
                    .entry(hash.clone())
                    .or_insert_with(|| id.clone());
            }
            group_of.by_id.entry(episode.id.clone()).or_insert(id);
        }
        group_of
    }

    fn shards(
        &mut self,
        found: &Found,
        by_manifest: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Vec<String>> {
        let mut shard_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for shard in &found.shards {
            let directory = parent(&shard.path);
            let known = by_manifest.get(&shard.policy_sha256).cloned();
            let collector = known.unwrap_or_else(|| {
                // A policy without a manifest is hashed by its name.
                let has_none =
                    Sha256::of(shard.policy.as_bytes()).to_string() == shard.policy_sha256;
                let (id, kind) = match has_none {
                    true => (format!("policy {}", shard.policy), Kind::Checkpoint),
                    false => (format!("manifest {}", shard.policy_sha256), Kind::Unknown),
                };
                let node = self.node(&id, kind, &shard.policy);
                node.facts
                    .insert("manifest_sha256".into(), shard.policy_sha256.clone());
                id
            });
            let id = format!("shards {directory} {}", words::short(&shard.policy_sha256));
            let node = self.node(&id, Kind::Shards, directory);
            node.count += 1;
            node.members.push(shard.name.clone());
            self.edge(&collector, &id, How::Collected);
            shard_of.entry(shard.name.clone()).or_default().push(id);
        }
        shard_of
    }

    /// Their nodes by hash and by path.
    fn datasets(&mut self, found: &Found, group_of: &GroupOf) -> BTreeMap<String, String> {
        let mut dataset_of = BTreeMap::new();
        for dataset in &found.datasets {
            let path = dataset.path.display().to_string();
            let id = format!("dataset {path}");
            let node = self.node(&id, Kind::Dataset, &path);
            node.count = dataset.episodes.len();
            node.members = dataset
                .episodes
                .iter()
                .map(|source| source.id.clone())
                .collect();
            let hash = &dataset.sha256;
            node.facts.insert("sha256".into(), hash.clone());
            dataset_of.insert(hash.clone(), id.clone());
            dataset_of.insert(path.clone(), id.clone());
            for source in &dataset.episodes {
                let group = group_of.find(&source.id, Some(&source.sha256)).cloned();
                let group = group.unwrap_or_else(|| {
                    let collector = self.collector(&source.records);
                    let by = collector.as_deref().unwrap_or("nobody known");
                    let unknown = format!("unknown episodes of {path} by {by}");
                    let node = self.node(&unknown, Kind::Unknown, "episodes that are not here");
                    node.count += 1;
                    node.members.push(source.id.clone());
                    if let Some(collector) = collector {
                        self.edge(&collector, &unknown, How::Collected);
                    }
                    unknown
                });
                self.edge(&group, &id, How::Exported);
            }
        }
        dataset_of
    }

    fn derivations(&mut self, found: &Found, group_of: &GroupOf) {
        for episode in &found.episodes {
            let Some(derivation) = episode.records.get("visuomotor.derivation") else {
                continue;
            };
            let text = |key: &str| derivation.get(key).map_or("", String::as_str);
            let (parent_id, hash) = (text("parent_id"), text("parent_sha256"));
            let parent = group_of.find(parent_id, Some(hash)).cloned();
            let parent = parent.unwrap_or_else(|| self.unknown("episode", parent_id));
            if let Some(child) = group(episode, group_of) {
                self.edge(&parent, &child, How::Derived);
            }
        }
    }

    fn training(
        &mut self,
        found: &Found,
        group_of: &GroupOf,
        shard_of: &BTreeMap<String, Vec<String>>,
        dataset_of: &BTreeMap<String, String>,
    ) {
        for manifest in &found.manifests {
            let Some(hash) = words::checkpoint(&manifest.files) else {
                continue;
            };
            let checkpoint = format!("checkpoint {hash}");
            let mut parents: Vec<String> = Vec::new();
            let shards = |name: &str| shard_of.get(name).cloned();
            let episodes = |name: &str| Some(vec![group_of.find(name, Some(name))?.clone()]);
            let datasets = |name: &str| Some(vec![dataset_of.get(name)?.clone()]);
            type Find<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;
            let sources: [(&str, &[String], Find<'_>); 3] = [
                ("shards", &manifest.shards, &shards),
                ("episodes", &manifest.episodes, &episodes),
                ("data sets", &manifest.datasets, &datasets),
            ];
            for (what, names, find) in sources {
                let missing: Vec<&String> =
                    names.iter().filter(|name| find(name).is_none()).collect();
                parents.extend(names.iter().filter_map(|name| find(name)).flatten());
                parents.extend(self.missing(what, &missing));
            }
            for parent in parents {
                self.edge(&parent, &checkpoint, How::Trained);
            }
        }
    }

    fn unknown(&mut self, what: &str, name: &str) -> String {
        let id = format!("unknown {what} {name}");
        self.node(&id, Kind::Unknown, format!("{what} {name}"))
            .count = 1;
        id
    }

    /// What is not here is one node, not hundreds; the same one for all that speak of the same. Once for each name.
    fn missing(&mut self, what: &str, names: &[&String]) -> Vec<String> {
        let hash = Sha256::of(format!("{names:?}").as_bytes()).to_string();
        let id = format!("unknown {what} {}", words::short(&hash));
        if !names.is_empty() {
            let node = self.node(&id, Kind::Unknown, format!("{what} that are not here"));
            node.count = names.len();
            node.members = names.iter().map(|name| (*name).clone()).collect();
        }
        vec![id; names.len()]
    }
}

fn group(episode: &FoundEpisode, group_of: &GroupOf) -> Option<String> {
    group_of
        .find(&episode.id, episode.sha256.as_deref())
        .cloned()
}

fn parent(path: &Path) -> String {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).display().to_string()
}

fn sets(found: &Found) -> Vec<uniform::Set> {
    let mut directories: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for episode in &found.episodes {
        let of = (episode.id.clone(), uniform::traits(&episode.records));
        directories
            .entry(parent(&episode.path))
            .or_default()
            .push(of);
    }
    for dataset in &found.datasets {
        let of = dataset
            .episodes
            .iter()
            .map(|source| (source.id.clone(), uniform::traits(&source.records)));
        directories
            .entry(format!("data set {}", dataset.path.display()))
            .or_default()
            .extend(of);
    }
    directories
        .into_iter()
        .map(|(name, episodes)| uniform::set(name, &episodes))
        .collect()
}
