//! Explains hits: the parts of the score, the terms shared with the query, and the most similar pairs of sentences.
//!
//! Hits are explained after the answer is complete, and only the few hits that are shown. Sentences are compared by the
//! weight of their shared terms and not by vectors: ten hits have about eighty sentences, and encoding eighty sentences
//! takes longer than the rest of a search.

use super::hybrid::query_terms;
use super::lexical::{QueryTerms, TermCounts};
use super::rerank_sentences::MAX_QUERY_BYTES;
use super::resolve::{ExampleText, SubQuery};
use super::resources::Resources;
use super::{Hit, Mode};
use crate::error::Result;
use crate::store::text::document_of;
use likewise_encoder::Document;
use likewise_index::dot;
use likewise_papers::sentences::split;
use likewise_papers::terms::for_each_term;
use likewise_papers::{Paper, PaperId};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Maximum number of hits that are explained. There is a limit because the titles of these hits have to be encoded.
pub const MAX_EXPLAINED: usize = 100;

/// Maximum number of bytes of titles that are encoded to explain an answer. If the title of a hit would exceed this
/// limit, the title's part of the score is 0, and the text's part includes it.
const MAX_TITLE_BYTES: usize = 20_000;

/// Maximum number of pairs of sentences in an explanation.
const MAX_PAIRS: usize = 3;

/// Maximum number of shared terms in an explanation.
const MAX_TERMS: usize = 10;

/// Maximum number of sentences of one text that are compared with the sentences of another text. No abstract has as
/// many sentences.
const MAX_SENTENCES: usize = 100;

/// Minimum similarity of a further pair of sentences, as a share of the best pair's similarity.
const MIN_SHARE_OF_BEST: f32 = 0.5;

/// Number of terms added to the length of each sentence, so that a short sentence with a single shared term is not the
/// most similar.
const LENGTH_SMOOTHING: f32 = 8.0;

/// Explanation of why a paper is a hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Parts of the score, which add up to the score.
    pub score_breakdown: ScoreBreakdown,
    /// At most 10 terms that the query and the paper share: those with the largest weights, largest first, without
    /// numbers.
    pub terms: Vec<SharedTerm>,
    /// At most 3 pairs of a query sentence and a paper sentence: the most similar pairs, best first.
    pub pairs: Vec<SentencePair>,
}

/// The parts of a score, which add up to the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreBreakdown {
    /// Part of the score from the cosine, without the title's part.
    pub semantic: f32,
    /// The title's part of the score; 0 if the title was not encoded separately.
    pub title: f32,
    /// Part of the score from the shared terms.
    pub lexical: f32,
    /// Part of the score from the similarity of sentences; `None` if the hit was not reranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<f32>,
    /// The whole score, if the cross-encoder reranked the hit; the other parts are then 0. `None` if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_encoder: Option<f32>,
}

/// A term that the query and the paper share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedTerm {
    /// The term as it is indexed: in lower case, without accents, and singular.
    pub term: String,
    /// Value that the term adds to the lexical score that the paper has for the query, 0 to 1; also in semantic mode,
    /// where the score of the hit does not include it.
    pub weight: f32,
}

/// A sentence of the query and a similar sentence of the hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentencePair {
    /// The sentence of the query.
    pub query: Span,
    /// The sentence of the hit.
    pub hit: Span,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// Id of the query's paper that the text belongs to; `None` for a text of the hit and for a text given in the
    /// query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<PaperId>,
    /// Kind of text: `title` or `abstract` of a paper, or `text` for a text given in the query.
    pub of: &'static str,
    /// Index of the first character, in Unicode code points.
    pub start: usize,
    /// Index of the character after the last one, in Unicode code points.
    pub end: usize,
    /// The characters from `start` up to `end`.
    pub text: String,
}

