//! The promise that no stored vector is lost: every node is looked for, and linked again if it is not found.
//!
//! Its own file because it is a promise of its own, which HNSW does not make: links are taken from a node when
//! nearer ones come, and the last one that leads to it may be among them.

use super::build::by_path;
use super::codes::CodedQuery;
use super::graph::{Graph, NONE};
use super::walk::{EF_SEARCH, Walk};
use rayon::prelude::*;
use std::cell::RefCell;

/// Nearest candidates that a node must be among: so many are scored again with the vectors, at least.
pub const AMONG: usize = 12;

/// Candidates of a first look for a node. What it finds first of all, a walk with more finds too, since that
/// begins by following the same candidates in the same order.
const EF_FIRST: usize = 16;

/// Nodes that a lost one is linked from.
const HELPERS: usize = 4;

/// Times that lost nodes are linked again.
const ROUNDS: usize = 3;

/// What became of the nodes that were not found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairs {
    /// How many are found since they were linked again.
    pub repaired: usize,
    /// The nodes that are not found, ascending: whoever searches compares them with every query.
    pub lost: Vec<u32>,
}

/// Looks for every node, and links those again that are not found.
pub fn repair(graph: &mut Graph) -> Repairs {
    let mut lost = lost(graph);
    let at_first = lost.len();
    for _ in 0..ROUNDS {
        if lost.is_empty() {
            break;
        }
        for (node, near) in &lost {
            help(graph, *node, near);
        }
        // A new link can lead a walk elsewhere: all are looked for again.
        lost = self::lost(graph);
    }
    Repairs {
        repaired: at_first.saturating_sub(lost.len()),
        lost: lost.into_iter().map(|(node, _)| node).collect(),
    }
}

/// The nodes that are not found, ascending, and what is found in their place.
fn lost(graph: &Graph) -> Vec<(u32, Vec<u32>)> {
    thread_local! {
        static ROOM: RefCell<(Walk, CodedQuery)> = RefCell::default();
    }
    let look = |node: u32| {
        ROOM.with_borrow_mut(|(walk, query)| {
            query.set_node(graph.codes(), node);
            let mut finds = |ef, among| {
                let found = walk.nearest(graph, query, ef);
                let is_found = found.iter().take(among).any(|candidate| candidate.place() == node);
                let others = || found.iter().map(|candidate| candidate.place()).collect();
                if is_found { Ok(()) } else { Err(others()) }
            };
            let near: Vec<u32> = finds(EF_FIRST, 1).or_else(|_| finds(EF_SEARCH, AMONG)).err()?;
            Some((node, near))
        })
    };
    let all: Vec<u32> = (0..graph.count() as u32).collect();
    let mut lost: Vec<_> = by_path(graph, &all).into_par_iter().filter_map(look).collect();
    lost.sort_unstable();
    lost
}

/// Links a node from the nearest ones that have room.
fn help(graph: &mut Graph, node: u32, near: &[u32]) {
    let lowest = &mut graph.layers[0];
    let (degree, links) = (lowest.degree, lowest.links.to_mut());
    let mut left = HELPERS;
    for &other in near.iter().filter(|other| **other != node) {
        let links = &mut links[other as usize * degree..][..degree];
        if links.contains(&node) {
            continue;
        }
        if let Some(free) = links.iter_mut().find(|link| **link == NONE) {
            *free = node;
            left -= 1;
        }
        if left == 0 {
            return;
        }
    }
}
