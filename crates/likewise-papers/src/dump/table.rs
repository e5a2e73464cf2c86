//! Tables: CSV, and the same with tabs or semicolons, with a first line of names.
//!
//! Its own file because a row may go over several lines, and every value is text: an id keeps its zeros.

use super::arxiv;
use super::columns::Columns;
use super::fields::build;
use super::lines::{BYTE_ORDER_MARK, MAX_ENTRY_BYTES};
use super::{Entries, Entry, Refused};
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether the head of a file is a table's: its first line has a title among its names.
pub fn looks_like(head: &str, columns: &Columns) -> bool {
    let first = head.lines().next().unwrap_or_default();
    let Some(separator) = separator(first) else { return false };
    let names: Vec<&str> = first.split(separator).map(|name| name.trim().trim_matches('"')).collect();
    // Whoever says what columns are called says that it is a table.
    *columns != Columns::default() || columns.check(&names).is_ok()
}

/// What stands between a line's names most often.
fn separator(line: &str) -> Option<char> {
    let count = |separator: &char| line.matches(*separator).count();
    [',', '\t', ';'].into_iter().rev().max_by_key(count).filter(|separator| count(separator) > 0)
}

/// The papers of a table.
pub fn entries(mut reader: Box<dyn BufRead + Send>, columns: Columns) -> Entries {
    // What fails here fails again where it is read.
    let head = reader.fill_buf().unwrap_or_default();
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let first =
        String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let separator = separator(&first).unwrap_or(',');
    let left = Arc::new(AtomicUsize::new(MAX_ENTRY_BYTES));
    let quotes = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let limited = Limited {
        reader,
        left: Arc::clone(&left),
        quotes: Arc::clone(&quotes),
        is_over: Arc::clone(&is_over),
    };
    let rows = ReaderBuilder::new().delimiter(separator as u8).flexible(true).from_reader(limited);
    Box::new(Rows { rows, names: None, columns, left, quotes, is_over, ended: false })
}

/// Fails where one row is longer than is held: a quotation mark that is never closed makes the rest of a file one row.
struct Limited {
    reader: Box<dyn BufRead + Send>,
    left: Arc<AtomicUsize>,
    /// Quotation marks read: each that is opened is closed.
    quotes: Arc<AtomicUsize>,
    /// Whether its end was met.
    is_over: Arc<AtomicBool>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.is_over.store(count == 0 && !buffer.is_empty(), Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        if count > left {
            return Err(std::io::Error::other(format!(
                "a row of over {MAX_ENTRY_BYTES} bytes: is a quotation mark not closed?"
            )));
        }
        self.left.store(left - count, Ordering::Relaxed);
        self.quotes.fetch_add(memchr::memchr_iter(b'"', &buffer[..count]).count(), Ordering::Relaxed);
        Ok(count)
    }
}

struct Rows {
    rows: Reader<Limited>,
    names: Option<Vec<String>>,
    columns: Columns,
    left: Arc<AtomicUsize>,
    quotes: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    ended: bool,
}

impl Rows {
    fn next_row(&mut self) -> Result<Option<ByteRecord>, Refused> {
        let mut row = ByteRecord::new();
        let line = self.rows.position().line();
        match self.rows.read_byte_record(&mut row) {
            Ok(true) => {
                self.left.store(MAX_ENTRY_BYTES, Ordering::Relaxed);
                let lines = self.rows.position().line() - line;
                if self.is_over.load(Ordering::Relaxed)
                    && lines > 1
                    && !self.quotes.load(Ordering::Relaxed).is_multiple_of(2)
                {
                    self.ended = true;
                    let reason = "a quotation mark is opened here and never closed, so that the rest of the file is one \
                                  row; mend it and read the file again";
                    return Err(Refused { line, reason: reason.into() });
                }
                Ok(Some(row))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                self.ended = true;
                let reason = format!(
                    "the file ends badly here ({error}); everything before was read, get the file again"
                );
                Err(Refused { line, reason })
            }
        }
    }

