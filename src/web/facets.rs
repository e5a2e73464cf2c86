//! What the papers around a question are: how many of which year, category and venue.
//!
//! Its own file because what is counted has to be said: the nearest few hundred, not the whole library, of which a
//! question is about a corner.

use likewise_papers::Paper;
use std::collections::{BTreeMap, HashMap};

/// Most categories, and most venues, that are offered.
const MOST: usize = 8;

/// What papers are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Papers of each year, without gaps, oldest first.
    pub years: Vec<(i32, usize)>,
    /// The commonest, most first.
    pub categories: Vec<(String, usize)>,
    /// The commonest, most first.
    pub venues: Vec<(String, usize)>,
}

impl Facets {
    /// Of some papers.
    pub fn of<'a>(papers: impl Iterator<Item = &'a Paper>) -> Facets {
        let (mut years, mut categories, mut venues) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        for paper in papers {
            year(paper).into_iter().for_each(|year| *years.entry(year).or_insert(0) += 1);
            paper.categories.iter().for_each(|category| count(&mut categories, category));
            paper.venue.iter().for_each(|venue| count(&mut venues, venue));
        }
        Facets { years: without_gaps(&years), categories: commonest(categories), venues: commonest(venues) }
    }
}

/// The year of publication.
pub fn year(paper: &Paper) -> Option<i32> {
    paper.published.as_deref()?.get(..4)?.parse().ok()
}

/// Longest run of years that is shown one by one.
const MOST_YEARS: i32 = 120;

fn without_gaps(years: &BTreeMap<i32, usize>) -> Vec<(i32, usize)> {
    let (Some((first, _)), Some((last, _))) = (years.first_key_value(), years.last_key_value()) else {
        return Vec::new();
    };
    let first = (*first).max(last - MOST_YEARS);
    (first..=*last).map(|year| (year, years.get(&year).copied().unwrap_or_default())).collect()
}

/// How often each spelling of a label is there, by the label in lower case: to filters they are one.
type Spellings = HashMap<String, BTreeMap<String, usize>>;

fn count(counts: &mut Spellings, label: &str) {
    *counts.entry(label.to_lowercase()).or_default().entry(label.into()).or_insert(0) += 1;
}

/// The commonest labels, as they are spelled most; those that only one paper has tell nothing.
fn commonest(counts: Spellings) -> Vec<(String, usize)> {
    let together = |spellings: BTreeMap<String, usize>| {
        let all = spellings.values().sum::<usize>();
        let most = spellings.into_iter().max_by_key(|(_, count)| *count)?;
        Some((most.0, all)).filter(|(_, all)| *all > 1)
    };
    let mut counts: Vec<(String, usize)> = counts.into_values().filter_map(together).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(MOST);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_have_no_gaps_and_the_commonest_come_first() {
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
        assert_eq!(facets.years, [(2019, 1), (2020, 0), (2021, 2)]);
        assert_eq!(facets.categories, [("b".into(), 3), ("a".into(), 2)]);
        assert!(facets.venues.is_empty());
    }
}
