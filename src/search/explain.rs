//! A hit → why it is one: what its score is made of, the terms it shares with the question, and the sentences they stand in.
//!
//! Its own file because it is worked out after the answer, for the few hits that somebody looks at. Sentences are compared by
//! the telling terms they share and not by vectors: ten hits have some eighty sentences, and encoding those takes longer than
//! everything else together.

use super::hybrid::query_terms;
use super::lexical::{Bag, QueryTerms};
use super::rescore::MOST_READ;
use super::resources::Resources;
use super::target::{Aim, Source};
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

/// Most hits that are explained: nobody reads more at once, and their titles are encoded for it.
pub const MOST_EXPLAINED: usize = 100;

/// Bytes of titles that are encoded for it; titles beyond are not told apart from the texts.
const MOST_OF_TITLES: usize = 20_000;

/// Most pairs of sentences, and most terms, that are told.
const MOST_PAIRS: usize = 3;
const MOST_TERMS: usize = 10;

/// Most sentences of one text that are compared, each with each of the other's: no abstract has as many.
const MOST_SENTENCES: usize = 100;

/// A further pair is told if it shares so much of what the first one does.
const AS_GOOD: f32 = 0.5;

/// Terms that every sentence is taken to have besides its own: a short one that shares one term is not all about it.
const COMMON: f32 = 8.0;

/// Why a paper is a hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// What the score comes from; these add up to it.
    pub shares: Shares,
    /// Telling terms of the question that the paper has, those that add most first.
    pub terms: Vec<SharedTerm>,
    /// Sentences of both that share most of what tells.
    pub pairs: Vec<Pair>,
}

/// What a score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shares {
    /// What the paper's whole text is about.
    pub semantic: f32,
    /// What its title is about, where titles are read by themselves.
    pub title: f32,
    /// The terms it shares.
    pub lexical: f32,
    /// What its sentences say, where those were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentences: Option<f32>,
}

/// A term that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedTerm {
    /// In lower case, as terms are compared.
    pub term: String,
    /// How much of what the question's terms tell it is, 0 to 1.
    pub weight: f32,
}

/// Two sentences.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Of the question.
    pub asked: Span,
    /// Of the hit.
    pub found: Span,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// Of which paper, if it is of one that the question names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<PaperId>,
    /// Of which text: `title` or `abstract` of a paper, or else `text`.
    pub of: &'static str,
    /// Where it begins, in characters (Unicode code points).
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it says.
    pub text: String,
}

/// Says of the first [`MOST_EXPLAINED`] hits why they are, by what was searched for.
pub(super) fn explain(resources: &Resources, aims: &[Aim], mode: Mode, hits: &mut [Hit]) -> Result<()> {
    let count = hits.len().min(MOST_EXPLAINED);
    let hits = &mut hits[..count];
    let ids: Vec<PaperId> = hits.iter().map(|hit| hit.paper.id.clone()).collect();
    let vectors = resources.holdings.vectors(&ids)?;
    let mut left = MOST_OF_TITLES;
    let documents = hits.iter().map(|hit| {
        let document = document_of(&hit.paper);
        let is_within = left.checked_sub(document.title.len()).map(|fewer| left = fewer).is_some();
        if is_within { document } else { Document { title: "", body: "" } }
    });
    let titles = resources.encoder.encode_titles(documents)?;
    let mut asked: Vec<Option<Asked>> = aims.iter().map(|_| None).collect();
    for (place, (vector, title)) in vectors.iter().zip(titles).enumerate() {
        let number = hits[place].aim;
        let Some(aim) = aims.get(number) else { continue };
        let asked = match &mut asked[number] {
            Some(asked) => asked,
            unknown => unknown.insert(Asked::of(&aim.sources, terms_among(resources, &aim.bag, hits)?)),
        };
        let title = match (vector, title) {
            (Some(vector), Some(title)) => title_part(resources, &aim.vector, vector, &title),
            _ => 0.0,
        };
        let hit = &mut hits[place];
        hit.why = Some(Why {
            shares: shares(hit, mode, title),
            terms: shared_terms(&asked.terms, &hit.paper),
            pairs: pairs(asked, &hit.paper),
        });
    }
    Ok(())
}

