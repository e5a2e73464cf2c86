//! A text, papers, or a vector → ranked papers.
//!
//! A [`Library`] is papers opened for answering: an encoder, and what holds them ([`holdings`]), which is a data folder
//! ([`folder`]: catalog, space, index). [`plan`] says how a query is answered there.

pub mod ask;
mod checked;
mod clusters;
mod diverse;
mod explain;
mod filters;
mod folder;
pub mod holdings;
mod hybrid;
mod lexical;
mod library;
mod pipeline;
pub mod plan;
mod recency;
mod rescore;
mod resources;
mod target;
mod vendi;

pub use checked::RESCORED;
pub use diverse::{Diversity, NEARLY_THE_SAME, diverse, taken};
pub use explain::{MOST_EXPLAINED, Pair, SharedTerm, Shares, Span, Why};
pub use lexical::{Bag, QueryTerms};
pub use library::Library;
pub use pipeline::Retrieved;
pub use vendi::vendi;

use crate::error::{Error, Result};
use crate::store::catalog::Filter;
use likewise_index::{IndexStats, dot};
use likewise_papers::{Paper, PaperId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// Most hits that can be asked for at once.
pub const MAX_K: usize = 1000;

/// Most hits that can be passed over.
pub const MAX_OFFSET: usize = 9000;

/// Most papers that can be asked about at once, on either side.
pub const MAX_PAPERS: usize = 1000;

/// Years after which a score may be worth half.
pub const HALF_LIVES: RangeInclusive<f32> = 0.01..=1000.0;

/// Where even the best answer has no better chance to be related, there is none: twice what a pair has that is drawn by chance.
/// Over 87,248 conference papers, that is said of none of 1,233 titles, sentences, keywords and papers, and of 20 of 30 recipes,
/// letters, lyrics and the like.
pub const NO_CHANCE: f32 = 0.4;

/// Hits when nobody says how many.
pub const DEFAULT_K: usize = 10;

/// What to find neighbours of: examples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Like {
    /// Texts: titles, abstracts, questions.
    pub texts: Vec<String>,
    /// Papers of this library. They are not their own hits.
    pub papers: Vec<String>,
    /// Vectors of this space, of any length but 0.
    pub vectors: Vec<Vec<f32>>,
}

impl Like {
    /// A text.
    pub fn text(text: String) -> Like {
        Like { texts: vec![text], ..Like::default() }
    }

    /// Papers.
    pub fn papers(papers: Vec<String>) -> Like {
        Like { papers, ..Like::default() }
    }

    /// A vector.
    pub fn vector(vector: Vec<f32>) -> Like {
        Like { vectors: vec![vector], ..Like::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many examples there are.
    pub fn len(&self) -> usize {
        self.texts.len() + self.papers.len() + self.vectors.len()
    }

    /// Refuses too many examples, and texts without words; they are called `name`.
    fn check(&self, name: &str) -> Result<()> {
        if self.texts.iter().any(|text| text.trim().is_empty()) {
            return Err(Error::Invalid("text: got an empty text, wanted a title or an abstract".into()));
        }
        if self.len() > MAX_PAPERS {
            let got = self.len();
            return Err(Error::Invalid(format!("{name}: got {got} examples, wanted at most {MAX_PAPERS}")));
        }
        Ok(())
    }
}

/// From so many examples on they are taken to be a reading list, which has several subjects.
const A_LIST: usize = 8;

/// How several examples make one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Examples {
    /// By their mean: what they have in common.
    Mean,
    /// By the one that a paper is most like: whatever is near to any of them, by its chance if that is known.
    Best,
    /// By their subjects, each of which is searched for: papers of all of them take turns.
    Clusters,
}

impl fmt::Display for Examples {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Examples::Mean => "mean",
            Examples::Best => "best",
            Examples::Clusters => "clusters",
        })
    }
}

