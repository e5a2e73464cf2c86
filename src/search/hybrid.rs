//! Finds and scores the candidates of lexical and hybrid search: the papers with the query's rarest terms and, in
//! hybrid mode, also the papers nearest to the query's vector.
//!
//! The constants were chosen on the development sets of benches/judged.py.

use super::checked_query::CheckedQuery;
use super::lexical::{QueryTerms, TermCounts};
use super::paper_store::{DocFreqs, ScoredPaper, TermQuery, VectorQuery};
use super::resolve::SubQuery;
use super::resources::Resources;
use super::{MAX_K, MAX_OFFSET, MAX_PAPERS, Mode, Query, RankedPaper, ScoreDetails};
use crate::error::{Error, Result};
use likewise_papers::PaperId;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Weight of the lexical score in hybrid mode; the cosine has weight 1.
const LEXICAL_WEIGHT: f32 = 1.3;

/// Possible numbers of candidates of a sub-query. The smallest number that is sufficient for the query's depth is used;
/// lexical mode leaves out the first number, and exact queries leave out the first two. The numbers grow in large
/// steps, so that all pages within one step come from the same ranking. A larger number takes longer and rarely changes
/// the first page.
const CANDIDATES: [usize; 4] = [48, 300, MAX_K + 2 * MAX_PAPERS, MAX_OFFSET + MAX_K + 2 * MAX_PAPERS];

/// Number of candidates found by vector for each candidate found by rare terms, in hybrid mode.
const NEAR_PER_RARE: usize = 3;

/// Maximum number of postings that are read: the first value is for hybrid mode, the second for lexical mode. The
/// second is larger, because terms are the only source of candidates in lexical mode. For exact queries there is no
/// maximum.
const MAX_POSTINGS: [usize; 2] = [1500, 50_000];

/// Retrieves and scores the candidates of a lexical or hybrid sub-query, in no particular order. `more` is added to the
/// number of candidates that the query's depth requires.
pub(super) fn by_terms(
    resources: &Resources,
    query: &CheckedQuery,
    sub_query: &SubQuery,
    more: usize,
) -> Result<Vec<RankedPaper>> {
    let terms = query_terms(resources, &sub_query.terms)?;
    let CheckedQuery { mode, depth, .. } = *query;
    let Query { filter, exact, .. } = &**query;
    let is_lexical = mode == Mode::Lexical;
    let k = candidates(depth, if *exact { 2 } else { usize::from(is_lexical) }) + more;
    let mut found: Vec<ScoredPaper> = Vec::new();
    if !is_lexical {
        found =
            resources.store.nearest(&VectorQuery { vector: &sub_query.vector, k, filter, exact: *exact })?;
    }
    if !terms.is_empty() {
        let term_query = TermQuery {
            terms: &terms,
            vector: &sub_query.vector,
            k: if is_lexical { k } else { k / NEAR_PER_RARE },
            max_postings: if *exact { usize::MAX } else { MAX_POSTINGS[usize::from(is_lexical)] },
            // For paper queries, skip terms with document frequency 1: only the paper itself has them.
            min_doc_freq: 1 + usize::from(sub_query.is_paper),
            fill_to_k: is_lexical,
            filter,
        };
        let near: HashSet<PaperId> = found.iter().map(|(_, paper)| paper.id.clone()).collect();
        let with_terms = resources.store.search_terms(&term_query)?;
        found.extend(with_terms.into_iter().filter(|(_, paper)| !near.contains(&paper.id)));
    }
    // If no paper has a term of the query, only the cosine counts in hybrid mode.
    let mode = if terms.is_empty() && !is_lexical { Mode::Semantic } else { mode };
    let ranked = |(semantic, paper): ScoredPaper| {
        let lexical = terms.score(&paper);
        let score = score(mode, semantic, lexical);
        let parts = Some(ScoreDetails { semantic, lexical: Some(lexical), ..ScoreDetails::default() });
        let probability = resources.probability(mode, sub_query.kind, score);
        RankedPaper { score, probability, parts, sub_query: 0, paper }
    };
    let mut ranked: Vec<RankedPaper> = found.into_par_iter().map(ranked).collect();
    // In lexical mode a score of 0 means that the paper has none of the query's terms.
    ranked.retain(|ranked| !is_lexical || ranked.score > 0.0);
    Ok(ranked)
}

/// Weighs the terms of a query by their document frequencies.
///
/// # Errors
/// Returns [`Error::Invalid`] if the store does not index terms.
pub(super) fn query_terms(resources: &Resources, counts: &TermCounts) -> Result<QueryTerms> {
    let terms = counts.terms();
    let Some(DocFreqs { papers, counts: doc_freqs }) = resources.store.doc_freqs(&terms)? else {
        return Err(Error::Invalid("mode must be semantic: a Milvus collection stores no terms".into()));
    };
    let doc_freqs: HashMap<&str, usize> = terms.into_iter().zip(doc_freqs).collect();
    Ok(QueryTerms::of(counts, papers, |term| doc_freqs.get(term).copied().unwrap_or_default()))
}

/// Returns the number of candidates for a given depth: the first number in [`CANDIDATES`], from index `first_step` on,
/// that is at least `depth`. If all numbers are smaller, returns `depth`.
fn candidates(depth: usize, first_step: usize) -> usize {
    CANDIDATES[first_step..].iter().copied().find(|count| *count >= depth).unwrap_or(depth)
}

/// Combines a cosine and a lexical score into the score of a mode, -1 to 1.
pub(super) fn score(mode: Mode, semantic: f32, lexical: f32) -> f32 {
    match mode {
        Mode::Lexical => lexical,
        Mode::Hybrid => (semantic + LEXICAL_WEIGHT * lexical) / (1.0 + LEXICAL_WEIGHT),
        Mode::Semantic => semantic,
    }
}
