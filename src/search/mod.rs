//! Ranks papers by their similarity to texts, papers or vectors.
//!
//! A [`Library`] answers queries over an encoder and a [`paper_store::PaperStore`]: a data folder ([`folder`]) or a
//! Milvus collection. [`pipeline`] runs the stages of a search, and [`plan`] chooses between a scan and a graph search.

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
mod rerank_sentences;
mod resolve;
mod resources;
mod vendi;

pub use checked_query::MAX_RERANKED;
pub use explain::{Explanation, MAX_EXPLAINED, ScoreBreakdown, SentencePair, SharedTerm, Span};
pub use lexical::{QueryTerms, TermCounts};
pub use library::Library;
pub use mmr::{Diversity, NEAR_DUPLICATE_COSINE, mmr, take_at};
pub use pipeline::Retrieved;
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

/// Maximum number of examples in `like`, and in `unlike`.
pub const MAX_PAPERS: usize = 1000;

/// Allowed half-lives, in years.
pub const HALF_LIFE_YEARS: RangeInclusive<f32> = 0.01..=1000.0;

/// If no candidate reaches this probability, the answer is empty. It is twice the probability of a random pair. Over
/// 87,248 conference papers it empties the answers to none of 1,233 titles, sentences, keywords and papers, and to 20
/// of 30 recipes, letters, lyrics and the like.
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
    /// Vectors of the model's dimension; they are scaled to length 1.
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
    /// name that the error gives them.
    fn check(&self, field: &str) -> Result<()> {
        if self.texts.iter().any(|text| text.trim().is_empty()) {
            return Err(Error::Invalid("text must not be empty; give a title or an abstract".into()));
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

/// With this many examples or more, the default [`Aggregation`] is [`Aggregation::Clusters`]: a reading list covers
/// several subjects.
const READING_LIST_LEN: usize = 8;

/// How several examples are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Search once, with the mean of the examples.
    Mean,
    /// Search for each example; a paper counts by its best score, or by its best probability where the model is
    /// calibrated.
    Best,
    /// Group the examples by subject, search for the mean of each group, and interleave the results.
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

/// How papers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By the cosine of their vectors.
    Semantic,
    /// By the terms they share, weighted by rarity (BM25). `unlike` examples are only left out of the hits.
    Lexical,
    /// By both.
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

/// The kind of text that a query is made of. Short texts have other scores than papers have, and so another
/// calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// Papers, vectors, or texts as long as an abstract.
    Papers,
    /// Only texts of fewer than 64 tokens.
    ShortText,
}

/// A search request.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What hits should be similar to; at least one example.
    pub like: Examples,
    /// How several examples are combined. `None`: by mean, and by clusters from 8 examples on.
    pub aggregation: Option<Aggregation>,
    /// What hits should be dissimilar from. Its papers are never hits.
    pub unlike: Examples,
    /// Number of hits, 1 to [`MAX_K`].
    pub k: usize,
    /// Number of best hits to skip, 0 to [`MAX_OFFSET`].
    pub offset: usize,
    /// Lowest probability of a hit, 0 to 1, or lowest score where the model is not calibrated. `None`: no limit, but
    /// the answer is empty if no candidate reaches [`NO_MATCH_PROBABILITY`].
    pub min_score: Option<f32>,
    /// Compare with every paper instead of searching the graph.
    pub exact: bool,
    /// How papers are compared. `None`: hybrid if the store indexes terms and `like` has a text or a paper, else
    /// semantic.
    pub mode: Option<Mode>,
    /// Weight of dissimilarity from earlier hits against similarity to the query, 0 to 1. Above 0, near duplicates are
    /// merged into the best of them. Only the first [`MAX_K`] candidates are reordered.
    pub diversity: f32,
    /// Age in years at which a score counts half, in [`HALF_LIFE_YEARS`]. `None`: age does not count. Only the best 200
    /// candidates are reordered, or at least 1000 if `offset + k` is over 100; this holds for `diversity` too.
    pub half_life: Option<f32>,
    /// Rescore the first [`MAX_RERANKED`] candidates by their sentences, which are encoded with the model.
    pub rerank_sentences: bool,
    /// Explain the first [`MAX_EXPLAINED`] hits.
    pub explain: bool,
    /// Which papers may be hits.
    pub filter: Filter,
}

impl Query {
    /// The query for the [`DEFAULT_K`] papers most similar to some examples, with every option at its default.
    pub fn of(like: Examples) -> Query {
        let (unlike, filter) = (Examples::default(), Filter::default());
        let (mode, aggregation, diversity) = (None, None, 0.0);
        let (k, offset, min_score, half_life) = (DEFAULT_K, 0, None, None);
        let (exact, rerank_sentences, explain) = (false, false, false);
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
            explain,
            filter,
        }
    }

    /// How the examples are combined: `aggregation`, or its default.
    pub fn aggregation(&self) -> Aggregation {
        let is_list = self.like.len() >= READING_LIST_LEN;
        self.aggregation.unwrap_or(if is_list { Aggregation::Clusters } else { Aggregation::Mean })
    }

    /// Whether hits are reordered after scoring, which needs more candidates than hits.
    pub fn is_reordered(&self) -> bool {
        self.diversity > 0.0 || self.half_life.is_some()
    }

    /// Whether the query uses no option that takes longer than a graph search.
    pub fn is_plain(&self) -> bool {
        !(self.exact || self.explain || self.rerank_sentences || self.is_reordered())
    }

    /// All texts of the query, those of `like` first: their embeddings are passed in this order.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.like.texts.iter().chain(&self.unlike.texts)
    }

    /// The largest number of sub-queries that the query is split into.
    pub fn max_sub_queries(&self) -> usize {
        let examples = self.like.len().max(1);
        match self.aggregation() {
            Aggregation::Mean => 1,
            Aggregation::Best => examples.min(resolve::MAX_BEST),
            Aggregation::Clusters => examples.min(resolve::MAX_CLUSTERS),
        }
    }

    /// Checks everything that can be checked without looking up papers.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is out of range or two options exclude each other.
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
        Ok(())
    }
}