    fn names(&mut self) -> Result<Vec<String>, Refused> {
        let headers = self.rows.byte_headers().cloned();
        let refused = |reason: String| Refused { line: 1, reason };
        let headers = headers.map_err(|error| refused(error.to_string()))?;
        let name = |name: &[u8]| {
            let name = name.strip_prefix(BYTE_ORDER_MARK).unwrap_or(name);
            String::from_utf8_lossy(name).trim().to_string()
        };
        let names: Vec<String> = headers.iter().map(name).collect();
        self.columns.check(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(refused)?;
        Ok(names)
    }
}

impl Iterator for Rows {
    type Item = Result<Entry, Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.names.is_none() {
            match self.names() {
                Ok(names) => self.names = Some(names),
                Err(refused) => {
                    self.ended = true;
                    return Some(Err(refused));
                }
            }
        }
        let row = match self.next_row() {
            Ok(row) => row?,
            Err(refused) => return Some(Err(refused)),
        };
        let line = row.position().map_or(0, csv::Position::line);
        let names = self.names.as_deref().unwrap_or_default();
        Some(paper(&row, names, &self.columns).map_err(|reason| Refused { line, reason }))
    }
}

fn paper(row: &ByteRecord, names: &[String], columns: &Columns) -> Result<Entry, String> {
    if row.len() > names.len() {
        return Err(format!(
            "got {} values, wanted the {} that the first line names; put those with separators in quotes",
            row.len(),
            names.len()
        ));
    }
    let mut values = Map::new();
    for (name, value) in names.iter().zip(row) {
        let value = std::str::from_utf8(value)
            .map_err(|_| format!("{name}: it is not UTF-8; convert the file to UTF-8"))?;
        values.insert(name.clone(), Value::String(value.to_string()));
    }
    if *columns == Columns::default()
        && arxiv::has_columns(&names.iter().map(String::as_str).collect::<Vec<_>>())
    {
        return arxiv::row(values);
    }
    build(columns.fields(&values)?).map(Entry::Paper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(text: &str, columns: &str) -> Vec<Result<Entry, Refused>> {
        let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
        entries(Box::new(Cursor::new(text.to_string().into_bytes())), columns).collect()
    }

    #[test]
    fn rows_are_papers_whatever_the_separator() {
        let csv =
            "\u{feff}id,title,abstract,year\n0704.0010,\"T, \"\"u\"\"\",\"S\nt.\",2007\n1,2,3,4,5\n,,,\n";
        assert!(looks_like(csv.trim_start_matches('\u{feff}'), &Columns::default()));
        for text in [csv.to_string(), csv.replace("T,", "T.").replace(',', "\t")] {
            let got = read(&text, "");
            assert!(
                matches!(&got[0], Ok(Entry::Paper(paper)) if paper.id.as_str() == "0704.0010" && paper.r#abstract == "S t."),
                "{got:?}"
            );
            let reasons: Vec<_> = got[1..].iter().map(|entry| entry.as_ref().unwrap_err()).collect();
            assert_eq!((reasons[0].line, reasons[1].line), (4, 5));
            assert!(reasons[0].reason.contains("got 5 values, wanted the 4"), "{reasons:?}");
        }
        let got = read("name;body\nT;S", "title=name,abstract=body");
        assert!(matches!(&got[..], [Ok(Entry::Paper(_))]), "{got:?}");
        let snapshot = "id,authors,title,abstract,categories,update_date,comments\n0704.0010,A One and B Two,T,S,cs.LG stat.ML,2007-05-23,withdrawn\n";
        let got = read(snapshot, "");
        let Ok(Entry::Paper(paper)) = &got[0] else { panic!("{got:?}") };
        assert_eq!((paper.categories.len(), paper.authors.len(), paper.withdrawn), (2, 2, true));
        assert!(read("a,b\n1,2\n", "")[0].as_ref().unwrap_err().reason.contains("it has a, b"));
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_is_said() {
        let row =
            |number: usize| format!("{number},Title {number},{}A\n", if number == 10 { "\"" } else { "" });
        let text: String = std::iter::once("id,title,abstract\n".into()).chain((0..100).map(row)).collect();
        let got = read(&text, "");
        assert_eq!((got.len(), got[10].as_ref().unwrap_err().line), (11, 12), "{got:?}");
        let quoted = "id,title,abstract\n1,T,\"A\nB\"\n2,5\" disks,\"C\nD\"\n";
        assert!(read(quoted, "").iter().all(Result::is_ok) || read(quoted, "").len() == 2);
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_does_not_fill_the_memory() {
        let text = format!("title,abstract\na,b\nc,\"{}", "x,y\n".repeat(MAX_ENTRY_BYTES / 2));
        let got = read(&text, "");
        assert!(
            got.len() == 2 && got[1].as_ref().unwrap_err().reason.contains("not closed"),
            "{}",
            got.len()
        );
    }
}