/// By what papers are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By what they mean: the cosine of their vectors.
    Semantic,
    /// By the terms they share, rare ones most; what answers should be unlike is only left out.
    Lexical,
    /// By both: where two papers share the name of a method as well, they are nearer.
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

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What the answers should be like.
    pub like: Like,
    /// How several examples make one question; `None`: as is usual of so many.
    pub examples: Option<Examples>,
    /// What the answers should be unlike; its papers are no answers themselves.
    pub unlike: Like,
    /// How many, 1 to [`MAX_K`].
    pub k: usize,
    /// How many of the best are passed over, 0 to [`MAX_OFFSET`].
    pub offset: usize,
    /// Hits of a lower chance are left out or, where the model's are not known, of a lower score. `None`: none is, unless
    /// nothing at all is like it.
    pub min_score: Option<f32>,
    /// Compare with every paper instead of walking the graph.
    pub exact: bool,
    /// By what papers are alike; `None`: by meaning and words, where words are kept and asked for, else by meaning.
    pub mode: Option<Mode>,
    /// How much the difference from hits before counts beside nearness, 0 to 1; above 0, what says nearly the same as a
    /// nearer paper stands behind that. Beyond the nearest [`MAX_K`] the order is the plain one.
    pub diversity: f32,
    /// After how many years a score is worth half, in [`HALF_LIVES`]; `None`: never. As with diversity, the nearest 200
    /// are put in another order, or 1000 if more than 100 are asked for.
    pub half_life: Option<f32>,
    /// Score the first [`RESCORED`] once more, by their sentences, too: they are read with the model.
    pub rescore: bool,
    /// Say of the first [`MOST_EXPLAINED`] hits why they are.
    pub explain: bool,
    /// Which papers may be answers.
    pub filter: Filter,
}

impl Query {
    /// The [`DEFAULT_K`] papers that are most like something.
    pub fn of(like: Like) -> Query {
        let (unlike, filter) = (Like::default(), Filter::default());
        let (mode, examples, diversity) = (None, None, 0.0);
        let (k, offset, min_score, half_life) = (DEFAULT_K, 0, None, None);
        let (exact, rescore, explain) = (false, false, false);
        Query {
            like,
            examples,
            unlike,
            k,
            offset,
            min_score,
            exact,
            mode,
            diversity,
            half_life,
            rescore,
            explain,
            filter,
        }
    }

    /// How its examples make one question.
    pub fn examples(&self) -> Examples {
        let usual = if self.like.len() < A_LIST { Examples::Mean } else { Examples::Clusters };
        self.examples.unwrap_or(usual)
    }

    /// Whether hits are put in another order than that of their scores, which takes a deep pool of candidates.
    pub fn is_reordered(&self) -> bool {
        self.diversity > 0.0 || self.half_life.is_some()
    }

    /// Whether nothing is asked for that takes more time than a walk of the graph.
    pub fn is_plain(&self) -> bool {
        !(self.exact || self.explain || self.rescore || self.is_reordered())
    }

    /// Every text of it, in the order in which they are encoded.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.like.texts.iter().chain(&self.unlike.texts)
    }

    /// How many searches it comes to at most: one for each aim.
    pub fn searches(&self) -> usize {
        let examples = self.like.len().max(1);
        match self.examples() {
            Examples::Mean => 1,
            Examples::Best => examples.min(target::MOST_BEST),
            Examples::Clusters => examples.min(target::MOST_CLUSTERS),
        }
    }

    /// Refuses what can be seen to be wrong without looking at any paper.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Invalid(what));
        let Like { texts, papers, .. } = &self.like;
        if self.offset > MAX_OFFSET {
            return wrong(format!("offset: got {}, wanted 0 to {MAX_OFFSET}", self.offset));
        }
        if !(1..=MAX_K).contains(&self.k) {
            return wrong(format!("k: got {}, wanted 1 to {MAX_K}", self.k));
        }
        if self.like.is_empty() {
            return wrong("like: got an empty list, wanted at least one example".into());
        }
        self.like.check("like")?;
        self.unlike.check("unlike")?;
        if let Some(score) = self.min_score.filter(|score| !(0.0..=1.0).contains(score)) {
            return wrong(format!("min_score: got {score}, wanted 0 to 1"));
        }
        if !(0.0..=1.0).contains(&self.diversity) {
            return wrong(format!("diversity: got {}, wanted 0 to 1", self.diversity));
        }
        if let Some(years) = self.half_life.filter(|years| !HALF_LIVES.contains(years)) {
            let (least, most) = HALF_LIVES.into_inner();
            return wrong(format!("half_life: got {years}, wanted {least} to {most} years"));
        }
        let has_words = !(texts.is_empty() && papers.is_empty());
        if self.mode == Some(Mode::Lexical) && !has_words {
            return wrong("mode: got lexical, and a vector, which has no words; wanted semantic".into());
        }
        if self.rescore && !has_words {
            return wrong("rescore: got true, and a vector, which has no sentences; wanted false".into());
        }
        Ok(())
    }
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Hit {
    /// From 1.
    pub rank: usize,
    /// What hits are ranked by, -1 to 1: the cosine, or what [`Parts`] come to.
    pub score: f32,
    /// The chance that it is related, 0 to 1, if the model's are known: comparable between questions, as scores are not. See
    /// [`likewise_encoder::model::Chances`]. Whatever age and sentences count for, they do not change that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f32>,
    /// What the score is made of, if that is more than the cosine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// Where diversity was asked for, papers that say nearly the same, and are no hits therefore.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearly_the_same: Vec<PaperId>,
    /// Why it is a hit, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// Which of what was searched for found it.
    #[serde(skip)]
    pub aim: usize,
    /// The paper.
    pub paper: Paper,
}

