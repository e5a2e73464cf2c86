//! Reads a stream of JSON objects. The objects can be on one line each, span several lines, be the elements of arrays
//! of any length, or be the items of pages of API responses.
//!
//! Arrays and multi-line objects cannot be split by lines and can be too large for memory, so a scanner finds the end
//! of each value in the byte stream.

use super::lines::{BYTE_ORDER_MARK, MAX_ENTRY_BYTES, incomplete, lines, unreadable_from_here};
use super::warnings::Warnings;
use super::{Entries, Entry, Refused};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::BufRead;

/// Returns the entries of a file. Each object is parsed as a `T` and converted by `entry`, however the objects are
/// wrapped.
pub fn records<T: DeserializeOwned + 'static>(
    reader: Box<dyn BufRead + Send>,
    warnings: &Warnings,
    entry: impl Fn(T, &Warnings) -> Result<Entry, String> + Send + 'static,
) -> Entries {
    let warnings = warnings.clone();
    let read_one = move |line: u64, text: &str| {
        parse::<T>(text, &warnings)
            .and_then(|record| record.map(|record| entry(record, &warnings)).transpose())
            .map_err(|reason| Refused { line, reason })
            .transpose()
    };
    Box::new(values(reader).flat_map(move |value| match value {
        Err(refused) => vec![Err(refused)],
        Ok((line, text)) => match page_items(&text) {
            Some(objects) => objects.iter().filter_map(|object| read_one(line, object.get())).collect(),
            None => read_one(line, &text).into_iter().collect(),
        },
    }))
}

/// Returns the JSON values of a file as text, each with the line where it begins.
fn values(
    mut reader: Box<dyn BufRead + Send>,
) -> Box<dyn Iterator<Item = Result<(u64, String), Refused>> + Send> {
    // An I/O error is ignored here, because the next read returns the error again.
    let head = reader.fill_buf().unwrap_or_default();
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    // A file that is an array is split into its elements. In JSON Lines, a line that is an array is refused.
    if head.starts_with(b"[") || is_multi_line(head) {
        Box::new(JsonValues::new(reader))
    } else {
        Box::new(lines(reader))
    }
}

/// Whether the file's first value continues on the next line. A single line that is truncated does not count.
fn is_multi_line(head: &[u8]) -> bool {
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else { return false };
    let (first, rest) = head.split_at(end);
    let next = rest.trim_ascii_start().first();
    match first.trim_ascii_end().last() {
        Some(b'{' | b',') => matches!(next, Some(b'"' | b'}')),
        Some(b'[') => matches!(next, Some(b'{' | b'"' | b'[' | b']')),
        Some(b':') => true,
        _ => false,
    }
}

/// Returns the first object that describes a paper in the head of a file. The format of the file is detected from the
/// keys of this object. The object can be incomplete, because the head is only the beginning of the file.
pub fn first_object(head: &str) -> &str {
    let object_start = |text: &'_ str| -> usize { text.find('{').unwrap_or(text.len()) };
    let outer = &head[object_start(head)..];
    let prefix = &outer[..outer.floor_char_boundary(MAX_PAGE_PREFIX_BYTES)];
    let list = PAGE_KEYS.iter().filter_map(|key| list_start(prefix, key)).min();
    let first = list.map_or(outer, |list| &outer[list + object_start(&outer[list..])..]);
    let mut scanner = ValueScanner::default();
    let (used, _) = scanner.scan(first.as_bytes(), &mut 1, &mut false);
    first.get(..used).unwrap_or(first)
}

/// Returns the byte offset of the list that is the value of `key`. `key` includes its quotation marks. `None`: the key
/// is missing or its value is not a list.
fn list_start(text: &str, key: &str) -> Option<usize> {
    let after_key = memchr::memmem::find(text.as_bytes(), key.as_bytes())? + key.len();
    let rest = text[after_key..].trim_start().strip_prefix(':')?.trim_start();
    rest.starts_with('[').then(|| text.len() - rest.len())
}

/// Keys, with quotation marks, whose value is the list of papers in an API response.
const PAGE_KEYS: [&str; 4] = ["\"results\"", "\"data\"", "\"recommendedPapers\"", "\"papers\""];

/// Number of bytes at the beginning of a page within which the list of papers must begin.
const MAX_PAGE_PREFIX_BYTES: usize = 2000;

/// One page of an API response, with its list of papers under one of [`PAGE_KEYS`].
#[derive(Deserialize)]
struct ApiPage<'a> {
    #[serde(borrow)]
    results: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "recommendedPapers")]
    recommended: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    papers: Option<Vec<&'a RawValue>>,
    /// Title, which is present if the object is a paper itself instead of a page.
    title: Option<serde::de::IgnoredAny>,
}

