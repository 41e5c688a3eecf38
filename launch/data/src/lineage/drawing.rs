//! The graph as one SVG: time goes from left to right, what goes back is dashed.
//!
//! A simple layered layout, good for a few dozen nodes. Not responsible for more: Graphviz draws what [`super::dot`] writes.

use super::layers::layers;
use super::{Kind, Lineage, tree};
use crate::markup::{Coordinate, Text};
use std::fmt::Write;

const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 46.0;
const BETWEEN_LAYERS: f64 = 130.0;
const BETWEEN_NODES: f64 = 26.0;
const MARGIN: f64 = 30.0;
const LETTERS_MAX: usize = 32;

const STYLE: &str = "\
svg{background:#fff;font:13px system-ui,sans-serif}text{fill:#1b1f24}.edge{fill:none;stroke:#5c6670;stroke-width:1.4}\
.back{stroke-dasharray:6 4}.how{font-size:11px;fill:#5c6670}rect{stroke-width:1.6;fill:#fff}\
.episodes{stroke:#009e73}.checkpoint{stroke:#0072b2}.shards{stroke:#e07b00}.dataset{stroke:#c8467f}\
.unknown{stroke:#5c6670;stroke-dasharray:5 4}.kind{font-size:11px;fill:#5c6670}\
@media(prefers-color-scheme:dark){svg{background:#12161b}text{fill:#e4e8ec}rect{fill:#1b2128}.how,.kind{fill:#96a1ac}.edge{stroke:#96a1ac}}";

pub fn svg(lineage: &Lineage) -> String {
    let layer = layers(lineage);
    let place = places(lineage, &layer);
    let columns = layer.iter().max().map_or(0, |layer| layer + 1);
    let rows = place.iter().map(|(_, y)| y + HEIGHT).fold(HEIGHT, f64::max);
    let width = 2.0 * MARGIN + columns as f64 * (WIDTH + BETWEEN_LAYERS)
        - BETWEEN_LAYERS.min(columns as f64 * BETWEEN_LAYERS);
    let height = rows + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\"><style>{STYLE}</style>\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#5c6670\"/></marker></defs>\n",
        Coordinate(width.max(2.0 * MARGIN)),
        Coordinate(height)
    );
    for (from, to, edge) in lineage.links() {
        let edge = &lineage.edges[edge];
        let is_back = layer[to] <= layer[from];
        let (x0, y0) = (place[from].0 + WIDTH, place[from].1 + HEIGHT / 2.0);
        let (x1, y1) = (place[to].0, place[to].1 + HEIGHT / 2.0);
        // A way back bows out below both of its ends.
        let bow = if is_back { HEIGHT + BETWEEN_NODES } else { 0.0 };
        let reach = if is_back {
            BETWEEN_LAYERS
        } else {
            (x1 - x0) / 2.0
        };
        let label = (0.5 * (x0 + x1), 0.5 * (y0 + y1) + 0.75 * bow - 4.0);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<path class=\"edge{}\" marker-end=\"url(#arrow)\" d=\"M{} {}C{} {} {} {} {} {}\"/><text class=\"how\" text-anchor=\"middle\" x=\"{}\" y=\"{}\">{} {}</text>",
            if is_back { " back" } else { "" },
            Coordinate(x0),
            Coordinate(y0),
            Coordinate(x0 + reach),
            Coordinate(y0 + bow),
            Coordinate(x1 - reach),
            Coordinate(y1 + bow),
            Coordinate(x1),
            Coordinate(y1),
            Coordinate(label.0),
            Coordinate(label.1),
            edge.how.name(),
            edge.count
        );
    }
    for (node, (x, y)) in lineage.nodes.iter().zip(&place) {
        let class = match node.kind {
            Kind::Episodes => "episodes",
            Kind::Checkpoint => "checkpoint",
            Kind::Shards => "shards",
            Kind::Dataset => "dataset",
            Kind::Unknown => "unknown",
        };
        let name = tree::name(node);
        let said = name.strip_prefix(node.kind.name()).unwrap_or(&name).trim();
        let (left, top) = (Coordinate(*x), Coordinate(*y));
        let (text_left, kind_y, text_y) = (
            Coordinate(x + 10.0),
            Coordinate(y + 17.0),
            Coordinate(y + 35.0),
        );
        let (kind, title, said) = (node.kind.name(), Text(&name), Text(ending(said)));
        let _ = writeln!(
            svg,
            "<g><title>{title}</title><rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"7\"/>\
             <text class=\"kind\" x=\"{text_left}\" y=\"{kind_y}\">{kind}</text><text x=\"{text_left}\" y=\"{text_y}\">{said}</text></g>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The end of a long name says more than its beginning: paths begin alike.
fn ending(name: &str) -> String {
    let letters = name.chars().count();
    match letters.checked_sub(LETTERS_MAX) {
        None | Some(0) => name.to_owned(),
        Some(beyond) => format!("…{}", name.chars().skip(beyond + 1).collect::<String>()),
    }
}

/// Top left corners. Within a layer each node stands near the middle of what leads to it.
fn places(lineage: &Lineage, layer: &[usize]) -> Vec<(f64, f64)> {
    let mut place = vec![(0.0, 0.0); layer.len()];
    let links = lineage.links();
    for column in 0..=layer.iter().copied().max().unwrap_or(0) {
        let mut here: Vec<(f64, usize)> = Vec::new();
        for node in (0..layer.len()).filter(|node| layer[*node] == column) {
            let before = links
                .iter()
                .filter(|(from, to, _)| *to == node && layer[*from] < column);
            let heights: Vec<f64> = before.map(|(from, _, _)| place[*from].1).collect();
            let mean = heights.iter().sum::<f64>() / (heights.len().max(1)) as f64;
            here.push((mean, node));
        }
        here.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = MARGIN;
        for (wanted, node) in here {
            let y = free.max(wanted);
            place[node] = (MARGIN + column as f64 * (WIDTH + BETWEEN_LAYERS), y);
            free = y + HEIGHT + BETWEEN_NODES;
        }
    }
    place
}
