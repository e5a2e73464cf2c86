//! Builds a [`Paper`] from the raw fields of any format.
//!
//! The papers of all formats pass through this module: HTML and LaTeX are converted to plain text, white space is
//! collapsed, ids are parsed and deduplicated, dates are read, and papers without a title are refused.

use super::Deletion;
use super::warnings::Warnings;
use crate::latex::to_unicode;
use crate::markup::plain_text;
use crate::paper::{IdKind, Paper, PaperId, collapse_whitespace, parse_date, read_date};
use serde_json::Value;
use std::collections::HashSet;

/// Maximum length, in bytes, of a text in which LaTeX is converted. Conversion takes time, and a longer text is not an
/// abstract.
const MAX_LATEX_BYTES: usize = 100_000;

/// Maximum number of alternate ids kept per paper.
const MAX_ALTERNATE_IDS: usize = 100;

/// The fields of a paper as they are in the dump, before normalisation. Absent fields are `None` or empty.
#[derive(Default, Debug)]
pub struct RawFields {
    /// The paper's ids. The first arXiv id becomes the paper's id or, if there is no arXiv id, the first id. The other
    /// ids become alternate ids if they are global, such as DOIs, or if they are the first in the list; the remaining
    /// ids are dropped. If there are no ids, the paper's id is made from the title.
    pub ids: Vec<String>,
    /// Ids that the dump states as alternate ids. They are kept even if they are not global.
    pub alternate_ids: Vec<String>,
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub r#abstract: Option<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// Dates as they are written in the dump. The first date with a year is used.
    pub published: Vec<String>,
    /// Categories and keywords.
    pub categories: Vec<String>,
    /// Conference or journal.
    pub venue: Option<String>,
    /// Source of the record, such as `arxiv`.
    pub source: Option<String>,
    /// URL of the paper's page.
    pub url: Option<String>,
    /// Whether the paper was withdrawn or retracted.
    pub withdrawn: bool,
}

/// Checks and normalises a paper's fields. The abstract can be missing; the caller decides whether a missing abstract
/// is allowed.
///
/// # Errors
/// Returns the reason if the title is missing, the first id is invalid, or there is no id and the title has no letters
/// or digits.
pub fn build(fields: RawFields, warnings: &Warnings) -> Result<Paper, String> {
    build_with(fields, warnings, clean)
}

/// Like [`build`], for fields whose HTML and LaTeX have already been converted: a second conversion would take literal
/// characters for markup.
pub fn build_cleaned(fields: RawFields, warnings: &Warnings) -> Result<Paper, String> {
    build_with(fields, warnings, collapse_whitespace)
}

fn build_with(fields: RawFields, warnings: &Warnings, clean: fn(&str) -> String) -> Result<Paper, String> {
    let clean_all = |list: &[String]| -> Vec<String> {
        list.iter().map(|item| clean(item)).filter(|item| !item.is_empty()).collect()
    };
    let written = fields.title.as_deref().unwrap_or_default();
    // Keep a title that consists only of tags, because the title can be about these tags.
    let title = Some(clean(written))
        .filter(|title| !title.is_empty())
        .unwrap_or_else(|| collapse_whitespace(written));
    if title.is_empty() {
        return Err("the paper has no title; it must have a title and an abstract".into());
    }
    let (id, alternate_ids) = ids(&fields.ids, &fields.alternate_ids, &title)?;
    let published = published(&fields.published, warnings);
    let mut categories = clean_all(&fields.categories);
    let mut seen = HashSet::new();
    categories.retain(|category| seen.insert(category.to_lowercase()));
    let clean_text = |text: Option<String>| text.map(|text| clean(&text)).filter(|text| !text.is_empty());
    let url = fields.url.map(|url| collapse_whitespace(&url)).filter(|url| !url.is_empty());
    Ok(Paper {
        url: url.or_else(|| id.url()),
        id,
        title,
        r#abstract: clean(fields.r#abstract.as_deref().unwrap_or_default()),
        authors: clean_all(&fields.authors),
        published,
        categories,
        venue: clean_text(fields.venue),
        source: clean_text(fields.source),
        alternate_ids,
        withdrawn: fields.withdrawn,
    })
}