/// Returns the objects and nulls in the list of a page. `None`: the text is not a page.
fn page_items(text: &str) -> Option<Vec<&RawValue>> {
    let prefix = &text[..text.floor_char_boundary(MAX_PAGE_PREFIX_BYTES)];
    PAGE_KEYS.iter().find_map(|key| list_start(prefix, key))?;
    let ApiPage { results, data, recommended, papers, title } = serde_json::from_str(text).ok()?;
    if title.is_some() {
        return None;
    }
    let objects = results.or(data).or(recommended).or(papers)?;
    objects.iter().all(|object| object.get().starts_with(['{', 'n'])).then_some(objects)
}

/// Returns the papers in a value: the items of the list, without nulls, if the value is a page, or else the value
/// itself.
pub fn paper_objects(value: Value) -> Vec<Value> {
    let is_page = |object: &Map<String, Value>, key: &str| {
        let list = object.get(key).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().all(|item| item.is_object() || item.is_null()))
    };
    match value {
        Value::Object(mut object) if !object.contains_key("title") => {
            let key =
                PAGE_KEYS.into_iter().map(|key| key.trim_matches('"')).find(|key| is_page(&object, key));
            match key.and_then(|key| object.remove(key)) {
                Some(Value::Array(list)) => list.into_iter().filter(|item| !item.is_null()).collect(),
                _ => vec![Value::Object(object)],
            }
        }
        value => vec![value],
    }
}

/// Parses one record. `None`: the text is `null`, which an API returns for a paper that the API does not know. Each
/// `null` is counted in `warnings`.
fn parse<T: DeserializeOwned>(text: &str, warnings: &Warnings) -> Result<Option<T>, String> {
    if text.trim_ascii() == "null" {
        warnings.add(NULL_PAPER, "");
        return Ok(None);
    }
    from_str(text, warnings).map(Some).map_err(|error| {
        let column = error.column();
        let message = error.to_string();
        // The position in serde_json's message is relative to this text, not to the file.
        let message = message.split(" at line ").next().unwrap_or(&message);
        format!("position {column}: {message}; each paper must be a JSON object with id, title and abstract")
    })
}

/// Warning for a `null` that an API returned for a paper that the API does not know.
pub const NULL_PAPER: &str = "null in place of a paper";

/// Parses JSON. If parsing fails because of an escaped surrogate without its other half, replaces every such surrogate
/// by U+FFFD, counts the text in `warnings`, and parses again.
pub fn from_str<T: DeserializeOwned>(text: &str, warnings: &Warnings) -> serde_json::Result<T> {
    match serde_json::from_str(text) {
        Err(error) if is_lone_surrogate(&error) => {
            warnings.add("half of a surrogate pair, replaced by \u{fffd}", "");
            serde_json::from_str(&replace_lone_surrogates(text))
        }
        result => result,
    }
}

/// Whether parsing failed at half of a surrogate pair. If the half is at the end of a string, serde_json's message
/// calls it an incomplete hex escape.
fn is_lone_surrogate(error: &serde_json::Error) -> bool {
    let message = error.to_string();
    message.contains("surrogate") || message.contains("hex escape")
}

/// Replaces each escaped surrogate that lacks its other half by U+FFFD.
fn replace_lone_surrogates(text: &str) -> String {
    let unit = |text: &str| -> Option<u16> {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(&rest[..backslash]);
        rest = &rest[backslash..];
        let (first, second) = (unit(rest), rest.get(6..).and_then(unit));
        let (length, replacement) = match (first, second) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, &rest[..12]),
            (Some(0xD800..=0xDFFF), _) => (6, "\\ufffd"),
            _ => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (length, &rest[..length])
            }
        };
        out.push_str(replacement);
        rest = &rest[length..];
    }
    out + rest
}

/// An iterator over the entries of a JSON file: the elements of its top-level arrays, and the objects outside arrays.
/// Each item is the number of the line where the entry begins, and the text of the entry.
struct JsonValues {
    reader: Box<dyn BufRead + Send>,
    line: u64,
    /// Whether the reader is inside a top-level array.
    in_array: bool,
    ended: bool,
}

impl JsonValues {
    fn new(reader: Box<dyn BufRead + Send>) -> JsonValues {
        JsonValues { reader, line: 1, in_array: false, ended: false }
    }

