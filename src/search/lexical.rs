//! How alike texts are by the words they share, rare ones most: BM25, as a share of the most it could be.
//!
//! Its own file because it is a score beside the vectors': a model that has read a million subjects blurs the name of a
//! method that one paper gave it, and an index of words does not.

use likewise_papers::Paper;
use likewise_papers::terms::for_each_term;
use std::collections::HashMap;

/// How soon more of a term counts no more (Robertson & Zaragoza 2009, section 3.3, k1).
const SATURATION: f32 = 1.2;

/// How much a long text's terms count less (the same, b).
const LENGTH: f32 = 0.75;

/// Terms of an abstract with its title, on average, small words left out. Fixed, so that a paper's score does not change with
/// what else is here.
const USUAL_LENGTH: f32 = 110.0;

/// How often a term counts that stands in a title.
const IN_TITLE: f32 = 2.0;

/// Most terms of a question that count: those that tell most.
const MOST_TERMS: usize = 128;

/// Most different terms that a question has, of so long a text, or so many papers, the first: each is looked up.
const MOST_DIFFERENT: usize = 4000;

/// How often each term is in a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bag(HashMap<String, f32>);

impl Bag {
    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.add(text, 1.0);
    }

    /// Adds a paper.
    pub fn paper(&mut self, paper: &Paper) {
        self.add(&paper.title, IN_TITLE);
        self.add(&paper.r#abstract, 1.0);
    }

    /// Adds what another one has.
    pub fn bag(&mut self, other: &Bag) {
        other.0.iter().for_each(|(term, times)| self.count(term, *times));
    }

    fn add(&mut self, text: &str, times: f32) {
        for_each_term(text, |term| self.count(term, times));
    }

    fn count(&mut self, term: &str, times: f32) {
        if let Some(count) = self.0.get_mut(term) {
            *count += times;
        } else if self.0.len() < MOST_DIFFERENT {
            self.0.insert(term.to_string(), times);
        }
    }

    /// The terms, in any order.
    pub fn terms(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

/// A question's terms, each with how much it tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryTerms {
    weights: HashMap<String, f32>,
    /// By how many papers have them, the fewest first; what no paper has is left out.
    rarest: Vec<(String, usize)>,
    /// What the question's tell, [`MOST_TERMS`] of them, those that no paper has among them.
    most: f32,
}

impl QueryTerms {
    /// Weighs a question's terms, by in how many of `papers` each is: `count(term)`.
    pub fn of(bag: &Bag, papers: usize, count: impl Fn(&str) -> usize) -> QueryTerms {
        let weigh = |(term, times): (&String, &f32)| {
            let count = count(term);
            let (papers, with) = (papers.max(count) as f32, count as f32);
            // Spärck Jones 1972, in the form that is never negative.
            let idf = (1.0 + (papers - with + 0.5) / (with + 0.5)).ln();
            (times / (times + 1.0) * idf, term.clone(), count)
        };
        let mut weighed: Vec<_> = bag.0.iter().map(weigh).collect();
        weighed.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        // What no paper has no paper is found by, but it is a part of the question: whose words are mostly unknown here,
        // has little of it anywhere.
        let most = weighed.iter().take(MOST_TERMS).map(|(weight, ..)| weight).sum();
        weighed.retain(|(.., count)| *count > 0);
        weighed.truncate(MOST_TERMS);
        let mut rarest: Vec<_> = weighed.iter().map(|(_, term, count)| (term.clone(), *count)).collect();
        rarest.sort_by_key(|(_, count)| *count);
        QueryTerms {
            weights: weighed.into_iter().map(|(weight, term, _)| (term, weight)).collect(),
            rarest,
            most,
        }
    }

    /// The terms and in how many papers each is, the rarest first.
    pub fn rarest(&self) -> impl Iterator<Item = (&str, usize)> {
        self.rarest.iter().map(|(term, count)| (term.as_str(), *count))
    }

    /// What a term tells; 0, if it is none of the question's.
    pub fn weight(&self, term: &str) -> f32 {
        self.weights.get(term).copied().unwrap_or_default()
    }

    /// Whether no paper can have anything of it.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// How much of the question a paper has, 0 to 1: BM25 (Robertson & Zaragoza 2009, formula 3.15), over what a text would
    /// come to that has each of the question's terms without end.
    pub fn score(&self, paper: &Paper) -> f32 {
        // In one order, so that rounding is the same wherever it is computed.
        let mut scores: Vec<f32> = self.scores(paper).into_iter().map(|(_, score)| score).collect();
        scores.sort_unstable_by(f32::total_cmp);
        // An empty sum would be -0.
        scores.into_iter().fold(0.0, |sum, score| sum + score)
    }

    /// What each of its terms that a paper has adds to that, in no order.
    pub fn scores(&self, paper: &Paper) -> Vec<(&str, f32)> {
        let mut found: HashMap<&str, f32> = HashMap::new();
        let mut length = 0.0;
        for (text, times) in [(&paper.title, IN_TITLE), (&paper.r#abstract, 1.0)] {
            for_each_term(text, |term| {
                length += times;
                if let Some((term, _)) = self.weights.get_key_value(term) {
                    *found.entry(term).or_default() += times;
                }
            });
        }
        let damping = SATURATION * (1.0 - LENGTH + LENGTH * length / USUAL_LENGTH);
        let score = |(term, times): (&str, f32)| self.weights[term] * times / (times + damping) / self.most;
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
        let mut bag = Bag::default();
        bag.text(text);
        QueryTerms::of(&bag, 1000, |term| match term {
            "bee" => 10,
            "count" => 200,
            "model" => 900,
            _ => 0,
        })
    }

    #[test]
    fn rare_terms_count_more_and_unknown_ones_not_at_all() {
        let terms = terms("Bees that count: a model. Blorxes!");
        assert_eq!(terms.rarest().collect::<Vec<_>>(), [("bee", 10), ("count", 200), ("model", 900)]);
        assert!(terms.weight("bee") > terms.weight("count") && terms.weight("count") > terms.weight("model"));
        assert_eq!(terms.weight("blorx"), 0.0);
        let scores: Vec<f32> =
            ["Bees", "Counts", "Models", "Knots"].map(|title| terms.score(&paper(title, ""))).into();
        assert!(scores.is_sorted_by(|a, b| a > b) && scores[3] == 0.0, "{scores:?}");
        let whole = paper("Bees count", &"bee counts model ".repeat(20));
        let known = super::tests::terms("Bees that count: a model.").score(&whole);
        assert!((0.8..1.0).contains(&known), "{known}");
        assert!((0.3..0.6).contains(&terms.score(&whole)), "a part of the question is nowhere");
        let with = |count: usize| {
            let unknown: String = (0..count).map(|n| format!("blorx{n} ")).collect();
            super::tests::terms(&format!("Bees {unknown}"))
        };
        assert_eq!(with(300).score(&whole), with(600).score(&whole), "so many terms count and no more");
    }

    #[test]
    fn titles_count_twice_and_long_texts_less() {
        let terms = terms("bees");
        let score = |title: &str, text: &str| terms.score(&paper(title, text));
        assert!(score("Bees", "Knots.") > score("Knots", "Bees."));
        assert!(score("", "Bees.") > score("", &format!("Bees. {}", "word ".repeat(300))));
        assert_eq!(QueryTerms::default().score(&paper("Bees", "")), 0.0);
    }
}
