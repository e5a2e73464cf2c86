//! Exact search over quantized vectors: a scan selects every vector that can be among the nearest, and the caller
//! scores the selected vectors with their `f32` values.
//!
//! The selection is exact, because the error of a quantized score is bounded by the quantization errors of the vector
//! and of the query (Cauchy & Schwarz). The scan scores the k best vectors exactly. A vector whose quantized score is
//! more than the bound below the worst of these exact scores cannot be among the k nearest, so it is not selected. Few
//! vectors are selected. The scan reads quantized vectors because memory bandwidth limits its speed, and a quantized
//! vector is an eighth or a quarter of the size of the `f32` vector.

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
/// graph are scanned. If `k` is 0, returns all scanned nodes. `exact` computes the cosine of the query and the `f32`
/// vector of a node.
pub fn candidates(
    graph: &Graph,
    query: &ResidualQuery,
    k: usize,
    nodes: Option<&[u32]>,
    mut exact: impl FnMut(u32) -> f32,
) -> Vec<u32> {
    let error = query.max_score_error(graph);
    let mut scored = scan(graph, query, nodes, |scored| {
        // The exact score of the task's k-th best node can be lower than its quantized score, also by `error`.
        if let Some(nearest) = k_best(scored, k) {
            let kth_best = nearest.iter().map(|scored| scored.score).fold(f32::INFINITY, f32::min);
            scored.retain(|scored| scored.score >= kth_best - 2.0 * error);
        }
    });
    if let Some(nearest) = k_best(&mut scored, k) {
        let kth_best = nearest.iter().map(|scored| exact(scored.node)).fold(f32::INFINITY, f32::min);
        scored.retain(|scored| scored.score >= kth_best - error);
    }
    scored.into_iter().map(|scored| scored.node).collect()
}

/// Returns the nodes whose exact score can be `min_score` or more, ascending. If `nodes` is `None`, all nodes of the
/// graph are scanned.
pub fn candidates_above(
    graph: &Graph,
    query: &ResidualQuery,
    min_score: f32,
    nodes: Option<&[u32]>,
) -> Vec<u32> {
    let threshold = min_score - query.max_score_error(graph);
    let scored = scan(graph, query, nodes, |scored| scored.retain(|scored| scored.score >= threshold));
    scored.into_iter().map(|scored| scored.node).collect()
}

/// Scores `nodes`, or all nodes of the graph, on all cores. Calls `select` on the nodes of every task, so that not all
/// scores are in memory at once.
fn scan(
    graph: &Graph,
    query: &ResidualQuery,
    nodes: Option<&[u32]>,
    select: impl Fn(&mut Vec<ScoredNode>) + Sync,
) -> Vec<ScoredNode> {
    let count = nodes.map_or(graph.count(), <[u32]>::len);
    let task = |task: usize| {
        let range = task * TASK_NODES..count.min((task + 1) * TASK_NODES);
        let mut scored = match nodes {
            Some(nodes) => scored(graph, query, nodes[range].iter().copied()),
            None => scored(graph, query, range.start as u32..range.end as u32),
        };
        select(&mut scored);
        scored
    };
    (0..count.div_ceil(TASK_NODES)).into_par_iter().flat_map_iter(task).collect()
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

/// Moves the `k` nodes with the best scores to the front, and returns them, in no order. `None`: there are at most `k`
/// nodes, or `k` is 0.
fn k_best(scored: &mut [ScoredNode], k: usize) -> Option<&[ScoredNode]> {
    if scored.len() <= k || k == 0 {
        return None;
    }
    scored.select_nth_unstable_by(k - 1, |a, b| b.score.total_cmp(&a.score));
    Some(&scored[..k])
}
