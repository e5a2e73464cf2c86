//! Makes every stored vector findable: searches for each node, and adds links to those that are not found.
//!
//! HNSW itself does not guarantee this: a node loses links when nearer nodes are added, and the last link that leads to
//! it may be among them.

use super::build::by_path;
use super::graph::{Graph, NONE};
use super::graph_search::{EF_SEARCH, GraphSearch};
use super::quantized::QuantizedQuery;
use rayon::prelude::*;
use std::cell::RefCell;

/// A node counts as reachable if it is among this many nearest candidates for its own vector. Every search scores at
/// least this many candidates again with the `f32` vectors.
pub const MIN_RERANKED: usize = 12;

/// Number of candidates of the first, cheap search for a node. A node that comes first in it is also found with more
/// candidates, because a larger search begins by expanding the same candidates in the same order.
const EF_FIRST: usize = 16;

/// Number of nodes that get a link to an unreachable one.
const REPAIR_LINKS: usize = 4;

/// How often links are added for nodes that are still unreachable.
const MAX_REPAIR_ROUNDS: usize = 3;

/// The result of [`repair`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Nodes that were unreachable before links were added.
    pub repaired: usize,
    /// The nodes that are still unreachable, ascending. A search must compare them with every query.
    pub unreachable: Vec<u32>,
}

/// Finds the unreachable nodes of a graph, and adds links to them.
pub fn repair(graph: &mut Graph) -> Repairs {
    let mut unreachable = find_unreachable(graph);
    let count_before = unreachable.len();
    for _ in 0..MAX_REPAIR_ROUNDS {
        if unreachable.is_empty() {
            break;
        }
        for Unreachable { node, found } in &unreachable {
            add_links_to(graph, *node, found);
        }
        // A new link can redirect the search for another node, so all are checked again.
        unreachable = find_unreachable(graph);
    }
    Repairs {
        repaired: count_before.saturating_sub(unreachable.len()),
        unreachable: unreachable.into_iter().map(|unreachable| unreachable.node).collect(),
    }
}

/// A node that the search for its own vector does not return, and the nodes that it returns instead, nearest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Unreachable {
    node: u32,
    found: Vec<u32>,
}

/// The unreachable nodes, ascending.
fn find_unreachable(graph: &Graph) -> Vec<Unreachable> {
    thread_local! {
        static BUFFERS: RefCell<(GraphSearch, QuantizedQuery)> = RefCell::default();
    }
    let check = |node: u32| {
        BUFFERS.with_borrow_mut(|(search, query)| {
            query.set_node(graph.quantized(), node);
            let mut find = |ef, among| {
                let found = search.nearest(graph, query, ef);
                let is_found = found.iter().take(among).any(|candidate| candidate.position() == node);
                let nodes = || found.iter().map(|candidate| candidate.position()).collect();
                if is_found { Ok(()) } else { Err(nodes()) }
            };
            let found: Vec<u32> = find(EF_FIRST, 1).or_else(|_| find(EF_SEARCH, MIN_RERANKED)).err()?;
            Some(Unreachable { node, found })
        })
    };
    let all: Vec<u32> = (0..graph.count() as u32).collect();
    let mut unreachable: Vec<_> = by_path(graph, &all).into_par_iter().filter_map(check).collect();
    unreachable.sort_unstable();
    unreachable
}

/// Adds links to `node` from the nearest of the `found` nodes that have an unused link.
fn add_links_to(graph: &mut Graph, node: u32, found: &[u32]) {
    let lowest = &mut graph.layers[0];
    let (degree, links) = (lowest.degree, lowest.links.to_mut());
    let mut left = REPAIR_LINKS;
    for &other in found.iter().filter(|other| **other != node) {
        let links = &mut links[other as usize * degree..][..degree];
        if links.contains(&node) {
            continue;
        }
        if let Some(unused) = links.iter_mut().find(|link| **link == NONE) {
            *unused = node;
            left -= 1;
        }
        if left == 0 {
            return;
        }
    }
}
