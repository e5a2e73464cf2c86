//! Recall of an approximate search: the fraction of the exact result that the search returns.
//!
//! [`probe`], with which the program checks an index, and the benchmarks use this definition.

use crate::{Index, Neighbour, Segments, Slot, Vectors};
use rayon::prelude::*;

/// Returns recall@k of an approximate result, where `k` is the number of hits in `exact`: the number of correct hits
/// among the first `k` hits in `found`, divided by `k`. Returns 1 if `exact` is empty.
///
/// A hit counts as correct if its score is at least as high as that of the worst exact hit, less 1e-6 for rounding.
/// Any of several equally near vectors will therefore do.
pub fn recall(found: &[Neighbour], exact: &[Neighbour]) -> f64 {
    let Some(worst) = exact.last() else { return 1.0 };
    let correct = found.iter().take(exact.len()).filter(|hit| hit.score >= worst.score - 1e-6).count();
    correct as f64 / exact.len() as f64
}

/// Returns the mean recall@10 of the searches of an index, compared with exact scans of the same index. The queries are
/// vectors of the index, evenly spaced: at least `count` and fewer than `2 * count`, or all vectors if the index has
/// fewer than `count`. Returns 1 if the index is empty.
pub fn probe(index: &Segments, vectors: &Vectors, count: usize) -> f64 {
    let step = (index.len() / count.max(1)).max(1);
    let slots: Vec<Slot> = (0..index.len() as Slot).step_by(step).collect();
    let recall_of = |slot: &Slot| {
        let query = vectors.get(*slot);
        recall(&index.search(query, 10, None), &index.scan(query, 10, None))
    };
    if slots.is_empty() { 1.0 } else { slots.par_iter().map(recall_of).sum::<f64>() / slots.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_equal_scores_and_no_misses() {
        let hits = |scores: &[f32]| {
            scores.iter().zip(0..).map(|(&score, slot)| Neighbour { slot, score }).collect::<Vec<_>>()
        };
        assert_eq!(recall(&hits(&[0.9, 0.8]), &hits(&[0.9, 0.8])), 1.0);
        assert_eq!(recall(&hits(&[0.9, 0.7]), &hits(&[0.9, 0.8])), 0.5);
        assert_eq!(recall(&[], &hits(&[0.9, 0.8])), 0.0);
        assert_eq!(recall(&[], &[]), 1.0);
    }
}
