//! Diversifies a ranking: merges near duplicates, and reorders by maximal marginal relevance (Carbonell & Goldstein
//! 1998).
//!
//! No other stage that orders candidates needs their vectors.

use super::RankedPaper;
use super::rerank::comparable_scores;
use super::resources::Resources;
use crate::error::Result;
use crate::search::vendi;
use likewise_index::dot;
use likewise_papers::PaperId;
use serde::Serialize;

/// Minimum cosine of two papers that are near duplicates. Of 30 such pairs of conference papers, 29 are the same work:
/// under another title, as an extended abstract, or at a workshop and a conference. With a minimum of 0.92, only about
/// half of the pairs are the same work.
pub const NEAR_DUPLICATE_COSINE: f32 = 0.95;

/// Maximum number of hits that the Vendi Score is computed over.
const MAX_VENDI_HITS: usize = 100;

/// Diversity of the ranking from its first hit to the last hit of the page.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Diversity {
    /// Vendi Score: the effective number of different papers among the hits, of which at most the first 100 count.
    pub vendi: f32,
    /// Vendi Score of the hits that the same query would have without `diversity`, for comparison.
    pub plain: f32,
}

/// A candidate, and the ids of its near duplicates that rank below it.
pub(super) type Merged = (RankedPaper, Vec<PaperId>);

/// Merges near duplicates in `candidates`, which are in the order of the ranking, best first. Returns the first `count`
/// candidates in the order of [`mmr`], and their diversity.
pub(super) fn diversified(
    resources: &Resources,
    candidates: Vec<RankedPaper>,
    count: usize,
    diversity: f32,
) -> Result<(Vec<Merged>, Diversity)> {
    let ids: Vec<PaperId> = candidates.iter().map(|ranked| ranked.paper.id.clone()).collect();
    let vectors = resources.store.vectors(&ids)?;
    let plain = vendi_of_first(&vectors, count);
    let mut kept: Vec<(Merged, Option<Vec<f32>>)> = Vec::new();
    for (ranked, vector) in candidates.into_iter().zip(vectors) {
        match kept.iter_mut().find(|(_, other)| cosine(&vector, other) >= NEAR_DUPLICATE_COSINE) {
            Some(((_, duplicates), _)) => duplicates.push(ranked.paper.id),
            None => kept.push(((ranked, Vec::new()), vector)),
        }
    }
    let (merged, vectors): (Vec<Merged>, Vec<_>) = kept.into_iter().unzip();
    let scores: Vec<_> = merged.iter().map(|(ranked, _)| (ranked.score, ranked.parts)).collect();
    let order = mmr(&comparable_scores(&scores), &vectors, count, diversity);
    let vendi = vendi_of_first(&take_at(vectors, &order), count);
    Ok((take_at(merged, &order), Diversity { vendi, plain }))
}

/// Returns the items at the given indices, in the order of the indices. The indices must be distinct.
pub fn take_at<T>(items: Vec<T>, indices: &[usize]) -> Vec<T> {
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    indices.iter().filter_map(|index| items[*index].take()).collect()
}

/// The Vendi Score of the first `count` vectors, or of the first [`MAX_VENDI_HITS`] vectors if `count` is larger.
fn vendi_of_first(vectors: &[Option<Vec<f32>>], count: usize) -> f32 {
    let first: Vec<&[f32]> =
        vectors.iter().take(count.min(MAX_VENDI_HITS)).flatten().map(Vec::as_slice).collect();
    vendi(&first)
}

/// The cosine of two vectors; 0 if a vector is missing.
fn cosine(one: &Option<Vec<f32>>, other: &Option<Vec<f32>>) -> f32 {
    one.as_ref().zip(other.as_ref()).map_or(0.0, |(one, other)| dot(one, other))
}

/// Orders items by maximal marginal relevance, and returns the indices of the first `count` items. The next item is
/// always the item with the largest value of `(1 - diversity) · score / best score - diversity · (largest cosine to an
/// item chosen before)`. A negative cosine counts as 0. Scores are divided by the best score, so that their scale has
/// no influence; if no score is above 0, they are not divided. Of items with equal values, the first is chosen.
/// `vectors` are unit vectors; an item without a vector has cosine 0 to every other item.
pub fn mmr(scores: &[f32], vectors: &[Option<Vec<f32>>], count: usize, diversity: f32) -> Vec<usize> {
    let mut remaining: Vec<usize> = (0..scores.len().min(vectors.len())).collect();
    let mut nearest = vec![0.0_f32; remaining.len()];
    let best = scores.iter().copied().fold(0.0, f32::max);
    let best = if best > 0.0 { best } else { 1.0 };
    let mut order = Vec::with_capacity(count.min(remaining.len()));
    while order.len() < count && !remaining.is_empty() {
        let value = |index: usize| (1.0 - diversity) * scores[index] / best - diversity * nearest[index];
        // The order is reversed, because `max_by` returns the last of several equal values, and ties must go to the
        // item that comes first.
        let positions = (0..remaining.len()).rev();
        let next = positions.max_by(|a, b| value(remaining[*a]).total_cmp(&value(remaining[*b])));
        let chosen = remaining.remove(next.unwrap_or_default());
        order.push(chosen);
        for index in &remaining {
            nearest[*index] = nearest[*index].max(cosine(&vectors[chosen], &vectors[*index]));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_similar_to_earlier_ones_move_down() {
        let vectors = [Some(vec![1.0, 0.0]), Some(vec![0.999, 0.04]), Some(vec![0.0, 1.0]), None];
        let scores = [0.9, 0.89, 0.7, 0.1];
        assert_eq!(mmr(&scores, &vectors, 4, 0.4), [0, 2, 1, 3]);
        assert_eq!(mmr(&scores, &vectors, 2, 0.4), [0, 2]);
        assert_eq!(mmr(&scores, &vectors, 4, 0.0), [0, 1, 2, 3]);
        assert_eq!(mmr(&scores, &vectors, 4, 1.0), [0, 2, 3, 1]);
        let small = scores.map(|score| score / 100.0);
        assert_eq!(mmr(&small, &vectors, 4, 0.4), [0, 2, 1, 3], "the scale of the scores does not matter");
        assert_eq!(mmr(&[-0.1, -0.2], &vectors[..2], 2, 0.4), [0, 1]);
        assert!(mmr(&[], &[], 3, 0.4).is_empty());
    }
}
