//! OpenAlex's works: JSON Lines.
//!
//! Its own file because an abstract is an index of its words, and has to be put together again by their positions,
//! all of them.

use super::fields::{Fields, build, date_if_readable};
use super::json::records;
use super::{Entries, Entry};
use crate::paper::{Kind, PaperId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::BufRead;

/// What this dump's papers are from.
const SOURCE: &str = "openalex";

/// Whether a first line has keys that only works have.
pub fn looks_like(line: &str) -> bool {
    ["\"abstract_inverted_index\"", "\"authorships\"", "https://openalex.org/W"]
        .iter()
        .any(|key| line.contains(key))
}

/// The papers of a file of works.
pub fn entries(reader: Box<dyn BufRead + Send>) -> Entries {
    records(reader, |work: Work| work.into_entry())
}

#[derive(Deserialize)]
struct Work {
    id: String,
    doi: Option<String>,
    #[serde(default)]
    ids: Ids,
    title: Option<String>,
    display_name: Option<String>,
    abstract_inverted_index: Option<BTreeMap<String, Vec<u32>>>,
    authorships: Option<Vec<Authorship>>,
    publication_date: Option<String>,
    publication_year: Option<u16>,
    primary_topic: Option<Named>,
    topics: Option<Vec<Named>>,
    concepts: Option<Vec<Named>>,
    primary_location: Option<Location>,
    locations: Option<Vec<Location>>,
    #[serde(default)]
    is_retracted: bool,
}

#[derive(Deserialize, Default)]
struct Ids {
    pmid: Option<String>,
}

#[derive(Deserialize)]
struct Authorship {
    author: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Location {
    landing_page_url: Option<String>,
    source: Option<Named>,
}

impl Work {
    fn into_entry(self) -> Result<Entry, String> {
        // A location at arXiv says that it is there, too.
        let pages = self.locations.iter().flatten().filter_map(|location| location.landing_page_url.clone());
        let at_arxiv = |page: &String| PaperId::parse(page).is_ok_and(|id| id.kind() == Kind::Arxiv);
        let mut ids: Vec<String> =
            self.doi.into_iter().chain(pages.filter(at_arxiv)).chain(self.ids.pmid).collect();
        ids.push(self.id);
        let is_known = |id: &String| PaperId::parse(id).is_ok_and(|id| id.kind() == Kind::Arxiv);
        let (page, venue) = match self.primary_location {
            Some(location) => {
                (location.landing_page_url, location.source.and_then(|source| source.display_name))
            }
            None => (None, None),
        };
        let topics = self.primary_topic.into_iter().chain(self.topics.into_iter().flatten());
        let categories =
            topics.chain(self.concepts.into_iter().flatten()).filter_map(|topic| topic.display_name);
        let date = self.publication_date.as_deref().and_then(date_if_readable);
        build(Fields {
            // arXiv's own address is shorter.
            url: page.filter(|_| !ids.iter().any(is_known)),
            ids,
            title: self.title.or(self.display_name),
            r#abstract: self.abstract_inverted_index.map(|index| in_order(&index)),
            authors: self
                .authorships
                .into_iter()
                .flatten()
                .filter_map(|one| one.author?.display_name)
                .collect(),
            published: date.or_else(|| date_if_readable(&self.publication_year?.to_string())),
            categories: categories.collect(),
            venue,
            source: Some(SOURCE.into()),
            withdrawn: self.is_retracted,
            also: Vec::new(),
        })
        .map(Entry::Paper)
    }
}

/// The text whose words stand where an index says. Positions may be missing, and any number may be written there, so
/// no room is made by them.
fn in_order(index: &BTreeMap<String, Vec<u32>>) -> String {
    let mut words: Vec<(u32, &str)> = index
        .iter()
        .flat_map(|(word, places)| places.iter().map(move |place| (*place, word.as_str())))
        .collect();
    words.sort_unstable();
    words.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn an_abstract_is_put_together_by_position() {
        let line = r#"{"id":"https://openalex.org/W7","doi":"https://doi.org/10.1000/X","ids":{"pmid":"https://pubmed.ncbi.nlm.nih.gov/9"},"display_name":"T","abstract_inverted_index":{"the":[0,3],"gap":[4294967295],"On":[1],"of":[2]},"authorships":[{"author":{"display_name":"A"}},{"author":null}],"publication_date":"2021-02-30","primary_topic":{"display_name":"X"},"topics":[{"display_name":"X"},{"display_name":"Y"}],"primary_location":{"landing_page_url":"https://a.org/7","source":{"display_name":"J"}},"locations":[{"landing_page_url":"http://arxiv.org/abs/2101.00007v2"}],"is_retracted":true}"#;
        assert!(looks_like(line));
        let got = entries(Box::new(Cursor::new(line))).next().unwrap().unwrap();
        let Entry::Paper(paper) = got else { panic!("{got:?}") };
        assert_eq!(paper.r#abstract, "the On of the gap");
        assert_eq!((paper.id.as_str(), paper.published.as_deref()), ("2101.00007", Some("2021")));
        assert_eq!(
            paper.also.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            ["10.1000/x", "pmid:9", "openalex:W7"]
        );
        assert_eq!(paper.url.as_deref(), Some("https://arxiv.org/abs/2101.00007"));
        assert_eq!((paper.categories.len(), paper.venue.as_deref(), paper.withdrawn), (2, Some("J"), true));
    }
}
