//! Reads a BEIR corpus: JSON Lines with `_id`, `title`, `text`.
//!
//! `text` becomes the abstract. Ids are specific to the corpus.

use super::fields::{RawFields, build};
use super::json::records;
use super::lenient::{JsonObject, Lenient, LenientText, RawId};
use super::warnings::Warnings;
use super::{Entries, Entry};
use crate::sentences::split;
use serde::Deserialize;
use std::io::BufRead;

/// Whether the first object of a file has the keys of a BEIR document.
pub fn looks_like(line: &str) -> bool {
    line.contains("\"_id\"") && line.contains("\"text\"")
}

/// Whether the first object of a file has the keys of a BEIR query, which has no title.
pub fn has_queries(line: &str) -> bool {
    looks_like(line) && !line.contains("\"title\"")
}

/// Returns the papers of a corpus.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    records(reader, warnings, entry)
}

/// Converts one document to an entry.
pub fn entry(record: Record, warnings: &Warnings) -> Result<Entry, String> {
    let (title, text) =
        title_and_abstract(record.title.read("title", warnings), record.text.read("text", warnings));
    let metadata = record.metadata.read("metadata", warnings);
    let fields = RawFields {
        ids: record.id.read("_id", warnings).map(RawId::into_text).transpose()?.into_iter().collect(),
        title,
        r#abstract: text,
        url: metadata.and_then(|metadata| metadata.0.url.read("metadata.url", warnings)),
        ..RawFields::default()
    };
    build(fields, warnings).map(Entry::Paper)
}

/// Returns the title and the abstract of a record. If the title is empty, as in many corpora, the first sentence of the
/// text becomes the title. A record without a `title` key is a query, so it gets no title.
fn title_and_abstract(title: Option<String>, text: Option<String>) -> (Option<String>, Option<String>) {
    match (title, text) {
        (Some(title), Some(text)) if title.trim().is_empty() => {
            let first = split(text.trim_start()).first().map_or(0, |first| first.len());
            let (first, rest) = text.trim_start().split_at(first);
            (Some(first.to_string()), Some(rest.to_string()))
        }
        unchanged => unchanged,
    }
}

/// A document, with only the fields that are read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    #[serde(rename = "_id")]
    id: Lenient<RawId>,
    title: LenientText,
    text: LenientText,
    metadata: Lenient<JsonObject<DocumentMetadata>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DocumentMetadata {
    url: LenientText,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn an_empty_title_is_replaced_by_the_first_sentence() {
        let text = r#"{"_id": "1", "title": " ", "text": " Bees count. They do. They add."}"#;
        let Some(Ok(Entry::Paper(paper))) = entries(Box::new(Cursor::new(text)), &Warnings::default()).next()
        else {
            panic!()
        };
        assert_eq!((&*paper.title, &*paper.r#abstract), ("Bees count.", "They do. They add."));
        let text = r#"{"_id": "1", "title": "", "text": " "}"#;
        assert!(entries(Box::new(Cursor::new(text)), &Warnings::default()).next().unwrap().is_err());
    }

    #[test]
    fn an_id_may_be_a_number() {
        let text = r#"{"_id":3,"title":"Bees","text":"They add.","metadata":null}"#;
        let Some(Ok(Entry::Paper(paper))) = entries(Box::new(Cursor::new(text)), &Warnings::default()).next()
        else {
            panic!()
        };
        assert_eq!(paper.id.as_str(), "3");
    }

    #[test]
    fn a_record_without_a_title_is_refused() {
        let text = "{\"_id\":\"4983\",\"title\":\"T\",\"text\":\"S.\",\"metadata\":{}}\n{\"_id\":\"q\",\"text\":\"why?\"}";
        let got: Vec<_> = entries(Box::new(Cursor::new(text)), &Warnings::default()).collect();
        assert!(matches!(&got[0], Ok(Entry::Paper(paper)) if paper.id.as_str() == "4983"), "{got:?}");
        assert!(got[1].as_ref().unwrap_err().reason.contains("no title"));
    }
}
