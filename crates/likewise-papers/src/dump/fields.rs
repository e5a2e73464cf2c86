//! The raw fields of any format → a checked [`Paper`].
//!
//! Its own file because it is where all formats meet: HTML and LaTeX become readable, white space collapses, ids fold, dates
//! are read, and what is wanted of a paper is asked for.

use super::Deleted;
use super::unread::Unread;
use crate::latex::readable;
use crate::markup::plain;
use crate::paper::{Kind, Paper, PaperId, collapse_whitespace, parse_date, read_date};
use serde_json::Value;
use std::collections::HashSet;

/// Longest text, in bytes, whose LaTeX is made readable: a longer one is no abstract, and takes time.
const LONGEST_READABLE: usize = 100_000;

/// Most other ids that a paper has.
const MOST_IDS: usize = 100;

/// The fields of a paper, as a format has found them: nothing is normalised yet, and what is absent
/// is `None` or empty.
#[derive(Default, Debug)]
pub struct Fields {
    /// The paper's ids: arXiv's, if there is one, is what it is called; or else the first. Of the others, those count
    /// that are known everywhere.
    pub ids: Vec<String>,
    /// Other ids, of whatever kind, from who means them as that.
    pub also: Vec<String>,
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub r#abstract: Option<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// Dates, as they are written: the first that has a year counts.
    pub published: Vec<String>,
    /// Categories, keywords.
    pub categories: Vec<String>,
    /// Conference or journal.
    pub venue: Option<String>,
    /// Where it is from.
    pub source: Option<String>,
    /// Address.
    pub url: Option<String>,
    /// Whether it was taken back.
    pub withdrawn: bool,
}

/// Checks and normalises a paper's fields. It may have no abstract: whoever takes it decides.
pub fn build(fields: Fields, unread: &Unread) -> Result<Paper, String> {
    build_with(fields, unread, tidy)
}

/// The same of fields that were made readable before: read twice, what stands for itself in them would be taken for LaTeX.
pub fn build_again(fields: Fields, unread: &Unread) -> Result<Paper, String> {
    build_with(fields, unread, collapse_whitespace)
}

fn build_with(fields: Fields, unread: &Unread, tidy: fn(&str) -> String) -> Result<Paper, String> {
    let tidy_all = |list: &[String]| -> Vec<String> {
        list.iter().map(|item| tidy(item)).filter(|item| !item.is_empty()).collect()
    };
    let written = fields.title.as_deref().unwrap_or_default();
    // One that is nothing but tags may be about them.
    let title =
        Some(tidy(written)).filter(|title| !title.is_empty()).unwrap_or_else(|| collapse_whitespace(written));
    if title.is_empty() {
        return Err("the paper has no title; wanted title and abstract".into());
    }
    let (id, also) = ids(&fields.ids, &fields.also, &title)?;
    let published = published(&fields.published, unread);
    let mut categories = tidy_all(&fields.categories);
    let mut seen = HashSet::new();
    categories.retain(|category| seen.insert(category.to_lowercase()));
    let tidy_text = |text: Option<String>| text.map(|text| tidy(&text)).filter(|text| !text.is_empty());
    let url = fields.url.map(|url| collapse_whitespace(&url)).filter(|url| !url.is_empty());
    Ok(Paper {
        url: url.or_else(|| id.url()),
        id,
        title,
        r#abstract: tidy(fields.r#abstract.as_deref().unwrap_or_default()),
        authors: tidy_all(&fields.authors),
        published,
        categories,
        venue: tidy_text(fields.venue),
        source: tidy_text(fields.source),
        also,
        withdrawn: fields.withdrawn,
    })
}

/// What a paper is called, and its other ids. One of those that cannot be read is nobody's loss.
fn ids(written: &[String], also: &[String], title: &str) -> Result<(PaperId, Vec<PaperId>), String> {
    let mut ids: Vec<PaperId> = Vec::new();
    for (place, id) in written.iter().enumerate() {
        match PaperId::parse(id) {
            Ok(id) if ids.is_empty() || id.is_known_everywhere() => ids.push(id),
            Err(wrong) if place == 0 => return Err(wrong),
            _ => {}
        }
    }
    let first = ids.iter().position(|id| id.kind() == Kind::Arxiv).unwrap_or_default();
    let id = if ids.is_empty() { PaperId::from_title(title)? } else { ids.remove(first) };
    ids.extend(also.iter().filter_map(|id| PaperId::parse(id).ok()));
    let mut seen = HashSet::from([id.clone()]);
    ids.retain(|other| seen.insert(other.clone()));
    ids.truncate(MOST_IDS);
    Ok((id, ids))
}

