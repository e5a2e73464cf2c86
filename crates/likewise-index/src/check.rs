//! Ensures that searches can find every stored vector: searches for each node of a graph, adds links to the nodes that
//! are not found, and lists the nodes that are still not found.
//!
//! HNSW itself does not guarantee this. When nodes are added, existing nodes replace some of their links by links to
//! nearer nodes, and a replaced link can be the last one that leads to a node.

use super::build::by_path;
use super::graph::{Graph, NONE};
use super::graph_search::{EF_SEARCH, GraphSearch, NEAREST_FIRST};
use super::quantized::QuantizedQuery;
use super::vectors::NodeVectors;
use rayon::prelude::*;
use std::cell::RefCell;

/// A node counts as reachable if a search for the node's own vector returns the node among this many nearest
/// candidates. Every search scores at least this many candidates again with the `f32` vectors, unless fewer candidates
/// pass the filter.
pub const MIN_RERANKED: usize = 16;

/// Number of candidates of the first, cheap search for a node. A node that is the first result of this search is also
/// found by a search with more candidates, because the larger search begins by expanding the same candidates in the
/// same order.
const EF_FIRST: usize = NEAREST_FIRST;

/// Maximum number of nodes that get a new link to the same unreachable node in one round.
const REPAIR_LINKS: usize = 4;

/// Maximum number of rounds in which links to unreachable nodes are added.
const MAX_REPAIR_ROUNDS: usize = 3;

/// The result of [`repair`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Number of unreachable nodes before links were added, minus the number of unreachable nodes afterwards.
    pub repaired: usize,
    /// The nodes that are still unreachable, in ascending order. A search must compare these nodes with every query.
    pub unreachable: Vec<u32>,
}

/// Finds the unreachable nodes of a graph, and adds links to them.
pub fn repair(graph: &mut Graph, vectors: NodeVectors) -> Repairs {
    let mut unreachable = find_unreachable(graph, vectors);
    let count_before = unreachable.len();
    for _ in 0..MAX_REPAIR_ROUNDS {
        if unreachable.is_empty() {
            break;
        }
        for Unreachable { node, found } in &unreachable {
            add_links_to(graph, *node, found);
        }
        // A new link can redirect the search for another node, so all nodes are checked again.
        unreachable = find_unreachable(graph, vectors);
    }
    Repairs {
        repaired: count_before.saturating_sub(unreachable.len()),
        unreachable: unreachable.into_iter().map(|unreachable| unreachable.node).collect(),
    }
}

/// A node that the search for its own vector does not return, and the nodes that the search returns instead, nearest
/// first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Unreachable {
    node: u32,
    found: Vec<u32>,
}

/// Returns the unreachable nodes, in ascending order.
fn find_unreachable(graph: &Graph, vectors: NodeVectors) -> Vec<Unreachable> {
    thread_local! {
        static BUFFERS: RefCell<(GraphSearch, QuantizedQuery, Vec<u8>)> = RefCell::default();
    }
    let check = |node: u32| {
        BUFFERS.with_borrow_mut(|(search, query, bytes)| {
            query.set_vector(vectors.get(node), bytes);
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

/// Adds links to `node` from the nearest nodes in `found` that have an unused entry in their list of links and no link
/// to `node` yet: at most [`REPAIR_LINKS`] links.
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
