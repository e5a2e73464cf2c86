//! BibTeX as people paste and export it → its entries.
//!
//! Its own reader, because parsers of BibTeX refuse what its users have: entries without a key, parentheses for braces, two
//! commas, bare dates, quotation marks within quotes, a brace that is not closed. An entry is read as far as it can be, and
//! what was wrong with it is said; the next one is read in any case.

mod ends;

use ends::{BUDGET, BUDGET_A_BYTE};
use std::cell::Cell;
use std::collections::HashMap;

/// Longest value that is kept, in bytes: more than any abstract has.
const VALUE_BYTES: usize = 16_000;

/// An entry: `@article{key, title = {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The line that it begins in, from 1.
    pub line: u64,
    /// What it is called; empty, if it has no key.
    pub key: String,
    /// Names in lower case, and values without what they stand in, as LaTeX, at most 16,000 bytes each.
    pub fields: Vec<(String, String)>,
    /// What of it could not be read.
    pub wrong: Option<String>,
}

impl Entry {
    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a text is a bibliography: whether an entry begins in it.
pub fn is_one(text: &str) -> bool {
    next_start(text, 0).is_some()
}

/// The entries of a text, in order. What stands between them is passed over, as BibTeX does.
pub fn entries(text: &str) -> Vec<Entry> {
    let budget = Cell::new(BUDGET + BUDGET_A_BYTE * text.len());
    let mut reader = Reader { text, place: 0, line: 1, counted: 0, abbreviations: HashMap::new(), budget };
    let mut entries = Vec::new();
    while let Some(start) = next_start(text, reader.place) {
        reader.place = start.body;
        match start.kind.to_ascii_lowercase().as_str() {
            "comment" | "preamble" => reader.skip_group(start.closing),
            "string" => reader.abbreviation(start.closing),
            _ => {
                let line = reader.line_of(start.at);
                entries.push(reader.entry(line, start.closing));
            }
        }
    }
    entries
}

/// Where an entry begins.
struct Start<'a> {
    at: usize,
    kind: &'a str,
    /// After its bracket.
    body: usize,
    closing: u8,
}

/// The next `@kind{` or `@kind(` that begins a word.
fn next_start(text: &str, from: usize) -> Option<Start<'_>> {
    let signs = memchr::memchr_iter(b'@', &text.as_bytes()[from..]);
    signs.map(|place| from + place).find_map(|at| start_at(text, at))
}

/// The beginning of an entry at the `@` there, if it is one.
fn start_at(text: &str, at: usize) -> Option<Start<'_>> {
    let bytes = text.as_bytes();
    let begins_word = at == 0 || bytes[at - 1].is_ascii_whitespace() || b"}),\"\xbf".contains(&bytes[at - 1]);
    let end = at + 1 + bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if !begins_word || end == at + 1 {
        return None;
    }
    let bracket = end + bytes[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let closing = match bytes.get(bracket) {
        Some(b'{') => b'}',
        Some(b'(') => b')',
        _ => return None,
    };
    Some(Start { at, kind: &text[at + 1..end], body: bracket + 1, closing })
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
    /// The line that `counted` is in.
    line: u64,
    counted: usize,
    abbreviations: HashMap<String, String>,
    /// Bytes that may still be looked at for ends that are not where they should be.
    budget: Cell<usize>,
}

