//! The nearest papers → a list of them, each of which says something that those before it do not.
//!
//! Its own file because it is an order of its own, that of maximal marginal relevance (Carbonell & Goldstein 1998), and
//! because it needs the vectors of a deep pool, which no other order does.

use super::Ranked;
use super::resources::Resources;
use crate::error::Result;
use crate::search::vendi;
use likewise_index::dot;
use likewise_papers::PaperId;
use serde::Serialize;

/// From this cosine on, two papers say nearly the same: of 30 such pairs of conference papers, 29 are one work told again,
/// under another title, as an extended abstract, as a workshop's and a conference's; from 0.92 on it is about half.
pub const NEARLY_THE_SAME: f32 = 0.95;

/// Most hits whose Vendi Score is computed.
const SCORED: usize = 100;

/// How different the hits are, up to the last that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Diversity {
    /// Their Vendi Score: to how many papers that have nothing in common they come. At most the first 100 count.
    pub vendi: f32,
    /// The same of as many of the nearest, in plain order.
    pub plain: f32,
}

/// A hit, and what says nearly the same and stands behind it.
pub(super) type Folded = (Ranked, Vec<PaperId>);

/// The first `count` of `pool`, which is in order of nearness, when what says nearly the same as a nearer paper stands
/// behind that, and the others are put in the order of [`diverse`].
pub(super) fn diversified(
    resources: &Resources,
    pool: Vec<Ranked>,
    count: usize,
    diversity: f32,
) -> Result<(Vec<Folded>, Diversity)> {
    let ids: Vec<PaperId> = pool.iter().map(|ranked| ranked.paper.id.clone()).collect();
    let vectors = resources.holdings.vectors(&ids)?;
    let plain = spread(&vectors, count);
    let mut kept: Vec<(Folded, Option<Vec<f32>>)> = Vec::new();
    for (ranked, vector) in pool.into_iter().zip(vectors) {
        match kept.iter_mut().find(|(_, other)| similarity(&vector, other) >= NEARLY_THE_SAME) {
            Some(((_, behind), _)) => behind.push(ranked.paper.id),
            None => kept.push(((ranked, Vec::new()), vector)),
        }
    }
    let (folded, vectors): (Vec<Folded>, Vec<_>) = kept.into_iter().unzip();
    let scores: Vec<f32> = folded.iter().map(|(ranked, _)| ranked.score).collect();
    let order = diverse(&scores, &vectors, count, diversity);
    let vendi = spread(&taken(vectors, &order), count);
    Ok((taken(folded, &order), Diversity { vendi, plain }))
}

/// What stands in some places, each of which is named once, in their order.
pub fn taken<T>(items: Vec<T>, places: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places.iter().filter_map(|place| items[*place].take()).collect()
}

/// The Vendi Score of the first `count`.
fn spread(vectors: &[Option<Vec<f32>>], count: usize) -> f32 {
    let first: Vec<&[f32]> = vectors.iter().take(count.min(SCORED)).flatten().map(Vec::as_slice).collect();
    vendi(&first)
}

/// One without a vector is like nothing.
fn similarity(one: &Option<Vec<f32>>, other: &Option<Vec<f32>>) -> f32 {
    one.as_ref().zip(other.as_ref()).map_or(0.0, |(one, other)| dot(one, other))
}

/// The first `count` places of an order in which the next one is always that of most
/// `(1 - diversity) nearness - diversity similarity` to what was taken before. `scores` are what nearness is a share of the
/// best of, so that it weighs the same however scores are made; `vectors` are unit vectors. One without a vector is like
/// nothing.
pub fn diverse(scores: &[f32], vectors: &[Option<Vec<f32>>], count: usize, diversity: f32) -> Vec<usize> {
    let mut left: Vec<usize> = (0..scores.len().min(vectors.len())).collect();
    let mut nearest = vec![0.0_f32; left.len()];
    let best = scores.iter().copied().fold(0.0, f32::max);
    let best = if best > 0.0 { best } else { 1.0 };
    let mut order = Vec::with_capacity(count.min(left.len()));
    while order.len() < count && !left.is_empty() {
        let value = |place: usize| (1.0 - diversity) * scores[place] / best - diversity * nearest[place];
        // Of equal ones, the nearer, which is before.
        let next = (0..left.len()).rev().max_by(|a, b| value(left[*a]).total_cmp(&value(left[*b])));
        let taken = left.remove(next.unwrap_or_default());
        order.push(taken);
        for place in &left {
            nearest[*place] = nearest[*place].max(similarity(&vectors[taken], &vectors[*place]));
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
        let scores = [0.9, 0.89, 0.7, 0.1];
        assert_eq!(diverse(&scores, &vectors, 4, 0.4), [0, 2, 1, 3]);
        assert_eq!(diverse(&scores, &vectors, 2, 0.4), [0, 2]);
        assert_eq!(diverse(&scores, &vectors, 4, 0.0), [0, 1, 2, 3]);
        assert_eq!(diverse(&scores, &vectors, 4, 1.0), [0, 2, 3, 1]);
        let small = scores.map(|score| score / 100.0);
        assert_eq!(diverse(&small, &vectors, 4, 0.4), [0, 2, 1, 3], "scores of any size");
        assert_eq!(diverse(&[-0.1, -0.2], &vectors[..2], 2, 0.4), [0, 1]);
        assert!(diverse(&[], &[], 3, 0.4).is_empty());
    }
}
