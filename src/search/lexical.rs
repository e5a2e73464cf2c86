//! Computes lexical similarity: the BM25 value of a paper, divided by the highest value that a paper could have for the
//! query.
//!
//! Lexical similarity complements vectors: a vector represents the rare name of a method only vaguely, whereas an index
//! of terms finds the exact name.

use likewise_papers::Paper;
use likewise_papers::terms::for_each_term;
use std::collections::HashMap;

/// BM25's term frequency saturation (Robertson & Zaragoza 2009, section 3.3).
const K1: f32 = 1.2;

/// BM25's length normalisation (Robertson & Zaragoza 2009, section 3.3).
const B: f32 = 0.75;

/// Mean number of terms in the title and abstract of a paper, without stop words. The value is fixed, so that a paper's
/// score does not depend on the other papers in the library.
const MEAN_LENGTH: f32 = 110.0;

/// Weight of a term in a title; a term in an abstract has weight 1.
const TITLE_WEIGHT: f32 = 2.0;

/// Maximum number of terms of a query that count. The terms with the largest weights are chosen.
const MAX_TERMS: usize = 128;

/// Maximum number of different terms of a query that are counted: each term costs a lookup, so terms that first occur
/// later in the text are ignored.
const MAX_DISTINCT: usize = 4000;

/// The frequency of each term in a query. An occurrence in the title of an example paper counts twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TermCounts(HashMap<String, f32>);

impl TermCounts {
    /// Adds the terms of a text.
    pub fn add_text(&mut self, text: &str) {
        self.add(text, 1.0);
    }