impl Hit {
    /// Its cosine alone.
    pub fn cosine(&self) -> f32 {
        self.parts.map_or(self.score, |parts| parts.semantic)
    }
}

/// What a score is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parts {
    /// Cosine similarity, -1 to 1; 0 for a paper that has no vector yet.
    pub semantic: f32,
    /// How much of what the question's terms tell the paper has, 0 to 1, if words were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical: Option<f32>,
    /// What the rest is multiplied by because of the paper's age, 0 to 1, if that was asked for; nothing below 0 is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recency: Option<f32>,
    /// How near its sentences are to the question's, -1 to 1, if those were asked for, of the first 30: for each of the
    /// question's, the cosine of the nearest, on average. A fifth of it counts beside the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<f32>,
}

/// A paper, and what it is ranked by; see [`Hit`].
#[derive(Debug, Clone)]
struct Ranked {
    score: f32,
    chance: Option<f32>,
    parts: Option<Parts>,
    /// Which of the query's aims found it.
    aim: usize,
    paper: Paper,
}

impl Ranked {
    /// What its score is made of; of a cosine alone, that.
    fn parts(&self) -> Parts {
        let cosine = Parts { semantic: self.score, lexical: None, recency: None, sentences: None };
        self.parts.unwrap_or(cosine)
    }
}

/// How much of a query's text was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextRead {
    /// Tokens that the model read; of several texts, of all.
    pub tokens: usize,
    /// Whether the text was longer than the model reads; of several, any.
    pub truncated: bool,
}

impl TextRead {
    /// Of all texts together; `None` if there are none.
    pub fn together(texts: &[TextRead]) -> Option<TextRead> {
        let both = |one: TextRead, other: TextRead| TextRead {
            tokens: one.tokens + other.tokens,
            truncated: one.truncated || other.truncated,
        };
        texts.iter().copied().reduce(both)
    }
}

/// The answers to a query.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    /// Best first; of equal scores, by id. With diversity, in its order; by clusters, in turns.
    pub hits: Vec<Hit>,
    /// Whether there are none because nothing here is like what was asked: the best chance is below [`NO_CHANCE`]. Whoever
    /// says a `min_score` or a filter gets what has that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nothing_like_it: bool,
    /// How different they are, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// Of each text of the query, how much of it was read; written as `text`, of all together.
    #[serde(rename = "text", skip_serializing_if = "Vec::is_empty", serialize_with = "together")]
    pub texts: Vec<TextRead>,
    /// The unit vector that the hits are near to, or the first ones, by clusters and by the best.
    #[serde(skip)]
    pub target: Vec<f32>,
}

fn together<S: serde::Serializer>(texts: &[TextRead], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    TextRead::together(texts).serialize(serializer)
}

/// What a library holds.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// Papers in the catalog.
    pub papers: usize,
    /// Vectors in the space, one a distinct text.
    pub vectors: usize,
    /// Papers that have no vector yet.
    pub without_vector: usize,
    /// The index.
    pub index: IndexStats,
    /// Where the papers are, if that is no data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The model's name.
    pub model: String,
    /// The space's fingerprint.
    pub fingerprint: String,
    /// Length of the vectors.
    pub dimension: usize,
    /// What is to take the place of this model, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextStats>,
}

/// How far the space of a next model is.
#[derive(Debug, Clone, Serialize)]
pub struct NextStats {
    /// The model's name.
    pub model: String,
    /// The space's fingerprint.
    pub fingerprint: String,
    /// Vectors in the space so far, one a distinct text.
    pub vectors: usize,
}

/// Largest values of vectors that are directions.
const SIZES: RangeInclusive<f32> = 1e-30..=1e30;

/// Scales a caller's vector to length 1.
fn unit(vector: &[f32], dimension: usize) -> Result<Vec<f32>> {
    if vector.len() != dimension {
        let got = vector.len();
        return Err(Error::Invalid(format!("vector: got {got} values, wanted {dimension}")));
    }
    // Scaled by the largest value first, so that squares neither overflow nor vanish.
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if !vector.iter().all(|value| value.is_finite()) || !SIZES.contains(&largest) {
        return Err(Error::Invalid(
            "vector: got NaN, infinity, only zeros, or values beyond 1e30, wanted a direction".into(),
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
