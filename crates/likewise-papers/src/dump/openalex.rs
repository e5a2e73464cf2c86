//! OpenAlex's works: JSON Lines.
//!
//! Its own file because an abstract is an index of its words, and has to be put together again by their positions,
//! all of them.

use super::fields::{Fields, build};
use super::json::records;
use super::loose::{List, Loose, Object, Shape, Text};
use super::unread::Unread;
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
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    records(reader, unread, entry)
}

/// One work.
pub fn entry(work: Work, unread: &Unread) -> Result<Entry, String> {
    work.into_entry(unread)
}

/// A work, as far as it is read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Work {
    id: Text,
    doi: Text,
    ids: Loose<Object<Ids>>,
    title: Text,
    display_name: Text,
    abstract_inverted_index: Loose<Object<BTreeMap<String, List<Place>>>>,
    r#abstract: Text,
    authorships: List<Object<Authorship>>,
    publication_date: Text,
    publication_year: Text,
    primary_topic: Loose<Object<Named>>,
    topics: List<Object<Named>>,
    concepts: List<Object<Named>>,
    primary_location: Loose<Object<Location>>,
    locations: List<Object<Location>>,
    is_retracted: Loose<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ids {
    pmid: Text,
    pmcid: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Authorship {
    author: Loose<Object<Named>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    display_name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Location {
    landing_page_url: Text,
    source: Loose<Object<Named>>,
}

/// A word's place in an abstract.
struct Place(u32);

impl Shape<'_> for Place {
    fn number(number: f64, _: &str) -> Option<Place> {
        (0.0..=f64::from(u32::MAX)).contains(&number).then_some(Place(number as u32))
    }
}

impl Work {
    fn into_entry(self, unread: &Unread) -> Result<Entry, String> {
        let name = |named: Option<Object<Named>>| {
            named.and_then(|named| named.0.display_name.read("display_name", unread))
        };
        let page = |location: Location| location.landing_page_url.read("landing_page_url", unread);
        // A location at arXiv says that it is there, too.
        let at_arxiv = |page: &String| PaperId::parse(page).is_ok_and(|id| id.kind() == Kind::Arxiv);
        let locations = self.locations.items("locations", unread).into_iter();
        let at_arxiv = locations.filter_map(|location| page(location.0)).filter(at_arxiv);
        let others = self.ids.read("ids", unread).map_or_else(Ids::default, |ids| ids.0);
        let others = [others.pmid.read("ids.pmid", unread), others.pmcid.read("ids.pmcid", unread)];
        let doi = self.doi.read("doi", unread);
        let own = self.id.read("id", unread);
        let ids: Vec<String> =
            doi.into_iter().chain(at_arxiv).chain(others.into_iter().flatten()).chain(own).collect();
        let (page, venue) = match self.primary_location.read("primary_location", unread) {
            Some(Object(Location { landing_page_url, source })) => {
                (landing_page_url.read("landing_page_url", unread), name(source.read("source", unread)))
            }
            None => (None, None),
        };
        let topics = self.primary_topic.read("primary_topic", unread).into_iter();
        let topics =
            topics.chain(self.topics.items("topics", unread)).chain(self.concepts.items("concepts", unread));
        let authors = self.authorships.items("authorships", unread).into_iter();
        let is_known = |id: &String| PaperId::parse(id).is_ok_and(|id| id.kind() == Kind::Arxiv);
        let dates = [
            self.publication_date.read("publication_date", unread),
            self.publication_year.read("publication_year", unread),
        ];
        let index = self.abstract_inverted_index.read("abstract_inverted_index", unread);
        let title = self.title.read("title", unread).filter(|title| !title.trim().is_empty());
        let fields = Fields {
            // arXiv's own address is shorter.
            url: page.filter(|_| !ids.iter().any(is_known)),
            ids,
            title: title.or_else(|| self.display_name.read("display_name", unread)),
            r#abstract: index
                .map(|index| in_order(index.0, unread))
                .or_else(|| self.r#abstract.read("abstract", unread)),
            authors: authors.filter_map(|one| name(one.0.author.read("author", unread))).collect(),
            published: dates.into_iter().flatten().collect(),
            categories: topics.filter_map(|topic| name(Some(topic))).collect(),
            venue,
            source: Some(SOURCE.into()),
            withdrawn: self.is_retracted.read("is_retracted", unread).unwrap_or_default(),
            also: Vec::new(),
        };
        build(fields, unread).map(Entry::Paper)
    }
}

/// The text whose words stand where an index says. Positions may be missing, and any number may be written there, so
/// no room is made by them.
fn in_order(index: BTreeMap<String, List<Place>>, unread: &Unread) -> String {
    let mut words: Vec<(u32, String)> = Vec::new();
    for (word, places) in index {
        let places = places.items("abstract_inverted_index", unread);
        words.extend(places.into_iter().map(|Place(place)| (place, word.clone())));
    }
    words.sort_unstable();
    words.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn an_abstract_is_put_together_by_position() {
        let line = r#"{"id":"https://openalex.org/W7","doi":"https://doi.org/10.1000/X","ids":{"pmid":"https://pubmed.ncbi.nlm.nih.gov/9"},"display_name":"T","abstract_inverted_index":{"the":[0,3],"gap":[4294967295],"On":[1],"of":[2]},"authorships":[{"author":{"display_name":"A"}},{"author":null}],"publication_date":"2021-02-30","primary_topic":{"display_name":"X"},"topics":[{"display_name":"X"},{"display_name":"Y"}],"primary_location":{"landing_page_url":"https://a.org/7","source":{"display_name":"J"}},"locations":[{"landing_page_url":"http://arxiv.org/abs/2101.00007v2"}],"is_retracted":true}"#;
        assert!(looks_like(line));
        let got = entries(Box::new(Cursor::new(line)), &Unread::default()).next().unwrap().unwrap();
        let Entry::Paper(paper) = got else { panic!("{got:?}") };
        assert_eq!(paper.r#abstract, "the On of the gap");
        assert_eq!((paper.id.as_str(), paper.published.as_deref()), ("2101.00007", Some("2021-02")));
        assert_eq!(
            paper.also.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            ["10.1000/x", "pmid:9", "openalex:W7"]
        );
        assert_eq!(paper.url.as_deref(), Some("https://arxiv.org/abs/2101.00007"));
        assert_eq!((paper.categories.len(), paper.venue.as_deref(), paper.withdrawn), (2, Some("J"), true));
    }
}
