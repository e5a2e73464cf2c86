//! JSON, one object after the other: lines, the elements of arrays of any length, pages of an API's answers, or objects
//! over several lines.
//!
//! Its own file because arrays and objects over several lines cannot be read by lines, and must not be read whole.

use super::lines::{BYTE_ORDER_MARK, MAX_ENTRY_BYTES, lines};
use super::unread::Unread;
use super::{Entries, Entry, Refused};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::BufRead;

/// The entries of a file, however its objects are wrapped, each parsed as a `T`.
pub fn records<T: DeserializeOwned + 'static>(
    reader: Box<dyn BufRead + Send>,
    unread: &Unread,
    entry: impl Fn(T, &Unread) -> Result<Entry, String> + Send + 'static,
) -> Entries {
    let unread = unread.clone();
    let one = move |line: u64, text: &str| {
        parse::<T>(text, &unread)
            .and_then(|record| record.map(|record| entry(record, &unread)).transpose())
            .map_err(|reason| Refused { line, reason })
            .transpose()
    };
    Box::new(values(reader).flat_map(move |value| match value {
        Err(refused) => vec![Err(refused)],
        Ok((line, text)) => match page(&text) {
            Some(objects) => objects.iter().filter_map(|object| one(line, object.get())).collect(),
            None => one(line, &text).into_iter().collect(),
        },
    }))
}

/// The values of a file, as text, with the lines they begin in.
fn values(
    mut reader: Box<dyn BufRead + Send>,
) -> Box<dyn Iterator<Item = Result<(u64, String), Refused>> + Send> {
    // What fails here fails again where it is read.
    let head = reader.fill_buf().unwrap_or_default();
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
    // A line that is an array is no paper; a file that is one, is what it holds.
    if head.starts_with(b"[") || begins_over_several_lines(head) {
        Box::new(Values::new(reader))
    } else {
        Box::new(lines(reader))
    }
}

/// Whether a file's first object goes on in the next line, and is no line that was cut off.
fn begins_over_several_lines(head: &[u8]) -> bool {
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

/// The first object of the head of a file: what its keys say tells the format. It may be cut off, as the head is.
pub fn first_object(head: &str) -> &str {
    let object = |text: &'_ str| -> usize { text.find('{').unwrap_or(text.len()) };
    let start = object(head);
    let whole = &head[start..];
    let before = &whole[..whole.floor_char_boundary(BEFORE_LIST)];
    let list = PAGE_KEYS.iter().filter_map(|key| list_after(before, key)).min();
    let first = list.map_or(whole, |list| &whole[list + object(&whole[list..])..]);
    let mut element = Element::default();
    let (used, _) = element.take(first.as_bytes(), &mut 1, &mut false);
    first.get(..used).unwrap_or(first)
}

/// Where the list of a key begins, which is given in its quotes.
fn list_after(text: &str, key: &str) -> Option<usize> {
    let place = memchr::memmem::find(text.as_bytes(), key.as_bytes())? + key.len();
    let rest = text[place..].trim_start().strip_prefix(':')?.trim_start();
    rest.starts_with('[').then(|| text.len() - rest.len())
}

/// What the lists of APIs' answers are called.
const PAGE_KEYS: [&str; 4] = ["\"results\"", "\"data\"", "\"recommendedPapers\"", "\"papers\""];

/// Before a page's list there is little, in bytes.
const BEFORE_LIST: usize = 2000;

/// A page of an API's answers.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    results: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "recommendedPapers")]
    recommended: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    papers: Option<Vec<&'a RawValue>>,
    title: Option<serde::de::IgnoredAny>,
}

/// The objects of a page, if the text is one.
fn page(text: &str) -> Option<Vec<&RawValue>> {
    let before = &text[..text.floor_char_boundary(BEFORE_LIST)];
    PAGE_KEYS.iter().find_map(|key| list_after(before, key))?;
    let Page { results, data, recommended, papers, title } = serde_json::from_str(text).ok()?;
    if title.is_some() {
        return None;
    }
    let objects = results.or(data).or(recommended).or(papers)?;
    objects.iter().all(|object| object.get().starts_with(['{', 'n'])).then_some(objects)
}

/// The papers in a value: those of a page's list, or the value itself.
pub fn objects_of(value: Value) -> Vec<Value> {
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

/// A record; none, where an API has null in the place of a paper that it does not know.
fn parse<T: DeserializeOwned>(text: &str, unread: &Unread) -> Result<Option<T>, String> {
    if text.trim_ascii() == "null" {
        unread.note(NULL, "");
        return Ok(None);
    }
    read(text, unread).map(Some).map_err(|error| {
        let column = error.column();
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what);
        format!("column {column}: {what}; wanted one JSON object a paper, with id, title and abstract")
    })
}

/// What is noted where an API has null for a paper that it does not know.
pub const NULL: &str = "null in the place of a paper";

/// Reads JSON as it is, or else with U+FFFD for each half of a surrogate pair.
pub fn read<T: DeserializeOwned>(text: &str, unread: &Unread) -> serde_json::Result<T> {
    match serde_json::from_str(text) {
        Err(error) if is_half_pair(&error) => {
            unread.note("half of a surrogate pair, read as \u{fffd}", "");
            serde_json::from_str(&without_half_pairs(text))
        }
        read => read,
    }
}

/// Whether an escape is half of a pair; one at the end of a text is said to be cut off.
fn is_half_pair(error: &serde_json::Error) -> bool {
    let said = error.to_string();
    said.contains("surrogate") || said.contains("hex escape")
}

/// The same with U+FFFD in the place of each escaped surrogate that has no other half.
fn without_half_pairs(text: &str) -> String {
    let unit = |text: &str| -> Option<u16> {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        whole.push_str(&rest[..place]);
        rest = &rest[place..];
        let (first, second) = (unit(rest), rest.get(6..).and_then(unit));
        let (taken, kept) = match (first, second) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, &rest[..12]),
            (Some(0xD800..=0xDFFF), _) => (6, "\\ufffd"),
            _ => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                (length, &rest[..length])
            }
        };
        whole.push_str(kept);
        rest = &rest[taken..];
    }
    whole + rest
}

