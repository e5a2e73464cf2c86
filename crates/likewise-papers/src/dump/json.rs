//! JSON, one value after the other: lines, or the elements of one array of any length.
//!
//! Its own file because an array cannot be read by lines, and must not be read whole.

use super::lines::{BYTE_ORDER_MARK, MAX_ENTRY_BYTES, lines};
use super::{Entries, Entry, Refused};
use serde::de::DeserializeOwned;
use std::io::BufRead;

/// The entries of a file of JSON Lines, or of an array, each parsed as a `T`.
pub fn records<T: DeserializeOwned + 'static>(
    mut reader: Box<dyn BufRead + Send>,
    entry: impl Fn(T) -> Result<Entry, String> + Send + 'static,
) -> Entries {
    let build = move |value: Result<(u64, String), Refused>| {
        let (line, text) = value?;
        parse::<T>(&text).and_then(&entry).map_err(|reason| Refused { line, reason })
    };
    // What fails here fails again where it is read.
    let head = reader.fill_buf().unwrap_or_default();
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    // A line that is an array is no paper; a file that is one, is what it holds.
    if head.trim_ascii_start().starts_with(b"[") {
        Box::new(Elements::new(reader).map(build))
    } else {
        Box::new(lines(reader).map(build))
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what);
        format!("column {column}: {what}; wanted one JSON object a paper, with id, title and abstract")
    })
}

/// The elements of an array, as text, with the lines they begin in.
struct Elements {
    reader: Box<dyn BufRead + Send>,
    line: u64,
    /// Whether the array's own bracket was read.
    begun: bool,
    ended: bool,
}

impl Elements {
    fn new(reader: Box<dyn BufRead + Send>) -> Elements {
        Elements { reader, line: 1, begun: false, ended: false }
    }

    fn refuse(&mut self, reason: &str) -> Refused {
        self.ended = true;
        Refused {
            line: self.line,
            reason: format!("{reason}; everything before was read, get the file again"),
        }
    }
}

impl Iterator for Elements {
    type Item = Result<(u64, String), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut element = Element { first_line: self.line, ..Element::default() };
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok([]) if element.depth > 0 || !element.bytes.is_empty() => {
                    return Some(Err(self.refuse("the file ends in the middle of an element")));
                }
                Ok([]) if !self.begun => return None,
                Ok([]) => return Some(Err(self.refuse("the file ends before its array does"))),
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(self.refuse(&format!("the file ends badly here ({error})")))),
            };
            let (used, end) = element.take(bytes, &mut self.line, &mut self.begun);
            self.reader.consume(used);
            match end {
                None => {}
                Some(End::Nonsense) => return Some(Err(self.refuse("got something else after an array"))),
                Some(End::Element | End::Array) if element.length > 0 => break,
                Some(End::Element | End::Array) => {}
            }
        }
        let line = element.first_line;
        if element.length > MAX_ENTRY_BYTES {
            let reason = format!("got an element of over {MAX_ENTRY_BYTES} bytes, wanted a paper");
            return Some(Err(Refused { line, reason }));
        }
        let not_text = || Refused { line, reason: "it is not UTF-8; convert the file to UTF-8".into() };
        Some(String::from_utf8(element.bytes).map(|text| (line, text)).map_err(|_| not_text()))
    }
}

enum End {
    Element,
    Array,
    Nonsense,
}

/// An element, as far as it has been read.
#[derive(Default)]
struct Element {
    bytes: Vec<u8>,
    length: usize,
    first_line: u64,
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Element {
    /// Takes in bytes up to its end; gives how many, and whose end that was.
    fn take(&mut self, bytes: &[u8], line: &mut u64, begun: &mut bool) -> (usize, Option<End>) {
        for (place, &byte) in bytes.iter().enumerate() {
            *line += u64::from(byte == b'\n');
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'[' if !*begun => {
                        *begun = true;
                        continue;
                    }
                    b'"' if *begun => self.in_text = true,
                    b'{' if *begun => self.depth += 1,
                    b'[' => self.depth += 1,
                    _ if !*begun && !byte.is_ascii_whitespace() && !BYTE_ORDER_MARK.contains(&byte) => {
                        return (place + 1, Some(End::Nonsense));
                    }
                    b']' if self.depth == 0 => {
                        // Another one may follow: answers of several pages, one after the other.
                        *begun = false;
                        return (place + 1, Some(End::Array));
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b',' if self.depth == 0 => return (place + 1, Some(End::Element)),
                    _ => {}
                }
            }
            self.push(byte, *line);
        }
        (bytes.len(), None)
    }

    fn push(&mut self, byte: u8, line: u64) {
        if self.length == 0 && (byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(&byte)) {
            self.first_line = line;
            return;
        }
        self.length += 1;
        if self.length <= MAX_ENTRY_BYTES {
            self.bytes.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    fn elements(text: &str) -> Vec<Result<(u64, String), u64>> {
        // A byte at a time: nothing may depend on where a buffer ends.
        let reader = BufReader::with_capacity(1, Cursor::new(text.to_string().into_bytes()));
        Elements::new(Box::new(reader)).map(|element| element.map_err(|refused| refused.line)).collect()
    }

    #[test]
    fn elements_are_what_an_array_has() {
        let text = "\u{feff}[\n {\"a\": \"},]\\\"\", \"b\": [1, {}]},\n\n {\"c\": 2}\n]";
        let wanted = [(2, "{\"a\": \"},]\\\"\", \"b\": [1, {}]}"), (4, "{\"c\": 2}\n")];
        assert_eq!(elements(text), wanted.map(|(line, text)| Ok((line, text.to_string()))));
        assert!(elements("[]").is_empty() && elements(" [ ] \n").is_empty());
        assert_eq!(elements("[1]\n[2] {}"), [Ok((1, "1".into())), Ok((2, "2".into())), Err(2)]);
        assert!(elements(&format!("[{}]", ",".repeat(100_000))).is_empty());
        assert_eq!(elements("[[1],[]]"), [Ok((1, "[1]".into())), Ok((1, "[]".into()))]);
        assert_eq!(elements("[1,2"), [Ok((1, "1".into())), Err(1)]);
        assert_eq!(elements("[{\"a\":\n"), [Err(2)]);
    }

    #[test]
    fn an_element_too_long_to_hold_is_skipped() {
        let text = format!("[\"{}\",1]", "x".repeat(MAX_ENTRY_BYTES));
        assert_eq!(elements(&text), [Err(1), Ok((1, "1".into()))]);
    }
}
