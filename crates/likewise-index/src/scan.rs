//! The exact answer from codes: all are compared, and whatever may be among the nearest is compared again by
//! its vector.
//!
//! Its own file because "may be" is a proof. A score by codes is off by at most what rounding took from the
//! vector and from the query (Cauchy & Schwarz). So a vector whose score is more than twice that below the
//! k-th best score is not among the k nearest, and the others are few. The codes are a quarter of what the
//! vectors take to read, and reading is what a scan spends its time on.

use super::codes::{CodedQuery, Codes};
use super::graph::Graph;
use rayon::prelude::*;

/// Nodes that one task scans: enough to be worth a task, few enough to share out evenly.
const TASK: usize = 2048;

/// Nodes whose codes are multiplied twice, and stay in the core's nearest cache meanwhile.
const BLOCK: usize = 64;

/// What sums of floats may be off by, besides.
const SLACK: f32 = 1e-5;

/// A query in two codes: the second is of what the first one's rounding left.
pub struct FineQuery {
    coarse: CodedQuery,
    rest: CodedQuery,
    /// Length of what both leave.
    left: f32,
}

impl FineQuery {
    /// Of a unit vector.
    pub fn new(query: &[f32]) -> FineQuery {
        let (mut coarse, mut rest) = (CodedQuery::default(), CodedQuery::default());
        coarse.set_vector(query, &mut Vec::new());
        let left: Vec<f32> = query.iter().zip(coarse.values()).map(|(value, coded)| value - coded).collect();
        rest.set_vector(&left, &mut Vec::new());
        let left = left.iter().zip(rest.values()).map(|(value, coded)| (value - coded).powi(2)).sum::<f32>();
        FineQuery { coarse, rest, left: left.sqrt() }
    }

    /// How far a score by codes may be from the cosine.
    fn error(&self, graph: &Graph) -> f32 {
        graph.error + self.left * (1.0 + graph.error) + SLACK
    }

    fn scores<'a>(
        &'a self,
        codes: Codes<'a>,
        nodes: &'a [u32],
        room: &'a mut [Vec<i32>; 2],
    ) -> impl Iterator<Item = f32> + 'a {
        let [first, second] = room;
        let rest = codes.scores(&self.rest, nodes, second);
        codes.scores(&self.coarse, nodes, first).zip(rest).map(|(coarse, rest)| coarse + rest)
    }
}

/// The nodes that may be among the `k` nearest of `nodes` (of all, for `None`), in no order.
pub fn candidates(graph: &Graph, query: &FineQuery, k: usize, nodes: Option<&[u32]>) -> Vec<u32> {
    let count = nodes.map_or(graph.count(), <[u32]>::len);
    let margin = 2.0 * query.error(graph);
    let task = |task: usize| {
        let range = task * TASK..count.min((task + 1) * TASK);
        let mut scored = match nodes {
            Some(nodes) => scored(graph, query, nodes[range].iter().copied()),
            None => scored(graph, query, range.start as u32..range.end as u32),
        };
        keep(&mut scored, k, margin);
        scored
    };
    let mut scored: Vec<(f32, u32)> = (0..count.div_ceil(TASK)).into_par_iter().flat_map_iter(task).collect();
    keep(&mut scored, k, margin);
    scored.into_iter().map(|(_, node)| node).collect()
}

fn scored(graph: &Graph, query: &FineQuery, nodes: impl ExactSizeIterator<Item = u32>) -> Vec<(f32, u32)> {
    let (codes, mut scored, mut room) =
        (graph.codes(), Vec::with_capacity(nodes.len()), <[Vec<i32>; 2]>::default());
    let mut block = Vec::with_capacity(BLOCK);
    let mut nodes = nodes.peekable();
    while nodes.peek().is_some() {
        block.clear();
        block.extend(nodes.by_ref().take(BLOCK));
        scored.extend(query.scores(codes, &block, &mut room).zip(block.iter().copied()));
    }
    scored
}

/// Keeps what is at most `margin` below the `k`-th best.
fn keep(scored: &mut Vec<(f32, u32)>, k: usize, margin: f32) {
    if scored.len() <= k || k == 0 {
        return;
    }
    let (_, least, _) = scored.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
    let least = least.0 - margin;
    scored.retain(|(score, _)| *score >= least);
}
