//! What somebody typed, pasted or dropped → the examples it stands for.
//!
//! Its own file because one field, or one file, takes everything: a sentence, an abstract, several, ids and addresses of
//! papers, a bibliography. Reading it knows nothing of which papers there are.

use super::MAX_PAPERS;
use super::library::Library;
use likewise_papers::bibliography::{self, Entry};
use likewise_papers::latex::readable;
use likewise_papers::paper::{MAX_ID_BYTES, Paper, PaperId, collapse_whitespace};

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

/// What was read of a field or a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What it stands for.
    pub examples: Vec<Example>,
    /// Entries of a bibliography of which something could not be read: line, key, and what it was.
    pub not_read: Vec<String>,
    /// How many of them stand for nothing.
    pub lost: u64,
}

/// Reads a field. Parts with empty lines between them are examples of their own. Of a bibliography no entry of which can be
/// read, nothing but what is wrong with it.
pub fn read(text: &str) -> Reading {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !bibliography::is_one(text) {
        return Reading { examples: parts(text), ..Reading::default() };
    }
    let mut read = Reading::default();
    for entry in bibliography::entries(text) {
        let example = example(&entry);
        let is_lost = example.is_none();
        let lost = is_lost.then(|| "it has no title and no id that is known everywhere".to_string());
        let wrong: Vec<String> = [entry.wrong.clone(), lost].into_iter().flatten().collect();
        if !wrong.is_empty() {
            let key = if entry.key.is_empty() { "an entry without a key" } else { &entry.key };
            read.not_read.push(format!("line {}, {key}: {}", entry.line, wrong.join("; ")));
            read.lost += u64::from(is_lost);
        }
        read.examples.extend(example);
    }
    // A text that happens to have something like an entry in it.
    if read.examples.is_empty() && !text.trim_start().starts_with('@') {
        return Reading { examples: parts(text), ..Reading::default() };
    }
    read
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
        let words: Vec<&str> = part.split([' ', '\n', '\t', '\r']).flat_map(ids_apart).collect();
        match words.iter().map(|word| named(word)).collect::<Option<Vec<PaperId>>>() {
            Some(ids) => examples.extend(ids.into_iter().map(|id| Example::Paper(vec![id], None))),
            None => examples.push(own_names(collapse_whitespace(part), words.into_iter())),
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

/// The ids in a word with commas and semicolons in it. A DOI may have either, so that one begins another id only if that looks
/// like one.
fn ids_apart(word: &str) -> impl Iterator<Item = &str> {
    let has_doi = word.contains("10.") && word.contains('/');
    let mut rest = word;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ';']);
        let begins_id = |place: &usize| {
            let after = rest[*place..].trim_start_matches([',', ';', '(', '[', '<']);
            after.is_empty() || !has_doi || looks_like_id(after)
        };
        let end =
            rest.match_indices([',', ';']).map(|(place, _)| place).find(begins_id).unwrap_or(rest.len());
        let (one, after) = rest.split_at(end);
        rest = after;
        Some(one).filter(|one| !one.is_empty())
    })
}

/// Whether a text begins as an id does that is known everywhere.
fn looks_like_id(text: &str) -> bool {
    let starts = [
        "10.",
        "http:",
        "https:",
        "doi",
        "arxiv:",
        "pmid:",
        "pmcid:",
        "pmc",
        "corpusid:",
        "openalex:",
        "acl:",
    ];
    let lower = text.get(..9).unwrap_or(text).to_ascii_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    starts.iter().any(|start| lower.starts_with(start)) || (digits == 4 && text[digits..].starts_with('.'))
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
    let mut word = word.trim_start_matches(['(', '[', '<', '"', '\'', '{']).trim_end_matches(['"', '\'']);
    // A DOI may end in a bracket, if it has the other one, too.
    loop {
        let before = word;
        word = word.trim_end_matches(['.', ',', ';', '"', '\'']);
        for (open, close) in [('(', ')'), ('[', ']'), ('<', '>'), ('{', '}')] {
            if word.ends_with(close) && word.matches(close).count() > word.matches(open).count() {
                word = &word[..word.len() - 1];
            }
        }
        if word == before {
            break;
        }
    }
    let id = PaperId::parse(word).ok()?;
    // `2101` is a number, and `1.5` no id.
    if id.is_known_everywhere() { Some(id) } else { in_address(word) }
}

/// The DOI in the address of a publisher's page, such as `https://dl.acm.org/doi/abs/10.1145/1.2?download=true`.
fn in_address(word: &str) -> Option<PaperId> {
    /// What publishers put behind it.
    const BEHIND: [&str; 8] = ["/pdf", "/full", "/abstract", "/meta", "/html", "/epdf", ".pdf", ".html"];
    let (_, path) = word.split_once("://")?;
    let place = path.find("/10.").or_else(|| path.find("=10.").or_else(|| path.find("/10%2E")))? + 1;
    let mut doi = path[place..].split(['?', '#', '&']).next()?.trim_end_matches('/');
    while let Some(shorter) = BEHIND.iter().find_map(|behind| doi.strip_suffix(behind)) {
        doi = shorter;
    }
    let id = PaperId::parse(&format!("https://doi.org/{doi}")).ok()?;
    id.is_known_everywhere().then_some(id)
}

