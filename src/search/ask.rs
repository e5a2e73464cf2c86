//! What somebody typed, pasted or dropped → the examples it stands for.
//!
//! Its own file because one field, or one file, takes everything: a sentence, an abstract, several, ids and addresses of
//! papers, a bibliography. Reading it knows nothing of which papers there are.

use super::MAX_PAPERS;
use super::library::Library;
use biblatex::{RawBibliography, RawChunk, RawEntry};
use likewise_papers::latex::readable;
use likewise_papers::paper::{MAX_ID_BYTES, Paper, PaperId, collapse_whitespace};

/// Bytes of a field of a bibliography that are read: more than any abstract has.
const FIELD_BYTES: usize = 16_000;

/// Most words of one part that are looked up.
const MOST_IDS: usize = 10 * MAX_PAPERS;

/// Something that papers should be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Example {
    /// A text.
    Text(String),
    /// A paper, by ids any of which may be known here; and what can be said of it if none is.
    Paper(Vec<PaperId>, Option<String>),
    /// Words each of which may be what somebody calls a paper; a text, if none of them is known here.
    Words(Vec<PaperId>, String),
}

/// What examples stand for, among the papers of a library.
#[derive(Debug, Default)]
pub struct List {
    /// Papers that are here, each once.
    pub papers: Vec<String>,
    /// Texts, and those of papers that are not here.
    pub texts: Vec<String>,
    /// Papers that are not here, and of which nothing else is said.
    pub missing: Vec<String>,
}

impl List {
    /// Looks examples up.
    ///
    /// # Errors
    /// As [`Library::paper_if_here`].
    pub fn of(examples: Vec<Example>, library: &Library) -> crate::Result<List> {
        let mut list = List::default();
        let here = |ids: &[PaperId]| {
            let mut found = ids.iter().map(|id| library.paper_if_here(id.as_str()));
            found.find_map(Result::transpose).transpose()
        };
        for example in examples {
            match example {
                Example::Text(text) => list.texts.push(text),
                Example::Paper(ids, text) => list.add(here(&ids)?, ids.first(), text),
                Example::Words(ids, text) => {
                    let found: Vec<Option<Paper>> =
                        ids.iter().map(|id| here(std::slice::from_ref(id))).collect::<crate::Result<_>>()?;
                    if found.iter().all(Option::is_none) {
                        list.texts.push(text);
                        continue;
                    }
                    found.into_iter().zip(&ids).for_each(|(paper, id)| list.add(paper, Some(id), None));
                }
            }
        }
        Ok(list)
    }

    /// Adds a paper, or what is said of one that is not here.
    fn add(&mut self, here: Option<Paper>, id: Option<&PaperId>, text: Option<String>) {
        match (here, text) {
            (Some(paper), _) if self.papers.iter().any(|id| id == paper.id.as_str()) => {}
            (Some(paper), _) => self.papers.push(paper.id.to_string()),
            (None, Some(text)) => self.texts.push(text),
            (None, None) => self.missing.extend(id.map(ToString::to_string)),
        }
    }
}

/// Reads a field. Parts with empty lines between them are examples of their own. Of a bibliography no entry of which can be
/// read, nothing.
pub fn read(text: &str) -> Vec<Example> {
    let entries = bibliography(text);
    if entries.is_empty() && !starts_entry(text.trim_start()) { parts(text) } else { entries }
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
        match words.clone().map(named).collect::<Option<Vec<PaperId>>>() {
            Some(ids) => examples.extend(ids.into_iter().map(|id| Example::Paper(vec![id], None))),
            None => examples.push(own_names(collapse_whitespace(part), words)),
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

/// A text, unless each of several words may be an id of somebody's own: no word of a language has a digit, or a stroke.
fn own_names<'a>(text: String, words: impl Iterator<Item = &'a str>) -> Example {
    let may_be_id = |word: &'a str| {
        let id = PaperId::parse(word).ok();
        id.filter(|_| {
            word.len() <= MAX_ID_BYTES
                && word.contains(|letter: char| letter == '/' || letter.is_ascii_digit())
        })
    };
    let ids: Option<Vec<PaperId>> = words.map(may_be_id).collect();
    match ids.filter(|ids| (2..=MOST_IDS).contains(&ids.len())) {
        Some(ids) => Example::Words(ids, text),
        None => Example::Text(text),
    }
}

