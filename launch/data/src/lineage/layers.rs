//! The order of a graph that may go round: which nodes lead back to themselves, and how far each is from the beginning.
//!
//! Not responsible for drawing. Nothing here recurses: a graph of any depth needs no stack.

use super::Lineage;

/// Groups of nodes each of which leads to every other one of its group, by their ids.
pub fn cycles(lineage: &Lineage) -> Vec<Vec<String>> {
    let group = components(lineage);
    let mut groups: Vec<Vec<String>> = vec![Vec::new(); lineage.nodes.len()];
    for (node, group) in lineage.nodes.iter().zip(&group) {
        groups[*group].push(node.id.clone());
    }
    let to_itself = |id: &str| {
        lineage
            .edges
            .iter()
            .any(|edge| edge.from == id && edge.to == id)
    };
    groups.retain(|group| group.len() > 1 || group.first().is_some_and(|id| to_itself(id)));
    groups
}

/// The number of each node's strongly connected component (Kosaraju and Sharir: backwards in the order in which a search
/// along the edges left the nodes).
fn components(lineage: &Lineage) -> Vec<usize> {
    let count = lineage.nodes.len();
    let (mut onward, mut back) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for (from, to, _) in lineage.links() {
        onward[from].push(to);
        back[to].push(from);
    }
    let mut left = Vec::new();
    let mut seen = vec![false; count];
    for root in 0..count {
        search(root, &onward, &mut seen, |node| left.push(node));
    }
    let mut component = vec![0; count];
    let mut seen = vec![false; count];
    for root in left.into_iter().rev() {
        search(root, &back, &mut seen, |node| component[node] = root);
    }
    component
}

/// Depth first; tells each node when all beyond it has been seen.
fn search(
    root: usize,
    neighbours: &[Vec<usize>],
    seen: &mut [bool],
    mut leaves: impl FnMut(usize),
) {
    if std::mem::replace(&mut seen[root], true) {
        return;
    }
    let mut path = vec![(root, 0)];
    while let Some((node, next)) = path.last_mut() {
        match neighbours[*node].get(*next) {
            Some(neighbour) => {
                *next += 1;
                if !std::mem::replace(&mut seen[*neighbour], true) {
                    path.push((*neighbour, 0));
                }
            }
            None => {
                leaves(*node);
                path.pop();
            }
        }
    }
}

/// How many edges lead to each node on the longest way, not counting those that close a cycle.
pub fn layers(lineage: &Lineage) -> Vec<usize> {
    let count = lineage.nodes.len();
    let links = lineage.links();
    let mut onward = vec![Vec::new(); count];
    let mut incoming = vec![0; count];
    for (from, to, _) in &links {
        onward[*from].push(*to);
        incoming[*to] += 1;
    }
    // Searched from where nothing leads to, so that a cycle is closed by the edge that goes back in time.
    let mut roots: Vec<usize> = (0..count).collect();
    roots.sort_by_key(|node| incoming[*node] > 0);
    let mut left = Vec::new();
    let mut seen = vec![false; count];
    for root in roots {
        search(root, &onward, &mut seen, |node| left.push(node));
    }
    left.reverse();
    let mut place = vec![0; count];
    for (k, node) in left.iter().enumerate() {
        place[*node] = k;
    }
    let mut layer = vec![0; count];
    for node in left {
        for next in &onward[node] {
            if place[*next] > place[node] {
                layer[*next] = layer[*next].max(layer[node] + 1);
            }
        }
    }
    layer
}