/// How much of a paper's cosine comes from its title: its vector is `(text + share · title) / length`, and all but the
/// text and the length is known, of which the first has length 1.
fn title_part(resources: &Resources, aim: &[f32], vector: &[f32], title: &[f32]) -> f32 {
    let share = resources.encoder.model().title_share();
    let along = share * dot(vector, title);
    let length = along + (along * along + 1.0 - share * share).max(0.0).sqrt();
    if length > 0.0 { share * dot(aim, title) / length } else { 0.0 }
}

/// A question's terms, weighed by how many papers have them; where that is not kept, by how many of the hits.
fn terms_among(resources: &Resources, bag: &Bag, hits: &[Hit]) -> Result<QueryTerms> {
    if resources.keeps_words()? {
        return query_terms(resources, bag);
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for hit in hits {
        let mut of_hit = Bag::default();
        of_hit.paper(&hit.paper);
        of_hit.terms().into_iter().for_each(|term| *counts.entry(term.into()).or_default() += 1);
    }
    Ok(QueryTerms::of(bag, hits.len(), |term| counts.get(term).copied().unwrap_or_default()))
}

/// What a hit's score comes from, when so much of its cosine is its title's.
fn shares(hit: &Hit, mode: Mode, title: f32) -> Shares {
    let cosine = hit.cosine();
    let lexical = hit.parts.and_then(|parts| parts.lexical).unwrap_or_default();
    let sentences = hit.parts.and_then(|parts| parts.sentences);
    let plain = |semantic, lexical| super::hybrid::score(mode, semantic, lexical);
    let whole = super::rescore::score(plain(cosine, lexical), sentences.unwrap_or_default());
    // Age, and whatever else changes the score, changes all of it.
    let scale = if whole == 0.0 { 0.0 } else { hit.score / whole };
    let of_plain = scale * super::rescore::score(1.0, 0.0);
    Shares {
        semantic: of_plain * plain(cosine - title, 0.0),
        title: of_plain * plain(title, 0.0),
        lexical: of_plain * plain(0.0, lexical),
        sentences: sentences.map(|near| scale * super::rescore::score(0.0, near)),
    }
}

/// The terms that add most, numbers aside, which say nothing by themselves.
fn shared_terms(terms: &QueryTerms, paper: &Paper) -> Vec<SharedTerm> {
    let mut shared: Vec<SharedTerm> = terms
        .scores(paper)
        .into_iter()
        .map(|(term, weight)| SharedTerm { term: term.into(), weight })
        .collect();
    shared.retain(|term| term.term.contains(char::is_alphabetic));
    shared.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.term.cmp(&b.term)));
    shared.truncate(MOST_TERMS);
    shared
}

/// A sentence, and what its terms tell.
struct Sentence<'a> {
    id: Option<&'a PaperId>,
    of: &'static str,
    whole: &'a str,
    start: usize,
    text: &'a str,
    terms: BTreeMap<String, f32>,
    length: f32,
}

impl<'a> Sentence<'a> {
    /// Those of a text that have anything to tell, among the first [`MOST_SENTENCES`] of its first [`MOST_READ`] bytes: what is
    /// stored may be longer than any abstract, and memory grows with the square.
    fn all(
        id: Option<&'a PaperId>,
        of: &'static str,
        whole: &'a str,
        terms: &QueryTerms,
    ) -> Vec<Sentence<'a>> {
        let mut start = 0;
        let whole = &whole[..whole.floor_char_boundary(MOST_READ)];
        let sentences = if of == "title" { vec![whole] } else { split(whole) };
        let sentence = |text: &'a str| {
            let (mut told, mut count) = (BTreeMap::new(), 0.0);
            for_each_term(text, |term| {
                count += 1.0;
                let weight = terms.weight(term);
                if weight > 0.0 {
                    told.insert(term.to_string(), weight);
                }
            });
            let length = (count + COMMON).sqrt();
            let sentence = Sentence { id, of, whole, start, text: text.trim_end(), terms: told, length };
            start += text.len();
            sentence
        };
        sentences
            .into_iter()
            .take(MOST_SENTENCES)
            .map(sentence)
            .filter(|sentence| !sentence.terms.is_empty())
            .collect()
    }

    /// How much two tell in common.
    fn likeness(&self, other: &Sentence) -> f32 {
        let shared = self.terms.iter().filter(|(term, _)| other.terms.contains_key(*term));
        shared.map(|(_, weight)| weight).sum::<f32>() / (self.length * other.length)
    }

    fn span(&self) -> Span {
        let start = self.whole[..self.start].chars().count();
        let end = start + self.text.chars().count();
        Span { id: self.id.cloned(), of: self.of, start, end, text: self.text.into() }
    }
}

