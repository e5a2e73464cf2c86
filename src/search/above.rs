//! All papers whose score is at least a given score: exact, best first, and without a limit on their number.
//!
//! Systematic reviews need every paper above a score, not a page of the best ones. The numbers and scores of all found
//! papers are in memory at once, 16 bytes a paper. The papers themselves are read a chunk at a time.

use super::checked_query::CheckedQuery;
use super::paper_store::AboveVectorQuery;
use super::resolve::resolve;
use super::resources::Resources;
use super::{Aggregation, Examples, Hit, Mode, Query, QueryKind};
use crate::error::{Error, Result};
use crate::store::catalog::{Filter, PaperNumber};
use likewise_encoder::Embedding;
use likewise_papers::PaperId;
use std::collections::VecDeque;

/// Number of papers that are read at a time.
const CHUNK: usize = 64;

/// A query for all papers above a score.
#[derive(Debug, Clone)]
pub struct AboveQuery {
    /// The lowest score of a hit: the cosine of the paper and the mean of the examples, -1 to 1.
    pub above: f32,
    like: Query,
}

impl AboveQuery {
    /// The query for the papers similar to the mean of `like`, but not to `unlike`, that pass a filter.
    pub fn new(above: f32, like: Examples, unlike: Examples, filter: Filter) -> AboveQuery {
        let (mode, aggregation) = (Some(Mode::Semantic), Some(Aggregation::Mean));
        AboveQuery { above, like: Query { mode, aggregation, unlike, filter, ..Query::of(like) } }
    }

    /// The examples and the filter, as a query for the nearest papers by the same scores.
    pub fn as_query(&self) -> &Query {
        &self.like
    }

    /// Checks the score, the examples and the filter.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field.
    pub fn check(&self) -> Result<()> {
        if !(-1.0..=1.0).contains(&self.above) {
            return Err(Error::Invalid(format!("above must be between -1 and 1 (got {})", self.above)));
        }
        self.like.check()
    }
}

/// The papers above a score that have not been read yet.
#[derive(Debug)]
pub struct Above {
    /// Best first.
    unread: VecDeque<(f32, PaperNumber)>,
    /// The papers of `like` and `unlike`, which are no hits.
    excluded: Vec<PaperId>,
    kind: QueryKind,
    /// Rank of the last hit that was read.
    rank: usize,
}

impl Above {
    /// Finds the papers. `embeddings` are the embeddings of the query's texts.
    pub(super) fn find(
        resources: &Resources,
        query: &AboveQuery,
        embeddings: Vec<Embedding>,
    ) -> Result<Above> {
        query.check()?;
        let checked = CheckedQuery::of(&query.like, resources)?;
        let resolved = resolve(resources, &checked, embeddings)?;
        let kind = resolved.sub_queries.first().map_or(QueryKind::Papers, |sub_query| sub_query.kind);
        let excluded = resolved.excluded.clone();
        let vector = resolved.into_vector();
        let found = resources.store.above(&AboveVectorQuery {
            vector: &vector,
            above: query.above,
            filter: &query.like.filter,
        })?;
        Ok(Above { unread: found.into(), excluded, kind, rank: 0 })
    }

    /// Reads the next papers. Empty: there are no more. A paper that was deleted since the papers were found is left
    /// out.
    pub(super) fn next_chunk(&mut self, resources: &Resources) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        while hits.is_empty() && !self.unread.is_empty() {
            let chunk: Vec<(f32, PaperNumber)> = self.unread.drain(..CHUNK.min(self.unread.len())).collect();
            let numbers: Vec<PaperNumber> = chunk.iter().map(|(_, number)| *number).collect();
            let mut scores = chunk.into_iter();
            for (number, paper) in resources.store.papers(&numbers)? {
                // The papers are in the order of the scores; the papers in between were deleted.
                let Some((score, _)) = scores.find(|(_, scored)| *scored == number) else { continue };
                if self.excluded.contains(&paper.id) {
                    continue;
                }
                self.rank += 1;
                let probability = resources.probability(Mode::Semantic, self.kind, score);
                hits.push(Hit { rank: self.rank, score, probability, paper, ..Hit::default() });
            }
        }
        Ok(hits)
    }
}
