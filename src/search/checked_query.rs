//! A query after validation, with its defaults filled in: mode, aggregation and number of candidates.

use super::resources::Resources;
use super::{Aggregation, Examples, MAX_K, Mode, Query};
use crate::error::Result;
use std::ops::Deref;

/// Fewest candidates that are reordered by `diversity` or `half_life`.
const MIN_REORDERED: usize = 200;

/// Number of candidates that are reranked by their sentences: reranking the rest of the first 200 changes no measured
/// result (`make bench-recipe`).
pub const MAX_RERANKED: usize = 30;

/// A validated query.
pub(super) struct CheckedQuery<'a> {
    query: &'a Query,
    /// How papers are compared.
    pub mode: Mode,
    /// How several examples are combined.
    pub aggregation: Aggregation,
    /// Number of candidates to retrieve: `offset + k`, or more if they are reordered or reranked.
    pub depth: usize,
}

impl<'a> CheckedQuery<'a> {
    /// Validates a query and resolves its defaults.
    ///
    /// # Errors
    /// As [`Query::check`]; also if the store fails to say whether it indexes terms.
    pub fn of(query: &'a Query, resources: &Resources) -> Result<CheckedQuery<'a>> {
        query.check()?;
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

/// The mode of a query, or its default.
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
    let needed = (query.offset + query.k).max(if query.rerank_sentences { MAX_RERANKED } else { 0 });
    match query.is_reordered() {
        true if needed <= MIN_REORDERED / 2 => MIN_REORDERED,
        true => needed.max(MAX_K),
        false => needed,
    }
}