/// What a question says: read once, for all hits.
struct Asked<'a> {
    terms: QueryTerms,
    sentences: Vec<Sentence<'a>>,
}

impl<'a> Asked<'a> {
    fn of(sources: &'a [Source], terms: QueryTerms) -> Asked<'a> {
        let sentences = sources.iter().flat_map(|source| source.sentences(&terms)).collect();
        Asked { terms, sentences }
    }
}

/// The sentences that share most, each in one pair.
fn pairs(Asked { terms, sentences: asked }: &Asked, paper: &Paper) -> Vec<Pair> {
    let mut found = Sentence::all(None, "title", &paper.title, terms);
    found.extend(Sentence::all(None, "abstract", &paper.r#abstract, terms));
    let mut likes: Vec<(f32, usize, usize)> = Vec::new();
    for (one, sentence) in asked.iter().enumerate() {
        let with = |(other, found): (usize, &Sentence)| (sentence.likeness(found), one, other);
        likes.extend(found.iter().enumerate().map(with).filter(|(likeness, ..)| *likeness > 0.0));
    }
    likes.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let least = likes.first().map_or(0.0, |(best, ..)| AS_GOOD * best);
    for (_, one, other) in likes.into_iter().take_while(|(likeness, ..)| *likeness >= least) {
        if taken.len() < MOST_PAIRS && taken.iter().all(|pair| pair.0 != one && pair.1 != other) {
            taken.push((one, other));
        }
    }
    taken
        .into_iter()
        .map(|(one, other)| Pair { asked: asked[one].span(), found: found[other].span() })
        .collect()
}

impl Source {
    fn sentences(&self, terms: &QueryTerms) -> Vec<Sentence<'_>> {
        match self {
            Source::Text(text) => Sentence::all(None, "text", text, terms),
            Source::Paper(paper) => {
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
    fn the_sentences_that_share_most_are_told_with_their_places() {
        let text = "Ünits matter. Can bees count knots? We do not know.";
        let mut bag = Bag::default();
        bag.text(text);
        let terms = QueryTerms::of(&bag, 100, |term| if term == "matter" { 90 } else { 5 });
        let paper = Paper {
            title: "On bees".into(),
            r#abstract: "Insects matter. A bee that counts untangled a knot. We conclude.".into(),
            ..Paper::default()
        };
        let source = [Source::Text(text.into())];
        let pairs = pairs(&Asked::of(&source, terms.clone()), &paper);
        assert_eq!(pairs[0].asked.text, "Can bees count knots?");
        assert_eq!((pairs[0].asked.start, pairs[0].asked.end, pairs[0].asked.of), (14, 35, "text"));
        assert_eq!(pairs[0].found.text, "A bee that counts untangled a knot.");
        assert_eq!((pairs[0].found.start, pairs[0].found.of), (16, "abstract"));
        assert_eq!(pairs.len(), 1, "the others share little: {pairs:?}");
        let shared = shared_terms(&terms, &paper);
        let sum: f32 = shared.iter().map(|term| term.weight).sum();
        assert!((sum - terms.score(&paper)).abs() < 1e-6, "{shared:?}");
        assert!(super::pairs(&Asked::of(&[], terms), &paper).is_empty());
    }

    #[test]
    fn papers_that_are_longer_than_any_abstract_take_no_time() {
        let long = |name: &str| Paper {
            title: format!("On {name}"),
            r#abstract: (0..10_000).map(|number| format!("Bees count knot {number}. ")).collect(),
            ..Paper::default()
        };
        let (asked, found) = (long("one"), long("two"));
        let mut bag = Bag::default();
        bag.paper(&asked);
        let terms = QueryTerms::of(&bag, 100, |_| 5);
        let started = std::time::Instant::now();
        let source = [Source::Paper(Box::new(asked))];
        let pairs = pairs(&Asked::of(&source, terms), &found);
        assert_eq!(pairs.len(), MOST_PAIRS);
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }
}
