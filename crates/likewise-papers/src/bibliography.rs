//! A tolerant BibTeX parser.
//!
//! Strict parsers reject much of the BibTeX that people paste and programs export: entries without a key, parentheses
//! instead of braces, double commas, bare dates, quotation marks within quotes, unclosed braces. This parser reads as
//! much of an entry as it can, reports the first problem in [`BibEntry::problem`], and continues with the next entry.
//!
//! ```
//! let entries = likewise_papers::bibliography::entries("@article{title = {Bees that count}, year = 2019}");
//! assert_eq!(entries[0].field("title"), Some("Bees that count"));
//! assert_eq!((entries[0].key.as_str(), &entries[0].problem), ("", &None));
//! ```

mod ends;

use ends::{BASE_BUDGET, BUDGET_PER_BYTE};
use std::cell::Cell;
use std::collections::HashMap;

/// Maximum length of a field's value, in bytes: longer than any abstract. Bytes beyond this length are dropped.
const MAX_VALUE_BYTES: usize = 16_000;

/// A BibTeX entry: `@article{key, title = {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BibEntry {
    /// Number of the line where the entry starts, from 1.
    pub line: u64,
    /// Citation key; empty if the entry has none.
    pub key: String,
    /// Pairs of a field name in lower case and the field's value. A value is LaTeX without the outer braces or
    /// quotation marks, at most 16,000 bytes long.
    pub fields: Vec<(String, String)>,
    /// The first problem with the entry's syntax. `None`: the syntax has no problem. A value that was cut because it is
    /// too long is no problem.
    pub problem: Option<String>,
}

impl BibEntry {
    /// Returns the value of the field `name`, which must be in lower case. `None` if the entry has no such field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a text contains the start of a BibTeX entry, or of an `@comment`, `@preamble` or `@string`.
pub fn is_bibliography(text: &str) -> bool {
    next_start(text, 0).is_some()
}

/// Parses the entries of a text, in order. `@comment`, `@preamble`, and text between entries are skipped, as in BibTeX.
/// The abbreviations of `@string` are inserted into the values of the entries after it.
pub fn entries(text: &str) -> Vec<BibEntry> {
    let budget = Cell::new(BASE_BUDGET + BUDGET_PER_BYTE * text.len());
    let mut parser = Parser { text, position: 0, line: 1, counted: 0, abbreviations: HashMap::new(), budget };
    let mut entries = Vec::new();
    while let Some(start) = next_start(text, parser.position) {
        parser.position = start.body;
        match start.kind.to_ascii_lowercase().as_str() {
            "comment" | "preamble" => parser.skip_group(start.closing),
            "string" => parser.abbreviation(start.closing),
            _ => {
                let line = parser.line_of(start.at);
                entries.push(parser.entry(line, start.closing));
            }
        }
    }
    entries
}

/// The start of an entry, up to the opening bracket: `@article{`.
struct Start<'a> {
    /// Position of the `@`, in bytes from the start of the text.
    at: usize,
    /// Entry type, such as `article`.
    kind: &'a str,
    /// Position after the opening bracket.
    body: usize,
    /// The bracket that closes the entry: `}` or `)`.
    closing: u8,
}

/// Returns the first `@kind{` or `@kind(` at the start of a word, at or after position `from`.
fn next_start(text: &str, from: usize) -> Option<Start<'_>> {
    let signs = memchr::memchr_iter(b'@', &text.as_bytes()[from..]);
    signs.map(|position| from + position).find_map(|at| start_at(text, at))
}

/// Returns the start of the entry whose `@` is at position `at`. `None` if no entry starts with this `@`.
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

struct Parser<'a> {
    text: &'a str,
    position: usize,
    /// Line number of the position `counted`.
    line: u64,
    /// Position up to which lines were counted.
    counted: usize,
    abbreviations: HashMap<String, String>,
    /// Number of bytes that the searches for the ends of values are still allowed to scan.
    budget: Cell<usize>,
}