    /// Refuses the rest of the file.
    fn refuse(&mut self, reason: String) -> Refused {
        self.ended = true;
        Refused { line: self.line, reason }
    }
}

impl Iterator for JsonValues {
    type Item = Result<(u64, String), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut scanner = ValueScanner { first_line: self.line, ..ValueScanner::default() };
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok([]) if scanner.depth > 0 || !scanner.bytes.is_empty() => {
                    return Some(Err(self.refuse(incomplete("the file ends in the middle of an entry"))));
                }
                Ok([]) if !self.in_array => return None,
                Ok([]) => {
                    return Some(Err(self.refuse(incomplete("the file ends before the end of its array"))));
                }
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(self.refuse(unreadable_from_here(&error)))),
            };
            let (used, end) = scanner.scan(bytes, &mut self.line, &mut self.in_array);
            self.reader.consume(used);
            match end {
                None => {}
                Some(ValueEnd::Invalid) => {
                    let problem = "each value must be an object or an array (got something else)";
                    return Some(Err(self.refuse(incomplete(problem))));
                }
                Some(ValueEnd::Value | ValueEnd::Array) if scanner.length > 0 => break,
                Some(ValueEnd::Value | ValueEnd::Array) => {}
            }
        }
        let line = scanner.first_line;
        if scanner.length > MAX_ENTRY_BYTES {
            let reason = format!("an entry must be at most {MAX_ENTRY_BYTES} bytes (got a longer one)");
            return Some(Err(Refused { line, reason }));
        }
        let not_text =
            || Refused { line, reason: "the entry is not UTF-8; convert the file to UTF-8".into() };
        Some(String::from_utf8(scanner.bytes).map(|text| (line, text)).map_err(|_| not_text()))
    }
}

/// Reason why [`ValueScanner::scan`] stopped.
enum ValueEnd {
    /// The value is complete.
    Value,
    /// The top-level array ends.
    Array,
    /// The next value outside a top-level array is neither an object nor an array.
    Invalid,
}

