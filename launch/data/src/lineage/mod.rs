//! Where data and checkpoints come from: a checkpoint collects episodes, episodes and data sets train a checkpoint, an episode
//! is made of another one. Over time that goes round.
//!
//! Responsible for what is known of that below some directories, and for saying where data differ that ought not to. Not
//! responsible for whether a mixture is wanted.

mod dot;
mod drawing;
mod gather;
mod graph;
mod layers;
#[cfg(test)]
mod tests;
mod tree;
mod uniform;

use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use uniform::{Difference, Set, Variant};

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lineage {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// Data that belong together, and whether they are alike.
    pub sets: Vec<Set>,
    /// Nodes that lead back to themselves, by their ids.
    pub cycles: Vec<Vec<String>>,
    pub problems: Vec<Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Episodes of one directory with the same lineage.
    Episodes,
    Checkpoint,
    /// Training data of `collect-sim`, of one directory and one policy.
    Shards,
    Dataset,
    /// Spoken of, and nowhere to be found.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The same for the same things, whenever one looks.
    pub id: String,
    pub kind: Kind,
    pub label: String,
    /// Episodes or shards in it.
    pub count: usize,
    pub members: Vec<String>,
    pub facts: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Collected,
    Trained,
    Derived,
    Exported,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    pub from: String,
    pub to: String,
    pub how: How,
    /// Episodes or shards that it stands for.
    pub count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: PathBuf,
    pub why: String,
}

/// Of everything below these directories; a file stands for itself.
///
/// # Errors
/// Names the path that cannot be read at all. What is unreadable below it is a [`Problem`].
pub fn of(paths: &[PathBuf]) -> Result<Lineage, (PathBuf, io::Error)> {
    Ok(graph::build(gather::below(paths)?))
}

impl Lineage {
    pub fn is_mixed(&self) -> bool {
        self.sets.iter().any(|set| set.mixed)
    }

    /// In the DOT language of Graphviz.
    pub fn dot(&self) -> String {
        dot::text(self)
    }

    /// A picture that needs nothing else.
    pub fn svg(&self) -> String {
        drawing::svg(self)
    }

    /// Nodes as numbers: from, to, and the edge's own number. Edges that lead nowhere are left out.
    fn links(&self) -> Vec<(usize, usize, usize)> {
        let numbers: BTreeMap<&str, usize> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(number, node)| (node.id.as_str(), number))
            .collect();
        let link = |(k, edge): (usize, &Edge)| {
            Some((
                *numbers.get(edge.from.as_str())?,
                *numbers.get(edge.to.as_str())?,
                k,
            ))
        };
        self.edges.iter().enumerate().filter_map(link).collect()
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Episodes => "episodes",
            Self::Checkpoint => "checkpoint",
            Self::Shards => "shards",
            Self::Dataset => "data set",
            Self::Unknown => "unknown",
        }
    }
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Collected => "collected",
            Self::Trained => "trained",
            Self::Derived => "derived",
            Self::Exported => "exported",
        }
    }
}
