//! Tables: CSV, and the same with tabs or semicolons, with a first line of names.
//!
//! Its own file because a row may go over several lines, and every value is text: an id keeps its zeros.

use super::arxiv;
use super::columns::Columns;
use super::fields::build;
use super::lines::{BYTE_ORDER_MARK, MAX_ENTRY_BYTES};
use super::unread::Unread;
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

/// Whether the quotation marks in a table's quoted values stand after a backslash, as Spark writes them: some do that
/// neither begin nor end a value, and none are doubled.
fn escapes_by_backslash(head: &[u8], separator: u8) -> bool {
    let is_between =
        |byte: Option<&u8>| byte.is_none_or(|byte| [separator, b'\n', b'\r', b'"'].contains(byte));
    let escaped =
        memchr::memmem::find_iter(head, b"\\\"").filter(|place| !is_between(head.get(place + 2))).count();
    let is_doubled = |place: usize| {
        let before = place.checked_sub(1).and_then(|before| head.get(before));
        !is_between(head.get(place + 2)) && !is_between(before) && before != Some(&b'\\')
    };
    escaped > 0 && !memchr::memmem::find_iter(head, b"\"\"").any(is_doubled)
}

/// What stands between a line's names most often.
fn separator(line: &str) -> Option<char> {
    let count = |separator: &char| line.matches(*separator).count();
    [',', '\t', ';'].into_iter().rev().max_by_key(count).filter(|separator| count(separator) > 0)
}

/// The papers of a table.
pub fn entries(mut reader: Box<dyn BufRead + Send>, columns: Columns, unread: &Unread) -> Entries {
    // What fails here fails again where it is read.
    let head = reader.fill_buf().unwrap_or_default();
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let first =
        String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let separator = separator(&first).unwrap_or(',');
    let escape = escapes_by_backslash(head, separator as u8).then_some(b'\\');
    let left = Arc::new(AtomicUsize::new(MAX_ENTRY_BYTES));
    let quotes = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let limited = Limited {
        reader,
        left: Arc::clone(&left),
        quotes: Arc::clone(&quotes),
        is_over: Arc::clone(&is_over),
    };
    let rows =
        ReaderBuilder::new().delimiter(separator as u8).escape(escape).flexible(true).from_reader(limited);
    let (is_utf8, unread) = (None, unread.clone());
    Box::new(Rows { rows, names: None, columns, left, quotes, is_over, is_utf8, unread, ended: false })
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
    /// Whether the file is UTF-8, once a letter beyond ASCII has said so.
    is_utf8: Option<bool>,
    unread: Unread,
    ended: bool,
}

impl Rows {
    /// A row's values. A file whose first letter beyond ASCII is no UTF-8 is taken to be Windows-1252, which Latin-1 is a
    /// part of; elsewhere such a value is damage.
    fn texts(&mut self, row: &ByteRecord) -> Result<Vec<String>, String> {
        let mut texts = Vec::with_capacity(row.len());
        for (place, value) in row.iter().enumerate() {
            let is_utf8 = std::str::from_utf8(value).is_ok();
            if !value.is_ascii() {
                self.is_utf8.get_or_insert(is_utf8);
            }
            if is_utf8 || self.is_utf8 == Some(false) {
                texts.push(self.text(value, is_utf8));
            } else {
                let name = self.names.iter().flatten().nth(place).map_or("", String::as_str);
                return Err(format!(
                    "{name}: it is not UTF-8, though the rest of the file is; convert the file to UTF-8"
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
        self.unread.note("values that are not UTF-8, read as windows-1252 (Latin-1)", &text);
        text
    }

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
        let read = self.texts(&row).and_then(|texts| self.paper(texts));
        Some(read.map_err(|reason| Refused { line, reason }))
    }
}

impl Rows {
    fn paper(&self, texts: Vec<String>) -> Result<Entry, String> {
        let names = self.names.as_deref().unwrap_or_default();
        let backslash =
            "; quotation marks within quotes are doubled in CSV (\"\"), not written after a backslash";
        // What stands in quotes that were closed too early.
        let is_escaped = |text: &String| text.ends_with('\\') || text.contains("\\\"");
        let hint = if texts.iter().any(is_escaped) { backslash } else { "" };
        if texts.len() > names.len() {
            return Err(format!(
                "got {} values, wanted the {} that the first line names; put those with separators in quotes{hint}",
                texts.len(),
                names.len()
            ));
        }
        let is_tagged = self.columns == Columns::default()
            && arxiv::has_columns(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let values: Map<String, Value> =
            names.iter().cloned().zip(texts.into_iter().map(Value::String)).collect();
        match is_tagged {
            true => arxiv::row(values, &self.unread),
            false => build(self.columns.fields(&values, &self.unread)?, &self.unread).map(Entry::Paper),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(text: &str, columns: &str) -> Vec<Result<Entry, Refused>> {
        let columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
        entries(Box::new(Cursor::new(text.to_string().into_bytes())), columns, &Unread::default()).collect()
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
    fn quotation_marks_after_a_backslash_are_read_as_spark_means_them() {
        let spark = "id,title,abstract\n1,\"He said \\\"count, bees\\\" and left\",\"An \\\"abstract\\\" of words\"\n3,\"Ends in \\\"quotes\\\"\",\"Third \\\"row\\\"\"\n";
        let texts: Vec<_> = read(spark, "").into_iter().map(|entry| paper(entry.unwrap())).collect();
        assert_eq!(
            (&*texts[0].title, &*texts[1].r#abstract),
            ("He said \"count, bees\" and left", "Third \"row\"")
        );
        // LaTeX has backslashes, too.
        let doubled = "id,title,abstract\n1,\"On \"\"\\alpha\"\" and \\\",\"The \\\"\"end\\\"\"\"\n";
        let read = read(doubled, "");
        assert!(paper(read[0].clone().unwrap()).title.starts_with("On \""), "{read:?}");
    }

    #[test]
    fn latin_1_is_read_and_damage_is_not() {
        let read = |bytes: &[u8]| -> Vec<_> {
            entries(Box::new(Cursor::new(bytes.to_vec())), Columns::default(), &Unread::default()).collect()
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
            damaged[0].is_ok()
                && damaged[1].as_ref().unwrap_err().reason.starts_with("title: it is not UTF-8")
        );
    }

    fn paper(entry: Entry) -> crate::Paper {
        let Entry::Paper(paper) = entry else { panic!("{entry:?}") };
        paper
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
