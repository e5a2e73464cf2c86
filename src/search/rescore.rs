//! The first papers of a list, scored once more, by how near their sentences are to the question's.
//!
//! Its own file because it is the one part of a search that reads papers with the model: some 240 sentences, which takes a
//! hundred times as long as all the rest, and so is done where it is asked for.

use super::checked::RESCORED;
use super::resources::sort;
use super::target::{Aim, Source, Target};
use super::{Parts, Ranked};
use likewise_index::dot;
use likewise_papers::Paper;
use likewise_papers::sentences::split;

/// How much sentences count beside the score: chosen on keywords-dev of benches/judged.py.
const SENTENCES: f32 = 0.2;

/// Bytes of a text that is asked by, or of all of them, whose sentences are compared.
pub(super) const MOST_READ: usize = 16_000;

/// Bytes of a paper's abstract whose sentences are compared: more than all but a few abstracts have.
const MOST_OF_PAPER: usize = 4_000;

/// Bytes that are read of each text in any case: a title.
const LEAST_READ: usize = 250;

/// Most sentences of one text that are read: more than any abstract has.
const MOST_SENTENCES: usize = 32;

/// Most sentences that are asked by; of several texts each has as many of them.
const MOST_ASKED: usize = 64;

/// How much is read of a text.
#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: usize,
    sentences: usize,
}

impl Limit {
    /// Of each paper that was found.
    const OF_PAPER: Limit = Limit { bytes: MOST_OF_PAPER, sentences: MOST_SENTENCES };

    /// Of each of so many texts that are asked by.
    fn shared_by(texts: usize) -> Limit {
        let texts = texts.max(1);
        Limit {
            bytes: (MOST_READ / texts).max(LEAST_READ),
            sentences: (MOST_ASKED / texts).clamp(1, MOST_SENTENCES),
        }
    }
}

/// The sentences of a question and of the first [`RESCORED`] papers that were found.
pub(super) struct Sentences<'a> {
    /// Of each aim.
    asked: Vec<Vec<&'a str>>,
    /// Of each paper.
    found: Vec<Vec<&'a str>>,
}

impl<'a> Sentences<'a> {
    /// Of the aims that found one of these papers: the others' need not be read.
    pub fn of(target: &'a Target, pool: &'a [Ranked]) -> Sentences<'a> {
        let first = &pool[..pool.len().min(RESCORED)];
        let sources = |(number, aim): (usize, &'a Aim)| -> &'a [Source] {
            if first.iter().any(|ranked| ranked.aim == number) { &aim.sources } else { &[] }
        };
        let met: Vec<&[Source]> = target.aims.iter().enumerate().map(sources).collect();
        let limit = Limit::shared_by(met.iter().map(|sources| sources.len()).sum());
        let asked = met
            .into_iter()
            .map(|sources| sources.iter().flat_map(|source| of_source(source, limit)).collect());
        let found = first.iter().map(|ranked| of_paper(&ranked.paper, Limit::OF_PAPER));
        Sentences { asked: asked.collect(), found: found.collect() }
    }

    /// All of them, to be encoded.
    pub fn texts(&self) -> Vec<&'a str> {
        self.asked.iter().chain(&self.found).flatten().copied().collect()
    }
}

/// Scores the first [`RESCORED`] papers of a list by their sentences, too, beside those of the aim that found them; the
/// others' count nothing. Where there are several aims, the papers of each change places among themselves. `vectors` are
/// those of [`Sentences::texts`].
pub(super) fn rescore(target: &Target, pool: &mut [Ranked], vectors: Vec<Option<Vec<f32>>>) {
    let mut vectors = vectors.into_iter();
    let mut of = |lists: &[Vec<&str>]| -> Vec<Vec<Vec<f32>>> {
        lists.iter().map(|list| vectors.by_ref().take(list.len()).flatten().collect()).collect()
    };
    let sentences = Sentences::of(target, pool);
    let (asked, found) = (of(&sentences.asked), of(&sentences.found));
    for (place, ranked) in pool.iter_mut().enumerate() {
        let near = found.get(place).and_then(|found| nearness(&asked[ranked.aim], found));
        let parts = Parts { sentences: near, ..ranked.parts() };
        ranked.score = score(ranked.score, near.unwrap_or_default() * parts.recency.unwrap_or(1.0));
        ranked.parts = Some(parts);
    }
    if target.aims.len() == 1 {
        return sort(pool);
    }
    for aim in 0..target.aims.len() {
        let places: Vec<usize> = (0..found.len()).filter(|place| pool[*place].aim == aim).collect();
        let mut of_aim: Vec<Ranked> = places.iter().map(|place| pool[*place].clone()).collect();
        sort(&mut of_aim);
        places.into_iter().zip(of_aim).for_each(|(place, ranked)| pool[place] = ranked);
    }
}

