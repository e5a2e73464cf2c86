//! The first papers of a list, scored once more, by how near their sentences are to the question's.
//!
//! Its own file because it is the one part of a search that reads papers with the model: some 240 sentences, which takes a
//! hundred times as long as all the rest, and so is done where it is asked for.

use super::checked::RESCORED;
use super::resources::{Resources, sort};
use super::target::{Source, Target};
use super::{Parts, Ranked};
use crate::error::Result;
use likewise_encoder::encode_readable;
use likewise_encoder::model::Side;
use likewise_index::dot;
use likewise_papers::Paper;
use likewise_papers::sentences::split;

/// How much sentences count beside the score: chosen on keywords-dev of benches/judged.py.
const SENTENCES: f32 = 0.2;

/// Bytes of a text whose sentences are compared: more than any abstract has.
pub(super) const MOST_READ: usize = 16_000;

/// Most sentences of one text that are read: more than any abstract has.
const MOST_SENTENCES: usize = 32;

/// Scores the first [`RESCORED`] papers of a list by their sentences, too, beside those of the aim that found them; the
/// others' count nothing. Where there are several aims, the papers of each change places among themselves.
pub(super) fn rescore(resources: &Resources, target: &Target, pool: &mut [Ranked]) -> Result<()> {
    let count = pool.len().min(RESCORED);
    let found: Vec<Vec<&str>> = pool[..count].iter().map(|ranked| of_paper(&ranked.paper)).collect();
    // What found none of these need not be read.
    let asked = target.aims.iter().enumerate().map(|(number, aim)| {
        let is_met = pool[..count].iter().any(|ranked| ranked.aim == number);
        aim.sources.iter().filter(|_| is_met).flat_map(of_source).collect()
    });
    let (asked, found) = (vectors_of(resources, &asked.collect::<Vec<_>>())?, vectors_of(resources, &found)?);
    for (place, ranked) in pool.iter_mut().enumerate() {
        let near = found.get(place).and_then(|found| nearness(&asked[ranked.aim], found));
        let parts = Parts { sentences: near, ..ranked.parts() };
        ranked.score = score(ranked.score, near.unwrap_or_default() * parts.recency.unwrap_or(1.0));
        ranked.parts = Some(parts);
    }
    if target.aims.len() == 1 {
        sort(pool);
        return Ok(());
    }
    for aim in 0..target.aims.len() {
        let places: Vec<usize> = (0..count).filter(|place| pool[*place].aim == aim).collect();
        let mut of_aim: Vec<Ranked> = places.iter().map(|place| pool[*place].clone()).collect();
        sort(&mut of_aim);
        places.into_iter().zip(of_aim).for_each(|(place, ranked)| pool[place] = ranked);
    }
    Ok(())
}

/// Vectors of lists of sentences, but for those that the model cannot read. All are read as papers are, so that they can be
/// compared either way.
fn vectors_of(resources: &Resources, lists: &[Vec<&str>]) -> Result<Vec<Vec<Vec<f32>>>> {
    let texts = lists.concat();
    let encoded = encode_readable(&texts, |texts| resources.encoder.encode(texts, Side::Paper))?.into_iter();
    let mut vectors = encoded.map(|encoded| encoded.ok().map(|embedding| embedding.vector));
    Ok(lists.iter().map(|list| vectors.by_ref().take(list.len()).flatten().collect()).collect())
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

fn of_source(source: &Source) -> Vec<&str> {
    match source {
        Source::Text(text) => sentences(text),
        Source::Paper(paper) => of_paper(paper),
    }
}

/// The title is one sentence.
fn of_paper(paper: &Paper) -> Vec<&str> {
    let title = Some(paper.title.as_str()).filter(|title| !title.is_empty());
    title.into_iter().chain(sentences(&paper.r#abstract)).collect()
}

fn sentences(text: &str) -> Vec<&str> {
    let read = split(&text[..text.floor_char_boundary(MOST_READ)]).into_iter();
    read.map(str::trim).filter(|sentence| !sentence.is_empty()).take(MOST_SENTENCES).collect()
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
        assert_eq!(sentences("We count. They knot.  \n"), ["We count.", "They knot."]);
        assert_eq!(sentences(&"We count. ".repeat(100)).len(), MOST_SENTENCES);
        assert_eq!(sentences(&"ü".repeat(MOST_READ)).len(), 1);
        assert!(sentences(" ").is_empty());
        let paper = Paper { title: "Bees. And knots".into(), ..Paper::default() };
        assert_eq!(of_paper(&paper), ["Bees. And knots"]);
    }
}
