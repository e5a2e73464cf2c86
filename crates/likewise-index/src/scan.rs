//! Exact search over quantized vectors: a scan selects every vector that can be among the nearest, and the caller
//! scores the selected vectors with their `f32` values.
//!
//! The selection is exact, because the error of a quantized score is bounded by the quantization errors of the vector
//! and of the query (Cauchy & Schwarz). A vector whose score is more than twice this bound below the k-th best score
//! cannot be among the k nearest, so it is not selected. Few vectors are selected. The scan reads quantized vectors
//! because memory bandwidth limits its speed, and a quantized vector is a quarter of the size of the `f32` vector.

use super::graph::Graph;
use super::quantized::{QuantizedQuery, QuantizedVectors};
use rayon::prelude::*;

/// Number of nodes that one task scans. It is large enough to outweigh the overhead of a task, and small enough to
/// spread a scan over all cores.
const TASK_NODES: usize = 2048;

/// Number of nodes that are multiplied by the two parts of the query while the vectors of the nodes stay in the L1
/// cache.
const BLOCK_NODES: usize = 64;

/// Allowance for the rounding of float sums, in addition to the quantization errors.
const FLOAT_ERROR: f32 = 1e-5;

/// A query that is quantized in two parts: the second part is the quantized rounding error of the first part.
pub struct ResidualQuery<'q> {
    vector: &'q [f32],
    coarse: QuantizedQuery,
    residual: QuantizedQuery,
    /// Length of the rounding error that remains after both parts.
    error: f32,
}

impl<'q> ResidualQuery<'q> {
    /// Quantizes a unit vector.
    pub fn new(vector: &'q [f32]) -> ResidualQuery<'q> {
        let (mut coarse, mut residual) = (QuantizedQuery::default(), QuantizedQuery::default());
        coarse.set_vector(vector, &mut Vec::new());
        let rest: Vec<f32> =
            vector.iter().zip(coarse.values()).map(|(value, quantized)| value - quantized).collect();
        residual.set_vector(&rest, &mut Vec::new());
        let squared_error = rest
            .iter()
            .zip(residual.values())
            .map(|(value, quantized)| (value - quantized).powi(2))
            .sum::<f32>();
        ResidualQuery { vector, coarse, residual, error: squared_error.sqrt() }
    }

    /// The vector that was quantized.
    pub fn vector(&self) -> &'q [f32] {
        self.vector
    }

    /// Maximum difference between a quantized score and the exact cosine.
    fn max_score_error(&self, graph: &Graph) -> f32 {
        graph.error + self.error * (1.0 + graph.error) + FLOAT_ERROR
    }

    /// Approximate cosines of the query and the vectors of `nodes`, in order. `products` is working memory.
    fn scores<'a>(
        &'a self,
        quantized: QuantizedVectors<'a>,
        nodes: &'a [u32],
        products: &'a mut [Vec<i32>; 2],
    ) -> impl Iterator<Item = f32> + 'a {
        let [first, second] = products;
        let residual = quantized.scores(&self.residual, nodes, second);
        quantized.scores(&self.coarse, nodes, first).zip(residual).map(|(coarse, residual)| coarse + residual)
    }
}

#[derive(Clone, Copy)]
struct ScoredNode {
    node: u32,
    score: f32,
}

/// Returns the nodes that can be among the `k` nearest of `nodes`, in no order. If `nodes` is `None`, all nodes of the
/// graph are scanned. If `k` is 0, returns all scanned nodes.
pub fn candidates(graph: &Graph, query: &ResidualQuery, k: usize, nodes: Option<&[u32]>) -> Vec<u32> {
    let count = nodes.map_or(graph.count(), <[u32]>::len);
    let margin = 2.0 * query.max_score_error(graph);
    let task = |task: usize| {
        let range = task * TASK_NODES..count.min((task + 1) * TASK_NODES);
        let mut scored = match nodes {
            Some(nodes) => scored(graph, query, nodes[range].iter().copied()),
            None => scored(graph, query, range.start as u32..range.end as u32),
        };
        retain_candidates(&mut scored, k, margin);
        scored
    };
    let tasks = (0..count.div_ceil(TASK_NODES)).into_par_iter();
    let mut scored: Vec<ScoredNode> = tasks.flat_map_iter(task).collect();
    retain_candidates(&mut scored, k, margin);
    scored.into_iter().map(|scored| scored.node).collect()
}

fn scored(
    graph: &Graph,
    query: &ResidualQuery,
    nodes: impl ExactSizeIterator<Item = u32>,
) -> Vec<ScoredNode> {
    let (quantized, mut scored, mut products) =
        (graph.quantized(), Vec::with_capacity(nodes.len()), <[Vec<i32>; 2]>::default());
    let mut block = Vec::with_capacity(BLOCK_NODES);
    let mut nodes = nodes.peekable();
    while nodes.peek().is_some() {
        block.clear();
        block.extend(nodes.by_ref().take(BLOCK_NODES));
        let scores = query.scores(quantized, &block, &mut products);
        scored.extend(scores.zip(&block).map(|(score, node)| ScoredNode { node: *node, score }));
    }
    scored
}

/// Removes the nodes whose score is more than `margin` below the `k`-th best score. Removes none if `k` is 0.
fn retain_candidates(scored: &mut Vec<ScoredNode>, k: usize, margin: f32) {
    if scored.len() <= k || k == 0 {
        return;
    }
    let (_, kth_best, _) = scored.select_nth_unstable_by(k - 1, |a, b| b.score.total_cmp(&a.score));
    let threshold = kth_best.score - margin;
    scored.retain(|scored| scored.score >= threshold);
}
