//! Hugging Face's daily papers as its API gives them: a JSON array.
//!
//! Its own file because of its traps: `publishedAt` outside of `paper` is the day of the list, inside it is the
//! paper's; authors that somebody hid are no authors.

use super::fields::{Fields, build};
use super::json::records;
use super::loose::{Id, List, Loose, Object, Text};
use super::unread::Unread;
use super::{Entries, Entry};
use serde::Deserialize;
use std::io::BufRead;

/// Whether the head of an array is such a list's.
pub fn looks_like(head: &str) -> bool {
    head.contains("\"paper\"")
        && (head.contains("\"publishedAt\"") || head.contains("\"submittedOnDailyAt\""))
}

/// The papers of a list.
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    records(reader, unread, entry)
}

/// One item of a list.
pub fn entry(item: Item, unread: &Unread) -> Result<Entry, String> {
    let paper = item.paper.read("paper", unread).ok_or("it has no paper; wanted an object called paper")?.0;
    let authors = paper.authors.items("authors", unread).into_iter();
    let shown = authors.filter_map(|Object(author)| {
        let is_hidden = author.hidden.read("authors.hidden", unread).unwrap_or_default();
        author.name.read("authors.name", unread).filter(|_| !is_hidden)
    });
    let authors = shown.collect();
    let outer = (item.title.read("title", unread), item.summary.read("summary", unread));
    let fields = Fields {
        ids: paper.id.read("paper.id", unread).map(Id::text).transpose()?.into_iter().collect(),
        title: paper.title.read("paper.title", unread).or(outer.0),
        r#abstract: paper.summary.read("paper.summary", unread).or(outer.1),
        authors,
        published: paper.published_at.read("paper.publishedAt", unread).into_iter().collect(),
        categories: paper.keywords.items("ai_keywords", unread),
        source: Some(super::daily_papers::SOURCE.into()),
        ..Fields::default()
    };
    build(fields, unread).map(Entry::Paper)
}

/// An item, as far as it is read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Item {
    paper: Loose<Object<Inner>>,
    title: Text,
    summary: Text,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Inner {
    id: Loose<Id>,
    title: Text,
    summary: Text,
    authors: List<Object<Author>>,
    published_at: Text,
    #[serde(rename = "ai_keywords")]
    keywords: List<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Author {
    name: Text,
    hidden: Loose<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_papers_own_date_counts_and_hidden_authors_do_not() {
        let text = r#"[{"paper":{"id":"2506.00001","authors":[{"name":"A","hidden":false},{"name":"B","hidden":true}],"publishedAt":"2025-06-01T10:00:00.000Z","summary":"S\nt.","ai_keywords":["k"]},"publishedAt":"2025-06-05T00:00:00.000Z","title":"T"}]"#;
        assert!(looks_like(text));
        let got = entries(Box::new(Cursor::new(text)), &Unread::default()).next().unwrap().unwrap();
        let Entry::Paper(paper) = got else { panic!("{got:?}") };
        assert_eq!(
            (paper.id.as_str(), paper.title.as_str(), paper.r#abstract.as_str()),
            ("2506.00001", "T", "S t.")
        );
        assert_eq!((paper.authors.len(), paper.published.as_deref()), (1, Some("2025-06-01")));
        assert_eq!(paper.categories, ["k"]);
    }
}
