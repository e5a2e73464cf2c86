//! How much of the exact answer an approximate one has.
//!
//! Its own file because tests, benchmarks and the program's own self-check must mean the same by it.

use crate::{Index, Neighbour, Segments, Slot, Vectors};
use rayon::prelude::*;

/// recall@k of an approximate answer against the exact one: the share of the `k` nearest that it has.
///
/// A hit that scores as high as the worst of the exact `k` counts, whichever of equals it is.
pub fn recall(found: &[Neighbour], exact: &[Neighbour]) -> f64 {
    let Some(worst) = exact.last() else { return 1.0 };
    let right = found.iter().take(exact.len()).filter(|hit| hit.score >= worst.score - 1e-6).count();
    right as f64 / exact.len() as f64
}

/// recall@10 of an index's walks against its own exact scan, over about `asked` of its vectors, as queries; 1 if it has
/// none.
pub fn probe(index: &Segments, vectors: &Vectors, asked: usize) -> f64 {
    let step = (index.len() / asked.max(1)).max(1);
    let asked: Vec<Slot> = (0..index.len() as Slot).step_by(step).collect();
    let ask = |slot: &Slot| {
        let query = vectors.get(*slot);
        recall(&index.search(query, 10, None), &index.scan(query, 10, None))
    };
    if asked.is_empty() { 1.0 } else { asked.par_iter().map(ask).sum::<f64>() / asked.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_count_and_misses_do_not() {
        let hits = |scores: &[f32]| {
            scores.iter().zip(0..).map(|(&score, slot)| Neighbour { slot, score }).collect::<Vec<_>>()
        };
        assert_eq!(recall(&hits(&[0.9, 0.8]), &hits(&[0.9, 0.8])), 1.0);
        assert_eq!(recall(&hits(&[0.9, 0.7]), &hits(&[0.9, 0.8])), 0.5);
        assert_eq!(recall(&[], &hits(&[0.9, 0.8])), 0.0);
        assert_eq!(recall(&[], &[]), 1.0);
    }
}
