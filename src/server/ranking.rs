//! JSON types for ranking, in requests and responses. They mirror types of [`search`] and are converted here, so that
//! the HTTP API does not change when the types of the search change.

use crate::search::{self, DEFAULT_RERANK_TOP};
use likewise_papers::PaperId;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// How papers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[cfg_attr(feature = "mcp", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By meaning: the cosine similarity of the embeddings.
    Semantic,
    /// By shared terms; rare terms count most. In this mode, examples in `unlike` do not change scores: papers in
    /// `unlike` are only left out of the hits, and texts in `unlike` have no effect.
    Lexical,
    /// By meaning and by shared terms: a paper that shares rare terms with the query, such as the name of a method,
    /// scores higher.
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
    /// By the mean of the examples' embeddings, that is, by what the examples have in common.
    Mean,
    /// By the example that a paper is most similar to. If the model is calibrated, the similarities to different
    /// examples are compared as probabilities. If there are more than 100 examples (more than 12 if `exact` is true or
    /// `offset` + `k` is over 100), the most similar examples are first combined by their mean.
    Best,
    /// By clusters of examples, at most 12: each cluster is searched for separately, and the hits of all clusters are
    /// interleaved.
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

/// Whether to rerank with the cross-encoder: `true`, `false`, or an object with the number of hits to rerank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rerank(Option<usize>);

impl Rerank {
    /// Number of hits to rerank. `None`: no hits are reranked.
    pub fn top(self) -> Option<usize> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Rerank {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rerank, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let wrong = || {
            let expected =
                "must be true, false, or an object with a whole number from 1 to 100, such as {\"top\": 30}";
            D::Error::custom(format!("{expected} (got {value})"))
        };
        match &value {
            Value::Null | Value::Bool(false) => Ok(Rerank(None)),
            Value::Bool(true) => Ok(Rerank(Some(DEFAULT_RERANK_TOP))),
            Value::Object(fields) if fields.len() == 1 => {
                let top = fields.get("top").and_then(whole_number).ok_or_else(wrong)?;
                Ok(Rerank(Some(usize::try_from(top).unwrap_or(usize::MAX))))
            }
            _ => Err(wrong()),
        }
    }
}

/// A number without a fraction, also one that is written as `30.0`.
fn whole_number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as u64))
}

/// The values that a score is computed from.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoreDetails {
    /// Cosine similarity, -1 to 1; 0 for a paper without a vector.
    semantic: f32,
    /// Similarity of the terms, 0 to 1: the paper's BM25 value for the query, divided by the highest value that any
    /// text could have; left out in semantic mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    lexical: Option<f32>,
    /// Factor for the paper's age, 0 to 1. A positive score is multiplied by this factor. Only with `half_life`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recency: Option<f32>,
    /// Similarity of the sentences, -1 to 1: each sentence of the query is compared with the paper's most similar
    /// sentence, and the cosines of these pairs are averaged. In the score, this value has weight 0.2, and the score
    /// without it has weight 1. Only with `rerank_sentences`, for the first 30 hits of the ranking, and only if the
    /// model could encode the sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<f32>,
    /// Relevance by the reranker, 0 to 1. It is the score, except that the paper's age still counts. Only with
    /// `rerank`, and only for the hits that were reranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    cross_encoder: Option<f32>,
}

impl From<search::ScoreDetails> for ScoreDetails {
    fn from(details: search::ScoreDetails) -> ScoreDetails {
        let search::ScoreDetails { semantic, lexical, recency, sentences, cross_encoder } = details;
        ScoreDetails { semantic, lexical, recency, sentences, cross_encoder }
    }
}

/// Diversity of the hits, from the first hit of the ranking to the last hit in the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diversity {
    /// Vendi Score of the first hits (at most 100 hits): the number of papers with nothing in common that would be as
    /// diverse.
    vendi: f32,
    /// Vendi Score that as many hits would have without `diversity`.
    plain: f32,
}

impl From<search::Diversity> for Diversity {
    fn from(search::Diversity { vendi, plain }: search::Diversity) -> Diversity {
        Diversity { vendi, plain }
    }
}

/// How much of the texts in `text` and `like` was encoded.
#[derive(Debug, Serialize, ToSchema)]
pub struct TextUsage {
    /// Number of tokens that were encoded, summed over all texts.
    tokens: usize,
    /// Whether at least one text was longer than the model's maximum and was therefore truncated.
    truncated: bool,
}

impl From<search::TextUsage> for TextUsage {
    fn from(search::TextUsage { tokens, truncated }: search::TextUsage) -> TextUsage {
        TextUsage { tokens, truncated }
    }
}

/// The reasons why a paper is a hit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The parts of the score. Their sum is the score.
    score_breakdown: ScoreBreakdown,
    /// Terms that the query and the paper share, at most 10. The terms that add most to the lexical score come first.
    /// Numbers are left out.
    terms: Vec<SharedTerm>,
    /// At most 3 pairs of a sentence of the query and a sentence of the paper, chosen by the weight of the terms that
    /// the two sentences share.
    pairs: Vec<SentencePair>,
}

impl From<search::Explanation> for Explanation {
    fn from(search::Explanation { score_breakdown, terms, pairs }: search::Explanation) -> Explanation {
        let search::ScoreBreakdown { semantic, title, lexical, sentences, cross_encoder } = score_breakdown;
        let term = |search::SharedTerm { term, weight }| SharedTerm { term, weight };
        let pair =
            |search::SentencePair { query, hit }| SentencePair { query: query.into(), hit: hit.into() };
        Explanation {
            score_breakdown: ScoreBreakdown { semantic, title, lexical, sentences, cross_encoder },
            terms: terms.into_iter().map(term).collect(),
            pairs: pairs.into_iter().map(pair).collect(),
        }
    }
}

/// The parts of a score. Their sum is the score.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScoreBreakdown {
    /// Part of the score that comes from the cosine similarity of the whole texts, without the part that comes from the
    /// title.
    semantic: f32,
    /// Part of the score that comes from the title's share of the cosine similarity; 0 for models that do not encode
    /// titles separately. It is also 0 for a hit whose title no longer fits into the 20,000 bytes of titles that are
    /// encoded for a response.
    title: f32,
    /// Part of the score that comes from the shared terms.
    lexical: f32,
    /// Part of the score that comes from the similarity of the sentences; only with `rerank_sentences`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<f32>,
    /// The whole score of a hit that the reranker scored; the other parts are then 0. Only with `rerank`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cross_encoder: Option<f32>,
}

/// A term that the query and the paper share.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedTerm {
    /// The term in its indexed form, in lower case.
    term: String,
    /// What the term adds to the lexical score (`parts.lexical`), 0 to 1.
    weight: f32,
}

/// A sentence of the query and a similar sentence of the hit.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentencePair {
    /// The sentence of the query.
    query: Span,
    /// The sentence of the hit.
    hit: Span,
}

/// A passage of a text, such as a sentence.
#[derive(Debug, Serialize, ToSchema)]
pub struct Span {
    /// Id of the paper that the text belongs to, if that paper is an example in the query; otherwise left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    id: Option<PaperId>,
    /// The text that the passage is taken from: `title` or `abstract` of a paper, or `text` for a text in the query.
    of: &'static str,
    /// Index of the passage's first character in the text, in Unicode code points.
    start: usize,
    /// Index after the passage's last character in the text, in Unicode code points.
    end: usize,
    /// The passage itself.
    text: String,
}

impl From<search::Span> for Span {
    fn from(search::Span { id, of, start, end, text }: search::Span) -> Span {
        Span { id, of, start, end, text }
    }
}