/// Explains the first [`MAX_EXPLAINED`] hits, each with the sub-query that retrieved the hit.
pub(super) fn explain(
    resources: &Resources,
    sub_queries: &[SubQuery],
    mode: Mode,
    hits: &mut [Hit],
) -> Result<()> {
    let count = hits.len().min(MAX_EXPLAINED);
    let hits = &mut hits[..count];
    let ids: Vec<PaperId> = hits.iter().map(|hit| hit.paper.id.clone()).collect();
    let vectors = resources.store.vectors(&ids)?;
    let mut remaining = MAX_TITLE_BYTES;
    let documents = hits.iter().map(|hit| {
        let document = document_of(&hit.paper);
        let fits = remaining.checked_sub(document.title.len()).map(|rest| remaining = rest).is_some();
        if fits { document } else { Document { title: "", body: "" } }
    });
    let titles = resources.encoder.encode_titles(documents)?;
    let mut query_sentences: Vec<Option<QuerySentences>> = sub_queries.iter().map(|_| None).collect();
    for (index, (vector, title)) in vectors.iter().zip(titles).enumerate() {
        let sub_query_index = hits[index].sub_query;
        let Some(sub_query) = sub_queries.get(sub_query_index) else { continue };
        let query = match &mut query_sentences[sub_query_index] {
            Some(query) => query,
            empty => {
                let terms = terms_among(resources, &sub_query.terms, hits)?;
                empty.insert(QuerySentences::of(&sub_query.sources, terms))
            }
        };
        let title = match (vector, title) {
            (Some(vector), Some(title)) => title_part(resources, &sub_query.vector, vector, &title),
            _ => 0.0,
        };
        let hit = &mut hits[index];
        hit.explanation = Some(Explanation {
            score_breakdown: score_breakdown(hit, mode, title),
            terms: shared_terms(&query.terms, &hit.paper),
            pairs: pairs(query, &hit.paper),
        });
    }
    Ok(())
}

/// Computes the title's part of the cosine. A paper's vector is `(text + share · title) / length`. The vector of the
/// text has length 1, so `length` follows from the other values.
fn title_part(resources: &Resources, query: &[f32], vector: &[f32], title: &[f32]) -> f32 {
    let share = resources.encoder.model().title_weight();
    let along = share * dot(vector, title);
    let length = along + (along * along + 1.0 - share * share).max(0.0).sqrt();
    if length > 0.0 { share * dot(query, title) / length } else { 0.0 }
}

/// Weighs the terms of a query by their document frequencies in the store or, if the store does not index terms, by
/// their document frequencies among the hits.
fn terms_among(resources: &Resources, counts: &TermCounts, hits: &[Hit]) -> Result<QueryTerms> {
    if resources.indexes_terms()? {
        return query_terms(resources, counts);
    }
    let mut doc_freqs: HashMap<String, usize> = HashMap::new();
    for hit in hits {
        let mut of_hit = TermCounts::default();
        of_hit.add_paper(&hit.paper);
        of_hit.terms().into_iter().for_each(|term| *doc_freqs.entry(term.into()).or_default() += 1);
    }
    Ok(QueryTerms::of(counts, hits.len(), |term| doc_freqs.get(term).copied().unwrap_or_default()))
}

/// Splits a hit's score into the contributions of the text, the title and the terms. `title` is the contribution of the
/// title to the cosine, -1 to 1.
fn score_breakdown(hit: &Hit, mode: Mode, title: f32) -> ScoreBreakdown {
    if hit.parts.is_some_and(|parts| parts.cross_encoder.is_some()) {
        let (semantic, title, lexical) = (0.0, 0.0, 0.0);
        return ScoreBreakdown { semantic, title, lexical, sentences: None, cross_encoder: Some(hit.score) };
    }
    let cosine = hit.cosine();
    let lexical = hit.parts.and_then(|parts| parts.lexical).unwrap_or_default();
    let sentences = hit.parts.and_then(|parts| parts.sentences);
    let plain = |semantic, lexical| super::hybrid::score(mode, semantic, lexical);
    let whole = super::rerank_sentences::score(plain(cosine, lexical), sentences.unwrap_or_default());
    // Recency scales all parts alike.
    let scale = if whole == 0.0 { 0.0 } else { hit.score / whole };
    let of_plain = scale * super::rerank_sentences::score(1.0, 0.0);
    ScoreBreakdown {
        semantic: of_plain * plain(cosine - title, 0.0),
        title: of_plain * plain(title, 0.0),
        lexical: of_plain * plain(0.0, lexical),
        sentences: sentences.map(|sentences| scale * super::rerank_sentences::score(0.0, sentences)),
        cross_encoder: None,
    }
}

