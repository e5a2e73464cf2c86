//! arXiv's metadata snapshot: JSON Lines with arXiv's own keys.
//!
//! Its own file because arXiv's keys have traps: `versions[0].created` is when the paper came (RFC
//! 2822), `update_date` is not; `authors_parsed` is the reliable one of two author fields; categories
//! are separated by spaces; that a paper was withdrawn is said in its comments, or instead of its abstract.

use super::fields::{Fields, build, is_withdrawal, says_withdrawn, split_authors};
use super::json::records;
use super::{Entries, Entry};
use crate::paper::written_day;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::BufRead;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// What this dump's papers are from.
pub const SOURCE: &str = "arxiv";

/// Whether a first line has keys that only this format has.
pub fn looks_like(line: &str) -> bool {
    ["\"authors_parsed\"", "\"update_date\"", "\"versions\"", "\"submitter\""]
        .iter()
        .any(|key| line.contains(key))
}

/// The papers of a snapshot.
pub fn entries(reader: Box<dyn BufRead + Send>) -> Entries {
    records(reader, |record: Record| record.into_metadata()?.into_entry())
}

#[derive(Deserialize)]
struct Record {
    id: String,
    title: Option<String>,
    r#abstract: Option<String>,
    authors: Option<String>,
    authors_parsed: Option<Vec<Vec<String>>>,
    #[serde(default)]
    versions: Vec<Version>,
    update_date: Option<String>,
    categories: Option<String>,
    comments: Option<String>,
    doi: Option<String>,
    #[serde(rename = "journal-ref")]
    journal: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    created: String,
}

impl Record {
    fn into_metadata(self) -> Result<Metadata, String> {
        let first_version = self.versions.first().map(|version| day_of(&version.created)).transpose()?;
        let authors = match self.authors_parsed {
            Some(parsed) if !parsed.is_empty() => parsed.iter().map(|parts| author(parts)).collect(),
            _ => split_authors(&self.authors.unwrap_or_default()),
        };
        Ok(Metadata {
            id: self.id,
            title: self.title,
            r#abstract: self.r#abstract,
            authors,
            published: first_version.or(self.update_date),
            categories: self.categories,
            comments: self.comments,
            doi: self.doi,
            journal: self.journal,
        })
    }
}

/// Whether a table's columns are the snapshot's keys.
pub fn has_columns(names: &[&str]) -> bool {
    let has = |name| names.contains(&name);
    has("id")
        && has("abstract")
        && has("categories")
        && (has("update_date") || has("authors_parsed") || has("versions"))
}

/// A row of such a table. What became of lists in it, nobody knows: those that are none are left out.
pub fn row(mut row: Map<String, Value>) -> Result<Entry, String> {
    let is_list_of =
        |value: &Value, is: fn(&Value) -> bool| value.as_array().is_some_and(|list| list.iter().all(is));
    row.retain(|name, value| match name.as_str() {
        "authors_parsed" => is_list_of(value, Value::is_array),
        "versions" => is_list_of(value, |version| version.get("created").is_some_and(Value::is_string)),
        _ => !value.is_null() && value.as_str() != Some(""),
    });
    if let Some(Value::String(date)) = row.get_mut("update_date") {
        date.truncate(date.floor_char_boundary(10));
    }
    let record: Record = serde_json::from_value(Value::Object(row)).map_err(|error| error.to_string())?;
    record.into_metadata()?.into_entry()
}

/// What arXiv says of a paper, in whichever of its formats.
#[derive(Default)]
pub struct Metadata {
    /// Its id there.
    pub id: String,
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub r#abstract: Option<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// The day of its first version.
    pub published: Option<String>,
    /// Categories, separated by spaces.
    pub categories: Option<String>,
    /// What its authors say beside it.
    pub comments: Option<String>,
    /// Of the published version; of several, separated by spaces, the first counts.
    pub doi: Option<String>,
    /// Where it was published.
    pub journal: Option<String>,
}

impl Metadata {
    /// As an entry of the dump.
    pub fn into_entry(self) -> Result<Entry, String> {
        let said = |text: &Option<String>, says: fn(&str) -> bool| text.as_deref().is_some_and(says);
        let withdrawn = said(&self.comments, says_withdrawn) || said(&self.r#abstract, is_withdrawal);
        let doi = self.doi.iter().flat_map(|doi| doi.split_whitespace()).map(str::to_string);
        build(Fields {
            ids: std::iter::once(self.id).chain(doi).collect(),
            title: self.title,
            r#abstract: self.r#abstract,
            authors: self.authors,
            published: self.published,
            categories: self.categories.unwrap_or_default().split_whitespace().map(str::to_string).collect(),
            venue: self.journal,
            source: Some(SOURCE.into()),
            url: None,
            withdrawn,
            also: Vec::new(),
        })
        .map(Entry::Paper)
    }
}

/// `[last, first, suffix, …]` as `first last suffix`.
fn author(parts: &[String]) -> String {
    let part = |index: usize| parts.get(index).map_or("", String::as_str);
    format!("{} {} {}", part(1), part(0), part(2))
}

/// The day of an RFC 2822 date such as `Mon, 11 Jan 2021 20:31:27 GMT`.
pub fn day_of(created: &str) -> Result<String, String> {
    let time = OffsetDateTime::parse(created.trim(), &Rfc2822);
    time.map(|time| written_day(time.date())).map_err(|_| {
        format!("versions: got the date {created:?}, wanted one like Mon, 11 Jan 2021 20:31:27 GMT")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn paper(line: &str) -> crate::Paper {
        match entries(Box::new(Cursor::new(line.to_string().into_bytes()))).next().unwrap().unwrap() {
            Entry::Paper(paper) => paper,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arxivs_keys_become_a_paper() {
        let line = r#"{"id":"math.GT/0309136","submitter":"S","authors":"A. B","title":"On\n  knots","abstract":"  We tie.\n","categories":"math.GT math.AT","doi":"10.1000/X 10.1000/Y","journal-ref":"J. Knots 3","versions":[{"version":"v1","created":"Mon, 8 Sep 2003 20:31:27 GMT"},{"version":"v2","created":"Tue, 9 Sep 2003 20:31:27 GMT"}],"update_date":"2009-11-07","authors_parsed":[["Bee","Ann","Jr."],["Erd\\H{o}s","Paul",""]]}"#;
        assert!(looks_like(line));
        let paper = paper(line);
        assert_eq!(paper.id.as_str(), "math/0309136");
        assert_eq!(paper.title, "On knots");
        assert_eq!(paper.authors, ["Ann Bee Jr.", "Paul Erdős"]);
        assert_eq!(paper.published.as_deref(), Some("2003-09-08"));
        assert_eq!(paper.categories, ["math.GT", "math.AT"]);
        assert_eq!(paper.url.as_deref(), Some("https://arxiv.org/abs/math/0309136"));
        assert_eq!(paper.also.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["10.1000/x", "10.1000/y"]);
        assert_eq!((paper.venue.as_deref(), paper.withdrawn), (Some("J. Knots 3"), false));
    }

    #[test]
    fn a_withdrawn_paper_is_marked() {
        let line = r#"{"id":"0704.0010","title":"T","abstract":"We prove it.","comments":"withdrawn: Lemma 3 is wrong","update_date":"2009-11-07","report-no":null}"#;
        assert!(paper(line).withdrawn);
        let line = r#"{"id":"0704.0010","title":"T","abstract":"This paper has been withdrawn by the author.","authors_parsed":null}"#;
        assert!(paper(line).withdrawn);
    }
}
