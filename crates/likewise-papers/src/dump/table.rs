//! Reads tables with a header line, in which values are separated by commas, tabs or semicolons.
//!
//! A row can span several lines. All values are read as text, so ids keep their zeros.

use super::arxiv;
use super::columns::Columns;
use super::fields::build;
use super::lines::{BYTE_ORDER_MARK, MAX_ENTRY_BYTES, unreadable_from_here};
use super::warnings::Warnings;
use super::{Entries, Entry, Refused};
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether the file looks like a table: its first line has separators and names a title column. With `--columns`,
/// separators suffice.
pub fn looks_like(head: &str, columns: &Columns) -> bool {
    let first = head.lines().next().unwrap_or_default();
    let Some(separator) = separator(first) else { return false };
    let names: Vec<&str> = first.split(separator).map(|name| name.trim().trim_matches('"')).collect();
    // If columns were named with --columns, the file must be a table.
    *columns != Columns::default() || columns.check(&names).is_ok()
}

/// Whether quotation marks within values are escaped by a backslash, as in files that Spark writes, instead of being
/// doubled. This is the case if some quotation marks inside values follow a backslash and none are doubled.
fn escapes_by_backslash(head: &[u8], separator: u8) -> bool {
    let is_boundary =
        |byte: Option<&u8>| byte.is_none_or(|byte| [separator, b'\n', b'\r', b'"'].contains(byte));
    let escaped =
        memchr::memmem::find_iter(head, b"\\\"").filter(|offset| !is_boundary(head.get(offset + 2))).count();
    let is_doubled = |offset: usize| {
        let before = offset.checked_sub(1).and_then(|before| head.get(before));
        !is_boundary(head.get(offset + 2)) && !is_boundary(before) && before != Some(&b'\\')
    };
    escaped > 0 && !memchr::memmem::find_iter(head, b"\"\"").any(is_doubled)
}

/// Returns the separator that occurs most often in the header line. `None`: the line has no separator.
fn separator(line: &str) -> Option<char> {
    let count = |separator: &char| line.matches(*separator).count();
    [',', '\t', ';'].into_iter().rev().max_by_key(count).filter(|separator| count(separator) > 0)
}

/// Returns the papers of a table.
pub fn entries(mut reader: Box<dyn BufRead + Send>, columns: Columns, warnings: &Warnings) -> Entries {
    // An I/O error is ignored here, because the next read returns the error again.
    let head = reader.fill_buf().unwrap_or_default();
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let first =
        String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let separator = separator(&first).unwrap_or(',');
    let escape = escapes_by_backslash(head, separator as u8).then_some(b'\\');
    let bytes_left = Arc::new(AtomicUsize::new(MAX_ENTRY_BYTES));
    let quotes = Arc::new(AtomicUsize::new(0));
    let at_end = Arc::new(AtomicBool::new(false));
    let limited_reader = LimitedReader {
        reader,
        bytes_left: Arc::clone(&bytes_left),
        quotes: Arc::clone(&quotes),
        at_end: Arc::clone(&at_end),
    };
    let rows = ReaderBuilder::new()
        .delimiter(separator as u8)
        .escape(escape)
        .flexible(true)
        .from_reader(limited_reader);
    let (is_utf8, warnings) = (None, warnings.clone());
    Box::new(TableRows {
        rows,
        names: None,
        columns,
        bytes_left,
        quotes,
        at_end,
        is_utf8,
        warnings,
        ended: false,
    })
}

/// A reader that returns an error if a row exceeds [`MAX_ENTRY_BYTES`]. An unclosed quotation mark turns the rest of
/// the file into one row, which must not fill the memory.
struct LimitedReader {
    reader: Box<dyn BufRead + Send>,
    bytes_left: Arc<AtomicUsize>,
    /// Number of quotation marks read so far, including marks after a backslash. If the number is odd at the end of the
    /// table, a mark is probably not closed.
    quotes: Arc<AtomicUsize>,
    /// Whether the end of the stream was reached.
    at_end: Arc<AtomicBool>,
}

impl Read for LimitedReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.at_end.store(count == 0 && !buffer.is_empty(), Ordering::Relaxed);
        let bytes_left = self.bytes_left.load(Ordering::Relaxed);
        if count > bytes_left {
            return Err(std::io::Error::other(format!(
                "a row is longer than {MAX_ENTRY_BYTES} bytes, probably because a quotation mark is not closed"
            )));
        }
        self.bytes_left.store(bytes_left - count, Ordering::Relaxed);
        self.quotes.fetch_add(memchr::memchr_iter(b'"', &buffer[..count]).count(), Ordering::Relaxed);
        Ok(count)
    }
}

