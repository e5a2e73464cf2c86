//! Writes papers as BibTeX.
//!
//! Characters that TeX would interpret are escaped, so that a document with untrusted papers in its bibliography can be
//! compiled safely.

use super::{arxiv, date, doi};
use crate::paper::{Paper, collapse_whitespace};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use unicode_normalization::UnicodeNormalization;

/// Words that are skipped when a citation key is made from a title.
const STOP_WORDS: [&str; 14] =
    ["a", "an", "the", "on", "in", "of", "for", "and", "to", "with", "from", "by", "is", "are"];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Writes papers as BibTeX entries, a few at a time. A citation key is the first author's last name, the year, and the
/// title's first significant word, followed by a suffix if an earlier entry has the same key.
///
/// The writer keeps about 16 bytes for each different key: a hash, and how often the key was used. If two keys had the
/// same hash, the second would only get a suffix that it does not need.
#[derive(Debug, Default)]
pub struct BibtexWriter {
    uses: HashMap<u64, u32>,
    hasher: RandomState,
}

impl BibtexWriter {
    /// Writes the entries of some papers. Keys are different from those of all earlier calls.
    pub fn write<'a>(&mut self, papers: impl Iterator<Item = &'a Paper>) -> String {
        let mut text = String::new();
        for paper in papers {
            if !self.uses.is_empty() {
                text.push('\n');
            }
            let key = key(paper);
            let uses = self.uses.entry(self.hasher.hash_one(&key)).or_default();
            *uses += 1;
            text.push_str(&entry(paper, &format!("{key}{}", suffix(*uses as usize))));
        }
        text
    }
}

fn entry(paper: &Paper, key: &str) -> String {
    let kind = if paper.venue.is_some() { "inproceedings" } else { "misc" };
    let mut text = format!("@{kind}{{{key},\n");
    let mut field = |name: &str, value: &str| text.push_str(&format!("  {name} = {{{value}}},\n"));
    field("title", &escaped(&paper.title));
    if !paper.authors.is_empty() {
        field("author", &paper.authors.iter().map(|author| name(author)).collect::<Vec<_>>().join(" and "));
    }
    let [year, month, _] = date(paper);
    if let Some(year) = year {
        field("year", &escaped(year));
    }
    paper.venue.iter().for_each(|venue| field("booktitle", &escaped(venue)));
    for (name, value) in [("doi", doi(paper)), ("url", paper.url.as_deref())] {
        value.into_iter().for_each(|value| field(name, &verbatim(value)));
    }
    if let Some(id) = arxiv(paper) {
        field("eprint", &verbatim(id));
        field("archiveprefix", "arXiv");
    }
    // Because of this field, an exported list can be read back with the same paper ids.
    if !paper.id.is_global() {
        field("likewise", &verbatim(paper.id.as_str()));
    }
    if !paper.r#abstract.is_empty() {
        field("abstract", &escaped(&paper.r#abstract));
    }
    let month = month.and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?));
    month.into_iter().for_each(|month| text.push_str(&format!("  month = {month},\n")));
    text.push_str("}\n");
    text
}

/// Escapes an author's name. A name that contains a comma or `and` is put in braces, so that BibTeX does not split it.
fn name(author: &str) -> String {
    let escaped = escaped(author);
    let needs_braces = author.contains(',') || author.split(' ').any(|word| word.eq_ignore_ascii_case("and"));
    if needs_braces { format!("{{{escaped}}}") } else { escaped }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in collapse_whitespace(text).chars() {
        match character {
            '\\' => escaped.push_str("\\textbackslash "),
            '~' => escaped.push_str("\\textasciitilde "),
            '^' => escaped.push_str("\\textasciicircum "),
            // BibTeX counts braces even if they are escaped.
            '{' => escaped.push_str("\\textbraceleft "),
            '}' => escaped.push_str("\\textbraceright "),
            '%' | '#' | '$' | '&' | '_' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escapes a value that BibTeX styles print verbatim, such as an address: percent-encodes only braces, backslashes and
/// spaces.
fn verbatim(text: &str) -> String {
    let escaped = |character: char| match character {
        '{' => "%7B".into(),
        '}' => "%7D".into(),
        '\\' => "%5C".into(),
        other => other.to_string(),
    };
    collapse_whitespace(text).replace(' ', "%20").chars().map(escaped).collect()
}

/// Returns the citation key without suffix, such as `angstrom2021number`. The key has only ASCII letters and digits,
/// because old versions of TeX accept no other characters.
fn key(paper: &Paper) -> String {
    let plain = |text: &str| -> String {
        text.nfkd().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let last = |author: &String| plain(author.rsplit(' ').next().unwrap_or_default());
    let author =
        paper.authors.first().map(last).filter(|name| !name.is_empty()).unwrap_or_else(|| "anon".into());
    let year = date(paper)[0].unwrap_or_default();
    let mut words = paper.title.split(|character: char| !character.is_alphanumeric()).map(plain);
    let is_significant = |word: &String| {
        word.len() > 1
            && !STOP_WORDS.contains(&word.as_str())
            && !word.bytes().all(|byte| byte.is_ascii_digit())
    };
    format!("{author}{year}{}", words.find(is_significant).unwrap_or_default())
}

/// Returns the suffix for the `count`th entry with the same key: none for the first entry, then `b`, `c`, … `z`, then
/// `-27`, `-28`, …
fn suffix(count: usize) -> String {
    match count {
        1 => String::new(),
        2..=26 => char::from(b'a' + (count - 1) as u8).to_string(),
        more => format!("-{more}"),
    }
}
