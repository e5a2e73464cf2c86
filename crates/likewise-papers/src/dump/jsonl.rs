//! Reads plain JSON: one object per paper, with the usual field names (see [`Columns`]). The objects can be on one line
//! each, span several lines, or be in an array or in pages of API responses.

use super::columns::Columns;
use super::fields::{build, deletion};
use super::json::records;
use super::warnings::Warnings;
use super::{Entries, Entry};
use serde_json::{Map, Value};
use std::io::BufRead;

/// Returns the entries of a file of plain JSON.
pub fn entries(reader: Box<dyn BufRead + Send>, columns: Columns, warnings: &Warnings) -> Entries {
    records(reader, warnings, move |row: Map<String, Value>, warnings| entry(&row, &columns, warnings))
}

/// Converts one object to a paper, or to a deletion if the object has `"deleted": true` (the boolean, not text).
pub fn entry(row: &Map<String, Value>, columns: &Columns, warnings: &Warnings) -> Result<Entry, String> {
    if row.get("deleted") == Some(&Value::Bool(true)) {
        let fields = columns.fields(row, warnings)?;
        let id = fields.ids.first().ok_or("an entry with \"deleted\" must have the paper's id (got none)")?;
        return deletion(id, fields.source.as_deref()).map(Entry::Deleted);
    }
    build(columns.fields(row, warnings)?, warnings).map(Entry::Paper)
}

#[cfg(test)]
mod tests {
    use super::super::Refused;
    use super::*;
    use std::io::Cursor;

    fn read(text: &str) -> Vec<Result<Entry, Refused>> {
        entries(
            Box::new(Cursor::new(text.to_string().into_bytes())),
            Columns::default(),
            &Warnings::default(),
        )
        .collect()
    }

    fn paper(text: &str) -> crate::Paper {
        match read(text).remove(0).unwrap() {
            Entry::Paper(paper) => paper,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn common_field_names_are_read() {
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
    fn a_refused_line_has_its_number_and_a_reason() {
        let text = "{\"id\":\"a\"}\n{\"id\":704.001,\"title\":\"t\",\"abstract\":\"b\"}\n[1]\n{\"id\":\"b\",\"title\":\"t\",\"abstract\":\"b\"}\n{\n{\"deleted\":true}";
        let got = read(text);
        let reasons: Vec<(u64, &str)> =
            got.iter().filter_map(|entry| entry.as_ref().err()).map(|r| (r.line, &*r.reason)).collect();
        assert_eq!(reasons.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
        assert!(reasons[0].1.contains("no title"), "{reasons:?}");
        assert!(
            reasons[1].1.contains(
                "must be text in quotes, or a whole number from 0 to 10¹⁵ (got the number 704.001)"
            ),
            "{reasons:?}"
        );
        assert!(got[3].is_ok());
    }

    #[test]
    fn an_entry_with_deleted_true_is_a_deletion() {
        let got = read(r#"{"id":"arXiv:2101.00001v2","deleted":true}"#).remove(0).unwrap();
        assert!(
            matches!(got, Entry::Deleted(deletion) if deletion.id.as_str() == "2101.00001" && deletion.source.is_none())
        );
    }
}