/// The values of a file that is arrays and objects, as text, with the lines they begin in.
struct Values {
    reader: Box<dyn BufRead + Send>,
    line: u64,
    /// Whether an array's own bracket was read.
    begun: bool,
    ended: bool,
}

impl Values {
    fn new(reader: Box<dyn BufRead + Send>) -> Values {
        Values { reader, line: 1, begun: false, ended: false }
    }

    fn refuse(&mut self, reason: &str) -> Refused {
        self.ended = true;
        Refused {
            line: self.line,
            reason: format!("{reason}; everything before was read, get the file again"),
        }
    }
}

impl Iterator for Values {
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
                Some(End::Nonsense) => {
                    return Some(Err(self.refuse("got something else than an object or an array")));
                }
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
                    b'[' if !*begun && self.depth == 0 => {
                        *begun = true;
                        continue;
                    }
                    b'"' if *begun || self.depth > 0 => self.in_text = true,
                    b'{' | b'[' => self.depth += 1,
                    // Between the values that a file begins with.
                    b',' if !*begun && self.depth == 0 => continue,
                    _ if !*begun
                        && self.depth == 0
                        && !byte.is_ascii_whitespace()
                        && !BYTE_ORDER_MARK.contains(&byte) =>
                    {
                        return (place + 1, Some(End::Nonsense));
                    }
                    b'}' if !*begun && self.depth == 1 => {
                        self.depth = 0;
                        self.push(byte, *line);
                        return (place + 1, Some(End::Element));
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
        Values::new(Box::new(reader)).map(|element| element.map_err(|refused| refused.line)).collect()
    }

    #[test]
    fn elements_are_what_an_array_has() {
        let text = "\u{feff}[\n {\"a\": \"},]\\\"\", \"b\": [1, {}]},\n\n {\"c\": 2}\n]";
        let wanted = [(2, "{\"a\": \"},]\\\"\", \"b\": [1, {}]}"), (4, "{\"c\": 2}\n")];
        assert_eq!(elements(text), wanted.map(|(line, text)| Ok((line, text.to_string()))));
        assert!(elements("[]").is_empty() && elements(" [ ] \n").is_empty());
        assert_eq!(
            elements("[1]\n[2] {\n\"a\":\"}\"},{}{}x"),
            [
                Ok((1, "1".into())),
                Ok((2, "2".into())),
                Ok((2, "{\n\"a\":\"}\"}".into())),
                Ok((3, "{}".into())),
                Ok((3, "{}".into())),
                Err(3)
            ]
        );
        assert!(elements(&format!("[{}]", ",".repeat(100_000))).is_empty());
        assert_eq!(elements("[[1],[]]"), [Ok((1, "[1]".into())), Ok((1, "[]".into()))]);
        assert_eq!(elements("[1,2"), [Ok((1, "1".into())), Err(1)]);
        assert_eq!(elements("[{\"a\":\n"), [Err(2)]);
    }

    /// The papers of a file, however its format is told.
    fn papers(text: &str) -> Vec<crate::Paper> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.json");
        std::fs::write(&path, text).unwrap();
        super::super::read(&path, None).unwrap().papers().collect()
    }

    #[test]
    fn objects_give_the_same_papers_however_they_are_wrapped() {
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
            let wanted = papers(&format!("{one}\n{two}\n"));
            assert_eq!(wanted.len(), 2, "{one}");
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
                assert_eq!(papers(&wrapped), wanted, "{wrapped}");
            }
            let unread = Unread::default();
            let posted: Vec<_> = super::super::objects_of(serde_json::from_str(&page).unwrap())
                .into_iter()
                .map(|value| super::super::entry_of_json(value, &unread).unwrap())
                .collect();
            assert_eq!(posted, wanted.into_iter().map(Entry::Paper).collect::<Vec<_>>());
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_costs_no_paper() {
        let text = "{\"title\":\"A \\ud83d\\ude00 face\",\"abstract\":\"Cut \\\\\\ud83d\"}\n{\"title\":\"Half \\ude00 \\ud83dx\"}\n";
        let got = papers(text);
        assert_eq!(
            got.iter().map(|paper| &*paper.title).collect::<Vec<_>>(),
            ["A 😀 face", "Half \u{fffd} \u{fffd}x"]
        );
        assert!(got[0].r#abstract.ends_with('\u{fffd}'), "{:?}", got[0].r#abstract);
    }

    #[test]
    fn an_element_too_long_to_hold_is_skipped() {
        let text = format!("[\"{}\",1]", "x".repeat(MAX_ENTRY_BYTES));
        assert_eq!(elements(&text), [Err(1), Ok((1, "1".into()))]);
    }
}
