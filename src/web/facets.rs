//! Counts the papers around a query by year, category and venue. The page of results offers the counted values as
//! filters.
//!
//! Only the few hundred most similar papers are counted, not the whole library, because a query is about a small part
//! of the library.

use likewise_papers::Paper;
use std::collections::{BTreeMap, HashMap};

/// Maximum number of categories, and of venues, that are offered as filters.
const MAX_CHOICES: usize = 8;

/// Counts of papers by year, category and venue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Consecutive years, oldest first; years without papers are included. If the years span more than 120 years, the
    /// earlier years are left out.
    pub years: Vec<YearCount>,
    /// The most frequent categories that at least two papers have, most frequent first.
    pub categories: Vec<LabelCount>,
    /// The most frequent venues that at least two papers have, most frequent first.
    pub venues: Vec<LabelCount>,
}

/// The number of papers of one year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YearCount {
    /// The year of publication.
    pub year: i32,
    /// Number of papers that were published in this year.
    pub papers: usize,
}

/// The number of papers with one category or venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCount {
    /// The label, in its most frequent spelling.
    pub label: String,
    /// Number of papers that have the label, in any spelling.
    pub papers: usize,
}

impl Facets {
    /// Counts papers by year, category and venue.
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

/// Maximum difference between the last year and the first year shown. Earlier years are left out.
const MAX_YEARS: i32 = 120;

fn without_gaps(years: &BTreeMap<i32, usize>) -> Vec<YearCount> {
    let (Some((first, _)), Some((last, _))) = (years.first_key_value(), years.last_key_value()) else {
        return Vec::new();
    };
    let first = (*first).max(last - MAX_YEARS);
    let count = |year| YearCount { year, papers: years.get(&year).copied().unwrap_or_default() };
    (first..=*last).map(count).collect()
}

/// Counts of papers by label in lower case, and then by spelling. Filters ignore case, so all spellings of a label are
/// one choice.
type Spellings = HashMap<String, BTreeMap<String, usize>>;

fn count(counts: &mut Spellings, label: &str) {
    *counts.entry(label.to_lowercase()).or_default().entry(label.into()).or_insert(0) += 1;
}

/// Returns at most [`MAX_CHOICES`] labels, the most frequent first, each in its most frequent spelling. Leaves out
/// labels that only one paper has.
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