struct TableRows {
    rows: Reader<LimitedReader>,
    names: Option<Vec<String>>,
    columns: Columns,
    bytes_left: Arc<AtomicUsize>,
    quotes: Arc<AtomicUsize>,
    at_end: Arc<AtomicBool>,
    /// Whether the file is UTF-8. `None`: all characters so far are ASCII.
    is_utf8: Option<bool>,
    warnings: Warnings,
    ended: bool,
}

impl TableRows {
    /// Decodes the values of a row. A value that is valid UTF-8 is read as UTF-8. The first value in the file that is
    /// not ASCII decides about all other values: if it is valid UTF-8, a value that is not UTF-8 is damaged, and the
    /// row of that value is refused; or else, such a value is read as Windows-1252 (a superset of Latin-1).
    fn texts(&mut self, row: &ByteRecord) -> Result<Vec<String>, String> {
        let mut texts = Vec::with_capacity(row.len());
        for (index, value) in row.iter().enumerate() {
            let is_utf8 = std::str::from_utf8(value).is_ok();
            if !value.is_ascii() {
                self.is_utf8.get_or_insert(is_utf8);
            }
            if is_utf8 || self.is_utf8 == Some(false) {
                texts.push(self.text(value, is_utf8));
            } else {
                let name = self.names.iter().flatten().nth(index).map_or("", String::as_str);
                return Err(format!(
                    "{name} is not UTF-8, although earlier values in the file are; convert the file to UTF-8"
                ));
            }
        }
        Ok(texts)
    }

    fn text(&self, value: &[u8], is_utf8: bool) -> String {
        if is_utf8 {
            return String::from_utf8_lossy(value).into_owned();
        }
        let text = encoding_rs::WINDOWS_1252.decode_without_bom_handling(value).0.into_owned();
        self.warnings.add("values that are not UTF-8, read as windows-1252 (Latin-1)", &text);
        text
    }

    fn next_row(&mut self) -> Result<Option<ByteRecord>, Refused> {
        let mut row = ByteRecord::new();
        let line = self.rows.position().line();
        match self.rows.read_byte_record(&mut row) {
            Ok(true) => {
                self.bytes_left.store(MAX_ENTRY_BYTES, Ordering::Relaxed);
                let lines = self.rows.position().line() - line;
                if self.at_end.load(Ordering::Relaxed)
                    && lines > 1
                    && !self.quotes.load(Ordering::Relaxed).is_multiple_of(2)
                {
                    self.ended = true;
                    let reason = "a quotation mark is opened here and never closed, so the rest of the file is one row; \
                                  close the quotation mark and read the file again";
                    return Err(Refused { line, reason: reason.into() });
                }
                Ok(Some(row))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                self.ended = true;
                Err(Refused { line, reason: unreadable_from_here(&error) })
            }
        }
    }

    fn names(&mut self) -> Result<Vec<String>, Refused> {
        let headers = self.rows.byte_headers().cloned();
        let refused = |reason: String| Refused { line: 1, reason };
        let headers = headers.map_err(|error| refused(error.to_string()))?;
        let name = |name: &[u8]| {
            let name = name.strip_prefix(BYTE_ORDER_MARK).unwrap_or(name);
            let text = match std::str::from_utf8(name) {
                Ok(name) => name.into(),
                Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(name).0,
            };
            text.trim().to_string()
        };
        let names: Vec<String> = headers.iter().map(name).collect();
        self.columns.check(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(refused)?;
        Ok(names)
    }
}

impl Iterator for TableRows {
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
        let read = self.texts(&row).and_then(|texts| self.paper(texts));
        Some(read.map_err(|reason| Refused { line, reason }))
    }
}