/// One paper of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Hit {
    /// Position in the whole ranking, from 1.
    pub rank: usize,
    /// The value that hits are ranked by, -1 to 1: the cosine, or the combination of [`ScoreDetails`].
    pub score: f32,
    /// Probability that the paper is related, 0 to 1; `None` if the model is not calibrated. Unlike scores,
    /// probabilities can be compared between queries. Age and reranked sentences do not change them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f32>,
    /// What the score is computed from; `None` if it is only the cosine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<ScoreDetails>,
    /// Ids of the near duplicates that were merged into this hit; empty unless the query has a `diversity`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near_duplicates: Vec<PaperId>,
    /// Why the paper is a hit; `None` unless the query has `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Index of the sub-query that retrieved this hit.
    #[serde(skip)]
    pub sub_query: usize,
    /// The paper.
    pub paper: Paper,
}

impl Hit {
    /// The cosine between the paper and the sub-query.
    pub fn cosine(&self) -> f32 {
        self.parts.map_or(self.score, |parts| parts.semantic)
    }
}

/// The values that a score is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreDetails {
    /// Cosine similarity, -1 to 1; 0 for a paper without a vector.
    pub semantic: f32,
    /// Share of the query's term weight that the paper has, 0 to 1; `None` in semantic mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical: Option<f32>,
    /// Factor for the paper's age, 0 to 1, which positive scores are multiplied by; `None` without a half-life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recency: Option<f32>,
    /// Similarity of sentences, -1 to 1: over the query's sentences, the mean cosine of the paper's nearest sentence.
    /// It counts one fifth as much as the rest of the score. `None` without `rerank_sentences`, and after the first 30
    /// candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<f32>,
}

/// A candidate with its score; the fields are those of [`Hit`].
#[derive(Debug, Clone)]
struct RankedPaper {
    score: f32,
    probability: Option<f32>,
    parts: Option<ScoreDetails>,
    sub_query: usize,
    paper: Paper,
}

impl RankedPaper {
    /// The values that the score is computed from, also where that is only the cosine.
    fn parts(&self) -> ScoreDetails {
        let cosine = ScoreDetails { semantic: self.score, lexical: None, recency: None, sentences: None };
        self.parts.unwrap_or(cosine)
    }
}

/// How much of a query's text the model read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextUsage {
    /// Number of tokens that the model read; of several texts, the sum.
    pub tokens: usize,
    /// Whether the text is longer than the model reads; of several texts, whether any is.
    pub truncated: bool,
}

impl TextUsage {
    /// The total of several texts; `None` if there are none.
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
    /// Best first, and by id where scores are equal. With `diversity` they are in MMR order, with clusters interleaved.
    pub hits: Vec<Hit>,
    /// Whether `hits` is empty because every candidate's probability is below [`NO_MATCH_PROBABILITY`]. Always false if
    /// the query has a `min_score` or a filter.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_match: bool,
    /// Diversity of the hits; `None` unless the query has a `diversity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// How much of each text of `like` was read; serialised as `text`, their total.
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
    /// Number of vectors, one for each distinct text.
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
    /// The model that `likewise reembed` is switching to, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStats>,
}

/// Progress of re-embedding with another model.
#[derive(Debug, Clone, Serialize)]
pub struct NextStats {
    /// Name of the model.
    pub model: String,
    /// Fingerprint of the model.
    pub fingerprint: String,
    /// Number of vectors written so far, one for each distinct text.
    pub vectors: usize,
}

/// Range in which the largest absolute value of a query vector must be.
const LARGEST_VALUES: RangeInclusive<f32> = 1e-30..=1e30;

/// Scales a vector to length 1.
///
/// # Errors
/// Returns [`Error::Invalid`] if it does not have `dimension` values, has one that is not finite, or has its largest
/// absolute value outside [`LARGEST_VALUES`].
fn unit(vector: &[f32], dimension: usize) -> Result<Vec<f32>> {
    if vector.len() != dimension {
        let len = vector.len();
        return Err(Error::Invalid(format!("vector must have {dimension} values (got {len})")));
    }
    // Scaled by the largest value first, so that squares neither overflow nor vanish.
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if !vector.iter().all(|value| value.is_finite()) || !LARGEST_VALUES.contains(&largest) {
        return Err(Error::Invalid(
            "vector must have finite values of at most 1e30, not all of them 0".into(),
        ));
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