/// The paper that a word names wherever it stands: an arXiv id, a DOI, an address that has one.
fn named(word: &str) -> Option<PaperId> {
    // An address is longer than the id in it.
    if word.len() > 2 * MAX_ID_BYTES {
        return None;
    }
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

/// The entries of BibTeX, each by itself: one that is broken is none, and the others are. Nothing in them is resolved, no
/// cross reference and no abbreviation: both may lead round in circles, or grow without end.
fn bibliography(text: &str) -> Vec<Example> {
    let mut starts = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if starts_entry(line.trim_start()) {
            starts.push(line_start + indent);
        }
        line_start += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let entries = starts.iter().zip(ends).filter_map(|(start, end)| {
        let bibliography = RawBibliography::parse(&text[*start..end]).ok()?;
        bibliography.entries.first().and_then(|entry| example(&entry.v))
    });
    entries.collect()
}

/// Whether a line begins an entry: `@article{`.
fn starts_entry(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('@') else { return false };
    let kind = rest.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    kind.len() < rest.len() && kind.trim_start_matches([' ', '\t']).starts_with(['{', '('])
}

fn example(entry: &RawEntry) -> Option<Example> {
    let field = |name: &str| {
        let pair = entry.fields.iter().find(|pair| pair.key.v.eq_ignore_ascii_case(name))?;
        let chunks = pair.value.v.iter().filter_map(|chunk| match chunk.v {
            RawChunk::Normal(text) => Some(text),
            RawChunk::Abbreviation(_) => None,
        });
        let text: String = chunks.collect();
        let text = readable(&text[..text.floor_char_boundary(FIELD_BYTES)]).replace(['{', '}'], "");
        Some(collapse_whitespace(&text)).filter(|text| !text.is_empty())
    };
    // What this program calls it, in a bibliography that it wrote.
    let own = field("likewise").and_then(|id| PaperId::parse(&id).ok());
    let ids = ["eprint", "doi", "url"].iter().filter_map(|name| field(name)).filter_map(|id| named(&id));
    let ids = own.into_iter().chain(ids);
    let text = field("title").map(|title| match field("abstract") {
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
    fn somebodys_own_ids_are_looked_up() {
        let id = |id: &str| PaperId::parse(id).unwrap();
        assert_eq!(
            read("www2025/zef\nwww2025/zc1, bee7"),
            [Example::Words(
                vec![id("www2025/zef"), id("www2025/zc1"), id("bee7")],
                "www2025/zef www2025/zc1, bee7".into()
            )]
        );
        assert_eq!(read("bees of 2021"), [text("bees of 2021")]);
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
        assert_eq!(read("@misc{b, title = {unclosed"), [], "its source is no text to ask by");
        let own = "@misc{bee2021, title = {Bees}, likewise = {www2025/zef}}";
        assert_eq!(
            read(own),
            [Example::Paper(vec![PaperId::parse("www2025/zef").unwrap()], Some("Bees".into()))]
        );
    }

    #[test]
    fn hostile_text_takes_no_time_and_no_stack() {
        let bib = |body: String| format!("@misc{{a, title = {{Bees}}, {body}}}");
        let strings: String =
            (0..30).map(|n| format!("@string{{s{} = s{n}#s{n}#s{n}#s{n}}}\n", n + 1)).collect();
        let deep = |open: &str| format!("{}x{}", open.repeat(100_000), "}".repeat(100_000));
        let started = std::time::Instant::now();
        for hostile in [
            bib("crossref={a}".into()),
            bib("xdata={a}".into()),
            format!("@misc{{k, title = a}}\n@string{{a = a}}\n{strings}@misc{{a, title=s30}}"),
            bib(format!("abstract={{{}}}", deep("{"))),
            bib(format!("abstract={{{}}}", deep("\\a{"))),
            "@".repeat(400_000),
            "@a".repeat(200_000),
            "@a\n".repeat(200_000),
            format!("10.1000/x{}", ")".repeat(200_000)),
            "10.1000/x) ".repeat(50_000),
            "\n\n".repeat(200_000),
            "(".repeat(200_000),
        ] {
            read(&hostile);
        }
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
