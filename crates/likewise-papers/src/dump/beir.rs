//! A BEIR corpus: JSON Lines with `_id`, `title`, `text`.
//!
//! Its own file, like every format: a corpus's `text` is a paper's abstract, and its id is nobody else's.

use super::fields::{Fields, build};
use super::json::records;
use super::loose::{Id, Loose, Object, Text};
use super::unread::Unread;
use super::{Entries, Entry};
use crate::sentences::split;
use serde::Deserialize;
use std::io::BufRead;

/// Whether a first line has a corpus's keys.
pub fn looks_like(line: &str) -> bool {
    line.contains("\"_id\"") && line.contains("\"text\"")
}

/// Whether it has those of the corpus's queries.
pub fn has_queries(line: &str) -> bool {
    looks_like(line) && !line.contains("\"title\"")
}

/// The papers of a corpus.
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    records(reader, unread, entry)
}

/// One document.
pub fn entry(record: Record, unread: &Unread) -> Result<Entry, String> {
    let (title, text) = named(record.title.read("title", unread), record.text.read("text", unread));
    let metadata = record.metadata.read("metadata", unread);
    let fields = Fields {
        ids: record.id.read("_id", unread).map(Id::text).transpose()?.into_iter().collect(),
        title,
        r#abstract: text,
        url: metadata.and_then(|metadata| metadata.0.url.read("metadata.url", unread)),
        ..Fields::default()
    };
    build(fields, unread).map(Entry::Paper)
}

/// Many corpora have papers whose title is empty: they are called by their first sentence. What has no title at all is a
/// query.
fn named(title: Option<String>, text: Option<String>) -> (Option<String>, Option<String>) {
    match (title, text) {
        (Some(title), Some(text)) if title.trim().is_empty() => {
            let first = split(text.trim_start()).first().map_or(0, |first| first.len());
            let (first, rest) = text.trim_start().split_at(first);
            (Some(first.to_string()), Some(rest.to_string()))
        }
        named => named,
    }
}

/// A document, as far as it is read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    #[serde(rename = "_id")]
    id: Loose<Id>,
    title: Text,
    text: Text,
    metadata: Loose<Object<Metadata>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    url: Text,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_paper_without_a_title_is_called_by_its_first_sentence() {
        let text = r#"{"_id": "1", "title": " ", "text": " Bees count. They do. They add."}"#;
        let Some(Ok(Entry::Paper(paper))) = entries(Box::new(Cursor::new(text)), &Unread::default()).next()
        else {
            panic!()
        };
        assert_eq!((&*paper.title, &*paper.r#abstract), ("Bees count.", "They do. They add."));
        let text = r#"{"_id": "1", "title": "", "text": " "}"#;
        assert!(entries(Box::new(Cursor::new(text)), &Unread::default()).next().unwrap().is_err());
    }

    #[test]
    fn an_id_may_be_a_number() {
        let text = r#"{"_id":3,"title":"Bees","text":"They add.","metadata":null}"#;
        let Some(Ok(Entry::Paper(paper))) = entries(Box::new(Cursor::new(text)), &Unread::default()).next()
        else {
            panic!()
        };
        assert_eq!(paper.id.as_str(), "3");
    }

    #[test]
    fn a_query_is_no_paper() {
        let text = "{\"_id\":\"4983\",\"title\":\"T\",\"text\":\"S.\",\"metadata\":{}}\n{\"_id\":\"q\",\"text\":\"why?\"}";
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), &Unread::default()).collect();
        assert!(matches!(&got[0], Ok(Entry::Paper(paper)) if paper.id.as_str() == "4983"), "{got:?}");
        assert!(got[1].as_ref().unwrap_err().reason.contains("no title"));
    }
}
