//! Ranks papers by their similarity to given texts, papers or vectors.
//!
//! A [`Library`] answers queries with an encoder and a [`paper_store::PaperStore`], which is a data folder ([`folder`])
//! or a Milvus collection. [`pipeline`] runs the stages of a search, and [`plan`] chooses between a scan and a graph
//! search.

mod above;
mod checked_query;
mod clusters;
mod explain;
mod filters;
mod folder;
mod hybrid;
pub mod input;
mod lexical;
mod library;
mod mmr;
pub mod paper_store;
mod pipeline;
pub mod plan;
mod recency;
mod rerank;
mod rerank_sentences;
mod resolve;
mod resources;
mod vendi;

pub use above::{Above, AboveQuery};
pub use checked_query::MAX_RERANKED;
pub use explain::{Explanation, MAX_EXPLAINED, ScoreBreakdown, SentencePair, SharedTerm, Span};
pub use lexical::{QueryTerms, TermCounts};
pub use library::Library;
pub use mmr::{Diversity, NEAR_DUPLICATE_COSINE, mmr, take_at};
pub use pipeline::{RerankInput, Retrieved};
pub use rerank::{DEFAULT_RERANK_TOP, MAX_RERANK_TOP, RerankPairs, comparable_scores};
pub use vendi::vendi;

use crate::error::{Error, Result};
use crate::store::catalog::Filter;
use likewise_index::{IndexStats, dot};
use likewise_papers::{Paper, PaperId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// Largest `k` of a query.
pub const MAX_K: usize = 1000;

/// Largest `offset` of a query.
pub const MAX_OFFSET: usize = 9000;

/// Maximum number of examples in each of `like` and `unlike`.
pub const MAX_PAPERS: usize = 1000;

/// Allowed half-lives, in years.
pub const HALF_LIFE_YEARS: RangeInclusive<f32> = 0.01..=1000.0;

/// If the probability of every candidate is below this value, the answer is empty. Applies only if the model is
/// calibrated and the query has neither a filter nor a `min_score`. The value is twice the probability of a random
/// pair: of all pairs in the calibration, one in five was related. Measured over 87,248 conference papers: all 1,233
/// queries that are titles, sentences, keywords or papers keep their answers, and 20 of 30 unrelated queries (recipes,
/// letters, lyrics and the like) get an empty answer.
pub const NO_MATCH_PROBABILITY: f32 = 0.4;

/// Default `k` of a query.
pub const DEFAULT_K: usize = 10;

/// Texts, papers and vectors that hits should be similar to, or dissimilar from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples {
    /// Titles, abstracts or questions.
    pub texts: Vec<String>,
    /// Ids of papers in the library. These papers are never hits.
    pub papers: Vec<String>,
    /// Vectors with as many values as the model's vectors have. They need not be unit vectors: the search scales them
    /// to length 1.
    pub vectors: Vec<Vec<f32>>,
}

impl Examples {
    /// One text.
    pub fn text(text: String) -> Examples {
        Examples { texts: vec![text], ..Examples::default() }
    }

    /// Papers by their ids.
    pub fn papers(papers: Vec<String>) -> Examples {
        Examples { papers, ..Examples::default() }
    }

    /// One vector.
    pub fn vector(vector: Vec<f32>) -> Examples {
        Examples { vectors: vec![vector], ..Examples::default() }
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of texts, papers and vectors together.
    pub fn len(&self) -> usize {
        self.texts.len() + self.papers.len() + self.vectors.len()
    }

    /// Returns [`Error::Invalid`] if there are more than [`MAX_PAPERS`] examples or a text is blank. `field` is the
    /// name of these examples in the error message.
    fn check(&self, field: &str) -> Result<()> {
        if self.texts.iter().any(|text| text.trim().is_empty()) {
            let message = "text must not be empty or blank; give a title or an abstract";
            return Err(Error::Invalid(message.into()));
        }
        if self.len() > MAX_PAPERS {
            let count = self.len();
            return Err(Error::Invalid(format!(
                "{field} must have at most {MAX_PAPERS} examples (got {count})"
            )));
        }
        Ok(())
    }
}

/// Number of examples from which the default [`Aggregation`] is [`Aggregation::Clusters`]: a reading list covers
/// several subjects.
const READING_LIST_LEN: usize = 8;

/// Method of combining several examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Search once, with the mean of the examples.
    Mean,
    /// Search once for each example. If there are more than 100 examples (12 if the query is exact or `offset + k` is
    /// over 100), the most similar examples are merged until there are no more than that. A paper is ranked by the best
    /// of its scores or, if the model is calibrated, by the best of its probabilities.
    Best,
    /// Group the examples by subject into at most 12 groups, search for the mean of each group, and interleave the
    /// results.
    Clusters,
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Aggregation::Mean => "mean",
            Aggregation::Best => "best",
            Aggregation::Clusters => "clusters",
        })
    }
}