/// What an entry stands for: a paper by its ids, or its title and abstract.
fn example(entry: &Entry) -> Option<Example> {
    let field = |name: &str| {
        let text = readable(entry.field(name)?).replace(['{', '}'], "");
        Some(collapse_whitespace(&text)).filter(|text| !text.is_empty())
    };
    // What this program calls it, in a bibliography that it wrote.
    let own = field("likewise").and_then(|id| PaperId::parse(&id).ok());
    let id = |name: &&str| {
        // In a DOI no space means anything, but LaTeX may have made some of its signs.
        let id = field(name)?.replace(' ', "");
        named(&id).or_else(|| named(entry.field(name)?))
    };
    let numbered = |name: &str, before: &str| named(&format!("{before}{}", field(name)?));
    let ids = own.into_iter().chain(["eprint", "doi", "url"].iter().filter_map(id));
    let ids = ids.chain(numbered("pmid", "pmid:")).chain(numbered("pmcid", "pmcid:"));
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

    fn read(text: &str) -> Vec<Example> {
        super::read(text).examples
    }

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
                text("No end"),
                text("A Über book"),
            ]
        );
        assert_eq!(read("write to me@example.org {now}"), [text("write to me@example.org {now}")]);
        assert_eq!(read("@misc{b, title = {unclosed"), [text("unclosed")]);
        assert_eq!(read("@misc{b, note = {unclosed"), [], "its source is no text to ask by");
        let own = "@misc{bee2021, title = {Bees}, likewise = {www2025/zef}}";
        assert_eq!(
            read(own),
            [Example::Paper(vec![PaperId::parse("www2025/zef").unwrap()], Some("Bees".into()))]
        );
    }

    #[test]
    fn a_doi_is_found_however_it_is_pasted() {
        let sici = "10.1002/(sici)1097-4571(199009)41:6<391::aid-asi1>3.0.co;2-9";
        for pasted in [
            "10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9",
            "https://doi.org/10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9",
            "https://doi.org/10.1002/(SICI)1097-4571(199009)41:6%3C391::AID-ASI1%3E3.0.CO;2-9.",
            "<https://doi.org/10.1002/(SICI)1097-4571(199009)41:6%3C391::AID-ASI1%3E3.0.CO%3B2-9?ref=x>",
            "https://onlinelibrary.wiley.com/doi/abs/10.1002/(SICI)1097-4571(199009)41:6%3C391::AID-ASI1%3E3.0.CO;2-9",
            "@article{a, doi = {10.1002/(SICI)1097-4571(199009)41:6{$<$}391::AID-ASI1{$>$}3.0.CO;2-9}}",
            "@article{a, doi = {10.1002/(SICI)1097-4571(199009)41:6{\\textless}391::AID-ASI1{\\textgreater}3.0.CO;2-9}}",
        ] {
            assert_eq!(read(pasted), [paper(sici)], "{pasted}");
        }
        for (pasted, wanted) in [
            ("10.1016%2F0022-2836%2881%2990087-5", "10.1016/0022-2836(81)90087-5"),
            ("[10.1000/a[1]]", "10.1000/a[1]"),
            ("doi:10.1000/x.", "10.1000/x"),
            ("https://dl.acm.org/doi/pdf/10.1145/1.2?download=true", "10.1145/1.2"),
            ("https://link.springer.com/article/10.1007/s1-2#Sec1", "10.1007/s1-2"),
            ("@article{a, doi = {10.1007/978-3-540-74976-9\\_8}}", "10.1007/978-3-540-74976-9_8"),
            ("@article{a, url = {https://doi.org/10.1007%2Fx}}", "10.1007/x"),
        ] {
            assert_eq!(read(pasted), [paper(wanted)], "{pasted}");
        }
        assert_eq!(
            read("10.1000/a;10.1000/b,2101.00001;"),
            [paper("10.1000/a"), paper("10.1000/b"), paper("2101.00001")]
        );
    }

    #[test]
    fn an_entry_that_is_lost_is_told_with_its_key_and_line() {
        let bib = "\u{feff}@article{a, title={One}}\n@misc{empty, note={x}}\n@article{open, doi={10.1000/x},\n title={No end\n";
        let Reading { examples, not_read, lost } = super::read(bib);
        assert_eq!((examples.len(), lost), (2, 1), "{examples:?}");
        assert!(not_read[0].starts_with("line 2, empty: it has no title"), "{not_read:?}");
        assert!(not_read[1].starts_with("line 3, open: the value of title is not closed"), "{not_read:?}");
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
