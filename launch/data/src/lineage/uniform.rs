//! Whether data that belong together are alike in what ought to be the same, and which are the odd ones.
//!
//! Not responsible for what to do about it.

use super::gather::Records;
use crate::words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Odd ones that are named; their number is there in any case.
const NAMED_MAX: usize = 10;

/// A data set, or the episodes of one directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Set {
    pub name: String,
    pub episodes: usize,
    pub mixed: bool,
    pub differs: Vec<Difference>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: String,
    /// The commonest first.
    pub values: Vec<Variant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Variant {
    /// A hash, a number, or a word; empty where nothing is said.
    pub value: String,
    pub count: usize,
    /// Some of those that have it.
    pub episodes: Vec<String>,
}

/// What ought to be the same, by name.
pub fn traits(records: &Records) -> BTreeMap<String, String> {
    let value = |record: &str, key: &str| {
        let map = records.get(&format!("visuomotor.{record}"));
        map.and_then(|map| map.get(key).cloned())
            .unwrap_or_default()
    };
    let changed = if value("code", "git_dirty") == "true" {
        " and changes"
    } else {
        ""
    };
    let checkpoint = records
        .get("visuomotor.checkpoints")
        .and_then(words::checkpoint);
    let checkpoint = checkpoint.map_or_else(String::new, |hash| hash.to_string());
    let policy = [value("policy", "name"), checkpoint].join(" ");
    let mut traits: BTreeMap<String, String> = [
        ("limits", value("robot", "limits_sha256")),
        ("controller", value("robot", "controller_sha256")),
        ("robot description", value("robot", "description_sha256")),
        ("schema", value("episode", "schema_version")),
        ("clock", value("clock", "source")),
        ("policy manifest", value("policy", "manifest_sha256")),
        ("policy checkpoint", policy.trim().to_owned()),
        ("code commit", value("code", "git_commit") + changed),
    ]
    .map(|(what, value)| (what.to_owned(), value))
    .into();
    // Each number by itself: so the one that differs is named.
    for (record, what) in [
        ("solver", "solver"),
        ("camera", "camera mount"),
        ("policy_settings", "policy settings"),
    ] {
        for (key, value) in records
            .get(&format!("visuomotor.{record}"))
            .into_iter()
            .flatten()
        {
            traits.insert(format!("{what} {key}"), value.clone());
        }
    }
    traits
}

/// Of episodes by name, each with its traits.
pub fn set(name: String, episodes: &[(String, BTreeMap<String, String>)]) -> Set {
    let whats: BTreeSet<&String> = episodes
        .iter()
        .flat_map(|(_, traits)| traits.keys())
        .collect();
    let mut differs = Vec::new();
    for what in whats {
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (episode, traits) in episodes {
            let value = traits.get(what).map_or("", String::as_str);
            values.entry(value).or_default().push(episode);
        }
        if values.len() < 2 {
            continue;
        }
        let variant = |(value, episodes): (&str, Vec<&str>)| Variant {
            value: value.to_owned(),
            count: episodes.len(),
            episodes: episodes
                .into_iter()
                .take(NAMED_MAX)
                .map(str::to_owned)
                .collect(),
        };
        let mut values: Vec<Variant> = values.into_iter().map(variant).collect();
        values.sort_by_key(|variant| std::cmp::Reverse(variant.count));
        differs.push(Difference {
            what: what.clone(),
            values,
        });
    }
    Set {
        name,
        episodes: episodes.len(),
        mixed: !differs.is_empty(),
        differs,
    }
}