/// The [`MAX_TERMS`] shared terms with the largest weights. Numbers are left out, because they explain nothing.
fn shared_terms(terms: &QueryTerms, paper: &Paper) -> Vec<SharedTerm> {
    let mut shared: Vec<SharedTerm> = terms
        .scores(paper)
        .into_iter()
        .map(|(term, weight)| SharedTerm { term: term.into(), weight })
        .collect();
    shared.retain(|term| term.term.contains(char::is_alphabetic));
    shared.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.term.cmp(&b.term)));
    shared.truncate(MAX_TERMS);
    shared
}

/// A sentence with the weights of its terms.
struct Sentence<'a> {
    id: Option<&'a PaperId>,
    of: &'static str,
    /// The text that the sentence is part of.
    whole: &'a str,
    /// Byte offset of the sentence in `whole`.
    start: usize,
    text: &'a str,
    /// Terms of the query that the sentence has, with their weights.
    terms: BTreeMap<String, f32>,
    /// Divisor that normalises the similarity for the number of terms.
    length: f32,
}

impl<'a> Sentence<'a> {
    /// Returns the sentences of a text that have a term of the query; a title is one sentence. Only the first
    /// [`MAX_QUERY_BYTES`] bytes of the text and the first [`MAX_SENTENCES`] sentences are read, because stored texts
    /// can be longer than any abstract and the number of pairs of sentences grows with the square of the length.
    fn all(
        id: Option<&'a PaperId>,
        of: &'static str,
        whole: &'a str,
        terms: &QueryTerms,
    ) -> Vec<Sentence<'a>> {
        let mut start = 0;
        let whole = &whole[..whole.floor_char_boundary(MAX_QUERY_BYTES)];
        let sentences = if of == "title" { vec![whole] } else { split(whole) };
        let sentence = |text: &'a str| {
            let (mut weights, mut count) = (BTreeMap::new(), 0.0);
            for_each_term(text, |term| {
                count += 1.0;
                let weight = terms.weight(term);
                if weight > 0.0 {
                    weights.insert(term.to_string(), weight);
                }
            });
            let length = (count + LENGTH_SMOOTHING).sqrt();
            let sentence = Sentence { id, of, whole, start, text: text.trim_end(), terms: weights, length };
            start += text.len();
            sentence
        };
        sentences
            .into_iter()
            .take(MAX_SENTENCES)
            .map(sentence)
            .filter(|sentence| !sentence.terms.is_empty())
            .collect()
    }

    /// The weight of the shared terms, normalised by the lengths of both sentences.
    fn similarity(&self, other: &Sentence) -> f32 {
        let shared = self.terms.iter().filter(|(term, _)| other.terms.contains_key(*term));
        shared.map(|(_, weight)| weight).sum::<f32>() / (self.length * other.length)
    }

    fn span(&self) -> Span {
        let start = self.whole[..self.start].chars().count();
        let end = start + self.text.chars().count();
        Span { id: self.id.cloned(), of: self.of, start, end, text: self.text.into() }
    }
}

/// The terms and sentences of a sub-query. They are computed once for all hits of the sub-query.
struct QuerySentences<'a> {
    terms: QueryTerms,
    sentences: Vec<Sentence<'a>>,
}

