//! The graph for a terminal: from each beginning along the edges, every node once.
//!
//! Not responsible for what is in it.

use super::{Lineage, Node, Set};
use crate::words::{self, printable};
use std::fmt;

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tree(self, f)?;
        for cycle in &self.cycles {
            let labels = cycle
                .iter()
                .filter_map(|id| self.nodes.iter().find(|node| node.id == *id));
            let labels: Vec<String> = labels.map(name).collect();
            writeln!(f, "\ngoes round: {}", labels.join(", "))?;
        }
        for set in &self.sets {
            differences(set, f)?;
        }
        for problem in &self.problems {
            writeln!(
                f,
                "\n! {}: {}",
                printable(&problem.path.display().to_string()),
                printable(&problem.why)
            )?;
        }
        Ok(())
    }
}

/// One line to be written: a node, below which edge, and how its lines are led.
struct Line {
    node: usize,
    edge: Option<usize>,
    lead: String,
    is_last: bool,
}

fn tree(lineage: &Lineage, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let links = lineage.links();
    let count = lineage.nodes.len();
    let mut written = vec![false; count];
    let leads_in = |node: usize| {
        links
            .iter()
            .any(|(from, to, _)| *to == node && *from != node)
    };
    // Then what only a cycle leads to.
    let roots = (0..count).filter(|node| !leads_in(*node)).chain(0..count);
    for root in roots.collect::<Vec<_>>() {
        if written[root] {
            continue;
        }
        let mut lines = vec![Line {
            node: root,
            edge: None,
            lead: String::new(),
            is_last: true,
        }];
        while let Some(Line {
            node,
            edge,
            lead,
            is_last,
        }) = lines.pop()
        {
            let again = std::mem::replace(&mut written[node], true);
            let branch = match (edge, is_last) {
                (None, _) => "",
                (_, true) => "└─ ",
                (_, false) => "├─ ",
            };
            let how = edge
                .and_then(|edge| lineage.edges.get(edge))
                .map(|edge| format!("{} {} → ", edge.how.name(), edge.count));
            let above = if again { " (above)" } else { "" };
            writeln!(
                f,
                "{lead}{branch}{}{}{above}",
                how.unwrap_or_default(),
                name(&lineage.nodes[node])
            )?;
            if again {
                continue;
            }
            let lead = match (edge, is_last) {
                (None, _) => lead,
                (_, true) => format!("{lead}   "),
                (_, false) => format!("{lead}│  "),
            };
            let below: Vec<_> = links.iter().filter(|(from, _, _)| *from == node).collect();
            for (k, (_, to, edge)) in below.iter().enumerate().rev() {
                lines.push(Line {
                    node: *to,
                    edge: Some(*edge),
                    lead: lead.clone(),
                    is_last: k + 1 == below.len(),
                });
            }
        }
    }
    Ok(())
}

pub fn name(node: &Node) -> String {
    let fact = |key: &str| node.facts.get(key).map(String::as_str);
    let mut name = format!("{} {}", node.kind.name(), printable(&node.label));
    if let Some(hash) = fact("checkpoint_sha256").or(fact("manifest_sha256")) {
        name.push_str(&format!(" {}", printable(words::short(hash))));
    }
    if node.count > 0 {
        name.push_str(&format!(" ({})", node.count));
    }
    let succeeded = fact("succeeded").map(|count| format!(" {count} succeeded"));
    name.extend(succeeded);
    name
}

fn differences(set: &Set, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let set_name = printable(&set.name);
    if !set.mixed {
        return writeln!(f, "\n{set_name}: {} episodes, all alike", set.episodes);
    }
    writeln!(f, "\nMIXED {set_name}: {} episodes differ in", set.episodes)?;
    for difference in &set.differs {
        writeln!(f, "  {}", printable(&difference.what))?;
        for (k, variant) in difference.values.iter().enumerate() {
            let value = match variant.value.as_str() {
                "" => "nothing said".to_owned(),
                value => value
                    .split(' ')
                    .map(shortened)
                    .collect::<Vec<_>>()
                    .join(" "),
            };
            write!(f, "    {:>5} × {}", variant.count, printable(&value))?;
            // Those that are like most need no names.
            if k > 0 {
                let more = if variant.count > variant.episodes.len() {
                    ", …"
                } else {
                    ""
                };
                write!(f, ": {}{more}", printable(&variant.episodes.join(", ")))?;
            }
            writeln!(f)?;
        }
    }
    Ok(())
}

/// A hash by its first digits.
fn shortened(word: &str) -> &str {
    let is_hash = word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { words::short(word) } else { word }
}
