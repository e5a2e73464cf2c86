//! Reads arXiv's metadata snapshot: JSON Lines with arXiv's own keys.
//!
//! - The publication date is the first `created` in `versions` (RFC 2822). `update_date` is used only if that date is
//!   missing or has no year.
//! - There are two author fields; `authors_parsed` is more reliable than `authors`.
//! - Categories are separated by spaces.
//! - A withdrawal is stated in the comments or in place of the abstract.

use super::columns::names;
use super::fields::{RawFields, build, is_withdrawal, says_withdrawn, split_authors};
use super::json::records;
use super::lenient::{FromJsonValue, JsonObject, Lenient, LenientList, LenientText, RawId};
use super::warnings::Warnings;
use super::{Entries, Entry};
use crate::paper::format_day;
use serde::Deserialize;
use serde::de::SeqAccess;
use serde_json::{Map, Value};
use std::io::BufRead;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Source name of the papers in all of arXiv's formats.
pub const SOURCE: &str = "arxiv";

/// Whether the first object of a file has keys that only arXiv's snapshot has.
pub fn looks_like(line: &str) -> bool {
    ["\"authors_parsed\"", "\"update_date\"", "\"versions\"", "\"submitter\""]
        .iter()
        .any(|key| line.contains(key))
}

/// Returns the papers of a snapshot.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    records(reader, warnings, entry)
}

/// Converts one record to an entry.
pub fn entry(record: Record, warnings: &Warnings) -> Result<Entry, String> {
    record.into_metadata(warnings)?.into_entry(warnings)
}

/// A record, with only the fields that are read.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    id: Lenient<RawId>,
    title: LenientText,
    r#abstract: LenientText,
    authors: Lenient<AuthorList>,
    authors_parsed: LenientList<Vec<LenientText>>,
    versions: LenientList<JsonObject<Version>>,
    update_date: LenientText,
    categories: Lenient<CategoryList>,
    comments: LenientText,
    doi: LenientText,
    #[serde(rename = "journal-ref")]
    journal: LenientText,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Version {
    created: LenientText,
}

/// Author names, given as one text or as a list.
struct AuthorList(Vec<String>);

impl<'de> FromJsonValue<'de> for AuthorList {
    fn text(text: &str) -> Option<AuthorList> {
        Some(AuthorList(split_authors(text)))
    }

    fn list<A: SeqAccess<'de>>(list: A) -> Result<Option<AuthorList>, A::Error> {
        Ok(Some(AuthorList(all_names(list)?)))
    }
}

/// Categories separated by spaces. Some copies of the snapshot have a list instead, whose items are joined.
struct CategoryList(String);

impl<'de> FromJsonValue<'de> for CategoryList {
    fn text(text: &str) -> Option<CategoryList> {
        Some(CategoryList(text.to_string()))
    }

    fn list<A: SeqAccess<'de>>(list: A) -> Result<Option<CategoryList>, A::Error> {
        Ok(Some(CategoryList(all_names(list)?.join(" "))))
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
    fn into_metadata(self, warnings: &Warnings) -> Result<Metadata, String> {
        let versions = self.versions.items("versions", warnings).into_iter();
        let created =
            versions.filter_map(|version| version.0.created.read("versions.created", warnings)).next();
        let first_version = created.map(day_of);
        let parsed = self.authors_parsed.items("authors_parsed", warnings);
        let authors = match parsed.is_empty() {
            false => parsed.into_iter().map(|parts| author(parts, warnings)).collect(),
            true => self.authors.read("authors", warnings).map_or(Vec::new(), |authors| authors.0),
        };
        Ok(Metadata {
            id: self
                .id
                .read("id", warnings)
                .ok_or("the record has no id; it must have arXiv's id")?
                .into_text()?,
            title: self.title.read("title", warnings),
            r#abstract: self.r#abstract.read("abstract", warnings),
            authors,
            published: first_version
                .into_iter()
                .chain(self.update_date.read("update_date", warnings))
                .collect(),
            categories: self.categories.read("categories", warnings).map(|categories| categories.0),
            comments: self.comments.read("comments", warnings),
            doi: self.doi.read("doi", warnings),
            journal: self.journal.read("journal-ref", warnings),
        })
    }
}

