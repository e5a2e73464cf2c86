//! Converts papers to rows, and back.
//!
//! Reading a row must return the paper that was written, with all its records.

use crate::error::{Error, Result};
use crate::milvus::engine::{DayRange, MAX_DOCUMENT_BYTES, PaperRow};
use crate::store::catalog::{AuthorName, blocking_keys};
use crate::store::text::{TextHash, text_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use likewise_papers::paper::{Paper, parse_date};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Number of bits below the time in a row's number. These bits hold a hash of the paper's id, so that two writers
/// rarely give the same number in the same microsecond.
const HASH_BITS: u32 = 10;

/// The zstd level for long documents.
const ZSTD_LEVEL: i32 = 19;

/// The content of a row's document.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct RowDocument {
    paper: Paper,
    /// The records of the paper; empty if the paper has only one record, which equals the paper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<Paper>,
}

/// Makes the row of a paper with its records; `number` is the number of the paper's existing row or, for a new paper,
/// comes from [`number_now`]. The document of the row can be longer than [`MAX_DOCUMENT_BYTES`].
pub fn row_of(paper: &Paper, records: &[Paper], vector: Vec<f32>, number: i64) -> PaperRow {
    let stored_records = if records.len() > 1 { records.to_vec() } else { Vec::new() };
    let document = compressed(
        serde_json::json!(RowDocument { paper: paper.clone(), records: stored_records }).to_string(),
    );
    let list = |labels: BTreeSet<String>| labels.into_iter().collect();
    let of_records = |label: fn(&Paper) -> &Option<String>| {
        list(records.iter().filter_map(|record| label(record).as_deref()).map(str::to_lowercase).collect())
    };
    let authors = std::iter::once(paper).chain(records).flat_map(|record| &record.authors);
    let authors: Vec<AuthorName> = authors.map(|author| AuthorName::new(author)).collect();
    PaperRow {
        id: paper.id.to_string(),
        vector,
        text: hexadecimal(TextHash::of(&text_of(paper))),
        document,
        alternate_ids: paper.alternate_ids.iter().map(ToString::to_string).collect(),
        blocking_keys: records
            .iter()
            .flat_map(blocking_keys)
            .collect::<BTreeSet<i64>>()
            .into_iter()
            .collect(),
        days: days_of(paper),
        number,
        categories: list(paper.categories.iter().flat_map(|category| with_parents(category)).collect()),
        venues: of_records(|record| &record.venue),
        sources: of_records(|record| &record.source),
        names: deduplicated(authors.iter().flat_map(|author| author.0.clone())),
        pairs: deduplicated(authors.iter().flat_map(AuthorName::word_pairs)),
        withdrawn: paper.withdrawn,
    }
}

/// Removes repeated labels but keeps the order, since only the first labels of a long list are stored.
fn deduplicated(labels: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    labels.filter(|label| seen.insert(label.clone())).collect()
}

/// Reads the paper and its records from a row's document.
///
/// # Errors
/// Returns [`Error::Data`] if the document cannot be read.
pub fn paper_of(id: &str, document: &str) -> Result<(Paper, Vec<Paper>)> {
    let wrong =
        |cause: String| Error::Data(format!("row {id:?} cannot be read: {cause}; ingest its paper again"));
    let document = decompressed(document).map_err(wrong)?;
    let RowDocument { paper, mut records } =
        serde_json::from_str(&document).map_err(|error| wrong(error.to_string()))?;
    if records.is_empty() {
        records.push(paper.clone());
    }
    Ok((paper, records))
}

/// Compresses a document that is longer than [`MAX_DOCUMENT_BYTES`], such as the document of a paper with three
/// thousand authors; returns a shorter document unchanged.
fn compressed(document: String) -> String {
    if document.len() <= MAX_DOCUMENT_BYTES {
        return document;
    }
    let compressed = zstd::encode_all(document.as_bytes(), ZSTD_LEVEL).map(|bytes| STANDARD.encode(bytes));
    compressed.unwrap_or(document)
}

fn decompressed(document: &str) -> Result<Cow<'_, str>, String> {
    // Base64 never begins with a brace, but JSON objects do.
    if document.starts_with('{') {
        return Ok(Cow::Borrowed(document));
    }
    let compressed = STANDARD.decode(document).map_err(|error| error.to_string())?;
    let bytes = zstd::decode_all(&compressed[..]).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|error| error.to_string())
}