impl Reader<'_> {
    fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.place).copied()
    }

    fn line_of(&mut self, place: usize) -> u64 {
        let passed = &self.text.as_bytes()[self.counted..place];
        // Old Macs end lines with a carriage return alone.
        let ends = passed.iter().filter(|byte| **byte == b'\n').count();
        let ends = if ends == 0 { passed.iter().filter(|byte| **byte == b'\r').count() } else { ends };
        self.line += ends as u64;
        self.counted = place;
        self.line
    }

    /// Passes over white space, commas, and lines that are comments.
    fn skip_between(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b',' => self.place += 1,
                byte if byte.is_ascii_whitespace() => self.place += 1,
                b'%' => {
                    let rest = &self.bytes()[self.place..];
                    self.place += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
    }

    /// Passes over a group whose bracket was read, if it is closed.
    fn skip_group(&mut self, closing: u8) {
        if let Some(end) = self.balanced(self.place, closing, false) {
            self.place = end + 1;
        }
    }

    /// `name = value` of an abbreviation.
    fn abbreviation(&mut self, closing: u8) {
        self.skip_between();
        if let Some(name) = self.name(closing)
            && let Ok(value) = self.value(closing)
        {
            self.abbreviations.insert(name, value);
        }
        self.skip_between();
        if self.peek() == Some(closing) {
            self.place += 1;
        }
    }

    fn entry(&mut self, line: u64, closing: u8) -> Entry {
        let mut entry = Entry { line, key: self.key(closing), ..Entry::default() };
        loop {
            self.skip_between();
            match self.peek() {
                None => {
                    entry.wrong.get_or_insert_with(|| "it is not closed".into());
                    return entry;
                }
                // The wrong bracket closes as well as the right one.
                Some(b'}' | b')') => {
                    self.place += 1;
                    return entry;
                }
                Some(b'@') if start_at(self.text, self.place).is_some() => {
                    entry.wrong.get_or_insert_with(|| "it is not closed before the next one begins".into());
                    return entry;
                }
                Some(_) => self.field(closing, &mut entry),
            }
        }
    }

    fn field(&mut self, closing: u8, entry: &mut Entry) {
        let before = self.place;
        let Some(name) = self.name(closing) else {
            let shown: String = self.text[before..self.place].trim().chars().take(40).collect();
            entry.wrong.get_or_insert_with(|| format!("got {shown:?}, wanted a field: name = {{value}}"));
            return;
        };
        match self.value(closing) {
            Ok(value) => entry.fields.push((name, value)),
            Err(value) => {
                entry.wrong.get_or_insert_with(|| format!("the value of {name} is not closed"));
                entry.fields.push((name, value));
            }
        }
    }

    /// The key: what stands before the first comma, or, where that is missing, before the first field's name.
    fn key(&mut self, closing: u8) -> String {
        let rest = &self.text[self.place..];
        let end = rest.find([',', '=', '{', '}', '"', closing as char]).unwrap_or(rest.len());
        let before = &rest[..end];
        if rest[end..].starts_with('=') {
            // `title = …` without a key, or `key title = …` without a comma.
            let name = before.trim_end().rfind(char::is_whitespace).map_or(0, |place| place + 1);
            let name = if before.trim().contains(char::is_whitespace) { name } else { 0 };
            self.place += name;
            return before[..name].trim().to_string();
        }
        self.place += end;
        before.trim().to_string()
    }

    /// A field's name and the `=` after it. Otherwise what stands there is passed over up to the next comma or bracket.
    fn name(&mut self, closing: u8) -> Option<String> {
        let rest = &self.text[self.place..];
        let end = rest.find(['=', ',', '{', '}', '"', '@', closing as char]).unwrap_or(rest.len());
        let name = rest[..end].trim();
        let is_name = rest[end..].starts_with('=') && !name.is_empty() && !name.contains(char::is_whitespace);
        // One that is no name passes over at least one character.
        let passed =
            rest[end..].chars().next().filter(|next| !['}', ',', closing as char].contains(next) || end == 0);
        self.place += end + passed.map_or(0, char::len_utf8);
        is_name.then(|| name.to_ascii_lowercase())
    }

    /// A value of one or several parts, or what there is of one that is not closed.
    fn value(&mut self, closing: u8) -> Result<String, String> {
        let mut value = String::new();
        loop {
            while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
                self.place += 1;
            }
            let (part, is_closed) = match self.peek() {
                Some(b'{') => self.delimited(b'}', closing),
                Some(b'"') => self.delimited(b'"', closing),
                _ => (self.bare(closing), true),
            };
            let room = VALUE_BYTES.saturating_sub(value.len());
            value.push_str(&part[..part.floor_char_boundary(room)]);
            if !is_closed {
                return Err(value);
            }
            while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
                self.place += 1;
            }
            if self.peek() != Some(b'#') {
                return Ok(value);
            }
            self.place += 1;
        }
    }

    /// A number, an abbreviation, or a text that somebody forgot to put in braces.
    fn bare(&mut self, closing: u8) -> String {
        let rest = &self.text[self.place..];
        let end = rest.find([',', '#', '}', '\n', '\r', closing as char]).unwrap_or(rest.len());
        self.place += end;
        let word = rest[..end].trim();
        self.abbreviations.get(&word.to_ascii_lowercase()).cloned().unwrap_or_else(|| word.to_string())
    }

    /// What stands between braces or quotation marks, and whether it is closed.
    ///
    /// Its end is where BibTeX has it, if an entry goes on or ends behind that; or else where it would be if escaped braces
    /// did not count, or all of them; or else before the next entry.
    fn delimited(&mut self, end: u8, closing: u8) -> (String, bool) {
        let start = self.place + 1;
        let ends = match end {
            b'}' => [self.balanced(start, b'}', false), self.balanced(start, b'}', true)],
            _ => [self.quote(start, closing), None],
        };
        let all = || ends.into_iter().flatten();
        let is_within = |end: &usize| next_start(&self.text[..*end], start).is_none();
        let found = all()
            .find(|end| self.goes_on(end + 1, closing))
            .or_else(|| all().find(|end| self.is_before_entry(end + 1)))
            .or_else(|| all().find(is_within))
            .or_else(|| self.any_end(start, end, closing));
        let is_closed = found.is_some();
        let stop =
            found.unwrap_or_else(|| next_start(self.text, start).map_or(self.text.len(), |next| next.at));
        self.place = if is_closed { stop + 1 } else { stop };
        let inner = &self.text[start..stop];
        (inner[..inner.floor_char_boundary(VALUE_BYTES)].to_string(), is_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dois(text: &str) -> Vec<String> {
        entries(text).iter().map(|entry| entry.field("doi").unwrap_or("-").to_string()).collect()
    }

    #[test]
    fn what_bibtex_takes_is_taken() {
        let text = "@string{b = \"Bees\"} @comment{x = {y}}\n@ARTICLE{A, TITLE = b # { that } # \"count\", DOI = {10/1}, year = 2019,\n month = 1 # \"~\" # jan}\
            @inproceedings (k:2,\n  title = {On {\\\"U}ber @home{things}},\n doi=\"10/2\"\n)\n% @article{no, doi={10/3}\n";
        let got = entries(&text.replace("% @article", "% article"));
        assert_eq!(got.len(), 2, "{got:?}");
        assert_eq!(
            (&*got[0].key, got[0].field("title"), got[0].field("month")),
            ("A", Some("Bees that count"), Some("1~jan"))
        );
        assert_eq!((got[0].line, got[1].line, &*got[1].key), (2, 3, "k:2"));
        assert_eq!(got[1].field("title"), Some("On {\\\"U}ber @home{things}"));
        assert!(got.iter().all(|entry| entry.wrong.is_none()), "{got:?}");
    }

    #[test]
    fn what_people_have_is_taken() {
        let next = "\n@article{k2,\n title = {Two},\n doi = {10/2},\n}\n";
        for entry in [
            "@article{Quill et al 2019,\n title = {One},\n doi = {10/1}\n}",
            "@article{,\n title = {One},\n doi = {10/1}\n}",
            "@article{title = {One}, doi = {10/1}}",
            "@article{k1\n title = {One},\n doi = {10/1}\n}",
            "@article{k1, title = {One},, doi = {10/1},,}",
            "@article{k1, title = {One} doi = {10/1}}",
            "@article{k1,\n% a comment, with = signs\n title = {One},\n  % third\n doi = {10/1}\n}",
            "@article{k1, title = {One}, date = 2019-05-01, pages = 12-14, doi = {10/1}}",
            "@article{k1, title=\"{The \"old\" and the new} bees\", doi=\"10/1\"}",
            "@article{k1, title=\"One\", doi=\"10/1\",\n abstract=\"based on a **\"chain\"**. Then, more.\"\n}",
            "@article{k1, title={One}, doi={10/1},\n file = {Bees \\{Apis.pdf:/home/a.pdf:application/pdf}\n}",
            "@article{k1, title={One}, doi={10/1},\n file = {C:\\bees\\}\n}",
            "@article{k1, title={One}, doi={10/1},\n abstract = {Mail us\n@home{now}, or\n@work.}\n}",
            "@article{ ISI:0004,\nTitle = {{One}},\nDOI = {10/1},\nUnique-ID = {{ISI:0004}},\n}",
            "\u{feff}@article{k1, title={One}, doi={10/1}}",
            "@article{k1, title={One}, doi={10/1}} ",
        ] {
            let text = format!("{entry}{next}");
            assert_eq!(dois(&text), ["10/1", "10/2"], "{text}");
            assert_eq!(dois(&text.replace('\n', "\r")), ["10/1", "10/2"], "{text}");
            assert!(entries(&text).iter().all(|entry| entry.wrong.is_none()), "{text}");
            let only: Vec<_> = entries(entry).iter().map(|entry| entry.wrong.clone()).collect();
            assert_eq!(only, [None], "{entry}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_said_and_the_next_is_read() {
        let next = "\n@article{k2,\n title = {Two},\n doi = {10/2},\n}\n";
        for (entry, wrong) in [
            ("@article{k1,\n doi = {10/1},\n title = {No end\n", "title is not closed"),
            ("@article{k1,\n doi = {10/1},\n title = {One}\n", "not closed before the next"),
            ("@article{k1,\n doi = {10/1},\n nonsense\n}", "wanted a field"),
        ] {
            let got = entries(&format!("\n{entry}{next}"));
            assert_eq!(
                (got.len(), got[0].field("doi"), got[1].field("doi")),
                (2, Some("10/1"), Some("10/2")),
                "{got:?}"
            );
            assert!(got[0].wrong.as_ref().is_some_and(|said| said.contains(wrong)), "{got:?}");
            assert_eq!((&*got[0].key, got[0].line, &got[1].wrong), ("k1", 2, &None));
        }
        assert!(entries("@article{k1, doi = {10/1}").len() == 1);
        assert!(
            !is_one("write to me@example.org {now}")
                && !is_one("@ {x}")
                && is_one("@misc{b, title = {unclosed")
        );
    }

    #[test]
    fn hostile_text_takes_no_time() {
        let started = std::time::Instant::now();
        let doubling: String = (0..60).map(|n| format!("@string{{s{} = s{n}#s{n}#s{n}}}\n", n + 1)).collect();
        for hostile in [
            format!("@string{{s0 = \"{}\"}}{doubling}@misc{{a, title=s60}}", "x".repeat(100)),
            "@a{".repeat(100_000),
            "@a{b={".repeat(50_000),
            "@a{b=\"".repeat(50_000),
            "@a{b,c={},".repeat(50_000),
            format!("@a{{b,c={{{}", "}".repeat(200_000)),
            format!("@a{{b,c={{{}", "{".repeat(200_000)),
            format!("@a{{b,c=\"{}", "\",".repeat(100_000)),
            format!("@a{{b{}", ",=".repeat(100_000)),
            "@".repeat(200_000),
        ] {
            entries(&hostile);
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    }
}