/// Method of comparing papers with the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Compare vectors by their cosine.
    Semantic,
    /// Compare terms: a paper scores by the terms that it shares with the query, weighted by rarity (BM25). The papers
    /// of `unlike` are removed from the hits; the texts and vectors of `unlike` do not change the scores.
    Lexical,
    /// Combine the semantic and the lexical score.
    Hybrid,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Mode::Semantic => "semantic",
            Mode::Lexical => "lexical",
            Mode::Hybrid => "hybrid",
        })
    }
}

/// The kind of examples that a query or a sub-query consists of. It chooses the calibration curve: short texts have
/// other scores than papers, so the model is calibrated separately for each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// The examples include a paper, a vector, or a text about as long as an abstract (64 tokens or more).
    Papers,
    /// All examples are texts of fewer than 64 tokens.
    ShortText,
}

/// A search request.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Examples that hits should be similar to; at least one.
    pub like: Examples,
    /// Method of combining the examples. `None`: [`Aggregation::Mean`] for fewer than 8 examples,
    /// [`Aggregation::Clusters`] for 8 or more.
    pub aggregation: Option<Aggregation>,
    /// Examples that hits should be dissimilar from. The papers among these examples are never hits.
    pub unlike: Examples,
    /// Maximum number of hits, 1 to [`MAX_K`].
    pub k: usize,
    /// Number of hits to skip at the start of the ranking, 0 to [`MAX_OFFSET`].
    pub offset: usize,
    /// Lowest allowed probability of a hit, 0 to 1; if the model is not calibrated, lowest allowed score before
    /// `half_life` and `rerank_sentences` change it. 0: no limit. `None`: no limit, but with a calibrated model the
    /// answer to a query without a filter is empty if no candidate reaches [`NO_MATCH_PROBABILITY`].
    pub min_score: Option<f32>,
    /// Whether to compare the query's vectors with every paper that passes the filter instead of searching the graph.
    /// In lexical and hybrid mode, the number of postings that are read is then also unlimited.
    pub exact: bool,
    /// Method of comparing papers with the query. `None`: [`Mode::Hybrid`] if the store indexes terms and `like` has a
    /// text or a paper, else [`Mode::Semantic`].
    pub mode: Option<Mode>,
    /// How much a hit's dissimilarity from the hits ranked above it counts, 0 to 1; the similarity to the query counts
    /// 1 minus this value. Above 0, near duplicates are also merged into the highest-ranked one. Both concern the best
    /// 200 candidates if `offset + k` is at most 100, otherwise the best [`MAX_K`]; later candidates keep their order.
    pub diversity: f32,
    /// Age of a paper, in years, at which a positive score is halved; in [`HALF_LIFE_YEARS`]. `None`: age does not
    /// count. For each sub-query, the best 200 candidates are reordered if `offset + k` is at most 100, otherwise the
    /// best [`MAX_K`] or `offset + k`, whichever is larger.
    pub half_life: Option<f32>,
    /// Whether to rerank the first [`MAX_RERANKED`] candidates by their sentences, which the model encodes during the
    /// search.
    pub rerank_sentences: bool,
    /// Number of candidates that the library's cross-encoder reranks, 1 to [`MAX_RERANK_TOP`]. `None`: candidates are
    /// not reranked.
    pub rerank: Option<usize>,
    /// Whether to explain the first [`MAX_EXPLAINED`] hits of the requested page.
    pub explain: bool,
    /// Filter that every hit must pass.
    pub filter: Filter,
}