/// Finds the end of one JSON value in a byte stream, and keeps the text of the value (at most [`MAX_ENTRY_BYTES`]).
#[derive(Default)]
struct ValueScanner {
    bytes: Vec<u8>,
    length: usize,
    first_line: u64,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl ValueScanner {
    /// Consumes bytes up to the end of the value. Returns the number of bytes consumed, and the reason why the scan
    /// stopped. `None` as the reason: all bytes were consumed and the value continues.
    fn scan(&mut self, bytes: &[u8], line: &mut u64, in_array: &mut bool) -> (usize, Option<ValueEnd>) {
        for (offset, &byte) in bytes.iter().enumerate() {
            *line += u64::from(byte == b'\n');
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'[' if !*in_array && self.depth == 0 => {
                        *in_array = true;
                        continue;
                    }
                    b'"' if *in_array || self.depth > 0 => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    // Allow commas between top-level values.
                    b',' if !*in_array && self.depth == 0 => continue,
                    _ if !*in_array
                        && self.depth == 0
                        && !byte.is_ascii_whitespace()
                        && !BYTE_ORDER_MARK.contains(&byte) =>
                    {
                        return (offset + 1, Some(ValueEnd::Invalid));
                    }
                    b'}' if !*in_array && self.depth == 1 => {
                        self.depth = 0;
                        self.push(byte, *line);
                        return (offset + 1, Some(ValueEnd::Value));
                    }
                    b']' if self.depth == 0 => {
                        // Another array can follow, because a file can hold several pages of responses.
                        *in_array = false;
                        return (offset + 1, Some(ValueEnd::Array));
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b',' if self.depth == 0 => return (offset + 1, Some(ValueEnd::Value)),
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

    fn scanned(text: &str) -> Vec<Result<(u64, String), u64>> {
        // Read one byte at a time, so that the result cannot depend on where buffers end.
        let reader = BufReader::with_capacity(1, Cursor::new(text.to_string().into_bytes()));
        JsonValues::new(Box::new(reader)).map(|value| value.map_err(|refused| refused.line)).collect()
    }

    #[test]
    fn values_are_split_with_their_lines() {
        let text = "\u{feff}[\n {\"a\": \"},]\\\"\", \"b\": [1, {}]},\n\n {\"c\": 2}\n]";
        let expected = [(2, "{\"a\": \"},]\\\"\", \"b\": [1, {}]}"), (4, "{\"c\": 2}\n")];
        assert_eq!(scanned(text), expected.map(|(line, text)| Ok((line, text.to_string()))));
        assert!(scanned("[]").is_empty() && scanned(" [ ] \n").is_empty());
        assert_eq!(
            scanned("[1]\n[2] {\n\"a\":\"}\"},{}{}x"),
            [
                Ok((1, "1".into())),
                Ok((2, "2".into())),
                Ok((2, "{\n\"a\":\"}\"}".into())),
                Ok((3, "{}".into())),
                Ok((3, "{}".into())),
                Err(3)
            ]
        );
        assert!(scanned(&format!("[{}]", ",".repeat(100_000))).is_empty());
        assert_eq!(scanned("[[1],[]]"), [Ok((1, "[1]".into())), Ok((1, "[]".into()))]);
        assert_eq!(scanned("[1,2"), [Ok((1, "1".into())), Err(1)]);
        assert_eq!(scanned("[{\"a\":\n"), [Err(2)]);
    }

    /// Returns the papers of a file whose format is detected.
    fn papers(text: &str) -> Vec<crate::Paper> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.json");
        std::fs::write(&path, text).unwrap();
        super::super::read(&path, None).unwrap().papers().collect()
    }

    #[test]
    fn every_wrapping_of_objects_gives_the_same_papers() {
        let works = [
            r#"{"id":"https://openalex.org/W1","display_name":"One","abstract_inverted_index":{"We":[0],"count.":[1]},"authorships":[],"is_retracted":null,"locations":null}"#,
            r#"{"id":"https://openalex.org/W2","display_name":"Two","abstract_inverted_index":{"They":[0],"add.":[1]},"authorships":[{"author":null}],"versions":null}"#,
        ];
        let arxiv = [
            r#"{"id":"2101.00001","title":"One","abstract":"S.","versions":null,"authors_parsed":null,"update_date":"2021-01-01"}"#,
            r#"{"id":"2101.00002","title":"Two","abstract":"S.","versions":[{"created":"Mon, 4 Jan 2021 10:00:00 GMT"}],"authors_parsed":[["Quill","A.",""]]}"#,
        ];
        let scholar = [
            r#"{"paperId":"f00","corpusId":1,"externalIds":{"DOI":"10.5555/s2.1","ArXiv":null},"title":"One","abstract":"S.","year":2020}"#,
            r#"{"paperId":"f01","externalIds":null,"title":"Two","abstract":null,"authors":[{"name":"N"}],"fieldsOfStudy":["Biology"]}"#,
        ];
        for [one, two] in [works, arxiv, scholar] {
            let expected = papers(&format!("{one}\n{two}\n"));
            assert_eq!(expected.len(), 2, "{one}");
            let pretty = |text: &str| {
                serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(text).unwrap())
                    .unwrap()
            };
            let array = format!("[{one},null,{two}]");
            let page = format!("{{\"meta\":{{\"count\":2}},\"results\":[{one},{two}],\"group_by\":[]}}");
            let data = format!("{{\"total\":2,\"offset\":0,\"data\":[{one},{two}]}}");
            for wrapped in [
                array.clone(),
                pretty(&array),
                page.clone(),
                pretty(&page),
                pretty(&data),
                data,
                format!("{}\n{}", pretty(one), pretty(two)),
                format!("[{one}]\n[{two}]"),
                format!("{{\"results\":[{one}]}}\n{{\"results\":[{two}]}}"),
            ] {
                assert_eq!(papers(&wrapped), expected, "{wrapped}");
            }
            let warnings = Warnings::default();
            let posted: Vec<_> = super::super::paper_objects(serde_json::from_str(&page).unwrap())
                .into_iter()
                .map(|value| super::super::entry_from_json(value, &warnings).unwrap())
                .collect();
            assert_eq!(posted, expected.into_iter().map(Entry::Paper).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lone_surrogates_are_replaced_and_the_paper_is_kept() {
        let text = "{\"title\":\"A \\ud83d\\ude00 face\",\"abstract\":\"Cut \\\\\\ud83d\"}\n{\"title\":\"Half \\ude00 \\ud83dx\"}\n";
        let got = papers(text);
        assert_eq!(
            got.iter().map(|paper| &*paper.title).collect::<Vec<_>>(),
            ["A 😀 face", "Half \u{fffd} \u{fffd}x"]
        );
        assert!(got[0].r#abstract.ends_with('\u{fffd}'), "{:?}", got[0].r#abstract);
    }

    #[test]
    fn a_value_over_the_size_limit_is_refused_and_the_next_is_read() {
        let text = format!("[\"{}\",1]", "x".repeat(MAX_ENTRY_BYTES));
        assert_eq!(scanned(&text), [Err(1), Ok((1, "1".into()))]);
    }
}