/// A text's hash in the form that rows store.
pub fn hexadecimal(hash: TextHash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a number for a row that is written now. The number is larger than all earlier numbers of this process and,
/// as far as the clocks agree, of other processes.
pub fn number_now(id: &str) -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let hash = i64::from(TextHash::of(id).0[0]) << 2;
    let now = (i64::try_from(now.as_micros()).unwrap_or_default() << HASH_BITS) | hash;
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
    now.max(last.unwrap_or_default() + 1)
}

/// Converts a day, `YYYY-MM-DD`, to the form that rows store, `yyyymmdd`.
pub fn day_number(day: &str) -> i32 {
    let digits = day.bytes().filter(u8::is_ascii_digit).map(|digit| i32::from(digit - b'0'));
    // Saturating, because a day from a cursor can have any number of digits.
    digits.fold(0_i32, |number, digit| number.saturating_mul(10).saturating_add(digit))
}

/// Converts a day of a row, `yyyymmdd`, to `YYYY-MM-DD`.
pub fn day_text(day: i32) -> String {
    format!("{:04}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100)
}

fn days_of(paper: &Paper) -> DayRange {
    let days = paper.published.as_deref().and_then(|date| parse_date(date).ok());
    let range = |first: &str, last: &str| DayRange { first: day_number(first), last: day_number(last) };
    days.map_or(DayRange::default(), |days| range(&days.first, &days.last))
}

/// Returns a category in lower case and the categories that contain it. The levels of a category are separated by dots:
/// `cs.lg` gives `cs` and `cs.lg`.
fn with_parents(category: &str) -> Vec<String> {
    let category = category.to_lowercase();
    let ends = category.match_indices('.').map(|(end, _)| end).chain([category.len()]);
    ends.map(|end| category[..end].to_string()).filter(|prefix| !prefix.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::PaperId;

    #[test]
    fn paper_is_read_back_with_its_records() {
        let record = |source: &str| Paper {
            id: PaperId::parse("2101.00001").unwrap(),
            title: "Bees \"that\" count\\".into(),
            authors: vec!["Zoë A. Bee".into()],
            categories: vec!["cs.LG".into(), "Graph Theory".into()],
            published: Some("2021-06".into()),
            source: Some(source.into()),
            venue: Some("ICLR".into()),
            ..Paper::default()
        };
        let (one, other) = (record("arxiv"), record("dblp"));
        let row = row_of(&one, &[one.clone(), other.clone()], vec![1.0], 7);
        assert_eq!(paper_of(&row.id, &row.document).unwrap(), (one.clone(), vec![one.clone(), other]));
        let alone = row_of(&one, std::slice::from_ref(&one), vec![1.0], 7);
        assert_eq!(paper_of(&row.id, &alone.document).unwrap(), (one.clone(), vec![one]));
        assert_eq!(row.days, DayRange { first: 20_210_601, last: 20_210_630 });
        assert_eq!(row.categories, ["cs", "cs.lg", "graph theory"]);
        assert_eq!(
            (&row.sources[..], &row.venues[..]),
            (&["arxiv".to_string(), "dblp".into()][..], &["iclr".to_string()][..])
        );
        assert_eq!(row.names, ["zoe", "a", "bee"]);
        assert_eq!(row.pairs, ["a zoe", "bee zoe", "a bee"]);
        assert!(paper_of("a", "{").unwrap_err().to_string().contains("\"a\""));
        assert!(paper_of("a", "?").unwrap_err().to_string().contains("\"a\""));
    }

    #[test]
    fn document_with_three_thousand_authors_is_compressed() {
        let name = |number: u64| format!("Author {:x}, Q.", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let paper = Paper { authors: (1..3000).map(name).collect(), ..Paper::default() };
        let row = row_of(&paper, std::slice::from_ref(&paper), vec![1.0], 7);
        assert!(row.document.len() <= MAX_DOCUMENT_BYTES, "{}", row.document.len());
        assert_eq!(paper_of("", &row.document).unwrap().0, paper);
    }

    #[test]
    fn days_and_numbers_are_ordered() {
        assert_eq!(day_number("2021-06-15"), 20_210_615);
        assert_eq!(day_text(20_210_615), "2021-06-15");
        let first = number_now("a");
        let more: Vec<i64> = (0..1000).map(|number: i32| number_now(&number.to_string())).collect();
        assert!(first > 0 && first < more[0] && more.is_sorted_by(|one, other| one < other));
        assert_eq!(day_number("9999999999"), i32::MAX);
    }
}