impl Query {
    /// The query for the [`DEFAULT_K`] papers most similar to some examples, with every option at its default.
    pub fn of(like: Examples) -> Query {
        let (unlike, filter) = (Examples::default(), Filter::default());
        let (mode, aggregation, diversity) = (None, None, 0.0);
        let (k, offset, min_score, half_life) = (DEFAULT_K, 0, None, None);
        let (exact, rerank_sentences, rerank, explain) = (false, false, None, false);
        Query {
            like,
            aggregation,
            unlike,
            k,
            offset,
            min_score,
            exact,
            mode,
            diversity,
            half_life,
            rerank_sentences,
            rerank,
            explain,
            filter,
        }
    }

    /// Returns the method of combining the examples: `aggregation` or, if it is `None`, the default.
    pub fn aggregation(&self) -> Aggregation {
        let is_list = self.like.len() >= READING_LIST_LEN;
        self.aggregation.unwrap_or(if is_list { Aggregation::Clusters } else { Aggregation::Mean })
    }

    /// Whether hits are reordered after scoring, which needs more candidates than hits.
    pub fn is_reordered(&self) -> bool {
        self.diversity > 0.0 || self.half_life.is_some()
    }

    /// Whether the query uses none of the options `exact`, `explain`, `rerank`, `rerank_sentences`, `diversity` and
    /// `half_life`, each of which takes longer than a graph search. Other fields, such as `k` and `filter`, are not considered.
    pub fn is_plain(&self) -> bool {
        !(self.exact || self.explain || self.is_reranked() || self.is_reordered())
    }

    /// Whether a model reranks the first candidates, which takes longer than all other stages.
    pub fn is_reranked(&self) -> bool {
        self.rerank_sentences || self.rerank.is_some()
    }

    /// All texts of the query: first the texts of `like`, then the texts of `unlike`. Embeddings are passed in the same
    /// order.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.like.texts.iter().chain(&self.unlike.texts)
    }

    /// An upper limit for the number of sub-queries that the query is split into.
    pub fn max_sub_queries(&self) -> usize {
        let examples = self.like.len().max(1);
        match self.aggregation() {
            Aggregation::Mean => 1,
            Aggregation::Best => examples.min(resolve::MAX_BEST),
            Aggregation::Clusters => examples.min(resolve::MAX_CLUSTERS),
        }
    }

    /// Checks the number of examples, the ranges of the options, and which options are used together. Does not check
    /// ids, vectors and the filter.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if `like` has no examples, `like` or `unlike` has too many, a
    /// text is blank, a value is out of range, or a query of vectors has the lexical mode or `rerank_sentences`.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::Invalid(message));
        let Examples { texts, papers, .. } = &self.like;
        if self.offset > MAX_OFFSET {
            return wrong(format!("offset must be between 0 and {MAX_OFFSET} (got {})", self.offset));
        }
        if !(1..=MAX_K).contains(&self.k) {
            return wrong(format!("k must be between 1 and {MAX_K} (got {})", self.k));
        }
        if self.like.is_empty() {
            return wrong("like must have at least one example (got an empty list)".into());
        }
        self.like.check("like")?;
        self.unlike.check("unlike")?;
        if let Some(score) = self.min_score.filter(|score| !(0.0..=1.0).contains(score)) {
            return wrong(format!("min_score must be between 0 and 1 (got {score})"));
        }
        if !(0.0..=1.0).contains(&self.diversity) {
            return wrong(format!("diversity must be between 0 and 1 (got {})", self.diversity));
        }
        if let Some(years) = self.half_life.filter(|years| !HALF_LIFE_YEARS.contains(years)) {
            let (min, max) = HALF_LIFE_YEARS.into_inner();
            return wrong(format!("half_life must be between {min} and {max} years (got {years})"));
        }
        let has_words = !(texts.is_empty() && papers.is_empty());
        if self.mode == Some(Mode::Lexical) && !has_words {
            return wrong(
                "mode must be semantic for a query of vectors (got lexical): vectors have no words".into(),
            );
        }
        if self.rerank_sentences && !has_words {
            return wrong(
                "rerank_sentences must be false for a query of vectors (got true): vectors have no sentences"
                    .into(),
            );
        }
        match self.rerank {
            Some(top) if !(1..=MAX_RERANK_TOP).contains(&top) => {
                wrong(format!("rerank.top must be between 1 and {MAX_RERANK_TOP} (got {top})"))
            }
            Some(_) if self.rerank_sentences => {
                wrong("rerank_sentences must be false if rerank is set: a query is reranked only once".into())
            }
            Some(_) if !has_words => {
                wrong("rerank must be false for a query of vectors: a cross-encoder reads texts".into())
            }
            _ => Ok(()),
        }
    }
}