impl<'a> QuerySentences<'a> {
    fn of(sources: &'a [ExampleText], terms: QueryTerms) -> QuerySentences<'a> {
        let sentences = sources.iter().flat_map(|source| source.sentences(&terms)).collect();
        QuerySentences { terms, sentences }
    }
}

/// The [`MAX_PAIRS`] most similar pairs of sentences, without pairs far less similar than the best pair; each sentence
/// is in at most one pair.
fn pairs(query: &QuerySentences, paper: &Paper) -> Vec<SentencePair> {
    let mut found = Sentence::all(None, "title", &paper.title, &query.terms);
    found.extend(Sentence::all(None, "abstract", &paper.r#abstract, &query.terms));
    let mut similarities: Vec<(f32, usize, usize)> = Vec::new();
    for (one, sentence) in query.sentences.iter().enumerate() {
        let with = |(other, found): (usize, &Sentence)| (sentence.similarity(found), one, other);
        similarities.extend(found.iter().enumerate().map(with).filter(|(similarity, ..)| *similarity > 0.0));
    }
    similarities.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    let min = similarities.first().map_or(0.0, |(best, ..)| MIN_SHARE_OF_BEST * best);
    for (_, one, other) in similarities.into_iter().take_while(|(similarity, ..)| *similarity >= min) {
        if chosen.len() < MAX_PAIRS && chosen.iter().all(|pair| pair.0 != one && pair.1 != other) {
            chosen.push((one, other));
        }
    }
    chosen
        .into_iter()
        .map(|(one, other)| SentencePair { query: query.sentences[one].span(), hit: found[other].span() })
        .collect()
}

impl ExampleText {
    fn sentences(&self, terms: &QueryTerms) -> Vec<Sentence<'_>> {
        match self {
            ExampleText::Text(text) => Sentence::all(None, "text", text, terms),
            ExampleText::Paper(paper) => {
                let mut sentences = Sentence::all(Some(&paper.id), "title", &paper.title, terms);
                sentences.extend(Sentence::all(Some(&paper.id), "abstract", &paper.r#abstract, terms));
                sentences
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_give_the_most_similar_sentences_and_their_positions() {
        let text = "Ünits matter. Can bees count knots? We do not know.";
        let mut counts = TermCounts::default();
        counts.add_text(text);
        let terms = QueryTerms::of(&counts, 100, |term| if term == "matter" { 90 } else { 5 });
        let paper = Paper {
            title: "On bees".into(),
            r#abstract: "Insects matter. A bee that counts untangled a knot. We conclude.".into(),
            ..Paper::default()
        };
        let source = [ExampleText::Text(text.into())];
        let pairs = pairs(&QuerySentences::of(&source, terms.clone()), &paper);
        assert_eq!(pairs[0].query.text, "Can bees count knots?");
        assert_eq!((pairs[0].query.start, pairs[0].query.end, pairs[0].query.of), (14, 35, "text"));
        assert_eq!(pairs[0].hit.text, "A bee that counts untangled a knot.");
        assert_eq!((pairs[0].hit.start, pairs[0].hit.of), (16, "abstract"));
        assert_eq!(pairs.len(), 1, "the other sentences share too little: {pairs:?}");
        let shared = shared_terms(&terms, &paper);
        let sum: f32 = shared.iter().map(|term| term.weight).sum();
        assert!((sum - terms.score(&paper)).abs() < 1e-6, "{shared:?}");
        assert!(super::pairs(&QuerySentences::of(&[], terms), &paper).is_empty());
    }

    #[test]
    fn very_long_abstracts_are_compared_within_a_second() {
        let long = |name: &str| Paper {
            title: format!("On {name}"),
            r#abstract: (0..10_000).map(|number| format!("Bees count knot {number}. ")).collect(),
            ..Paper::default()
        };
        let (query, found) = (long("one"), long("two"));
        let mut counts = TermCounts::default();
        counts.add_paper(&query);
        let terms = QueryTerms::of(&counts, 100, |_| 5);
        let started = std::time::Instant::now();
        let source = [ExampleText::Paper(Box::new(query))];
        let pairs = pairs(&QuerySentences::of(&source, terms), &found);
        assert_eq!(pairs.len(), MAX_PAIRS);
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }
}