/// Whether a table's column names are the keys of the snapshot.
pub fn has_columns(names: &[&str]) -> bool {
    let has = |name| names.contains(&name);
    has("id")
        && has("abstract")
        && has("categories")
        && (has("update_date") || has("authors_parsed") || has("versions"))
}

/// Reads a row of a table whose column names are the keys of the snapshot. If `authors_parsed` or `versions` was
/// written as text, the text is parsed if it is a JSON list, and ignored otherwise.
pub fn row(mut row: Map<String, Value>, warnings: &Warnings) -> Result<Entry, String> {
    row.retain(|_, value| value.as_str() != Some(""));
    for name in ["authors_parsed", "versions"] {
        if let Some(Value::String(text)) = row.get(name) {
            let list = serde_json::from_str::<Value>(text).ok().filter(Value::is_array);
            row.insert(name.into(), list.unwrap_or_default());
        }
    }
    let record: Record = serde_json::from_value(Value::Object(row)).map_err(|error| error.to_string())?;
    entry(record, warnings)
}

/// A paper's metadata, as read from any of arXiv's formats.
#[derive(Default)]
pub struct Metadata {
    /// arXiv id.
    pub id: String,
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub r#abstract: Option<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// Dates, most reliable first: the day of the first version, then the other dates of the record.
    pub published: Vec<String>,
    /// Categories, separated by spaces.
    pub categories: Option<String>,
    /// The authors' comments.
    pub comments: Option<String>,
    /// DOIs of the published version, separated by spaces.
    pub doi: Option<String>,
    /// Journal reference of the published version.
    pub journal: Option<String>,
}

impl Metadata {
    /// Converts the metadata to an entry of the dump.
    pub fn into_entry(self, warnings: &Warnings) -> Result<Entry, String> {
        let matches = |text: &Option<String>, test: fn(&str) -> bool| text.as_deref().is_some_and(test);
        let withdrawn = matches(&self.comments, says_withdrawn) || matches(&self.r#abstract, is_withdrawal);
        let doi = self.doi.iter().flat_map(|doi| doi.split_whitespace()).map(str::to_string);
        let fields = RawFields {
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
            alternate_ids: Vec::new(),
        };
        build(fields, warnings).map(Entry::Paper)
    }
}

/// Joins the parts of an author's name, `[last, first, suffix, …]`, as `first last suffix`.
fn author(parts: Vec<LenientText>, warnings: &Warnings) -> String {
    let mut parts = parts.into_iter().map(|part| part.read("authors_parsed", warnings).unwrap_or_default());
    let [last, first, suffix] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    format!("{first} {last} {suffix}")
}

/// Returns the day of an RFC 2822 date such as `Mon, 11 Jan 2021 20:31:27 GMT`. A date in another format is returned
/// unchanged.
pub fn day_of(created: String) -> String {
    let time = OffsetDateTime::parse(created.trim(), &Rfc2822);
    time.map_or(created, |time| format_day(time.date()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn paper(line: &str) -> crate::Paper {
        match entries(Box::new(Cursor::new(line.to_string().into_bytes())), &Warnings::default())
            .next()
            .unwrap()
            .unwrap()
        {
            Entry::Paper(paper) => paper,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_snapshot_record_is_read_as_a_paper() {
        let line = r#"{"id":"math.GT/0309136","submitter":"S","authors":"A. B","title":"On\n  knots","abstract":"  We tie.\n","categories":"math.GT math.AT","doi":"10.1000/X 10.1000/Y","journal-ref":"J. Knots 3","versions":[{"version":"v1","created":"Mon, 8 Sep 2003 20:31:27 GMT"},{"version":"v2","created":"Tue, 9 Sep 2003 20:31:27 GMT"}],"update_date":"2009-11-07","authors_parsed":[["Bee","Ann","Jr."],["Erd\\H{o}s","Paul",""]]}"#;
        assert!(looks_like(line));
        let paper = paper(line);
        assert_eq!(paper.id.as_str(), "math/0309136");
        assert_eq!(paper.title, "On knots");
        assert_eq!(paper.authors, ["Ann Bee Jr.", "Paul Erdős"]);
        assert_eq!(paper.published.as_deref(), Some("2003-09-08"));
        assert_eq!(paper.categories, ["math.GT", "math.AT"]);
        assert_eq!(paper.url.as_deref(), Some("https://arxiv.org/abs/math/0309136"));
        assert_eq!(
            paper.alternate_ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            ["10.1000/x", "10.1000/y"]
        );
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
