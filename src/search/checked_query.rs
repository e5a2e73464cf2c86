//! A query after validation, with its defaults filled in: mode, aggregation and number of candidates.

use super::resources::Resources;
use super::{Aggregation, Examples, MAX_K, Mode, Query};
use crate::error::{Error, Result};
use std::ops::Deref;

/// Minimum number of candidates that are reordered by `diversity` or `half_life`.
const MIN_REORDERED: usize = 200;

/// Maximum number of candidates that are reranked by their sentences. Reranking the first 200 candidates instead
/// changes no measured result (`make bench-recipe`).
pub const MAX_RERANKED: usize = 30;

/// A validated query.
pub(super) struct CheckedQuery<'a> {
    query: &'a Query,
    /// Method of comparing papers with the query.
    pub mode: Mode,
    /// Method of combining several examples.
    pub aggregation: Aggregation,
    /// Number of candidates to retrieve: `offset + k`, or more if candidates are reordered or reranked.
    pub depth: usize,
}

impl<'a> CheckedQuery<'a> {
    /// Validates a query and resolves its defaults.
    ///
    /// # Errors
    /// Returns the errors of [`Query::check`], [`Error::Invalid`] if the query sets `rerank` and no cross-encoder is
    /// loaded, and the store's error if the store cannot be read.
    pub fn of(query: &'a Query, resources: &Resources) -> Result<CheckedQuery<'a>> {
        query.check()?;
        if query.rerank.is_some() && resources.reranker.is_none() {
            return Err(Error::Invalid(
                "rerank needs a reranker, and none is loaded; give one with --reranker, or leave rerank out"
                    .into(),
            ));
        }
        let mode = mode(query, resources)?;
        Ok(CheckedQuery { query, mode, aggregation: query.aggregation(), depth: depth(query) })
    }
}

impl Deref for CheckedQuery<'_> {
    type Target = Query;

    fn deref(&self) -> &Query {
        self.query
    }
}

/// Returns the mode of a query, or the default mode if the query has none.
pub(super) fn mode(query: &Query, resources: &Resources) -> Result<Mode> {
    let Examples { texts, papers, .. } = &query.like;
    let has_words = !(texts.is_empty() && papers.is_empty());
    Ok(match query.mode {
        Some(mode) => mode,
        None if has_words && resources.indexes_terms()? => Mode::Hybrid,
        None => Mode::Semantic,
    })
}

fn depth(query: &Query) -> usize {
    let reranked = query.rerank.unwrap_or(if query.rerank_sentences { MAX_RERANKED } else { 0 });
    let needed = (query.offset + query.k).max(reranked);
    match query.is_reordered() {
        true if needed <= MIN_REORDERED / 2 => MIN_REORDERED,
        true => needed.max(MAX_K),
        false => needed,
    }
}
