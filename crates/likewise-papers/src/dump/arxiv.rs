//! arXiv's metadata snapshot: JSON Lines with arXiv's own keys.
//!
//! Its own file because arXiv's keys have traps: `versions[0].created` is when the paper came (RFC
//! 2822), `update_date` is not; `authors_parsed` is the reliable one of two author fields; categories
//! are separated by spaces; that a paper was withdrawn is said in its comments, or instead of its abstract.

use super::columns::names;
use super::fields::{Fields, build, is_withdrawal, says_withdrawn, split_authors};
use super::json::records;
use super::loose::{Id, List, Loose, Object, Shape, Text};
use super::unread::Unread;
use super::{Entries, Entry};
use crate::paper::written_day;
use serde::Deserialize;
use serde::de::SeqAccess;
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
pub fn entries(reader: Box<dyn BufRead + Send>, unread: &Unread) -> Entries {
    records(reader, unread, entry)
}

/// One record.
pub fn entry(record: Record, unread: &Unread) -> Result<Entry, String> {
    record.into_metadata(unread)?.into_entry(unread)
}

/// A record, as far as it is read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    id: Loose<Id>,
    title: Text,
    r#abstract: Text,
    authors: Loose<Authors>,
    authors_parsed: List<Vec<Text>>,
    versions: List<Object<Version>>,
    update_date: Text,
    categories: Loose<Categories>,
    comments: Text,
    doi: Text,
    #[serde(rename = "journal-ref")]
    journal: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Version {
    created: Text,
}

/// Names in one text, or a list of them.
struct Authors(Vec<String>);

impl<'de> Shape<'de> for Authors {
    fn text(text: &str) -> Option<Authors> {
        Some(Authors(split_authors(text)))
    }

    fn list<A: SeqAccess<'de>>(list: A) -> Result<Option<Authors>, A::Error> {
        Ok(Some(Authors(all_names(list)?)))
    }
}

/// Categories in one text, separated by spaces, or a list of them, as other copies of the snapshot have them.
struct Categories(String);

impl<'de> Shape<'de> for Categories {
    fn text(text: &str) -> Option<Categories> {
        Some(Categories(text.to_string()))
    }

    fn list<A: SeqAccess<'de>>(list: A) -> Result<Option<Categories>, A::Error> {
        Ok(Some(Categories(all_names(list)?.join(" "))))
    }
}

fn all_names<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Vec<String>, A::Error> {
    let mut all = Vec::new();
    while let Some(item) = list.next_element::<Value>()? {
        all.extend(names(&item));
    }
    Ok(all)
}

impl Record {
    fn into_metadata(self, unread: &Unread) -> Result<Metadata, String> {
        let versions = self.versions.items("versions", unread).into_iter();
        let created =
            versions.filter_map(|version| version.0.created.read("versions.created", unread)).next();
        let first_version = created.map(day_of);
        let parsed = self.authors_parsed.items("authors_parsed", unread);
        let authors = match parsed.is_empty() {
            false => parsed.into_iter().map(|parts| author(parts, unread)).collect(),
            true => self.authors.read("authors", unread).map_or(Vec::new(), |authors| authors.0),
        };
        Ok(Metadata {
            id: self.id.read("id", unread).ok_or("it has no id; wanted arXiv's")?.text()?,
            title: self.title.read("title", unread),
            r#abstract: self.r#abstract.read("abstract", unread),
            authors,
            published: first_version
                .into_iter()
                .chain(self.update_date.read("update_date", unread))
                .collect(),
            categories: self.categories.read("categories", unread).map(|categories| categories.0),
            comments: self.comments.read("comments", unread),
            doi: self.doi.read("doi", unread),
            journal: self.journal.read("journal-ref", unread),
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

/// A row of such a table. What became of lists in it, nobody knows: those that are texts are read if they are JSON.
pub fn row(mut row: Map<String, Value>, unread: &Unread) -> Result<Entry, String> {
    row.retain(|_, value| value.as_str() != Some(""));
    for name in ["authors_parsed", "versions"] {
        if let Some(Value::String(text)) = row.get(name) {
            let list = serde_json::from_str::<Value>(text).ok().filter(Value::is_array);
            row.insert(name.into(), list.unwrap_or_default());
        }
    }
    let record: Record = serde_json::from_value(Value::Object(row)).map_err(|error| error.to_string())?;
    entry(record, unread)
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
    /// The day of its first version, then other dates.
    pub published: Vec<String>,
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
    pub fn into_entry(self, unread: &Unread) -> Result<Entry, String> {
        let said = |text: &Option<String>, says: fn(&str) -> bool| text.as_deref().is_some_and(says);
        let withdrawn = said(&self.comments, says_withdrawn) || said(&self.r#abstract, is_withdrawal);
        let doi = self.doi.iter().flat_map(|doi| doi.split_whitespace()).map(str::to_string);
        let fields = Fields {
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
        };
        build(fields, unread).map(Entry::Paper)
    }
}

/// `[last, first, suffix, …]` as `first last suffix`.
fn author(parts: Vec<Text>, unread: &Unread) -> String {
    let mut parts = parts.into_iter().map(|part| part.read("authors_parsed", unread).unwrap_or_default());
    let [last, first, suffix] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    format!("{first} {last} {suffix}")
}

/// The day of an RFC 2822 date such as `Mon, 11 Jan 2021 20:31:27 GMT`; another date is as it was.
pub fn day_of(created: String) -> String {
    let time = OffsetDateTime::parse(created.trim(), &Rfc2822);
    time.map_or(created, |time| written_day(time.date()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn paper(line: &str) -> crate::Paper {
        match entries(Box::new(Cursor::new(line.to_string().into_bytes())), &Unread::default())
            .next()
            .unwrap()
            .unwrap()
        {
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