/// What a score comes to with that of sentences.
pub(super) fn score(score: f32, sentences: f32) -> f32 {
    (score + SENTENCES * sentences) / (1.0 + SENTENCES)
}

/// How near sentences are to the asked ones: of each of these, the cosine of the nearest, on average. `None` if either are none.
fn nearness(asked: &[Vec<f32>], found: &[Vec<f32>]) -> Option<f32> {
    let nearest = |asked: &Vec<f32>| found.iter().map(|found| dot(asked, found)).reduce(f32::max);
    let nearest: Option<Vec<f32>> = asked.iter().map(nearest).collect();
    let nearest = nearest.filter(|nearest| !nearest.is_empty())?;
    Some(nearest.iter().sum::<f32>() / nearest.len() as f32)
}

fn of_source(source: &Source, limit: Limit) -> Vec<&str> {
    match source {
        Source::Text(text) => sentences(text, limit),
        Source::Paper(paper) => of_paper(paper, limit),
    }
}

/// The title is one sentence.
fn of_paper(paper: &Paper, limit: Limit) -> Vec<&str> {
    let title = &paper.title[..paper.title.floor_char_boundary(limit.bytes)];
    let title = Some(title).filter(|title| !title.is_empty());
    title.into_iter().chain(sentences(&paper.r#abstract, limit)).take(limit.sentences + 1).collect()
}

fn sentences(text: &str, limit: Limit) -> Vec<&str> {
    let read = split(&text[..text.floor_char_boundary(limit.bytes)]).into_iter();
    read.map(str::trim).filter(|sentence| !sentence.is_empty()).take(limit.sentences).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asked_sentence_counts_by_the_nearest() {
        let [right, up, between] = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.25, 0.75]];
        let all = [right.clone(), up.clone()];
        assert_eq!(nearness(&all, &all), Some(1.0));
        assert_eq!(nearness(&all, std::slice::from_ref(&between)), Some(0.5));
        assert_eq!(nearness(&[between], &all), Some(0.75));
        assert_eq!((nearness(&[], &all), nearness(&all, &[])), (None, None));
        assert!(score(0.5, 0.6) > score(0.5, 0.0) && score(1.0, 1.0) <= 1.0 + f32::EPSILON);
    }

    #[test]
    fn a_text_is_read_as_far_as_an_abstract_goes() {
        let one = Limit::shared_by(1);
        assert_eq!(sentences("We count. They knot.  \n", one), ["We count.", "They knot."]);
        assert_eq!(sentences(&"We count. ".repeat(100), one).len(), MOST_SENTENCES);
        assert_eq!(sentences(&"ü".repeat(MOST_READ), one).len(), 1);
        assert!(sentences(" ", one).is_empty());
        let paper = Paper { title: "Bees. And knots".into(), ..Paper::default() };
        assert_eq!(of_paper(&paper, one), ["Bees. And knots"]);
    }

    #[test]
    fn many_texts_together_are_read_no_further_than_a_few() {
        let long = "We count bees in all kinds of weather, again and again. ".repeat(300);
        let read = |texts: usize| {
            let limit = Limit::shared_by(texts);
            let of_each = sentences(&long, limit);
            (texts * of_each.len(), texts * of_each.iter().map(|sentence| sentence.len()).sum::<usize>())
        };
        for texts in [1, 2, 20, 60] {
            let (sentences, bytes) = read(texts);
            assert!(sentences <= MOST_ASKED && bytes <= MOST_READ, "{texts}: {sentences}, {bytes}");
        }
        assert!(read(20).0 >= 20, "of each something");
    }
}