impl TableRows {
    fn paper(&self, texts: Vec<String>) -> Result<Entry, String> {
        let names = self.names.as_deref().unwrap_or_default();
        let backslash =
            "; in CSV, quotation marks within quotes are doubled (\"\"), not escaped by a backslash";
        // A backslash before a quotation mark hints that a value was closed too early.
        let is_escaped = |text: &String| text.ends_with('\\') || text.contains("\\\"");
        let hint = if texts.iter().any(is_escaped) { backslash } else { "" };
        if texts.len() > names.len() {
            return Err(format!(
                "a row must have at most {} values, as many as the header (got {}); put values that contain the \
                 separator in quotes{hint}",
                names.len(),
                texts.len()
            ));
        }
        let is_tagged = self.columns == Columns::default()
            && arxiv::has_columns(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let values: Map<String, Value> =
            names.iter().cloned().zip(texts.into_iter().map(Value::String)).collect();
        match is_tagged {
            true => arxiv::row(values, &self.warnings),
            false => build(self.columns.fields(&values, &self.warnings)?, &self.warnings).map(Entry::Paper),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(text: &str, columns: &str) -> Vec<Result<Entry, Refused>> {
        let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
        entries(Box::new(Cursor::new(text.to_string().into_bytes())), columns, &Warnings::default()).collect()
    }

    #[test]
    fn rows_are_read_with_any_separator() {
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
            assert!(
                reasons[0].reason.contains("at most 4 values, as many as the header (got 5)"),
                "{reasons:?}"
            );
        }
        let got = read("name;body\nT;S", "title=name,abstract=body");
        assert!(matches!(&got[..], [Ok(Entry::Paper(_))]), "{got:?}");
        let snapshot = "id,authors,title,abstract,categories,update_date,comments\n0704.0010,A One and B Two,T,S,cs.LG stat.ML,2007-05-23,withdrawn\n";
        let got = read(snapshot, "");
        let Ok(Entry::Paper(paper)) = &got[0] else { panic!("{got:?}") };
        assert_eq!((paper.categories.len(), paper.authors.len(), paper.withdrawn), (2, 2, true));
        assert!(read("a,b\n1,2\n", "")[0].as_ref().unwrap_err().reason.contains("the columns are a, b"));
    }

    #[test]
    fn quotation_marks_escaped_by_a_backslash_are_read() {
        let spark = "id,title,abstract\n1,\"He said \\\"count, bees\\\" and left\",\"An \\\"abstract\\\" of words\"\n3,\"Ends in \\\"quotes\\\"\",\"Third \\\"row\\\"\"\n";
        let texts: Vec<_> = read(spark, "").into_iter().map(|entry| paper(entry.unwrap())).collect();
        assert_eq!(
            (&*texts[0].title, &*texts[1].r#abstract),
            ("He said \"count, bees\" and left", "Third \"row\"")
        );
        // Backslashes of LaTeX must not be taken for escapes.
        let doubled = "id,title,abstract\n1,\"On \"\"\\alpha\"\" and \\\",\"The \\\"\"end\\\"\"\"\n";
        let read = read(doubled, "");
        assert!(paper(read[0].clone().unwrap()).title.starts_with("On \""), "{read:?}");
    }

    #[test]
    fn latin_1_is_read_and_damaged_utf_8_is_refused() {
        let read = |bytes: &[u8]| -> Vec<_> {
            entries(Box::new(Cursor::new(bytes.to_vec())), Columns::default(), &Warnings::default()).collect()
        };
        let latin = read(b"id,title,abstract\n1,Ren\xe9,S\n2,Erd\xf6s \x96 R\xe9nyi,S\n");
        assert_eq!(
            latin.into_iter().map(|entry| paper(entry.unwrap()).title).collect::<Vec<_>>(),
            ["René", "Erdös – Rényi"]
        );
        let damaged = read(
            "id,title,abstract\n1,René,S\n"
                .as_bytes()
                .iter()
                .chain(b"2,\xff,S\n")
                .copied()
                .collect::<Vec<u8>>()
                .as_slice(),
        );
        assert!(
            damaged[0].is_ok() && damaged[1].as_ref().unwrap_err().reason.starts_with("title is not UTF-8")
        );
    }

    fn paper(entry: Entry) -> crate::Paper {
        let Entry::Paper(paper) = entry else { panic!("{entry:?}") };
        paper
    }

    #[test]
    fn an_unclosed_quotation_mark_is_refused_with_its_line() {
        let row =
            |number: usize| format!("{number},Title {number},{}A\n", if number == 10 { "\"" } else { "" });
        let text: String = std::iter::once("id,title,abstract\n".into()).chain((0..100).map(row)).collect();
        let got = read(&text, "");
        assert_eq!((got.len(), got[10].as_ref().unwrap_err().line), (11, 12), "{got:?}");
        let quoted = "id,title,abstract\n1,T,\"A\nB\"\n2,5\" disks,\"C\nD\"\n";
        assert!(read(quoted, "").iter().all(Result::is_ok) || read(quoted, "").len() == 2);
    }

    #[test]
    fn an_unclosed_quotation_mark_does_not_fill_the_memory() {
        let text = format!("title,abstract\na,b\nc,\"{}", "x,y\n".repeat(MAX_ENTRY_BYTES / 2));
        let got = read(&text, "");
        assert!(
            got.len() == 2 && got[1].as_ref().unwrap_err().reason.contains("not closed"),
            "{}",
            got.len()
        );
    }
}