/// Returns the paper's id and the paper's alternate ids. Invalid ids are ignored, except that an invalid first id in
/// `written` is an error.
fn ids(written: &[String], alternate_ids: &[String], title: &str) -> Result<(PaperId, Vec<PaperId>), String> {
    let mut ids: Vec<PaperId> = Vec::new();
    for (index, id) in written.iter().enumerate() {
        match PaperId::parse(id) {
            Ok(id) if ids.is_empty() || id.is_global() => ids.push(id),
            Err(wrong) if index == 0 => return Err(wrong),
            _ => {}
        }
    }
    let first = ids.iter().position(|id| id.kind() == IdKind::Arxiv).unwrap_or_default();
    let id = if ids.is_empty() { PaperId::from_title(title)? } else { ids.remove(first) };
    ids.extend(alternate_ids.iter().filter_map(|id| PaperId::parse(id).ok()));
    let mut seen = HashSet::from([id.clone()]);
    ids.retain(|other| seen.insert(other.clone()));
    ids.truncate(MAX_ALTERNATE_IDS);
    Ok((id, ids))
}

/// Builds a deletion from an id that is not yet normalised.
///
/// # Errors
/// Returns the reason if the id is invalid.
pub fn deletion(id: &str, source: Option<&str>) -> Result<Deletion, String> {
    Ok(Deletion { id: PaperId::parse(id)?, source: source.map(str::to_string) })
}

/// Converts HTML and LaTeX to plain text and collapses white space.
fn clean(text: &str) -> String {
    let plain = plain_text(text);
    let may_convert = plain.len() <= MAX_LATEX_BYTES;
    let converted = if may_convert { collapse_whitespace(&to_unicode(&plain)) } else { String::new() };
    // Keep the LaTeX if the text is too long to convert or consists only of markup.
    if converted.is_empty() { collapse_whitespace(&plain) } else { converted }
}

/// Returns the first date with a year. If the first date in `dates` is unreadable or only partly readable, it is
/// counted in `warnings`.
fn published(dates: &[String], warnings: &Warnings) -> Option<String> {
    let mut dates = dates.iter().filter(|date| !date.trim().is_empty()).peekable();
    let first = *dates.peek()?;
    let Some((written, date)) = dates.find_map(|written| Some((written, read_date(written)?))) else {
        warnings.add("published: not a date", first);
        return None;
    };
    if written != first {
        warnings.add("published: not a date", first);
    } else if parse_date(written).is_err() && has_unread_numbers(written, &date) {
        warnings.add("published: read only in part", written);
    }
    Some(date)
}

/// Whether the text `written` has more numbers than the `date` that was read from it. A month that is written as a name
/// is not a number.
fn has_unread_numbers(written: &str, date: &str) -> bool {
    let day = written.split_whitespace().filter(|word| !word.contains(':'));
    let numbers = day.flat_map(|word| word.split(|character: char| !character.is_ascii_digit()));
    let numbers = numbers.filter(|number| !number.is_empty()).count();
    let is_named = written.contains(|character: char| character.is_alphabetic());
    let read = match date.len() {
        4 => 1,
        7 => 2 - usize::from(is_named),
        _ => 3,
    };
    numbers > read
}

/// Returns the last year (19xx or 20xx) in a name, such as `2021` in `nips2021`.
pub fn year_in(text: &str) -> Option<String> {
    let digits = text.split(|character: char| !character.is_ascii_digit());
    let is_year = |digits: &&str| digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"));
    digits.rev().find(is_year).map(str::to_string)
}

/// Whether the authors' comments say that the paper was withdrawn.
pub fn says_withdrawn(comments: &str) -> bool {
    comments.split(['.', ';', ',']).any(is_withdrawal)
}

/// Whether the first sentence of a text says that the paper itself was withdrawn. Sentences about withdrawn
/// medicines, or about other papers that were withdrawn, must not match.
pub fn is_withdrawal(text: &str) -> bool {
    const OPENING_WORDS: [&str; 5] = ["this", "the", "paper", "article", "submission"];
    const WITHDRAWAL_PHRASES: [&str; 6] = [
        "been withdrawn",
        "is withdrawn",
        "was withdrawn",
        "have withdrawn",
        "paper withdrawn",
        "being withdrawn",
    ];
    const PAPER_NOUNS: [&str; 8] =
        ["paper", "article", "submission", "manuscript", "work", "preprint", "author", "version"];
    let text = text.trim_start_matches(|first: char| !first.is_alphanumeric());
    let sentence: String =
        text.split('.').next().unwrap_or_default().chars().take(200).collect::<String>().to_lowercase();
    if sentence.starts_with("withdrawn") {
        return true;
    }
    let first_words: Vec<&str> = sentence.split_whitespace().take(3).collect();
    let is_about = first_words.first().is_some_and(|first| OPENING_WORDS.contains(first))
        && first_words.iter().any(|word| PAPER_NOUNS.iter().any(|noun| word.starts_with(noun)));
    is_about && WITHDRAWAL_PHRASES.iter().any(|phrase| sentence.contains(phrase))
}

