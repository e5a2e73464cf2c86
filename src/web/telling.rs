//! Which of an abstract's sentences are about what was asked.
//!
//! Its own file because what is marked has to be said: a sentence is marked for the telling words it shares with the
//! question, words that few of the papers around it have. No vector is computed for it.

use crate::sentences::split;
use crate::terms::{for_each_term, terms};
use std::collections::HashMap;

/// Most sentences that are marked.
const MOST_MARKED: usize = 2;

/// A question's words, each with how much it tells among some papers: few of them have it (Spärck Jones 1972).
pub struct Telling(HashMap<String, f32>);

impl Telling {
    /// Of a question, among texts of papers.
    pub fn of<'a>(question: &str, papers: impl Iterator<Item = &'a str>) -> Telling {
        let wanted = terms(question);
        let (mut counts, mut all) = (HashMap::new(), 0_usize);
        for paper in papers {
            all += 1;
            let has = terms(paper).into_iter().filter(|word| wanted.contains(word));
            has.for_each(|word| *counts.entry(word).or_insert(0_usize) += 1);
        }
        let weight = |word: String| {
            let count = counts.get(&word).copied().unwrap_or_default() as f32;
            let weight = ((all as f32 + 1.0) / (count + 0.5)).ln().max(0.0);
            (word, weight)
        };
        Telling(wanted.into_iter().map(weight).collect())
    }

    /// Sentences of an abstract, and which are marked: those that share most, if they share more than one thing or one
    /// rare thing.
    pub fn mark<'a>(&self, text: &'a str) -> Vec<(&'a str, bool)> {
        let sentences = split(text);
        let scores: Vec<f32> = sentences.iter().map(|sentence| self.score(sentence)).collect();
        let mut best: Vec<usize> = (0..sentences.len()).filter(|place| scores[*place] > 0.0).collect();
        best.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        best.truncate(MOST_MARKED);
        // A second one only if it is nearly as good.
        let top = best.first().map_or(0.0, |place| scores[*place]);
        best.retain(|place| scores[*place] >= 0.75 * top);
        sentences.into_iter().enumerate().map(|(place, text)| (text, best.contains(&place))).collect()
    }

    fn score(&self, sentence: &str) -> f32 {
        let (mut all, mut shared) = (0_usize, HashMap::new());
        for_each_term(sentence, |word| {
            all += 1;
            shared.extend(self.0.get_key_value(word));
        });
        let weights: f32 = shared.values().copied().sum();
        // A long sentence has more of everything.
        weights / (all as f32 + 8.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_about_the_question_is_marked() {
        let others = ["Bees are insects.", "Insects and numbers.", "Volumes of knots", "Knots"];
        let telling = Telling::of("Can bees count knots?", others.into_iter());
        let marked = telling.mark("Insects matter. A bee that counts untangled a knot. We conclude.");
        assert_eq!(marked.iter().map(|(_, is_marked)| *is_marked).collect::<Vec<_>>(), [false, true, false]);
        assert!(telling.mark("Nothing here. At all.").iter().all(|(_, is_marked)| !is_marked));
    }
}
