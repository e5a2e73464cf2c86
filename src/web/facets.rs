//! Counts of the papers around a query by year, category and venue, to choose filters from.
//!
//! Only the few hundred most similar papers are counted, not the whole library: a query is about a small part of it.

use likewise_papers::Paper;
use std::collections::{BTreeMap, HashMap};

/// Maximum number of categories, and of venues, that are offered as filters.
const MAX_CHOICES: usize = 8;

/// Numbers of papers by year, category and venue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Consecutive years, oldest first; years without papers are included.
    pub years: Vec<YearCount>,
    /// The most frequent categories, most frequent first.
    pub categories: Vec<LabelCount>,
    /// The most frequent venues, most frequent first.
    pub venues: Vec<LabelCount>,
}

/// The number of papers of one year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YearCount {
    /// The year of publication.
    pub year: i32,
    /// How many papers were published in it.
    pub papers: usize,
}

/// The number of papers with one category or venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCount {
    /// The label, in its most frequent spelling.
    pub label: String,
    /// How many papers have it, in any spelling.
    pub papers: usize,
}

impl Facets {
    /// Counts some papers.
    pub fn of<'a>(papers: impl Iterator<Item = &'a Paper>) -> Facets {
        let (mut years, mut categories, mut venues) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        for paper in papers {
            year(paper).into_iter().for_each(|year| *years.entry(year).or_insert(0) += 1);
            paper.categories.iter().for_each(|category| count(&mut categories, category));
            paper.venue.iter().for_each(|venue| count(&mut venues, venue));
        }
        Facets {
            years: without_gaps(&years),
            categories: most_frequent(categories),
            venues: most_frequent(venues),
        }
    }
}

/// The year of publication; `None` if it is unknown.
pub fn year(paper: &Paper) -> Option<i32> {
    paper.published.as_deref()?.get(..4)?.parse().ok()
}

/// Maximum span from the first to the last year shown; earlier years are left out.
const MAX_YEARS: i32 = 120;

fn without_gaps(years: &BTreeMap<i32, usize>) -> Vec<YearCount> {
    let (Some((first, _)), Some((last, _))) = (years.first_key_value(), years.last_key_value()) else {
        return Vec::new();
    };
    let first = (*first).max(last - MAX_YEARS);
    let count = |year| YearCount { year, papers: years.get(&year).copied().unwrap_or_default() };
    (first..=*last).map(count).collect()
}

/// The number of papers by lower-case label and spelling: filters ignore case, so all spellings are one choice.
type Spellings = HashMap<String, BTreeMap<String, usize>>;

fn count(counts: &mut Spellings, label: &str) {
    *counts.entry(label.to_lowercase()).or_default().entry(label.into()).or_insert(0) += 1;
}

/// The most frequent labels, each in its most frequent spelling. A label that only one paper has is not worth a filter.
fn most_frequent(counts: Spellings) -> Vec<LabelCount> {
    let merged = |spellings: BTreeMap<String, usize>| {
        let papers = spellings.values().sum::<usize>();
        let (label, _) = spellings.into_iter().max_by_key(|(_, count)| *count)?;
        Some(LabelCount { label, papers }).filter(|count| count.papers > 1)
    };
    let mut counts: Vec<LabelCount> = counts.into_values().filter_map(merged).collect();
    counts.sort_by(|a, b| b.papers.cmp(&a.papers).then_with(|| a.label.cmp(&b.label)));
    counts.truncate(MAX_CHOICES);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_have_no_gaps_and_frequent_labels_come_first() {
        let paper = |published: &str, categories: &[&str]| Paper {
            published: Some(published.into()),
            categories: categories.iter().map(|category| category.to_string()).collect(),
            ..Paper::default()
        };
        let papers = [
            paper("2019", &["b", "a"]),
            paper("2021-03", &["b", "rare"]),
            paper("2021-03-04", &["A", "b"]),
            Paper::default(),
        ];
        let facets = Facets::of(papers.iter());
        let years = [(2019, 1), (2020, 0), (2021, 2)].map(|(year, papers)| YearCount { year, papers });
        assert_eq!(facets.years, years);
        let categories =
            [("b", 3), ("a", 2)].map(|(label, papers)| LabelCount { label: label.into(), papers });
        assert_eq!(facets.categories, categories);
        assert!(facets.venues.is_empty());
    }
}