/// One paper of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Hit {
    /// Position in the whole ranking, from 1.
    pub rank: usize,
    /// Score of the paper, -1 to 1: the cosine, or a combination of the values in [`ScoreDetails`]. See
    /// [`Answer::hits`] for the order of the hits.
    pub score: f32,
    /// Probability that the paper is related, 0 to 1; `None` if the model is not calibrated. Unlike scores,
    /// probabilities can be compared between queries. The paper's age and the reranking by sentences change the score,
    /// but not the probability. A cross-encoder whose model is calibrated replaces the probability of the hits that it
    /// reranks; `min_score` is compared with the probability before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
    /// Values that the score is computed from; `None` if the score is the cosine alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<ScoreDetails>,
    /// Ids of the near duplicates that were merged into this hit; empty if the query's `diversity` is 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near_duplicates: Vec<PaperId>,
    /// Explanation of why the paper is a hit; `None` if the query does not set `explain`, and for hits of the answer
    /// after the first [`MAX_EXPLAINED`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Index of the sub-query that retrieved this hit.
    #[serde(skip)]
    pub sub_query: usize,
    /// The paper.
    pub paper: Paper,
}

impl Hit {
    /// The cosine between the paper and the sub-query that retrieved it.
    pub fn cosine(&self) -> f32 {
        self.parts.map_or(self.score, |parts| parts.semantic)
    }
}

/// The values that a score is computed from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ScoreDetails {
    /// Cosine to the vector of the sub-query that retrieved the paper, -1 to 1; 0 for a paper without a vector.
    pub semantic: f32,
    /// Lexical score, 0 to 1: BM25 divided by the highest value that any paper could have for the query; `None` in
    /// semantic mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical: Option<f32>,
    /// Factor for the paper's age, 0 to 1; a positive score is multiplied by this factor. `None` if the query has no
    /// half-life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recency: Option<f32>,
    /// Similarity of sentences, -1 to 1. For each sentence of the query, the cosine to the most similar sentence of the
    /// paper is computed; the value is the mean of these cosines. It has weight 0.2 in the score, and the score without
    /// it has weight 1. `None` if the query does not set `rerank_sentences`, if the paper was not among the first 30
    /// candidates, or if no sentence of the sub-query or no sentence of the paper could be encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<f32>,
    /// Relevance by the cross-encoder, 0 to 1: the sigmoid function of its logit. It replaces the score, except that
    /// recency still counts. `None` if the query does not set `rerank`, or if the paper was not among the reranked
    /// candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_encoder: Option<f32>,
}

/// A candidate with its score. The fields have the same meaning as in [`Hit`].
#[derive(Debug, Clone)]
struct RankedPaper {
    score: f32,
    probability: Option<f32>,
    parts: Option<ScoreDetails>,
    sub_query: usize,
    paper: Paper,
}

impl RankedPaper {
    /// Returns the values that the score is computed from. If `parts` is `None`, the score is the cosine.
    fn parts(&self) -> ScoreDetails {
        self.parts.unwrap_or(ScoreDetails { semantic: self.score, ..ScoreDetails::default() })
    }
}

/// Number of tokens that the model read of a query's text, and whether it read the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextUsage {
    /// Number of tokens that the model read; for several texts, the sum.
    pub tokens: usize,
    /// Whether the text is longer than the model can read; for several texts, whether any of them is.
    pub truncated: bool,
}

impl TextUsage {
    /// Combines the usage of several texts; `None` if there are no texts.
    pub fn total(texts: &[TextUsage]) -> Option<TextUsage> {
        let add = |one: TextUsage, other: TextUsage| TextUsage {
            tokens: one.tokens + other.tokens,
            truncated: one.truncated || other.truncated,
        };
        texts.iter().copied().reduce(add)
    }
}

