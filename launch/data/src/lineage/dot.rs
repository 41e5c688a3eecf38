//! The graph in the DOT language of Graphviz.
//!
//! Not responsible for where anything stands: Graphviz decides that.

use super::{Kind, Lineage, tree};
use std::fmt::Write;

pub fn text(lineage: &Lineage) -> String {
    let mut dot =
        String::from("digraph lineage {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
    for (number, node) in lineage.nodes.iter().enumerate() {
        let shape = match node.kind {
            Kind::Episodes => "folder",
            Kind::Checkpoint => "ellipse",
            Kind::Shards => "box3d",
            Kind::Dataset => "cylinder",
            Kind::Unknown => "box, style=dashed",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            dot,
            "  n{number} [label={}, shape={shape}];",
            quoted(&tree::name(node))
        );
    }
    for (from, to, edge) in lineage.links() {
        let edge = &lineage.edges[edge];
        let label = format!("{} {}", edge.how.name(), edge.count);
        let _ = writeln!(dot, "  n{from} -> n{to} [label={}];", quoted(&label));
    }
    dot.push_str("}\n");
    dot
}

/// In a quoted string of DOT only the quote ends it; a backslash begins what Graphviz calls escString.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
