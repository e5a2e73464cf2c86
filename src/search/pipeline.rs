//! The stages of a search: resolve → retrieve → fuse → rerank → diversify → explain.
//!
//! Each stage is a function of the [`CheckedQuery`] and of the result of the previous stage.

use super::checked_query::CheckedQuery;
use super::clusters::interleave;
use super::explain::explain;
use super::hybrid::by_terms;
use super::mmr::diversified;
use super::paper_store::VectorQuery;
use super::recency::{recency, today};
use super::rerank::{RerankPairs, rerank, rerank_pairs};
use super::rerank_sentences::{Sentences, rerank_sentences};
use super::resolve::{ResolvedQuery, SubQuery, resolve};
use super::resources::{Resources, sort};
use super::{
    Aggregation, Answer, Diversity, Hit, MAX_K, Mode, NO_MATCH_PROBABILITY, Query, RankedPaper, ScoreDetails,
};
use crate::error::Result;
use crate::store::catalog::Filter;
use likewise_encoder::{Embedding, InputType, PairScore, encode_readable};
use std::collections::HashSet;

/// The candidates of a query, before reranking by sentences.
pub struct Retrieved {
    resolved: ResolvedQuery,
    candidates: Vec<RankedPaper>,
    no_match: bool,
}

impl Retrieved {
    /// The sentences that are compared for a query with `rerank_sentences`; the caller encodes them as documents.
    pub fn sentences(&self) -> Vec<&str> {
        Sentences::of(&self.resolved, &self.candidates).texts()
    }

    /// The pairs that the cross-encoder scores for a query with `rerank`; one entry per sub-query. Empty if the query
    /// does not set it.
    pub fn pairs(&self, query: &Query) -> Vec<RerankPairs> {
        query.rerank.map(|top| rerank_pairs(&self.resolved, &self.candidates, top)).unwrap_or_default()
    }
}

/// What a model has computed for the candidates of a query, between retrieval and reranking.
pub enum RerankInput {
    /// The query is not reranked.
    Nothing,
    /// The vectors of [`Retrieved::sentences`]; `None` for a sentence that the model cannot encode.
    Sentences(Vec<Option<Vec<f32>>>),
    /// The scores of [`Retrieved::pairs`], for each sub-query; `None` for a paper that the cross-encoder cannot read.
    Scores(Vec<Vec<Option<PairScore>>>),
}

/// Answers a query with the embeddings of its texts.
///
/// # Errors
/// Returns [`Error::Invalid`](crate::Error::Invalid) if the query is invalid,
/// [`Error::NotFound`](crate::Error::NotFound) if the query names a paper that the store lacks.
pub(super) fn answer(
    resources: &Resources,
    query: &CheckedQuery,
    embeddings: Vec<Embedding>,
) -> Result<Answer> {
    let retrieved = retrieve(resources, query, embeddings)?;
    let input = match &resources.reranker {
        Some(reranker) if query.rerank.is_some() => {
            let score = |pairs: &RerankPairs| {
                let documents: Vec<&str> = pairs.documents.iter().map(String::as_str).collect();
                Ok(reranker.score_readable(&pairs.query, &documents)?)
            };
            RerankInput::Scores(retrieved.pairs(query).iter().map(score).collect::<Result<_>>()?)
        }
        _ if query.rerank_sentences => {
            let encode = |texts: &[&str]| resources.encoder.encode(texts, InputType::Document);
            let encoded = encode_readable(&retrieved.sentences(), encode)?.into_iter();
            let vectors = encoded.map(|encoded| encoded.ok().map(|embedding| embedding.vector));
            RerankInput::Sentences(vectors.collect())
        }
        _ => RerankInput::Nothing,
    };
    finish(resources, query, retrieved, input)
}

/// Runs the stages before reranking.
///
/// # Errors
/// Returns the errors of [`answer`].
pub(super) fn retrieve(
    resources: &Resources,
    query: &CheckedQuery,
    embeddings: Vec<Embedding>,
) -> Result<Retrieved> {
    let resolved = resolve(resources, query, embeddings)?;
    let lists = (0..resolved.sub_queries.len()).map(|index| ranked_list(resources, query, index, &resolved));
    let mut candidates = fuse(lists.collect::<Result<_>>()?, &resolved, query.aggregation);
    // A filter or `min_score` disables the no-match cutoff.
    let is_open = query.min_score.is_none() && query.filter == Filter::default();
    let no_match = is_open && all_below_cutoff(&candidates);
    if no_match {
        candidates.clear();
    }
    Ok(Retrieved { resolved, candidates, no_match })
}

/// Runs reranking and all later stages.
pub(super) fn finish(
    resources: &Resources,
    query: &CheckedQuery,
    mut retrieved: Retrieved,
    input: RerankInput,
) -> Result<Answer> {
    match input {
        RerankInput::Nothing => {}
        RerankInput::Sentences(vectors) => {
            rerank_sentences(&retrieved.resolved, &mut retrieved.candidates, vectors);
        }
        RerankInput::Scores(scores) => {
            let pairs = retrieved.pairs(query);
            let sub_queries = &retrieved.resolved.sub_queries;
            rerank(&mut retrieved.candidates, &pairs, &scores, |sub_query, score| {
                resources.rerank_probability(sub_queries[sub_query].kind, score)
            });
        }
    }
    let Retrieved { resolved, candidates, no_match } = retrieved;
    let (mut hits, diversity) = diversify(resources, query, candidates)?;
    if query.explain {
        explain(resources, &resolved.sub_queries, query.mode, &mut hits)?;
    }
    let texts = resolved.texts.clone();
    Ok(Answer { hits, no_match, diversity, texts, query_vector: resolved.into_vector() })
}