    /// Adds the terms of a paper.
    pub fn add_paper(&mut self, paper: &Paper) {
        self.add(&paper.title, TITLE_WEIGHT);
        self.add(&paper.r#abstract, 1.0);
    }

    /// Adds all terms of another query.
    pub fn add_all(&mut self, other: &TermCounts) {
        other.0.iter().for_each(|(term, times)| self.count(term, *times));
    }

    fn add(&mut self, text: &str, times: f32) {
        for_each_term(text, |term| self.count(term, times));
    }

    fn count(&mut self, term: &str, times: f32) {
        if let Some(count) = self.0.get_mut(term) {
            *count += times;
        } else if self.0.len() < MAX_DISTINCT {
            self.0.insert(term.to_string(), times);
        }
    }

    /// The terms, in no particular order.
    pub fn terms(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// The terms of a query with their weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryTerms {
    weights: HashMap<String, f32>,
    /// The terms in `weights`, with their document frequencies, rarest first.
    rarest: Vec<(String, usize)>,
    /// Sum of the [`MAX_TERMS`] largest weights, including weights of terms that no paper has.
    total_weight: f32,
}

impl QueryTerms {
    /// Weighs the terms of a query. `doc_freq` returns the number of papers that have a term; `papers` is the number of
    /// all papers.
    pub fn of(counts: &TermCounts, papers: usize, doc_freq: impl Fn(&str) -> usize) -> QueryTerms {
        let weigh = |(term, times): (&String, &f32)| {
            let doc_freq = doc_freq(term);
            let (papers, with) = (papers.max(doc_freq) as f32, doc_freq as f32);
            // Inverse document frequency (Spärck Jones 1972), in a form that is never negative.
            let idf = (1.0 + (papers - with + 0.5) / (with + 0.5)).ln();
            (times / (times + 1.0) * idf, term.clone(), doc_freq)
        };
        let mut weighed: Vec<_> = counts.0.iter().map(weigh).collect();
        weighed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        // Unknown terms match nothing but stay in the denominator, so a mostly unknown query scores low. Otherwise an
        // off-topic query with one known word would count as a full match.
        let total_weight = weighed.iter().take(MAX_TERMS).map(|(weight, ..)| weight).sum();
        weighed.retain(|(.., doc_freq)| *doc_freq > 0);
        weighed.truncate(MAX_TERMS);
        let mut rarest: Vec<_> =
            weighed.iter().map(|(_, term, doc_freq)| (term.clone(), *doc_freq)).collect();
        rarest.sort_by_key(|(_, doc_freq)| *doc_freq);
        QueryTerms {
            weights: weighed.into_iter().map(|(weight, term, _)| (term, weight)).collect(),
            rarest,
            total_weight,
        }
    }

    /// The terms that count and that some paper has, with their document frequencies, rarest first.
    pub fn rarest(&self) -> impl Iterator<Item = (&str, usize)> {
        self.rarest.iter().map(|(term, doc_freq)| (term.as_str(), *doc_freq))
    }

    /// The weight of a term; 0 if the term is not in the query, is in no paper, or is not among the 128 terms of the
    /// query that count.
    pub fn weight(&self, term: &str) -> f32 {
        self.weights.get(term).copied().unwrap_or_default()
    }

    /// Whether no paper has any of the terms.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The lexical score of a paper, 0 to 1: BM25 (Robertson & Zaragoza 2009, formula 3.15), divided by the BM25 value
    /// of a text in which every term of the query is infinitely frequent.
    pub fn score(&self, paper: &Paper) -> f32 {
        // Summed in sorted order, so that rounding does not depend on the hash map's order.
        let mut scores: Vec<f32> = self.scores(paper).into_iter().map(|(_, score)| score).collect();
        scores.sort_unstable_by(f32::total_cmp);
        // Not sum(), which is -0 for an empty iterator.
        scores.into_iter().fold(0.0, |sum, score| sum + score)
    }

    /// Returns the terms of the query that the paper has, in no particular order. The value of each term is the part
    /// that the term adds to [`QueryTerms::score`].
    pub fn scores(&self, paper: &Paper) -> Vec<(&str, f32)> {
        let mut found: HashMap<&str, f32> = HashMap::new();
        let mut length = 0.0;
        for (text, times) in [(&paper.title, TITLE_WEIGHT), (&paper.r#abstract, 1.0)] {
            for_each_term(text, |term| {
                length += times;
                if let Some((term, _)) = self.weights.get_key_value(term) {
                    *found.entry(term).or_default() += times;
                }
            });
        }
        let damping = K1 * (1.0 - B + B * length / MEAN_LENGTH);
        let score =
            |(term, times): (&str, f32)| self.weights[term] * times / (times + damping) / self.total_weight;
        found.into_iter().map(|(term, times)| (term, score((term, times)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(title: &str, text: &str) -> Paper {
        Paper { title: title.into(), r#abstract: text.into(), ..Paper::default() }
    }

    fn terms(text: &str) -> QueryTerms {
        let mut counts = TermCounts::default();
        counts.add_text(text);
        QueryTerms::of(&counts, 1000, |term| match term {
            "bee" => 10,
            "count" => 200,
            "model" => 900,
            _ => 0,
        })
    }

    #[test]
    fn rare_terms_weigh_more_and_unknown_terms_lower_the_score() {
        let terms = terms("Bees that count: a model. Blorxes!");
        assert_eq!(terms.rarest().collect::<Vec<_>>(), [("bee", 10), ("count", 200), ("model", 900)]);
        assert!(terms.weight("bee") > terms.weight("count") && terms.weight("count") > terms.weight("model"));
        assert_eq!(terms.weight("blorx"), 0.0);
        let scores: Vec<f32> =
            ["Bees", "Counts", "Models", "Knots"].map(|title| terms.score(&paper(title, ""))).into();
        assert!(scores.is_sorted_by(|a, b| a > b) && scores[3] == 0.0, "{scores:?}");
        let full = paper("Bees count", &"bee counts model ".repeat(20));
        let known = super::tests::terms("Bees that count: a model.").score(&full);
        assert!((0.8..1.0).contains(&known), "{known}");
        assert!((0.3..0.6).contains(&terms.score(&full)), "an unknown term lowers the score");
        let with_unknown = |count: usize| {
            let unknown: String = (0..count).map(|n| format!("blorx{n} ")).collect();
            super::tests::terms(&format!("Bees {unknown}"))
        };
        assert_eq!(
            with_unknown(300).score(&full),
            with_unknown(600).score(&full),
            "only MAX_TERMS terms count"
        );
    }

    #[test]
    fn title_terms_weigh_twice_and_long_texts_less() {
        let terms = terms("bees");
        let score = |title: &str, text: &str| terms.score(&paper(title, text));
        assert!(score("Bees", "Knots.") > score("Knots", "Bees."));
        assert!(score("", "Bees.") > score("", &format!("Bees. {}", "word ".repeat(300))));
        assert_eq!(QueryTerms::default().score(&paper("Bees", "")), 0.0);
    }
}
