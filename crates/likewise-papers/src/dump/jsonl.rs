//! Plain JSON: one object a paper, one a line or in an array, with the field names people use.
//!
//! Its own file, like every format.

use super::columns::Columns;
use super::fields::{build, deleted};
use super::json::records;
use super::unread::Unread;
use super::{Entries, Entry};
use serde_json::{Map, Value};
use std::io::BufRead;

/// The papers of a file of plain JSON.
pub fn entries(reader: Box<dyn BufRead + Send>, columns: Columns, unread: &Unread) -> Entries {
    records(reader, unread, move |row: Map<String, Value>, unread| entry(&row, &columns, unread))
}

/// What one object says: a paper, or that one is gone.
pub fn entry(row: &Map<String, Value>, columns: &Columns, unread: &Unread) -> Result<Entry, String> {
    if row.get("deleted") == Some(&Value::Bool(true)) {
        let fields = columns.fields(row, unread)?;
        let id = fields.ids.first().ok_or("got deleted without an id, wanted the paper's id")?;
        return deleted(id, fields.source.as_deref()).map(Entry::Deleted);
    }
    build(columns.fields(row, unread)?, unread).map(Entry::Paper)
}

#[cfg(test)]
mod tests {
    use super::super::Refused;
    use super::*;
    use std::io::Cursor;

    fn read(text: &str) -> Vec<Result<Entry, Refused>> {
        entries(Box::new(Cursor::new(text.to_string().into_bytes())), Columns::default(), &Unread::default())
            .collect()
    }

    fn paper(text: &str) -> crate::Paper {
        match read(text).remove(0).unwrap() {
            Entry::Paper(paper) => paper,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_names_people_use_are_understood() {
        let line = r#"{"id":"a/1","title":" A\n title ","abstract":"B.","authors":"X Y; Z","year":2021,"venue":"ICML","keywords":"k one;k two"}"#;
        let read = paper(line);
        assert_eq!(read.title, "A title");
        assert_eq!(read.authors, ["X Y", "Z"]);
        assert_eq!(read.published.as_deref(), Some("2021"));
        assert_eq!(read.categories, ["k one", "k two"]);
        assert_eq!((read.venue.as_deref(), read.source.as_deref()), (Some("ICML"), None));
        let line = r#"{"title":"T","abstract":"B","authors":[{"name":"N"}],"published":"2020-01-02","categories":["cs.CL"],"venue":[null,{"name":"V"}],"source":"lab\n notes","doi":"10.1000/X"}"#;
        let read = paper(line);
        assert_eq!(read.id.as_str(), "10.1000/x", "a DOI is an id");
        assert_eq!((read.venue.as_deref(), read.source.as_deref()), (Some("V"), Some("lab notes")));
        assert_eq!((&*read.authors[0], &*read.categories[0]), ("N", "cs.CL"));
        assert_eq!(paper(r#"[{"title":"T","abstract":"B"}]"#).id.as_str(), "title:t");
    }

    #[test]
    fn a_bad_line_tells_its_number_and_reason() {
        let text = "{\"id\":\"a\"}\n{\"id\":704.001,\"title\":\"t\",\"abstract\":\"b\"}\n[1]\n{\"id\":\"b\",\"title\":\"t\",\"abstract\":\"b\"}\n{\n{\"deleted\":true}";
        let got = read(text);
        let reasons: Vec<(u64, &str)> =
            got.iter().filter_map(|entry| entry.as_ref().err()).map(|r| (r.line, &*r.reason)).collect();
        assert_eq!(reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
        assert!(reasons[0].1.contains("no title"), "{reasons:?}");
        assert!(reasons[1].1.contains("704.001, wanted text in quotes"), "{reasons:?}");
        assert!(got[3].is_ok());
    }

    #[test]
    fn a_line_may_say_that_a_paper_is_gone() {
        let got = read(r#"{"id":"arXiv:2101.00001v2","deleted":true}"#).remove(0).unwrap();
        assert!(
            matches!(got, Entry::Deleted(gone) if gone.id.as_str() == "2101.00001" && gone.source.is_none())
        );
    }
}