/// Diversifies the candidates if the query's `diversity` is above 0, and returns the hits of the requested page.
fn diversify(
    resources: &Resources,
    query: &CheckedQuery,
    mut candidates: Vec<RankedPaper>,
) -> Result<(Vec<Hit>, Option<Diversity>)> {
    let Query { k, offset, diversity, .. } = **query;
    candidates.truncate(query.depth);
    let (mut merged, mut measured) = (Vec::new(), None);
    if diversity > 0.0 {
        let rest = candidates.split_off(candidates.len().min(MAX_K));
        let (first, of_first) = diversified(resources, candidates, offset + k, diversity)?;
        (merged, measured, candidates) = (first, Some(of_first), rest);
    }
    merged.extend(candidates.into_iter().map(|ranked| (ranked, Vec::new())));
    merged.truncate(offset + k);
    let hit = |(index, (ranked, near_duplicates))| {
        let RankedPaper { score, probability, parts, sub_query, paper } = ranked;
        Hit {
            rank: index + 1,
            score,
            probability,
            parts,
            near_duplicates,
            explanation: None,
            sub_query,
            paper,
        }
    };
    Ok((merged.into_iter().enumerate().skip(offset).map(hit).collect(), measured))
}

/// The candidates of one sub-query, best first.
fn ranked_list(
    resources: &Resources,
    query: &CheckedQuery,
    index: usize,
    resolved: &ResolvedQuery,
) -> Result<Vec<RankedPaper>> {
    let ResolvedQuery { sub_queries, excluded, .. } = resolved;
    let mut list = candidates(resources, query, &sub_queries[index], excluded.len())?;
    list.iter_mut().for_each(|ranked| ranked.sub_query = index);
    list.retain(|ranked| !excluded.contains(&ranked.paper.id));
    // A `min_score` of 0 keeps all candidates, including candidates with negative cosines.
    if let Some(min_score) = query.min_score.filter(|min_score| *min_score > 0.0) {
        list.retain(|ranked| ranked.probability.unwrap_or(ranked.score) >= min_score);
    }
    sort(&mut list);
    list.truncate(query.depth);
    if let Some(half_life) = query.half_life {
        let today = today();
        list.iter_mut().for_each(|ranked| decay(ranked, half_life, today));
        sort(&mut list);
    }
    Ok(list)
}

/// Retrieves candidates in no particular order: usually at least `depth + more`, fewer if fewer papers pass the filter
/// or, in lexical mode, if fewer papers have a term of the query. `more` makes up for the query's own papers, which are
/// removed from the candidates later.
fn candidates(
    resources: &Resources,
    query: &CheckedQuery,
    sub_query: &SubQuery,
    more: usize,
) -> Result<Vec<RankedPaper>> {
    let Query { filter, exact, .. } = &**query;
    match query.mode {
        Mode::Semantic => {
            let k = query.depth + more;
            let vector_query = VectorQuery { vector: &sub_query.vector, k, filter, exact: *exact };
            let found = resources.store.nearest(&vector_query)?.into_iter();
            let ranked = |(score, paper)| {
                let probability = resources.probability(query.mode, sub_query.kind, score);
                RankedPaper { score, probability, parts: None, sub_query: 0, paper }
            };
            Ok(found.map(ranked).collect())
        }
        Mode::Lexical | Mode::Hybrid => by_terms(resources, query, sub_query, more),
    }
}

/// Fuses the lists of all sub-queries into one list without repeated papers. A paper in several lists keeps the score
/// of the list in which it is taken first.
fn fuse(
    mut lists: Vec<Vec<RankedPaper>>,
    resolved: &ResolvedQuery,
    aggregation: Aggregation,
) -> Vec<RankedPaper> {
    if lists.len() == 1 {
        return lists.remove(0);
    }
    let mut seen = HashSet::new();
    let mut is_new = |ranked: &RankedPaper| seen.insert(ranked.paper.id.clone());
    if aggregation == Aggregation::Clusters {
        let sizes: Vec<usize> = resolved.sub_queries.iter().map(|sub_query| sub_query.examples).collect();
        return interleave(lists, &sizes, is_new);
    }
    let mut all: Vec<RankedPaper> = lists.into_iter().flatten().collect();
    sort(&mut all);
    // Short queries score higher than papers, so merge by calibrated probability if the model is calibrated.
    let key = |ranked: &RankedPaper| {
        let recency = ranked.parts().recency.unwrap_or(1.0);
        ranked.probability.map_or(0.0, |probability| probability * recency)
    };
    all.sort_by(|a, b| key(b).total_cmp(&key(a)));
    all.retain(&mut is_new);
    all
}

/// Whether there are candidates and the probability of every candidate is below [`NO_MATCH_PROBABILITY`].
fn all_below_cutoff(candidates: &[RankedPaper]) -> bool {
    let is_below = |ranked: &RankedPaper| {
        ranked.probability.is_some_and(|probability| probability < NO_MATCH_PROBABILITY)
    };
    !candidates.is_empty() && candidates.iter().all(is_below)
}

/// Multiplies a positive score by the recency of the paper; other scores stay the same. Stores the recency in `parts`.
fn decay(ranked: &mut RankedPaper, half_life: f32, today: f32) {
    let recency = recency(ranked.paper.published.as_deref(), half_life, today);
    ranked.parts = Some(ScoreDetails { recency: Some(recency), ..ranked.parts() });
    if ranked.score > 0.0 {
        ranked.score *= recency;
    }
}
