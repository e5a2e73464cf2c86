//! Papers ↔ rows.
//!
//! Its own file because what a row has decides what a collection can be asked, and what comes back must be the paper that
//! went in, with all that its sources say of it.

use crate::error::{Error, Result};
use crate::milvus::engine::{MAX_BYTES, Row};
use crate::store::catalog::{Words, marks};
use crate::store::text::{TextHash, text_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use likewise_papers::paper::{Paper, parse_date};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bits of a row's number that are not its time: those of two writers in one microsecond are rarely the same.
const SPREAD: u32 = 10;

/// How hard a long document is packed.
const LEVEL: i32 = 19;

/// What a row keeps to be shown.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    paper: Paper,
    /// Of a paper that several sources speak of, what each says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<Paper>,
}

/// The row of a paper that records speak of; `number` is one of [`number_now`].
pub fn row_of(paper: &Paper, records: &[Paper], vector: Vec<f32>, number: i64) -> Row {
    let kept = if records.len() > 1 { records.to_vec() } else { Vec::new() };
    let document = packed(serde_json::json!(Document { paper: paper.clone(), records: kept }).to_string());
    let list = |labels: BTreeSet<String>| labels.into_iter().collect();
    let of_records = |label: fn(&Paper) -> &Option<String>| {
        list(records.iter().filter_map(|record| label(record).as_deref()).map(str::to_lowercase).collect())
    };
    let authors = std::iter::once(paper).chain(records).flat_map(|record| &record.authors);
    let authors: Vec<Words> = authors.map(|author| Words::of(author)).collect();
    Row {
        id: paper.id.to_string(),
        vector,
        text: hexadecimal(TextHash::of(&text_of(paper))),
        document,
        also: paper.also.iter().map(ToString::to_string).collect(),
        marks: records.iter().flat_map(marks).collect::<BTreeSet<i64>>().into_iter().collect(),
        days: days_of(paper),
        number,
        categories: list(paper.categories.iter().flat_map(|category| archives(category)).collect()),
        venues: of_records(|record| &record.venue),
        sources: of_records(|record| &record.source),
        names: in_order(authors.iter().flat_map(|author| author.0.clone())),
        pairs: in_order(authors.iter().flat_map(Words::pairs)),
        withdrawn: paper.withdrawn,
    }
}

/// Each once, the first first: of a list that is too long, the first are kept.
fn in_order(labels: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    labels.filter(|label| seen.insert(label.clone())).collect()
}

/// The paper of a row's document, and its records.
///
/// # Errors
/// [`Error::Data`] if it is none.
pub fn paper_of(id: &str, document: &str) -> Result<(Paper, Vec<Paper>)> {
    let wrong = |cause: String| Error::Data(format!("row {id:?}: {cause}; ingest its paper again"));
    let document = unpacked(document).map_err(wrong)?;
    let Document { paper, mut records } =
        serde_json::from_str(&document).map_err(|error| wrong(error.to_string()))?;
    if records.is_empty() {
        records.push(paper.clone());
    }
    Ok((paper, records))
}

/// A document as a field can hold it: one with three thousand authors is too long, and is packed.
fn packed(document: String) -> String {
    if document.len() <= MAX_BYTES {
        return document;
    }
    let packed = zstd::encode_all(document.as_bytes(), LEVEL).map(|packed| STANDARD.encode(packed));
    packed.unwrap_or(document)
}

fn unpacked(document: &str) -> Result<Cow<'_, str>, String> {
    // Packed, it begins like no JSON.
    if document.starts_with('{') {
        return Ok(Cow::Borrowed(document));
    }
    let packed = STANDARD.decode(document).map_err(|error| error.to_string())?;
    let bytes = zstd::decode_all(&packed[..]).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|error| error.to_string())
}

/// A text's hash, as rows have it.
pub fn hexadecimal(hash: TextHash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number for what comes now: larger than all that this process gave before, and than those of others as far as clocks
/// agree.
pub fn number_now(id: &str) -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let spread = i64::from(TextHash::of(id).0[0]) << 2;
    let now = (i64::try_from(now.as_micros()).unwrap_or_default() << SPREAD) | spread;
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
    now.max(last.unwrap_or_default() + 1)
}

/// A day, `YYYY-MM-DD`, as rows have it.
pub fn day_number(day: &str) -> i32 {
    let digits = day.bytes().filter(u8::is_ascii_digit).map(|digit| i32::from(digit - b'0'));
    // A cursor may have more of them than a day has.
    digits.fold(0_i32, |number, digit| number.saturating_mul(10).saturating_add(digit))
}

/// A row's day, as it is written elsewhere.
pub fn written(day: i32) -> String {
    format!("{:04}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100)
}

fn days_of(paper: &Paper) -> (i32, i32) {
    let days = paper.published.as_deref().and_then(|date| parse_date(date).ok());
    days.map_or((0, 0), |days| (day_number(&days.first), day_number(&days.last)))
}

/// A category and what it is a part of, by its dots.
fn archives(category: &str) -> Vec<String> {
    let category = category.to_lowercase();
    let ends = category.match_indices('.').map(|(end, _)| end).chain([category.len()]);
    ends.map(|end| category[..end].to_string()).filter(|archive| !archive.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::PaperId;

    #[test]
    fn a_paper_comes_back_as_it_went_in() {
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
        assert_eq!(row.days, (20_210_601, 20_210_630));
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
    fn a_paper_with_three_thousand_authors_fits_a_field() {
        let name = |number: u64| format!("Author {:x}, Q.", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let paper = Paper { authors: (1..3000).map(name).collect(), ..Paper::default() };
        let row = row_of(&paper, std::slice::from_ref(&paper), vec![1.0], 7);
        assert!(row.document.len() <= MAX_BYTES, "{}", row.document.len());
        assert_eq!(paper_of("", &row.document).unwrap().0, paper);
    }

    #[test]
    fn days_and_numbers_are_in_order() {
        assert_eq!(day_number("2021-06-15"), 20_210_615);
        assert_eq!(written(20_210_615), "2021-06-15");
        let first = number_now("a");
        let more: Vec<i64> = (0..1000).map(|number: i32| number_now(&number.to_string())).collect();
        assert!(first > 0 && first < more[0] && more.is_sorted_by(|one, other| one < other));
        assert_eq!(day_number("9999999999"), i32::MAX);
    }
}
