//! An immutable segment: the graph over a range of slots. [`file`](mod@file) writes and maps it.

pub mod file;

use super::build::{self, HnswParams};
use super::check::{self, MIN_RERANKED, Repairs};
use super::graph::Graph;
use super::graph_search::{Candidate, GraphSearch};
use super::quantized::{QuantizedQuery, prefetch};
use super::scan::{self, ResidualQuery};
use super::vectors::NodeVectors;
use super::{Neighbour, SearchParams, cosine};
use crate::{Slot, Vectors};
use roaring::RoaringBitmap;
use std::cell::RefCell;
use std::ops::Range;

/// A search scores a candidate again with its `f32` vector unless the candidate's quantized score is more than this many
/// standard deviations of the quantization error below the k-th best score so far.
const RERANK_DEVIATIONS: f32 = 1.5;

/// Number of vectors that are prefetched ahead of the one that is scored.
const RERANK_AHEAD: usize = 3;

/// A graph over the slots `first..first + len`, and the slots that searches of the graph cannot find.
#[derive(Debug, Clone)]
pub struct Segment {
    graph: Graph,
    first: Slot,
    repairs: Repairs,
    params: HnswParams,
}

thread_local! {
    static BUFFERS: RefCell<(GraphSearch, QuantizedQuery, Vec<u8>)> = RefCell::default();
}

impl Segment {
    /// Builds a segment over the vectors in `slots`, on all cores.
    ///
    /// # Panics
    /// If `slots` is empty.
    pub fn build(vectors: &Vectors, slots: Range<Slot>, params: HnswParams) -> Segment {
        let first = slots.start;
        Segment::repaired(build::build(vectors, slots, params), NodeVectors { vectors, first }, params)
    }

    /// Builds a segment of the slots of this segment and of the slots after them, up to `end`.
    pub fn extend(&self, vectors: &Vectors, end: Slot) -> Segment {
        let graph = build::extend(self.graph.clone(), vectors, self.slots().end..end, self.params);
        Segment::repaired(graph, NodeVectors { vectors, first: self.first }, self.params)
    }

    fn repaired(mut graph: Graph, vectors: NodeVectors, params: HnswParams) -> Segment {
        let repairs = check::repair(&mut graph, vectors);
        Segment { graph, first: vectors.first, repairs, params }
    }

    /// The slots of the segment.
    pub fn slots(&self) -> Range<Slot> {
        self.first..self.first + self.graph.count() as Slot
    }

    /// Whether the segment can belong to these vectors: they include all slots of the segment, and have its dimension
    /// (rounded up to the number of values that a row of bytes has).
    pub fn fits(&self, vectors: &Vectors) -> bool {
        self.graph.stride == self.graph.bits.stride(vectors.dimension())
            && self.slots().end as usize <= vectors.len()
    }

