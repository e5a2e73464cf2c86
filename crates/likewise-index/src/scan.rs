//! Exact search over quantized vectors: a scan selects every vector that may be among the nearest, and the caller
//! scores those with the `f32` vectors.
//!
//! The selection is exact, because the error of a quantized score is bounded by the quantization errors of the vector
//! and of the query (Cauchy & Schwarz). A vector that scores more than twice this bound below the k-th best score is
//! not among the k nearest, and few other vectors remain. A scan is limited by memory bandwidth, and quantized vectors
//! are a quarter of the size of the `f32` ones.

use super::graph::Graph;
use super::quantized::{QuantizedQuery, QuantizedVectors};
use rayon::prelude::*;

/// Nodes that one task scans: large enough to outweigh the overhead of a task, small enough to spread over the cores.
const TASK_NODES: usize = 2048;

/// Nodes that are multiplied with both parts of the query while their vectors stay in the L1 cache.
const BLOCK_NODES: usize = 64;

/// Allowance for the rounding of float sums, in addition to the quantization errors.
const FLOAT_ERROR: f32 = 1e-5;

/// A query that is quantized in two stages: the second part is the quantized rounding error of the first.
pub struct ResidualQuery<'q> {
    vector: &'q [f32],
    coarse: QuantizedQuery,
    residual: QuantizedQuery,
    /// Length of the rounding error that both parts leave.
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

    /// The largest difference of a quantized score and the cosine.
    fn max_score_error(&self, graph: &Graph) -> f32 {
        graph.error + self.error * (1.0 + graph.error) + FLOAT_ERROR
    }

    /// Approximate cosines of the query and the vectors of `nodes`, in order. `products` is scratch space.
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

/// The nodes that may be among the `k` nearest of `nodes`, in no order. `nodes` is `None`: all nodes.
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

/// Removes the nodes that score more than `margin` below the `k`-th best.
fn retain_candidates(scored: &mut Vec<ScoredNode>, k: usize, margin: f32) {
    if scored.len() <= k || k == 0 {
        return;
    }
    let (_, kth_best, _) = scored.select_nth_unstable_by(k - 1, |a, b| b.score.total_cmp(&a.score));
    let threshold = kth_best.score - margin;
    scored.retain(|scored| scored.score >= threshold);
}