/// Splits a text such as `A. One, B. Two and C. Three (Somewhere, Far)` into names. Text in parentheses is dropped.
pub fn split_authors(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let without_affiliations: String = text
        .chars()
        .filter(|character| {
            match character {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect();
    let text = collapse_whitespace(&without_affiliations);
    text.split([',', ';']).flat_map(|part| part.split(" and ")).map(|name| name.trim().to_string()).collect()
}

/// Returns the name of a value's JSON type, with an article, for messages.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arxiv_id_or_else_the_first_id_becomes_the_id() {
        let ids = |written: &[&str]| {
            let written: Vec<String> = written.iter().map(|id| id.to_string()).collect();
            let (id, also) = ids(&written, &["b".into()], "A title").unwrap();
            (id.to_string(), also.iter().map(PaperId::to_string).collect::<Vec<_>>())
        };
        assert_eq!(ids(&["n/a", "N/A", "-", "7"]), ("n/a".into(), vec!["b".into()]));
        assert_eq!(
            ids(&["10.1000/X", "arXiv:2101.00001v2", "10.1000/x"]),
            ("2101.00001".into(), vec!["10.1000/x".into(), "b".into()])
        );
        assert_eq!(
            ids(&["pmid:1", "", "10.1000/x"]),
            ("pmid:1".into(), vec!["10.1000/x".into(), "b".into()])
        );
        assert_eq!(ids(&[]).0, "title:a-title");
    }

    #[test]
    fn withdrawals_are_distinguished_from_papers_about_withdrawals() {
        assert!(says_withdrawn("This paper has been WITHDRAWN by the author due to an error in Lemma 2"));
        assert!(says_withdrawn("12 pages. Withdrawn: Lemma 2 is wrong") && says_withdrawn("paper withdrawn"));
        assert!(!says_withdrawn("12 pages, 3 figures"));
        assert!(!says_withdrawn("Corrected proof; supersedes the withdrawn arXiv:1901.00001"));
        assert!(!is_withdrawal("This paper analyses withdrawn arXiv submissions."));
        assert!(!is_withdrawal("The committee was withdrawn."));
        assert!(is_withdrawal(" This paper has been withdrawn by the author."));
        assert!(is_withdrawal("Withdrawn due to a crucial sign error"));
        assert!(!is_withdrawal("The drug was withdrawn from the market. This paper asks why."));
        assert!(!is_withdrawal("This paper studies why troops stayed."));
    }

    #[test]
    fn authors_are_split_and_partial_dates_are_read() {
        assert_eq!(
            split_authors("A. One (MIT, Boston), B. Two and C. Three"),
            ["A. One", "B. Two", "C. Three"]
        );
        let warnings = Warnings::default();
        let published = |dates: &[&str]| {
            published(&dates.iter().map(|date| date.to_string()).collect::<Vec<_>>(), &warnings)
        };
        assert_eq!(published(&["2021-13-45"]).as_deref(), Some("2021"));
        assert_eq!(published(&[" ", "soon", "2020"]).as_deref(), Some("2020"));
        assert_eq!(published(&["soon"]), None);
        for readable in
            ["c2018", "May 2018", "Thu, 7 Jun 2018 10:11:12 GMT", "20180607", "1528329600", "2018/06"]
        {
            assert!(published(&[readable]).is_some(), "{readable}");
        }
        assert_eq!(published(&[]), None);
        let expected = [
            "published: not a date: 2 times, first \"soon\"",
            "published: read only in part: once, first \"2021-13-45\"",
        ];
        assert_eq!(warnings.lines(), expected);
        assert_eq!((year_in("nips2018"), year_in("v12")), (Some("2018".into()), None));
    }
}