impl Parser<'_> {
    fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.position).copied()
    }

    fn line_of(&mut self, position: usize) -> u64 {
        let passed = &self.text.as_bytes()[self.counted..position];
        // Classic Mac OS ended lines with a carriage return alone.
        let ends = passed.iter().filter(|byte| **byte == b'\n').count();
        let ends = if ends == 0 { passed.iter().filter(|byte| **byte == b'\r').count() } else { ends };
        self.line += ends as u64;
        self.counted = position;
        self.line
    }

    /// Skips white space, commas and comment lines.
    fn skip_separators(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b',' => self.position += 1,
                byte if byte.is_ascii_whitespace() => self.position += 1,
                b'%' => {
                    let rest = &self.bytes()[self.position..];
                    self.position += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
    }

    /// Skips the rest of a group after its opening bracket, if the group is closed.
    fn skip_group(&mut self, closing: u8) {
        if let Some(end) = self.balanced(self.position, closing, false) {
            self.position = end + 1;
        }
    }

    /// Reads the `name = value` of an `@string`, and stores it in `abbreviations`.
    fn abbreviation(&mut self, closing: u8) {
        self.skip_separators();
        if let Some(name) = self.name(closing)
            && let Ok(value) = self.value(closing)
        {
            self.abbreviations.insert(name, value);
        }
        self.skip_separators();
        if self.peek() == Some(closing) {
            self.position += 1;
        }
    }

    fn entry(&mut self, line: u64, closing: u8) -> BibEntry {
        let mut entry = BibEntry { line, key: self.key(closing), ..BibEntry::default() };
        loop {
            self.skip_separators();
            match self.peek() {
                None => {
                    entry.problem.get_or_insert_with(|| "the entry is not closed".into());
                    return entry;
                }
                // Both `}` and `)` close the entry, even if the other kind of bracket opened it.
                Some(b'}' | b')') => {
                    self.position += 1;
                    return entry;
                }
                Some(b'@') if start_at(self.text, self.position).is_some() => {
                    entry
                        .problem
                        .get_or_insert_with(|| "the entry is not closed before the next entry starts".into());
                    return entry;
                }
                Some(_) => self.field(closing, &mut entry),
            }
        }
    }

    fn field(&mut self, closing: u8, entry: &mut BibEntry) {
        let before = self.position;
        let Some(name) = self.name(closing) else {
            let shown: String = self.text[before..self.position].trim().chars().take(40).collect();
            entry
                .problem
                .get_or_insert_with(|| format!("a field must look like name = {{value}} (got {shown:?})"));
            return;
        };
        match self.value(closing) {
            Ok(value) => entry.fields.push((name, value)),
            Err(value) => {
                entry.problem.get_or_insert_with(|| format!("the value of {name} is not closed"));
                entry.fields.push((name, value));
            }
        }
    }

    /// Reads the citation key: the text before the first comma or, if the comma is missing, before the first field's
    /// name.
    fn key(&mut self, closing: u8) -> String {
        let rest = &self.text[self.position..];
        let end = rest.find([',', '=', '{', '}', '"', closing as char]).unwrap_or(rest.len());
        let before = &rest[..end];
        if rest[end..].starts_with('=') {
            // The entry has no key (`title = …`), or no comma follows the key (`key title = …`).
            let name = before.trim_end().rfind(char::is_whitespace).map_or(0, |position| position + 1);
            let name = if before.trim().contains(char::is_whitespace) { name } else { 0 };
            self.position += name;
            return before[..name].trim().to_string();
        }
        self.position += end;
        before.trim().to_string()
    }

    /// Reads a field's name and the `=` after it. If the text here is anything else, skips to the next delimiter, such
    /// as a comma or bracket, and returns `None`.
    fn name(&mut self, closing: u8) -> Option<String> {
        let rest = &self.text[self.position..];
        let end = rest.find(['=', ',', '{', '}', '"', '@', closing as char]).unwrap_or(rest.len());
        let name = rest[..end].trim();
        let is_name = rest[end..].starts_with('=') && !name.is_empty() && !name.contains(char::is_whitespace);
        // Skip at least one character, so that parsing always advances.
        let passed =
            rest[end..].chars().next().filter(|next| !['}', ',', closing as char].contains(next) || end == 0);
        self.position += end + passed.map_or(0, char::len_utf8);
        is_name.then(|| name.to_ascii_lowercase())
    }

    /// Reads a value of one or more parts joined by `#`.
    ///
    /// # Errors
    /// Returns the text that was read if the value is not closed.
    fn value(&mut self, closing: u8) -> Result<String, String> {
        let mut value = String::new();
        loop {
            while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
                self.position += 1;
            }
            let (part, is_closed) = match self.peek() {
                Some(b'{') => self.delimited(b'}', closing),
                Some(b'"') => self.delimited(b'"', closing),
                _ => (self.bare(closing), true),
            };
            let room = MAX_VALUE_BYTES.saturating_sub(value.len());
            value.push_str(&part[..part.floor_char_boundary(room)]);
            if !is_closed {
                return Err(value);
            }
            while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
                self.position += 1;
            }
            if self.peek() != Some(b'#') {
                return Ok(value);
            }
            self.position += 1;
        }
    }

    /// Reads a value without delimiters: a number, an abbreviation, or a text whose braces are missing.
    fn bare(&mut self, closing: u8) -> String {
        let rest = &self.text[self.position..];
        let end = rest.find([',', '#', '}', '\n', '\r', closing as char]).unwrap_or(rest.len());
        self.position += end;
        let word = rest[..end].trim();
        self.abbreviations.get(&word.to_ascii_lowercase()).cloned().unwrap_or_else(|| word.to_string())
    }

    /// Reads a value in braces or quotation marks. Returns the value, and whether it is closed.
    ///
    /// Candidates for the end of the value are:
    ///
    /// - in braces, two positions: the brace that balances the opening brace if escaped braces are counted (as in
    ///   BibTeX), and the brace that balances it if they are not counted;
    /// - in quotation marks, the first quotation mark outside braces after which the entry continues or ends.
    ///
    /// The end of the value is the first of these positions that exists:
    ///
    /// 1. a candidate after which the entry continues or ends;
    /// 2. a candidate after which another entry starts;
    /// 3. a candidate without a start of another entry between the start of the value and the candidate;
    /// 4. any other closing brace or quotation mark, in front of the next start of an entry, after which the entry
    ///    continues or ends or the next entry starts.
    ///
    /// If no such position exists, the value is not closed and ends where the next entry starts, or at the end of the
    /// text. Positions are searched for only within the limits of [`ends`].
    fn delimited(&mut self, end: u8, closing: u8) -> (String, bool) {
        let start = self.position + 1;
        let ends = match end {
            b'}' => [self.balanced(start, b'}', false), self.balanced(start, b'}', true)],
            _ => [self.quote(start, closing), None],
        };
        let all = || ends.into_iter().flatten();
        let is_within = |end: &usize| next_start(&self.text[..*end], start).is_none();
        let found = all()
            .find(|end| self.continues_at(end + 1, closing))
            .or_else(|| all().find(|end| self.is_before_entry(end + 1)))
            .or_else(|| all().find(is_within))
            .or_else(|| self.any_end(start, end, closing));
        let is_closed = found.is_some();
        let stop =
            found.unwrap_or_else(|| next_start(self.text, start).map_or(self.text.len(), |next| next.at));
        self.position = if is_closed { stop + 1 } else { stop };
        let inner = &self.text[start..stop];
        (inner[..inner.floor_char_boundary(MAX_VALUE_BYTES)].to_string(), is_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dois(text: &str) -> Vec<String> {
        entries(text).iter().map(|entry| entry.field("doi").unwrap_or("-").to_string()).collect()
    }

    #[test]
    fn valid_bibtex_is_read() {
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
        assert!(got.iter().all(|entry| entry.problem.is_none()), "{got:?}");
    }

    #[test]
    fn common_syntax_errors_are_tolerated() {
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
            assert!(entries(&text).iter().all(|entry| entry.problem.is_none()), "{text}");
            let only: Vec<_> = entries(entry).iter().map(|entry| entry.problem.clone()).collect();
            assert_eq!(only, [None], "{entry}");
        }
    }

    #[test]
    fn problems_are_reported_and_the_next_entry_is_read() {
        let next = "\n@article{k2,\n title = {Two},\n doi = {10/2},\n}\n";
        for (entry, problem) in [
            ("@article{k1,\n doi = {10/1},\n title = {No end\n", "title is not closed"),
            ("@article{k1,\n doi = {10/1},\n title = {One}\n", "not closed before the next"),
            ("@article{k1,\n doi = {10/1},\n nonsense\n}", "must look like name = {value}"),
        ] {
            let got = entries(&format!("\n{entry}{next}"));
            assert_eq!(
                (got.len(), got[0].field("doi"), got[1].field("doi")),
                (2, Some("10/1"), Some("10/2")),
                "{got:?}"
            );
            assert!(got[0].problem.as_ref().is_some_and(|found| found.contains(problem)), "{got:?}");
            assert_eq!((&*got[0].key, got[0].line, &got[1].problem), ("k1", 2, &None));
        }
        assert!(entries("@article{k1, doi = {10/1}").len() == 1);
        assert!(
            !is_bibliography("write to me@example.org {now}")
                && !is_bibliography("@ {x}")
                && is_bibliography("@misc{b, title = {unclosed")
        );
    }

    #[test]
    fn hostile_text_takes_no_time() {
        let started = std::time::Instant::now();
        let tripling: String = (0..60).map(|n| format!("@string{{s{} = s{n}#s{n}#s{n}}}\n", n + 1)).collect();
        for hostile in [
            format!("@string{{s0 = \"{}\"}}{tripling}@misc{{a, title=s60}}", "x".repeat(100)),
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