/// The answer to a query.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    /// The hits, best score first; hits with equal scores are sorted by id. There are four exceptions. With
    /// `rerank`, the candidates that the cross-encoder scored come before all others. With [`Aggregation::Best`] and a calibration, the hits are sorted by probability times recency. With
    /// [`Aggregation::Clusters`], the hits of the clusters are interleaved. With `diversity`, the first hits are in the
    /// order of [`mmr()`].
    pub hits: Vec<Hit>,
    /// Whether `hits` is empty because every candidate's probability is below [`NO_MATCH_PROBABILITY`]. Always false if
    /// the query has a `min_score` or a filter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_match: bool,
    /// Diversity of the hits; `None` if the query's `diversity` is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// Usage of each text of `like`. Serialised under the name `text`, as the total of all texts.
    #[serde(rename = "text", skip_serializing_if = "Vec::is_empty", serialize_with = "serialize_total")]
    pub texts: Vec<TextUsage>,
    /// The unit vector of the first sub-query.
    #[serde(skip)]
    pub query_vector: Vec<f32>,
}

fn serialize_total<S: serde::Serializer>(
    texts: &[TextUsage],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    TextUsage::total(texts).serialize(serializer)
}

/// The contents of a library.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// Number of papers in the catalog.
    pub papers: usize,
    /// Number of stored vectors. In a data folder one for each distinct text, also for texts that no paper has any
    /// more; in a collection one for each paper.
    pub vectors: usize,
    /// Number of papers without a vector.
    pub without_vector: usize,
    /// State of the index.
    pub index: IndexStats,
    /// Address of the collection that holds the papers; `None` for a data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Name of the model.
    pub model: String,
    /// Fingerprint of the model.
    pub fingerprint: String,
    /// Number of values in a vector.
    pub dimension: usize,
    /// Progress of the switch to another model by `likewise reembed`; `None` if there is no switch in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStats>,
}

/// Progress of re-embedding with another model.
#[derive(Debug, Clone, Serialize)]
pub struct NextStats {
    /// Name of the other model.
    pub model: String,
    /// Fingerprint of the other model.
    pub fingerprint: String,
    /// Number of vectors of the other model that were written so far, one for each distinct text.
    pub vectors: usize,
}

/// Range in which the largest absolute value of a query vector must be.
const LARGEST_VALUES: RangeInclusive<f32> = 1e-30..=1e30;

/// Scales a vector to length 1.
///
/// # Errors
/// Returns [`Error::Invalid`] if the vector does not have `dimension` values, if a value is not finite, or if the
/// largest absolute value is outside [`LARGEST_VALUES`].
fn unit(vector: &[f32], dimension: usize) -> Result<Vec<f32>> {
    if vector.len() != dimension {
        let len = vector.len();
        return Err(Error::Invalid(format!("vector must have {dimension} values (got {len})")));
    }
    // The vector is divided by its largest value first, so that squares neither overflow nor underflow to 0.
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if !vector.iter().all(|value| value.is_finite()) || !LARGEST_VALUES.contains(&largest) {
        let (min, max) = LARGEST_VALUES.into_inner();
        return Err(Error::Invalid(format!(
            "vector must have finite values, the largest of which (by absolute value) is between {min:e} and {max:e}"
        )));
    }
    let scaled: Vec<f32> = vector.iter().map(|value| value / largest).collect();
    let length = dot(&scaled, &scaled).sqrt();
    Ok(scaled.into_iter().map(|value| value / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_any_length_but_zero_become_unit_vectors() {
        assert_eq!(unit(&[3.0, 4.0], 2).unwrap(), [0.6, 0.8]);
        assert_eq!(unit(&[1e30, 0.0], 2).unwrap(), [1.0, 0.0]);
        assert_eq!(unit(&[0.0, -3e-30], 2).unwrap(), [0.0, -1.0]);
        for wrong in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[1.0], &[1e31, 1.0]] {
            assert!(unit(wrong, 2).is_err(), "{wrong:?}");
        }
    }
}
