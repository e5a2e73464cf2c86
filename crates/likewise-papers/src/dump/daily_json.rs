//! Reads Hugging Face's daily papers, as returned by its API: a JSON array.
//!
//! `publishedAt` inside `paper` is the date of the paper; `publishedAt` outside `paper` is the day of the list. Authors
//! that are marked as hidden are left out.

use super::fields::{RawFields, build};
use super::json::records;
use super::lenient::{JsonObject, Lenient, LenientList, LenientText, RawId};
use super::warnings::Warnings;
use super::{Entries, Entry};
use serde::Deserialize;
use std::io::BufRead;

/// Whether the first object of a file has the keys of an item of a list of daily papers.
pub fn looks_like(head: &str) -> bool {
    head.contains("\"paper\"")
        && (head.contains("\"publishedAt\"") || head.contains("\"submittedOnDailyAt\""))
}

/// Returns the papers of a list.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    records(reader, warnings, entry)
}

/// Converts one item of a list to an entry.
pub fn entry(record: Record, warnings: &Warnings) -> Result<Entry, String> {
    let paper = record
        .paper
        .read("paper", warnings)
        .ok_or("the item must have an object named \"paper\" (got none)")?
        .0;
    let authors = paper.authors.items("authors", warnings).into_iter();
    let visible = authors.filter_map(|JsonObject(author)| {
        let is_hidden = author.hidden.read("authors.hidden", warnings).unwrap_or_default();
        author.name.read("authors.name", warnings).filter(|_| !is_hidden)
    });
    let authors = visible.collect();
    let (outer_title, outer_summary) =
        (record.title.read("title", warnings), record.summary.read("summary", warnings));
    let fields = RawFields {
        ids: paper.id.read("paper.id", warnings).map(RawId::into_text).transpose()?.into_iter().collect(),
        title: paper.title.read("paper.title", warnings).or(outer_title),
        r#abstract: paper.summary.read("paper.summary", warnings).or(outer_summary),
        authors,
        published: paper.published_at.read("paper.publishedAt", warnings).into_iter().collect(),
        categories: paper.keywords.items("ai_keywords", warnings),
        source: Some(super::daily_papers::SOURCE.into()),
        ..RawFields::default()
    };
    build(fields, warnings).map(Entry::Paper)
}

/// An item of a list, with only the fields that are read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    paper: Lenient<JsonObject<DailyPaper>>,
    title: LenientText,
    summary: LenientText,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DailyPaper {
    id: Lenient<RawId>,
    title: LenientText,
    summary: LenientText,
    authors: LenientList<JsonObject<DailyAuthor>>,
    published_at: LenientText,
    #[serde(rename = "ai_keywords")]
    keywords: LenientList<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DailyAuthor {
    name: LenientText,
    hidden: Lenient<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_date_of_the_paper_is_used_and_hidden_authors_are_left_out() {
        let text = r#"[{"paper":{"id":"2506.00001","authors":[{"name":"A","hidden":false},{"name":"B","hidden":true}],"publishedAt":"2025-06-01T10:00:00.000Z","summary":"S\nt.","ai_keywords":["k"]},"publishedAt":"2025-06-05T00:00:00.000Z","title":"T"}]"#;
        assert!(looks_like(text));
        let got = entries(Box::new(Cursor::new(text)), &Warnings::default()).next().unwrap().unwrap();
        let Entry::Paper(paper) = got else { panic!("{got:?}") };
        assert_eq!(
            (paper.id.as_str(), paper.title.as_str(), paper.r#abstract.as_str()),
            ("2506.00001", "T", "S t.")
        );
        assert_eq!((paper.authors.len(), paper.published.as_deref()), (1, Some("2025-06-01")));
        assert_eq!(paper.categories, ["k"]);
    }
}
