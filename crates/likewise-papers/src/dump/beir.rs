//! A BEIR corpus: JSON Lines with `_id`, `title`, `text`.
//!
//! Its own file, like every format: a corpus's `text` is a paper's abstract, and its id is nobody else's.

use super::fields::{Fields, build};
use super::json::records;
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
pub fn entries(reader: Box<dyn BufRead + Send>) -> Entries {
    records(reader, |record: Record| {
        let (title, text) = named(record.title, record.text);
        build(Fields {
            ids: vec![record.id],
            title,
            r#abstract: text,
            url: record.metadata.and_then(|metadata| metadata.url),
            ..Fields::default()
        })
        .map(Entry::Paper)
    })
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

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "_id")]
    id: String,
    title: Option<String>,
    text: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_paper_without_a_title_is_called_by_its_first_sentence() {
        let text = r#"{"_id": "1", "title": " ", "text": " Bees count. They do. They add."}"#;
        let Some(Ok(Entry::Paper(paper))) = entries(Box::new(Cursor::new(text))).next() else { panic!() };
        assert_eq!((&*paper.title, &*paper.r#abstract), ("Bees count.", "They do. They add."));
        let text = r#"{"_id": "1", "title": "", "text": " "}"#;
        assert!(entries(Box::new(Cursor::new(text))).next().unwrap().is_err());
    }

    #[test]
    fn a_query_is_no_paper() {
        let text = "{\"_id\":\"4983\",\"title\":\"T\",\"text\":\"S.\",\"metadata\":{}}\n{\"_id\":\"q\",\"text\":\"why?\"}";
        let got: Vec<_> = entries(Box::new(Cursor::new(text))).collect();
        assert!(matches!(&got[0], Ok(Entry::Paper(paper)) if paper.id.as_str() == "4983"), "{got:?}");
        assert!(got[1].as_ref().unwrap_err().reason.contains("no title"));
    }
}
