//! Papers near a question → the same papers, so that each says something that those before it do not.
//!
//! Its own file because it is an order of its own: maximal marginal relevance (Carbonell & Goldstein 1998, section 2).

use crate::index::dot;

/// How much nearness counts beside difference.
const NEARNESS: f32 = 0.6;

/// The first `count` places of an order in which the next one is always that of most `0.6 nearness - 0.4 similarity` to
/// what was taken before; `scores` are nearness to the question, `vectors` unit vectors. One without a vector is like
/// nothing.
pub fn diverse(scores: &[f32], vectors: &[Option<Vec<f32>>], count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..scores.len().min(vectors.len())).collect();
    let mut nearest = vec![0.0_f32; left.len()];
    let mut order = Vec::with_capacity(count.min(left.len()));
    while order.len() < count && !left.is_empty() {
        let value = |place: usize| NEARNESS * scores[place] - (1.0 - NEARNESS) * nearest[place];
        // Of equal ones, the nearer, which is before.
        let best = (0..left.len()).rev().max_by(|a, b| value(left[*a]).total_cmp(&value(left[*b])));
        let taken = left.remove(best.unwrap_or_default());
        order.push(taken);
        let Some(vector) = &vectors[taken] else { continue };
        for place in &left {
            if let Some(other) = &vectors[*place] {
                nearest[*place] = nearest[*place].max(dot(vector, other));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_comes_later() {
        let vectors = [Some(vec![1.0, 0.0]), Some(vec![0.999, 0.04]), Some(vec![0.0, 1.0]), None];
        assert_eq!(diverse(&[0.9, 0.89, 0.7, 0.1], &vectors, 4), [0, 2, 1, 3]);
        assert_eq!(diverse(&[0.9, 0.89, 0.7, 0.1], &vectors, 2), [0, 2]);
        assert!(diverse(&[], &[], 3).is_empty());
    }
}
