//! arXiv's metadata snapshot: JSON Lines with arXiv's own keys.
//!
//! Its own file because arXiv's keys have traps: `versions[0].created` is when the paper came (RFC
//! 2822), `update_date` is not; `authors_parsed` is the reliable one of two author fields; categories
//! are separated by spaces.

use super::Refused;
use super::jsonl::{Fields, build, parse};
use super::lines::lines;
use crate::paper::Paper;
use serde::Deserialize;
use std::io::BufRead;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Whether a first line has keys that only this format has.
pub fn looks_like(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    ["\"authors_parsed\"", "\"update_date\"", "\"versions\"", "\"submitter\""]
        .iter()
        .any(|key| line.contains(key))
}

/// The papers of a snapshot.
pub fn papers(reader: Box<dyn BufRead + Send>) -> Box<dyn Iterator<Item = Result<Paper, Refused>> + Send> {
    Box::new(lines(reader).map(|line| {
        let (line, text) = line?;
        parse::<Record>(&text).and_then(Record::into_paper).map_err(|reason| Refused { line, reason })
    }))
}

#[derive(Deserialize)]
struct Record {
    id: String,
    title: Option<String>,
    r#abstract: Option<String>,
    authors: Option<String>,
    #[serde(default)]
    authors_parsed: Vec<Vec<String>>,
    #[serde(default)]
    versions: Vec<Version>,
    update_date: Option<String>,
    categories: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    created: String,
}

impl Record {
    fn into_paper(self) -> Result<Paper, String> {
        let first_version = self.versions.first().map(|version| day_of(&version.created)).transpose()?;
        let authors = if self.authors_parsed.is_empty() {
            self.authors.iter().flat_map(|authors| authors.split([',', ';'])).map(str::to_string).collect()
        } else {
            self.authors_parsed.iter().map(|parts| author(parts)).collect()
        };
        let categories = self.categories.unwrap_or_default();
        build(Fields {
            id: Some(self.id),
            title: self.title,
            r#abstract: self.r#abstract,
            authors,
            published: first_version.or(self.update_date),
            categories: categories.split_whitespace().map(str::to_string).collect(),
            source: Some("arxiv".into()),
            ..Fields::default()
        })
    }
}

/// `[last, first, suffix, …]` as `first last suffix`.
fn author(parts: &[String]) -> String {
    let part = |index: usize| parts.get(index).map_or("", String::as_str);
    format!("{} {} {}", part(1), part(0), part(2))
}

/// The day of an RFC 2822 date such as `Mon, 11 Jan 2021 20:31:27 GMT`.
fn day_of(created: &str) -> Result<String, String> {
    let date = OffsetDateTime::parse(created, &Rfc2822)
        .map_err(|_| {
            format!("versions: got the date {created:?}, wanted one like Mon, 11 Jan 2021 20:31:27 GMT")
        })?
        .date();
    Ok(format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn arxivs_keys_become_a_paper() {
        let line = r#"{"id":"math.GT/0309136","submitter":"S","authors":"A. B","title":"On\n  knots","abstract":"  We tie.\n","categories":"math.GT math.AT","versions":[{"version":"v1","created":"Mon, 8 Sep 2003 20:31:27 GMT"},{"version":"v2","created":"Tue, 9 Sep 2003 20:31:27 GMT"}],"update_date":"2009-11-07","authors_parsed":[["Bee","Ann","Jr."],["Cee","Dan",""]]}"#;
        assert!(looks_like(line.as_bytes()));
        let paper = papers(Box::new(Cursor::new(line.as_bytes()))).next().unwrap().unwrap();
        assert_eq!(paper.id.as_str(), "math/0309136");
        assert_eq!(paper.title, "On knots");
        assert_eq!(paper.authors, ["Ann Bee Jr.", "Dan Cee"]);
        assert_eq!(paper.published.as_deref(), Some("2003-09-08"));
        assert_eq!(paper.categories, ["math.GT", "math.AT"]);
        assert_eq!(paper.url.as_deref(), Some("https://arxiv.org/abs/math/0309136"));
    }
}
