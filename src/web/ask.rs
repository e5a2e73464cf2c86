//! What somebody typed, pasted or dropped → the examples it stands for.
//!
//! Its own file because one field takes everything: a sentence, an abstract, several, ids and addresses of papers, a
//! bibliography. Nothing here knows which papers there are.

use crate::paper::{PaperId, collapse_whitespace};
use biblatex::{Bibliography, ChunksExt, Entry};

/// Most examples that are taken of one field.
pub const MOST: usize = 200;

/// Something that papers should be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Example {
    /// A text.
    Text(String),
    /// A paper, by ids any of which may be known here; and what can be said of it if none is.
    Paper(Vec<PaperId>, Option<String>),
}

/// Reads a field. Parts with empty lines between them are examples of their own.
pub fn read(text: &str) -> Vec<Example> {
    let entries = bibliography(text);
    let mut examples = if entries.is_empty() { parts(text) } else { entries };
    examples.truncate(MOST);
    examples
}

/// Whether that is text, as far as one can tell: a PDF that was dropped is none.
pub fn is_text(text: &str) -> bool {
    let lost = text.chars().filter(|character| *character == char::REPLACEMENT_CHARACTER).count();
    !text.starts_with("%PDF-") && !text.contains('\0') && lost * 20 <= text.len()
}

fn parts(text: &str) -> Vec<Example> {
    let text = text.replace("\r\n", "\n");
    let mut examples = Vec::new();
    for part in text.split("\n\n").map(str::trim).filter(|part| !part.is_empty()) {
        let words = part.split([' ', '\n', '\t', ',', ';']).filter(|word| !word.is_empty());
        match words.map(named).collect::<Option<Vec<PaperId>>>() {
            Some(ids) => examples.extend(ids.into_iter().map(|id| Example::Paper(vec![id], None))),
            None => examples.push(Example::Text(collapse_whitespace(part))),
        }
    }
    // One word may be anybody's id for a paper; if it is not, it is a word, but for an address, which says nothing.
    if let [Example::Text(word)] = &examples[..]
        && !word.contains(' ')
        && let Ok(id) = PaperId::parse(word)
    {
        let is_address = ["http://", "https://"].iter().any(|scheme| word.starts_with(scheme));
        return vec![Example::Paper(vec![id], Some(word.clone()).filter(|_| !is_address))];
    }
    examples
}

/// The paper that a word names wherever it stands: an arXiv id, a DOI, an address that has one.
fn named(word: &str) -> Option<PaperId> {
    let mut word =
        word.trim_start_matches(['(', '[', '<', '"', '\'']).trim_end_matches(['.', ']', '>', '"', '\'']);
    // A DOI may end in a bracket, if it has the other one, too.
    while word.ends_with(')') && word.matches(')').count() > word.matches('(').count() {
        word = word[..word.len() - 1].trim_end_matches('.');
    }
    let id = PaperId::parse(word).ok()?;
    // `2101` is a number, and `1.5` no id.
    id.is_known_everywhere().then_some(id)
}

/// The entries of BibTeX, each by itself: one that is broken is none, and the others are.
fn bibliography(text: &str) -> Vec<Example> {
    let starts: Vec<usize> =
        text.match_indices('@').map(|(place, _)| place).filter(|place| starts_entry(text, *place)).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let entries = starts.iter().zip(ends).take(MOST).filter_map(|(start, end)| {
        let bibliography = Bibliography::parse(&text[*start..end]).ok()?;
        bibliography.iter().next().and_then(example)
    });
    entries.collect()
}

/// Whether an `@` begins a line and an entry: `@article{`.
fn starts_entry(text: &str, place: usize) -> bool {
    let before = text[..place].rsplit('\n').next().unwrap_or_default();
    let kind = text[place + 1..].split(['{', '(']).next().unwrap_or_default();
    let is_kind = !kind.trim().is_empty() && kind.trim().bytes().all(|byte| byte.is_ascii_alphabetic());
    before.trim().is_empty() && is_kind && text.len() > place + 1 + kind.len()
}

fn example(entry: &Entry) -> Option<Example> {
    let field = |name: &str| entry.get(name).map(|chunks| collapse_whitespace(&chunks.format_verbatim()));
    let ids = ["eprint", "doi", "url"].iter().filter_map(|name| field(name)).filter_map(|id| named(&id));
    let title = field("title").filter(|title| !title.is_empty());
    let text = title.map(|title| match field("abstract") {
        Some(text) => format!("{title}. {text}"),
        None => title,
    });
    let ids: Vec<PaperId> = ids.collect();
    match (ids.is_empty(), text) {
        (false, text) => Some(Example::Paper(ids, text)),
        (true, Some(text)) => Some(Example::Text(text)),
        (true, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(id: &str) -> Example {
        Example::Paper(vec![PaperId::parse(id).unwrap()], None)
    }

    fn text(text: &str) -> Example {
        Example::Text(text.into())
    }

    #[test]
    fn ids_are_told_from_texts() {
        assert_eq!(read("arXiv:2101.11408v2"), [paper("2101.11408")]);
        assert_eq!(read(" https://arxiv.org/abs/2101.11408 \n"), [paper("2101.11408")]);
        assert_eq!(read("doi:10.1000/X, 2101.11408;"), [paper("10.1000/x"), paper("2101.11408")]);
        assert_eq!(read("(https://doi.org/10.1000/x)."), [paper("10.1000/x")]);
        assert_eq!(read("10.1000/x(99)"), [paper("10.1000/x(99)")]);
        assert_eq!(read("as in 2101.11408 of 2021"), [text("as in 2101.11408 of 2021")]);
        assert_eq!(read("l/1"), [Example::Paper(vec![PaperId::parse("l/1").unwrap()], Some("l/1".into()))]);
        assert!(read(" \n\n \r\n").is_empty());
        let address = "https://openreview.net/forum?id=x";
        assert_eq!(read(address), [paper(address)], "which says nothing by itself");
        assert!(is_text("caf\u{fffd} in the abstract of a file that was read in another encoding"));
        assert!(
            !is_text("%PDF-1.7 and so on") && !is_text("PK\u{3}\u{4}\0") && !is_text("\u{fffd}\u{fffd} ab")
        );
    }

    #[test]
    fn parts_are_examples_of_their_own() {
        assert_eq!(
            read("One abstract,\nof two lines.\r\n\r\nAnother.\n\n\n2101.11408 9901.00001"),
            [text("One abstract, of two lines."), text("Another."), paper("2101.11408"), paper("9901.00001")]
        );
    }

    #[test]
    fn a_bibliography_is_its_papers() {
        let bib = "% mine\n@article{a, title = {Bees that {Count}}, doi={10.1000/X},\n abstract=\"We @ count.\"}\n\
                   @misc{b, title={On Knots}, eprint = {2101.11408}, archiveprefix={arXiv}}\n\
                   @article{broken, title={No end\n@book{c, title={A \\\"Uber book}}\n@string{x = {y}}";
        assert_eq!(
            read(bib),
            [
                Example::Paper(
                    vec![PaperId::parse("10.1000/x").unwrap()],
                    Some("Bees that Count. We @ count.".into())
                ),
                Example::Paper(vec![PaperId::parse("2101.11408").unwrap()], Some("On Knots".into())),
                text("A Über book"),
            ]
        );
        assert_eq!(read("write to me@example.org {now}"), [text("write to me@example.org {now}")]);
    }
}
