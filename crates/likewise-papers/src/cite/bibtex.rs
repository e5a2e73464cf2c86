//! BibTeX, as it is pasted into a paper's bibliography.
//!
//! Its own file, like every format. What TeX would take for a command is escaped, so that a bibliography can be built of
//! papers that nobody has read.

use super::{arxiv, date, doi};
use crate::paper::{Paper, collapse_whitespace};
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;

/// Words that say nothing of a title.
const SMALL: [&str; 14] =
    ["a", "an", "the", "on", "in", "of", "for", "and", "to", "with", "from", "by", "is", "are"];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Papers, each under a key of its own: last name, year, first word; a letter more for the second of the same.
pub fn write<'a>(papers: impl Iterator<Item = &'a Paper>) -> String {
    let mut used: HashMap<String, usize> = HashMap::new();
    let entries = papers.map(|paper| {
        let key = key(paper);
        let count = used.entry(key.clone()).or_default();
        *count += 1;
        entry(paper, &format!("{key}{}", suffix(*count)))
    });
    entries.collect::<Vec<_>>().join("\n")
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
    // So that a list that was written here is known again.
    if !paper.id.is_known_everywhere() {
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

/// A name with a comma or an `and` in it is one that must not be taken apart.
fn name(author: &str) -> String {
    let escaped = escaped(author);
    let is_whole = author.contains(',') || author.split(' ').any(|word| word.eq_ignore_ascii_case("and"));
    if is_whole { format!("{{{escaped}}}") } else { escaped }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in collapse_whitespace(text).chars() {
        match character {
            '\\' => escaped.push_str("\\textbackslash "),
            '~' => escaped.push_str("\\textasciitilde "),
            '^' => escaped.push_str("\\textasciicircum "),
            // BibTeX counts braces whether or not something stands before them.
            '{' => escaped.push_str("\\textbraceleft "),
            '}' => escaped.push_str("\\textbraceright "),
            '%' | '#' | '$' | '&' | '_' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What is read as it stands, but for what would end the field.
fn verbatim(text: &str) -> String {
    let escaped = |character: char| match character {
        '{' => "%7B".into(),
        '}' => "%7D".into(),
        '\\' => "%5C".into(),
        other => other.to_string(),
    };
    collapse_whitespace(text).replace(' ', "%20").chars().map(escaped).collect()
}

/// `angstrom2021number`: letters and digits of ASCII, as every TeX reads them.
fn key(paper: &Paper) -> String {
    let plain = |text: &str| -> String {
        text.nfkd().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let last = |author: &String| plain(author.rsplit(' ').next().unwrap_or_default());
    let author =
        paper.authors.first().map(last).filter(|name| !name.is_empty()).unwrap_or_else(|| "anon".into());
    let year = date(paper)[0].unwrap_or_default();
    let mut words = paper.title.split(|character: char| !character.is_alphanumeric()).map(plain);
    let is_telling = |word: &String| {
        word.len() > 1 && !SMALL.contains(&word.as_str()) && !word.bytes().all(|byte| byte.is_ascii_digit())
    };
    format!("{author}{year}{}", words.find(is_telling).unwrap_or_default())
}

/// Nothing for the first, then b, c, … z, and numbers.
fn suffix(count: usize) -> String {
    match count {
        1 => String::new(),
        2..=26 => char::from(b'a' + (count - 1) as u8).to_string(),
        more => format!("-{more}"),
    }
}
