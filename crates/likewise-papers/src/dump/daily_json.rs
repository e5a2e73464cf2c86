//! Hugging Face's daily papers as its API gives them: a JSON array.
//!
//! Its own file because of its traps: `publishedAt` outside of `paper` is the day of the list, inside it is the
//! paper's; authors that somebody hid are no authors.

use super::fields::{Fields, build, date_if_readable};
use super::json::records;
use super::{Entries, Entry};
use serde::Deserialize;
use std::io::BufRead;

/// Whether the head of an array is such a list's.
pub fn looks_like(head: &str) -> bool {
    head.contains("\"paper\"")
        && (head.contains("\"publishedAt\"") || head.contains("\"submittedOnDailyAt\""))
}

/// The papers of a list.
pub fn entries(reader: Box<dyn BufRead + Send>) -> Entries {
    records(reader, |item: Item| item.into_entry())
}

#[derive(Deserialize)]
struct Item {
    paper: Inner,
    title: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner {
    id: String,
    title: Option<String>,
    summary: Option<String>,
    authors: Option<Vec<Author>>,
    published_at: Option<String>,
    #[serde(rename = "ai_keywords")]
    keywords: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Author {
    name: Option<String>,
    #[serde(default)]
    hidden: bool,
}

impl Item {
    fn into_entry(self) -> Result<Entry, String> {
        let paper = self.paper;
        let authors = paper.authors.into_iter().flatten().filter(|author| !author.hidden);
        build(Fields {
            ids: vec![paper.id],
            title: paper.title.or(self.title),
            r#abstract: paper.summary.or(self.summary),
            authors: authors.filter_map(|author| author.name).collect(),
            published: paper.published_at.as_deref().and_then(date_if_readable),
            categories: paper.keywords.unwrap_or_default(),
            source: Some(super::daily_papers::SOURCE.into()),
            ..Fields::default()
        })
        .map(Entry::Paper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_papers_own_date_counts_and_hidden_authors_do_not() {
        let text = r#"[{"paper":{"id":"2506.00001","authors":[{"name":"A","hidden":false},{"name":"B","hidden":true}],"publishedAt":"2025-06-01T10:00:00.000Z","summary":"S\nt.","ai_keywords":["k"]},"publishedAt":"2025-06-05T00:00:00.000Z","title":"T"}]"#;
        assert!(looks_like(text));
        let got = entries(Box::new(Cursor::new(text))).next().unwrap().unwrap();
        let Entry::Paper(paper) = got else { panic!("{got:?}") };
        assert_eq!(
            (paper.id.as_str(), paper.title.as_str(), paper.r#abstract.as_str()),
            ("2506.00001", "T", "S t.")
        );
        assert_eq!((paper.authors.len(), paper.published.as_deref()), (1, Some("2025-06-01")));
        assert_eq!(paper.categories, ["k"]);
    }
}
