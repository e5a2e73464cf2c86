//! Reads OpenAlex works: JSON Lines.
//!
//! OpenAlex stores an abstract as an inverted index (word → positions), from which this module rebuilds the text.

use super::fields::{RawFields, build};
use super::json::records;
use super::lenient::{FromJsonValue, JsonObject, Lenient, LenientList, LenientText};
use super::warnings::Warnings;
use super::{Entries, Entry};
use crate::paper::{IdKind, PaperId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::BufRead;

/// Source name of the papers in this format.
const SOURCE: &str = "openalex";

/// Whether the first object of a file has keys or an id that only OpenAlex works have.
pub fn looks_like(line: &str) -> bool {
    ["\"abstract_inverted_index\"", "\"authorships\"", "https://openalex.org/W"]
        .iter()
        .any(|key| line.contains(key))
}

/// Returns the papers of a file of works.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    records(reader, warnings, entry)
}

/// Converts one work to an entry.
pub fn entry(work: Work, warnings: &Warnings) -> Result<Entry, String> {
    work.into_entry(warnings)
}

/// A work, with only the fields that are read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Work {
    id: LenientText,
    doi: LenientText,
    ids: Lenient<JsonObject<ExternalIds>>,
    title: LenientText,
    display_name: LenientText,
    abstract_inverted_index: Lenient<JsonObject<BTreeMap<String, LenientList<Position>>>>,
    r#abstract: LenientText,
    authorships: LenientList<JsonObject<Authorship>>,
    publication_date: LenientText,
    publication_year: LenientText,
    primary_topic: Lenient<JsonObject<DisplayName>>,
    topics: LenientList<JsonObject<DisplayName>>,
    concepts: LenientList<JsonObject<DisplayName>>,
    primary_location: Lenient<JsonObject<WorkLocation>>,
    locations: LenientList<JsonObject<WorkLocation>>,
    is_retracted: Lenient<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ExternalIds {
    pmid: LenientText,
    pmcid: LenientText,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Authorship {
    author: Lenient<JsonObject<DisplayName>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DisplayName {
    display_name: LenientText,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WorkLocation {
    landing_page_url: LenientText,
    source: Lenient<JsonObject<DisplayName>>,
}

/// Position of a word in an abstract, from 0.
struct Position(u32);

impl FromJsonValue<'_> for Position {
    fn number(number: f64, _: &str) -> Option<Position> {
        (0.0..=f64::from(u32::MAX)).contains(&number).then_some(Position(number as u32))
    }
}

impl Work {
    fn into_entry(self, warnings: &Warnings) -> Result<Entry, String> {
        let name = |object: Option<JsonObject<DisplayName>>| {
            object.and_then(|object| object.0.display_name.read("display_name", warnings))
        };
        let page = |location: WorkLocation| location.landing_page_url.read("landing_page_url", warnings);
        let is_arxiv = |id: &String| PaperId::parse(id).is_ok_and(|id| id.kind() == IdKind::Arxiv);
        let locations = self.locations.items("locations", warnings).into_iter();
        // The URL of a location at arXiv contains the arXiv id.
        let arxiv_pages = locations.filter_map(|location| page(location.0)).filter(is_arxiv);
        let external = self.ids.read("ids", warnings).map_or_else(ExternalIds::default, |ids| ids.0);
        let external = [external.pmid.read("ids.pmid", warnings), external.pmcid.read("ids.pmcid", warnings)];
        let doi = self.doi.read("doi", warnings);
        let openalex_id = self.id.read("id", warnings);
        let ids: Vec<String> = doi
            .into_iter()
            .chain(arxiv_pages)
            .chain(external.into_iter().flatten())
            .chain(openalex_id)
            .collect();
        let (page, venue) = match self.primary_location.read("primary_location", warnings) {
            Some(JsonObject(WorkLocation { landing_page_url, source })) => {
                (landing_page_url.read("landing_page_url", warnings), name(source.read("source", warnings)))
            }
            None => (None, None),
        };
        let topics = self.primary_topic.read("primary_topic", warnings).into_iter();
        let topics = topics
            .chain(self.topics.items("topics", warnings))
            .chain(self.concepts.items("concepts", warnings));
        let authors = self.authorships.items("authorships", warnings).into_iter();
        let dates = [
            self.publication_date.read("publication_date", warnings),
            self.publication_year.read("publication_year", warnings),
        ];
        let index = self.abstract_inverted_index.read("abstract_inverted_index", warnings);
        let title = self.title.read("title", warnings).filter(|title| !title.trim().is_empty());
        let fields = RawFields {
            // Papers on arXiv get no URL here, so that `build` derives the URL from the arXiv id.
            url: page.filter(|_| !ids.iter().any(is_arxiv)),
            ids,
            title: title.or_else(|| self.display_name.read("display_name", warnings)),
            r#abstract: index
                .map(|index| abstract_of(index.0, warnings))
                .or_else(|| self.r#abstract.read("abstract", warnings)),
            authors: authors
                .filter_map(|authorship| name(authorship.0.author.read("author", warnings)))
                .collect(),
            published: dates.into_iter().flatten().collect(),
            categories: topics.filter_map(|topic| name(Some(topic))).collect(),
            venue,
            source: Some(SOURCE.into()),
            withdrawn: self.is_retracted.read("is_retracted", warnings).unwrap_or_default(),
            alternate_ids: Vec::new(),
        };
        build(fields, warnings).map(Entry::Paper)
    }
}

/// Rebuilds an abstract from its inverted index. The words are sorted by position, instead of being put into a buffer
/// at their positions, because positions can be missing or absurdly large.
fn abstract_of(index: BTreeMap<String, LenientList<Position>>, warnings: &Warnings) -> String {
    let mut words: Vec<(u32, String)> = Vec::new();
    for (word, positions) in index {
        let positions = positions.items("abstract_inverted_index", warnings);
        words.extend(positions.into_iter().map(|Position(position)| (position, word.clone())));
    }
    words.sort_unstable();
    words.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn an_abstract_is_rebuilt_from_its_inverted_index() {
        let line = r#"{"id":"https://openalex.org/W7","doi":"https://doi.org/10.1000/X","ids":{"pmid":"https://pubmed.ncbi.nlm.nih.gov/9"},"display_name":"T","abstract_inverted_index":{"the":[0,3],"gap":[4294967295],"On":[1],"of":[2]},"authorships":[{"author":{"display_name":"A"}},{"author":null}],"publication_date":"2021-02-30","primary_topic":{"display_name":"X"},"topics":[{"display_name":"X"},{"display_name":"Y"}],"primary_location":{"landing_page_url":"https://a.org/7","source":{"display_name":"J"}},"locations":[{"landing_page_url":"http://arxiv.org/abs/2101.00007v2"}],"is_retracted":true}"#;
        assert!(looks_like(line));
        let got = entries(Box::new(Cursor::new(line)), &Warnings::default()).next().unwrap().unwrap();
        let Entry::Paper(paper) = got else { panic!("{got:?}") };
        assert_eq!(paper.r#abstract, "the On of the gap");
        assert_eq!((paper.id.as_str(), paper.published.as_deref()), ("2101.00007", Some("2021-02")));
        assert_eq!(
            paper.alternate_ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            ["10.1000/x", "pmid:9", "openalex:W7"]
        );
        assert_eq!(paper.url.as_deref(), Some("https://arxiv.org/abs/2101.00007"));
        assert_eq!((paper.categories.len(), paper.venue.as_deref(), paper.withdrawn), (2, Some("J"), true));
    }
}