    /// The segment's graph. Node 0 is the first slot of the segment.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How many unreachable nodes were repaired when the segment was built, and which nodes are still unreachable.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// Searches the graph for the `k` nearest slots for which `passes` returns true. Appends the slots that it finds to
    /// `found`, in no order: more than `k`, or fewer if few of the candidates pass. Their scores are the cosines
    /// between the query and their `f32` vectors.
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        SearchParams { k, ef }: SearchParams,
        passes: impl Fn(Slot) -> bool,
        found: &mut Vec<Neighbour>,
    ) {
        BUFFERS.with_borrow_mut(|(search, quantized, bytes)| {
            quantized.set_vector(query, bytes);
            let min_reranked = MIN_RERANKED.max(k);
            let candidates = search.nearest(&self.graph, quantized, ef.max(min_reranked));
            let mut passing = candidates.iter().filter(|candidate| passes(self.slot(candidate)));
            let mut fetched = Vec::new();
            let mut score = |slot| scored(vectors, query, slot, &mut fetched);
            let first: Vec<Slot> =
                passing.by_ref().take(min_reranked).map(|candidate| self.slot(candidate)).collect();
            score_prefetched(vectors, &first, &mut score, found);
            let mut best = BestScores::of(&found[found.len() - first.len()..], k);
            let margin = RERANK_DEVIATIONS * self.score_deviation(query.len());
            for candidate in passing {
                if candidate.score < best.kth() - margin {
                    break;
                }
                let scored = score(self.slot(candidate));
                best.insert(scored.score);
                found.push(scored);
            }
            let unreachable = self.repairs.unreachable.iter().map(|node| self.first + node);
            found.extend(unreachable.filter(|slot| passes(*slot)).map(score));
        });
    }

    /// Scans the segment for the `k` nearest allowed slots. If `allowed` is `None`, all slots are allowed. Appends all
    /// slots that can be among the `k` nearest, usually slightly more than `k`, to `found`, in no order. Their scores
    /// are the cosines between the query and their `f32` vectors.
    pub fn scan(
        &self,
        vectors: &Vectors,
        query: &ResidualQuery,
        k: usize,
        allowed: Option<&RoaringBitmap>,
        found: &mut Vec<Neighbour>,
    ) {
        let nodes = self.nodes(allowed);
        let mut fetched = Vec::new();
        let mut exact = |node| scored(vectors, query.vector(), self.first + node, &mut fetched);
        let candidates = scan::candidates(&self.graph, query, k, nodes.as_deref(), |node| exact(node).score);
        found.extend(candidates.into_iter().map(exact));
    }

    /// Scans the segment for the allowed slots whose score is at least `min_score`, and appends them to `found`, in
    /// ascending order. The scores are the cosines between the query and the `f32` vectors.
    pub fn scan_above(
        &self,
        vectors: &Vectors,
        query: &ResidualQuery,
        min_score: f32,
        allowed: Option<&RoaringBitmap>,
        found: &mut Vec<Neighbour>,
    ) {
        let candidates =
            scan::candidates_above(&self.graph, query, min_score, self.nodes(allowed).as_deref());
        let mut fetched = Vec::new();
        let exact = |node| scored(vectors, query.vector(), self.first + node, &mut fetched);
        found.extend(candidates.into_iter().map(exact).filter(|neighbour| neighbour.score >= min_score));
    }

    fn slot(&self, candidate: &Candidate) -> Slot {
        self.first + candidate.position()
    }

    /// Standard deviation of the difference between a quantized score and the cosine, for vectors of this dimension. The
    /// quantization error of a vector points in a random direction, so its component in the direction of the query is
    /// smaller than its length by the square root of the dimension.
    fn score_deviation(&self, dimension: usize) -> f32 {
        self.graph.error / (dimension as f32).sqrt()
    }

    /// The nodes of the allowed slots of this segment.
    fn nodes(&self, allowed: Option<&RoaringBitmap>) -> Option<Vec<u32>> {
        allowed.map(|allowed| allowed.range(self.slots()).map(|slot| slot - self.first).collect())
    }
}

/// Scores a slot with its `f32` vector. `buffer` is working memory.
fn scored(vectors: &Vectors, query: &[f32], slot: Slot, buffer: &mut Vec<f32>) -> Neighbour {
    Neighbour { slot, score: cosine(query, vectors.fetch(slot, buffer)) }
}

/// Scores slots, and appends them to `found`. Later vectors are prefetched while a vector is scored.
fn score_prefetched(
    vectors: &Vectors,
    slots: &[Slot],
    mut score: impl FnMut(Slot) -> Neighbour,
    found: &mut Vec<Neighbour>,
) {
    slots.iter().take(RERANK_AHEAD).for_each(|slot| prefetch(vectors.get(*slot)));
    for (index, slot) in slots.iter().enumerate() {
        if let Some(ahead) = slots.get(index + RERANK_AHEAD) {
            prefetch(vectors.get(*ahead));
        }
        found.push(score(*slot));
    }
}

/// The best `k` scores so far.
struct BestScores {
    k: usize,
    /// The scores, best first.
    scores: Vec<f32>,
}

impl BestScores {
    fn of(neighbours: &[Neighbour], k: usize) -> BestScores {
        let mut scores: Vec<f32> = neighbours.iter().map(|neighbour| neighbour.score).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores.truncate(k);
        BestScores { k, scores }
    }

    fn insert(&mut self, score: f32) {
        let rank = self.scores.partition_point(|other| *other >= score);
        if rank < self.k {
            self.scores.insert(rank, score);
            self.scores.truncate(self.k);
        }
    }

    /// The `k`-th best score; infinity if `k` is 0, negative infinity if there are fewer than `k` scores.
    fn kth(&self) -> f32 {
        match self.k {
            0 => f32::INFINITY,
            k => self.scores.get(k - 1).copied().unwrap_or(f32::NEG_INFINITY),
        }
    }
}
