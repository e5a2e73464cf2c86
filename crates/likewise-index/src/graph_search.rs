//! Greedy search of an HNSW graph.
//!
//! Building a graph and answering queries spend most of their time in this module. This module implements algorithms 2
//! and 5 of Malkov & Yashunin (Efficient and robust approximate nearest neighbor search using HNSW graphs). One sorted
//! list contains the candidates as well as the results of algorithm 2. A search takes no locks, and allocates no memory
//! once its buffers are large enough.

use super::graph::{Graph, GraphLayer};
use super::quantized::{QuantizedQuery, prefetch};

/// Number of candidates of a search without a filter for at most 64 results; `ef` in the HNSW paper. Other searches
/// have more candidates ([`ef_search`](crate::ef_search)). With this number, recall@10 is above 0.99 on real abstracts.
pub const EF_SEARCH: usize = 96;

/// The highest bit of a candidate's position. It is set once the candidate's links have been followed.
const EXPANDED: u32 = 1 << 31;

/// The links of a new candidate are prefetched if the candidate ranks at most this many places behind the next
/// candidate to expand.
const PREFETCH_DISTANCE: usize = 3;

/// Maximum number of candidates that are expanded in one step. The vectors of all their links are scored together, so
/// that the CPU waits less often for the first vectors to arrive from memory. With larger steps, more of the scored
/// vectors are useless.
const STEP_WIDTH: usize = 2;

/// A step expands only candidates among this many nearest candidates, unless all of them are expanded. Searches with at
/// least this many candidates therefore begin with the same steps; see `check.rs`.
pub const NEAREST_FIRST: usize = 16;

/// A node that a search has found.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Approximate cosine to the query, from the quantized vectors.
    pub score: f32,
    position: u32,
}

impl Candidate {
    /// The node's position in the layer that was searched. In the lowest layer this is the node itself.
    pub fn position(&self) -> u32 {
        self.position & !EXPANDED
    }
}

/// Searches graphs, and keeps its buffers from one search to the next.
#[derive(Default)]
pub struct GraphSearch {
    visited: Visited,
    /// The candidates of the current search, nearest first.
    candidates: Vec<Candidate>,
    positions: Vec<u32>,
    nodes: Vec<u32>,
    products: Vec<i32>,
}

impl GraphSearch {
    /// Searches the graph. Returns the `ef` nearest nodes that the search finds, nearest first.
    pub fn nearest(&mut self, graph: &Graph, query: &QuantizedQuery, ef: usize) -> &[Candidate] {
        let start = self.descend(graph, query, 0);
        self.search_layer(graph, 0, query, ef, start)
    }

    /// Descends from the entry point to `layer`. Returns the node at which to start the search of that layer.
    pub fn descend(&mut self, graph: &Graph, query: &QuantizedQuery, layer: usize) -> u32 {
        self.path(graph, query, layer).last().unwrap_or(graph.entry)
    }

    /// Returns the nearest node found in each layer above `layer`, from the highest layer down. Queries with similar
    /// paths visit mostly the same nodes, so running such queries one after the other keeps these nodes in the CPU's
    /// caches.
    pub fn path(&mut self, graph: &Graph, query: &QuantizedQuery, layer: usize) -> impl Iterator<Item = u32> {
        let mut node = graph.entry;
        (layer + 1..graph.layers.len()).rev().map(move |index| {
            let position = self.search_layer(graph, index, query, 1, node)[0].position();
            node = graph.layer(index).node(position);
            node
        })
    }

    /// Searches a layer, starting at the node `start`. Returns the `ef` nearest nodes that the search finds, nearest
    /// first.
    pub fn search_layer(
        &mut self,
        graph: &Graph,
        layer: usize,
        query: &QuantizedQuery,
        ef: usize,
        start: u32,
    ) -> &[Candidate] {
        let (quantized, layer) = (graph.quantized(), graph.layer(layer));
        self.visited.reset(layer.count());
        self.candidates.clear();
        self.positions.clear();
        self.visited.append_new(&[layer.position(start)], &mut self.positions);
        let mut next = 0;
        loop {
            let nodes = nodes_at(layer, &self.positions, &mut self.nodes);
            let scores = quantized.scores(query, nodes, &mut self.products);
            for (score, &position) in scores.zip(&self.positions) {
                if self.candidates.len() == ef {
                    if self.candidates[ef - 1].score >= score {
                        continue;
                    }
                    self.candidates.pop();
                }
                let rank = self.candidates.partition_point(|other| other.score >= score);
                self.candidates.insert(rank, Candidate { score, position });
                if rank <= next + PREFETCH_DISTANCE {
                    prefetch(layer.links(position));
                }
                next = next.min(rank);
            }
            let is_expanded = |candidate: &Candidate| candidate.position & EXPANDED != 0;
            while self.candidates.get(next).is_some_and(is_expanded) {
                next += 1;
            }
            if next == self.candidates.len() {
                return &self.candidates;
            }
            let end = if next < NEAREST_FIRST {
                NEAREST_FIRST.min(self.candidates.len())
            } else {
                self.candidates.len()
            };
            let to_expand = self.candidates[next..end].iter_mut().filter(|candidate| !is_expanded(candidate));
            self.positions.clear();
            for candidate in to_expand.take(STEP_WIDTH) {
                self.visited.append_new(layer.links(candidate.position()), &mut self.positions);
                candidate.position |= EXPANDED;
            }
        }
    }
}

fn nodes_at<'a>(layer: GraphLayer, positions: &'a [u32], nodes: &'a mut Vec<u32>) -> &'a [u32] {
    if layer.is_lowest() {
        return positions;
    }
    nodes.clear();
    nodes.extend(positions.iter().map(|position| layer.node(*position)));
    nodes
}

/// The positions that a search has visited, as a bit set.
#[derive(Default)]
struct Visited {
    bits: Vec<u64>,
    /// The visited positions as a list, so that `reset` clears only the bits of these positions.
    positions: Vec<u32>,
    count: usize,
}

impl Visited {
    /// Clears the set, for a layer of `count` positions.
    fn reset(&mut self, count: usize) {
        for position in self.positions.drain(..) {
            self.bits[position as usize / 64] = 0;
        }
        if self.bits.len() < count.div_ceil(64) {
            self.bits.resize(count.div_ceil(64), 0);
        }
        self.count = count;
    }

    /// Adds `links` to the set, and appends the links that were not in the set before to `new`. Ignores links that are
    /// not positions of the layer: `NONE`, and values from a damaged file.
    fn append_new(&mut self, links: &[u32], new: &mut Vec<u32>) {
        let old = new.len();
        let mut kept = old;
        new.resize(old + links.len(), 0);
        for &link in links {
            let is_position = (link as usize) < self.count;
            let link = if is_position { link } else { 0 };
            let (bits, bit) = (&mut self.bits[link as usize / 64], u64::from(is_position) << (link % 64));
            new[kept] = link;
            // This line has no branch, because about half of the links are new, so the CPU could not predict a branch.
            kept += usize::from(is_position & (*bits & bit == 0));
            *bits |= bit;
        }
        new.truncate(kept);
        self.positions.extend_from_slice(&new[old..]);
    }
}
