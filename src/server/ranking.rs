//! JSON types for ranking, in requests and responses. They mirror the search's types, and are converted here, so that
//! the HTTP API does not change with the search's internals.

use crate::search;
use likewise_papers::PaperId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How papers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[cfg_attr(feature = "mcp", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By meaning: the cosine similarity of the embeddings.
    Semantic,
    /// By shared terms, of which rare ones count most. Papers in `unlike` are only excluded from the hits.
    Lexical,
    /// By both: papers that also share rare terms, such as the name of a method, score higher.
    Hybrid,
}

impl From<Mode> for search::Mode {
    fn from(mode: Mode) -> search::Mode {
        match mode {
            Mode::Semantic => search::Mode::Semantic,
            Mode::Lexical => search::Mode::Lexical,
            Mode::Hybrid => search::Mode::Hybrid,
        }
    }
}

/// How several examples are combined into one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[cfg_attr(feature = "mcp", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// By the mean of their embeddings: what they have in common.
    Mean,
    /// By the example that a paper is most similar to, compared by probability if the model is calibrated.
    Best,
    /// By clusters of examples: each cluster is searched for, and the hits of all clusters are interleaved.
    Clusters,
}

impl From<Aggregation> for search::Aggregation {
    fn from(aggregation: Aggregation) -> search::Aggregation {
        match aggregation {
            Aggregation::Mean => search::Aggregation::Mean,
            Aggregation::Best => search::Aggregation::Best,
            Aggregation::Clusters => search::Aggregation::Clusters,
        }
    }
}

/// The values that a score is computed from.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoreDetails {
    /// Cosine similarity, -1 to 1; 0 for a paper without a vector.
    semantic: f32,
    /// Share of the weight of the query's terms that the paper has, 0 to 1; left out if terms were not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    lexical: Option<f32>,
    /// Factor for the paper's age, 0 to 1, that a positive score is multiplied by; only with `half_life`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recency: Option<f32>,
    /// Similarity of the sentences, -1 to 1: for each sentence of the query, the cosine of the paper's most similar
    /// sentence, averaged. It has the weight 0.2, and the rest of the score 1. Only with `rerank_sentences`, for the
    /// first 30 hits.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<f32>,
}

impl From<search::ScoreDetails> for ScoreDetails {
    fn from(details: search::ScoreDetails) -> ScoreDetails {
        let search::ScoreDetails { semantic, lexical, recency, sentences } = details;
        ScoreDetails { semantic, lexical, recency, sentences }
    }
}

/// How diverse the hits are, up to the last one in the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diversity {
    /// Vendi Score of the first hits, at most 100: the effective number of papers that have nothing in common.
    vendi: f32,
    /// Vendi Score of the same number of hits without `diversity`.
    plain: f32,
}

impl From<search::Diversity> for Diversity {
    fn from(search::Diversity { vendi, plain }: search::Diversity) -> Diversity {
        Diversity { vendi, plain }
    }
}

/// How much of a query's texts was encoded.
#[derive(Debug, Serialize, ToSchema)]
pub struct TextUsage {
    /// Number of tokens that were encoded, of all texts.
    tokens: usize,
    /// Whether a text was longer than the model's maximum, and was truncated.
    truncated: bool,
}

impl From<search::TextUsage> for TextUsage {
    fn from(search::TextUsage { tokens, truncated }: search::TextUsage) -> TextUsage {
        TextUsage { tokens, truncated }
    }
}

/// Why a paper is a hit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The parts of the score; they add up to it.
    score_breakdown: ScoreBreakdown,
    /// Terms that the query and the paper share, those that add most to the lexical score first.
    terms: Vec<SharedTerm>,
    /// The pairs of sentences that share most term weight.
    pairs: Vec<SentencePair>,
}

impl From<search::Explanation> for Explanation {
    fn from(search::Explanation { score_breakdown, terms, pairs }: search::Explanation) -> Explanation {
        let search::ScoreBreakdown { semantic, title, lexical, sentences } = score_breakdown;
        let term = |search::SharedTerm { term, weight }| SharedTerm { term, weight };
        let pair =
            |search::SentencePair { query, hit }| SentencePair { query: query.into(), hit: hit.into() };
        Explanation {
            score_breakdown: ScoreBreakdown { semantic, title, lexical, sentences },
            terms: terms.into_iter().map(term).collect(),
            pairs: pairs.into_iter().map(pair).collect(),
        }
    }
}

/// The parts of a score; they add up to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoreBreakdown {
    /// The cosine similarity of the whole texts, without the title's part.
    semantic: f32,
    /// The title's part of the cosine similarity; 0 for models that do not encode titles separately.
    title: f32,
    /// The shared terms.
    lexical: f32,
    /// The sentences; only with `rerank_sentences`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<f32>,
}

/// A term that the query and the paper share.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedTerm {
    /// The term in its indexed form, in lower case.
    term: String,
    /// Share of the weight of the query's terms, 0 to 1.
    weight: f32,
}

/// A sentence of the query and a similar sentence of the hit.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentencePair {
    /// In the query.
    query: Span,
    /// In the hit.
    hit: Span,
}

/// A part of a text.
#[derive(Debug, Serialize, ToSchema)]
pub struct Span {
    /// Id of the paper, if the text is that of a paper in the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    id: Option<PaperId>,
    /// Which text it is part of: `title` or `abstract` of a paper, or `text` for a text of the query.
    of: &'static str,
    /// Start in the text, in characters (Unicode code points).
    start: usize,
    /// End in the text, in characters, exclusive.
    end: usize,
    /// The text of the part.
    text: String,
}

impl From<search::Span> for Span {
    fn from(search::Span { id, of, start, end, text }: search::Span) -> Span {
        Span { id, of, start, end, text }
    }
}