/// Says that a source has taken a paper out.
pub fn deleted(id: &str, source: Option<&str>) -> Result<Deleted, String> {
    Ok(Deleted { id: PaperId::parse(id)?, source: source.map(str::to_string) })
}

fn tidy(text: &str) -> String {
    let plain = plain(text);
    let is_readable = plain.len() <= LONGEST_READABLE;
    let tidy = if is_readable { collapse_whitespace(&readable(&plain)) } else { String::new() };
    // One that is nothing but LaTeX is better than none.
    if tidy.is_empty() { collapse_whitespace(&plain) } else { tidy }
}

/// The first date that has a year. What could not be read, or only in part, is noted.
fn published(dates: &[String], unread: &Unread) -> Option<String> {
    let mut dates = dates.iter().filter(|date| !date.trim().is_empty()).peekable();
    let first = *dates.peek()?;
    let Some((written, date)) = dates.find_map(|written| Some((written, read_date(written)?))) else {
        unread.note("published: no date", first);
        return None;
    };
    if written != first {
        unread.note("published: no date", first);
    } else if parse_date(written).is_err() && says_more(written, &date) {
        unread.note("published: read in part", written);
    }
    Some(date)
}

/// Whether more numbers are written than a date has, of which one is not written as one if the month is a name.
fn says_more(written: &str, date: &str) -> bool {
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

/// The year of a time that a name says, such as `2021` of `nips2021`.
pub fn year_in(text: &str) -> Option<String> {
    let digits = text.split(|character: char| !character.is_ascii_digit());
    let is_year = |digits: &&str| digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"));
    digits.rev().find(is_year).map(str::to_string)
}

/// Whether what authors say of their paper, beside it, is that they took it back.
pub fn says_withdrawn(comments: &str) -> bool {
    comments.split(['.', ';', ',']).any(is_withdrawal)
}

/// Whether a sentence, such as an abstract's first, says that its paper was taken back. One about medicines may say that
/// they were withdrawn, and one about a paper that it supersedes one that was.
pub fn is_withdrawal(text: &str) -> bool {
    const ABOUT: [&str; 5] = ["this", "the", "paper", "article", "submission"];
    const SAID: [&str; 6] = [
        "been withdrawn",
        "is withdrawn",
        "was withdrawn",
        "have withdrawn",
        "paper withdrawn",
        "being withdrawn",
    ];
    const ITSELF: [&str; 8] =
        ["paper", "article", "submission", "manuscript", "work", "preprint", "author", "version"];
    let text = text.trim_start_matches(|first: char| !first.is_alphanumeric());
    let sentence: String =
        text.split('.').next().unwrap_or_default().chars().take(200).collect::<String>().to_lowercase();
    if sentence.starts_with("withdrawn") {
        return true;
    }
    let first_words: Vec<&str> = sentence.split_whitespace().take(3).collect();
    let is_about = first_words.first().is_some_and(|first| ABOUT.contains(first))
        && first_words.iter().any(|word| ITSELF.iter().any(|itself| word.starts_with(itself)));
    is_about && SAID.iter().any(|said| sentence.contains(said))
}

/// Authors in one text: `A. One, B. Two and C. Three (Somewhere, Far)`.
pub fn split_authors(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let without_places: String = text
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
    let text = collapse_whitespace(&without_places);
    text.split([',', ';']).flat_map(|part| part.split(" and ")).map(|name| name.trim().to_string()).collect()
}

/// What a value is, as JSON calls it.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
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
    fn a_paper_is_called_by_arxivs_id_or_else_its_first() {
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
    fn withdrawals_are_told_from_papers_about_them() {
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
    fn authors_and_dates_are_read_as_far_as_they_can_be() {
        assert_eq!(
            split_authors("A. One (MIT, Boston), B. Two and C. Three"),
            ["A. One", "B. Two", "C. Three"]
        );
        let unread = Unread::default();
        let published = |dates: &[&str]| {
            published(&dates.iter().map(|date| date.to_string()).collect::<Vec<_>>(), &unread)
        };
        assert_eq!(published(&["2021-13-45"]).as_deref(), Some("2021"));
        assert_eq!(published(&[" ", "soon", "2020"]).as_deref(), Some("2020"));
        assert_eq!(published(&["soon"]), None);
        for whole in
            ["c2018", "May 2018", "Thu, 7 Jun 2018 10:11:12 GMT", "20180607", "1528329600", "2018/06"]
        {
            assert!(published(&[whole]).is_some(), "{whole}");
        }
        assert_eq!(published(&[]), None);
        let told = [
            "published: no date: 2 times, first \"soon\"",
            "published: read in part: once, first \"2021-13-45\"",
        ];
        assert_eq!(unread.lines(), told);
        assert_eq!((year_in("nips2018"), year_in("v12")), (Some("2018".into()), None));
    }
}
