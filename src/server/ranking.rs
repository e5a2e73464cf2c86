//! How papers are ranked, and what a rank is made of, as requests and answers say it.
//!
//! Its own file because these are the shapes that programs are promised; the search has its own, and each becomes the
//! other here, once.

use crate::search;
use likewise_papers::PaperId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// By what papers are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[cfg_attr(feature = "mcp", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By what they mean: the cosine of their vectors.
    Semantic,
    /// By the terms they share, rare ones most; what answers should be unlike is only left out.
    Lexical,
    /// By both: where two papers share the name of a method as well, they are nearer.
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

/// How several examples make one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[cfg_attr(feature = "mcp", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Examples {
    /// By their mean: what they have in common.
    Mean,
    /// By the one that a paper is most like: whatever is near to any of them, by its chance if that is known.
    Best,
    /// By their subjects, each of which is searched for: papers of all of them take turns.
    Clusters,
}

impl From<Examples> for search::Examples {
    fn from(examples: Examples) -> search::Examples {
        match examples {
            Examples::Mean => search::Examples::Mean,
            Examples::Best => search::Examples::Best,
            Examples::Clusters => search::Examples::Clusters,
        }
    }
}

/// What a score is made of.
#[derive(Debug, Serialize, ToSchema)]
pub struct Parts {
    /// Cosine similarity, -1 to 1; 0 for a paper that has no vector yet.
    semantic: f32,
    /// How much of what the question's terms tell the paper has, 0 to 1, if words were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    lexical: Option<f32>,
    /// What the rest is multiplied by because of the paper's age, 0 to 1, if that was asked for; nothing below 0 is.
    #[serde(skip_serializing_if = "Option::is_none")]
    recency: Option<f32>,
    /// How near its sentences are to the question's, -1 to 1, if those were asked for, of the first 30: for each of the
    /// question's, the cosine of the nearest, on average. A fifth of it counts beside the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<f32>,
}

impl From<search::Parts> for Parts {
    fn from(parts: search::Parts) -> Parts {
        let search::Parts { semantic, lexical, recency, sentences } = parts;
        Parts { semantic, lexical, recency, sentences }
    }
}

/// How different the hits are, up to the last that is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct Diversity {
    /// Their Vendi Score: to how many papers that have nothing in common they come. At most the first 100 count.
    vendi: f32,
    /// The same of as many of the nearest, in plain order.
    plain: f32,
}

impl From<search::Diversity> for Diversity {
    fn from(search::Diversity { vendi, plain }: search::Diversity) -> Diversity {
        Diversity { vendi, plain }
    }
}

/// How much of a query's text was read.
#[derive(Debug, Serialize, ToSchema)]
pub struct TextRead {
    /// Tokens that the model read; of several texts, of all.
    tokens: usize,
    /// Whether the text was longer than the model reads; of several, any.
    truncated: bool,
}

impl From<search::TextRead> for TextRead {
    fn from(search::TextRead { tokens, truncated }: search::TextRead) -> TextRead {
        TextRead { tokens, truncated }
    }
}

/// Why a paper is a hit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Why {
    /// What the score comes from; these add up to it.
    shares: Shares,
    /// Telling terms of the question that the paper has, those that add most first.
    terms: Vec<SharedTerm>,
    /// Sentences of both that share most of what tells.
    pairs: Vec<Pair>,
}

impl From<search::Why> for Why {
    fn from(search::Why { shares, terms, pairs }: search::Why) -> Why {
        let search::Shares { semantic, title, lexical, sentences } = shares;
        let term = |search::SharedTerm { term, weight }| SharedTerm { term, weight };
        let pair = |search::Pair { asked, found }| Pair { asked: asked.into(), found: found.into() };
        Why {
            shares: Shares { semantic, title, lexical, sentences },
            terms: terms.into_iter().map(term).collect(),
            pairs: pairs.into_iter().map(pair).collect(),
        }
    }
}

/// What a score comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shares {
    /// What the paper's whole text is about.
    semantic: f32,
    /// What its title is about, where titles are read by themselves.
    title: f32,
    /// The terms it shares.
    lexical: f32,
    /// What its sentences say, where those were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<f32>,
}

/// A term that both have.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedTerm {
    /// In lower case, as terms are compared.
    term: String,
    /// How much of what the question's terms tell it is, 0 to 1.
    weight: f32,
}

/// Two sentences.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pair {
    /// Of the question.
    asked: Span,
    /// Of the hit.
    found: Span,
}

/// A part of a text.
#[derive(Debug, Serialize, ToSchema)]
pub struct Span {
    /// Of which paper, if it is of one that the question names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    id: Option<PaperId>,
    /// Of which text: `title` or `abstract` of a paper, or else `text`.
    of: &'static str,
    /// Where it begins, in characters (Unicode code points).
    start: usize,
    /// Where it ends.
    end: usize,
    /// What it says.
    text: String,
}

impl From<search::Span> for Span {
    fn from(search::Span { id, of, start, end, text }: search::Span) -> Span {
        Span { id, of, start, end, text }
    }
}
