//! Parses the free-form text of the search field, or of a file, into examples.
//!
//! The text can be a sentence, one or several abstracts, ids or URLs of papers, or a BibTeX bibliography. Parsing does
//! not depend on the papers in a library; [`ResolvedExamples`] looks the papers up.

use super::MAX_PAPERS;
use super::library::Library;
use likewise_papers::bibliography::{self, BibEntry};
use likewise_papers::latex::to_unicode;
use likewise_papers::paper::{MAX_ID_BYTES, Paper, PaperId, collapse_whitespace};

/// Maximum number of words of a part that can be a list of custom ids. A part with more words is a text, unless all
/// words are global ids: their number has no limit.
const MAX_IDS: usize = 10 * MAX_PAPERS;

/// One example of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedExample {
    /// A text.
    Text(String),
    /// A paper: its ids, and its text if the input has one. The text is used if the library knows none of the ids.
    Paper(Vec<PaperId>, Option<String>),
    /// Words that are possibly all ids of papers, and at least one of which is not a global id; and the same words as
    /// one text. The text is used if the library knows none of the ids.
    PossibleIds(Vec<PaperId>, String),
}

/// Parsed examples after looking them up in a library.
#[derive(Debug, Default)]
pub struct ResolvedExamples {
    /// Ids of papers in the library, without repetition.
    pub papers: Vec<String>,
    /// Texts, including the texts of papers that the library lacks.
    pub texts: Vec<String>,
    /// Ids of papers that the library lacks and that have no text in the input; one id for each paper.
    pub missing: Vec<String>,
}

impl ResolvedExamples {
    /// Looks examples up in a library.
    ///
    /// # Errors
    /// Returns the errors of [`Library::find_paper`].
    pub fn of(examples: Vec<ParsedExample>, library: &Library) -> crate::Result<ResolvedExamples> {
        let mut resolved = ResolvedExamples::default();
        let find = |ids: &[PaperId]| {
            let mut found = ids.iter().map(|id| library.find_paper(id.as_str()));
            found.find_map(Result::transpose).transpose()
        };
        for example in examples {
            match example {
                ParsedExample::Text(text) => resolved.texts.push(text),
                ParsedExample::Paper(ids, text) => resolved.add(find(&ids)?, ids.first(), text),
                ParsedExample::PossibleIds(ids, text) => {
                    let found: Vec<Option<Paper>> =
                        ids.iter().map(|id| find(std::slice::from_ref(id))).collect::<crate::Result<_>>()?;
                    if found.iter().all(Option::is_none) {
                        resolved.texts.push(text);
                        continue;
                    }
                    found.into_iter().zip(&ids).for_each(|(paper, id)| resolved.add(paper, Some(id), None));
                }
            }
        }
        Ok(resolved)
    }

    /// Adds a paper of the library. If `found` is `None`, adds the text or, without a text, adds the id to `missing`.
    fn add(&mut self, found: Option<Paper>, id: Option<&PaperId>, text: Option<String>) {
        match (found, text) {
            (Some(paper), _) if self.papers.iter().any(|id| id == paper.id.as_str()) => {}
            (Some(paper), _) => self.papers.push(paper.id.to_string()),
            (None, Some(text)) => self.texts.push(text),
            (None, None) => self.missing.extend(id.map(ToString::to_string)),
        }
    }
}

/// The result of parsing input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedInput {
    /// The examples.
    pub examples: Vec<ParsedExample>,
    /// A message for each bibliography entry with a problem: the line and the key of the entry, and the problem.
    pub problems: Vec<String>,
    /// Number of bibliography entries that give no example.
    pub skipped: u64,
}

/// Parses input. In a text with BibTeX entries, each entry with a title or a global id gives an example. In any other
/// text, parts that are separated by empty lines are separate examples. If the entries give no example, a text that
/// begins with `@` gives only problems, and any other text is parsed as if it had no entries.
pub fn parse(text: &str) -> ParsedInput {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !bibliography::is_bibliography(text) {
        return ParsedInput { examples: parts(text), ..ParsedInput::default() };
    }
    let mut parsed = ParsedInput::default();
    for entry in bibliography::entries(text) {
        let example = example(&entry);
        let is_skipped = example.is_none();
        let skipped = is_skipped
            .then(|| "the entry has no title and no global id, such as an arXiv id or a DOI".to_string());
        let problems: Vec<String> = [entry.problem.clone(), skipped].into_iter().flatten().collect();
        if !problems.is_empty() {
            let key = if entry.key.is_empty() { "an entry without a key" } else { &entry.key };
            parsed.problems.push(format!("line {}, {key}: {}", entry.line, problems.join("; ")));
            parsed.skipped += u64::from(is_skipped);
        }
        parsed.examples.extend(example);
    }
    // The text contains something like a bibliography entry, but is not a bibliography.
    if parsed.examples.is_empty() && !text.trim_start().starts_with('@') {
        return ParsedInput { examples: parts(text), ..ParsedInput::default() };
    }
    parsed
}

/// Whether the content of a file appears to be text and not, for example, a PDF.
pub fn is_text(text: &str) -> bool {
    let replaced = text.chars().filter(|character| *character == char::REPLACEMENT_CHARACTER).count();
    !text.starts_with("%PDF-") && !text.contains('\0') && replaced * 20 <= text.len()
}

/// Splits a text at empty lines. Consecutive paragraphs that each consist of one possible id are one list of ids, so
/// that unknown ids among known ones are reported.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut is_id_list = false;
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        let is_id = !paragraph.contains(char::is_whitespace) && possible_id(paragraph).is_some();
        match paragraphs.last_mut().filter(|_| is_id && is_id_list) {
            Some(list) => list.extend(["\n", paragraph]),
            None => paragraphs.push(paragraph.into()),
        }
        is_id_list = is_id;
    }
    paragraphs
}

fn parts(text: &str) -> Vec<ParsedExample> {
    let text = text.replace("\r\n", "\n");
    let mut examples = Vec::new();
    for part in paragraphs(&text) {
        let words: Vec<&str> = part.split([' ', '\n', '\t', '\r']).flat_map(split_ids).collect();
        match words.iter().map(|word| global_id(word)).collect::<Option<Vec<PaperId>>>() {
            Some(ids) => examples.extend(ids.into_iter().map(|id| ParsedExample::Paper(vec![id], None))),
            None => examples.push(text_or_ids(collapse_whitespace(&part), words.into_iter())),
        }
    }
    // A single word can be a custom id. If the library does not know the id, the word is a text, unless it is a URL.
    let single = match &examples[..] {
        [ParsedExample::Text(word)] => Some(word),
        [ParsedExample::PossibleIds(ids, word)] if ids.len() == 1 => Some(word),
        _ => None,
    };
    if let Some(word) = single
        && !word.contains(' ')
        && let Ok(id) = PaperId::parse(word)
    {
        let is_url = ["http://", "https://"].iter().any(|scheme| word.starts_with(scheme));
        return vec![ParsedExample::Paper(vec![id], Some(word.clone()).filter(|_| !is_url))];
    }
    examples
}

/// Splits a word at commas and semicolons. A DOI can contain commas and semicolons, so a word with a DOI is split only
/// where another id begins.
fn split_ids(word: &str) -> impl Iterator<Item = &str> {
    let has_doi = word.contains("10.") && word.contains('/');
    let mut rest = word;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ';']);
        let is_boundary = |index: &usize| {
            let after = rest[*index..].trim_start_matches([',', ';', '(', '[', '<']);
            after.is_empty() || !has_doi || looks_like_id(after)
        };
        let end =
            rest.match_indices([',', ';']).map(|(index, _)| index).find(is_boundary).unwrap_or(rest.len());
        let (one, after) = rest.split_at(end);
        rest = after;
        Some(one).filter(|one| !one.is_empty())
    })
}

/// Whether a text begins like a global id or a URL.
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

/// Returns the id that a word can be: it has a digit or a slash, which ordinary words do not have.
fn possible_id(word: &str) -> Option<PaperId> {
    let id = PaperId::parse(word).ok();
    id.filter(|_| {
        word.len() <= MAX_ID_BYTES && word.contains(|letter: char| letter == '/' || letter.is_ascii_digit())
    })
}

/// Returns possible ids if every word can be an id and there are at most [`MAX_IDS`] words; otherwise returns the text.
fn text_or_ids<'a>(text: String, words: impl Iterator<Item = &'a str>) -> ParsedExample {
    let ids: Option<Vec<PaperId>> = words.map(possible_id).collect();
    match ids.filter(|ids| (1..=MAX_IDS).contains(&ids.len())) {
        Some(ids) => ParsedExample::PossibleIds(ids, text),
        None => ParsedExample::Text(text),
    }
}

/// Parses a word that is a global id, such as an arXiv id or a DOI, or that is a URL with a global id in it.
fn global_id(word: &str) -> Option<PaperId> {
    // The limit is twice the maximum length of an id, because a URL is longer than the id in it.
    if word.len() > 2 * MAX_ID_BYTES {
        return None;
    }
    let mut word = word.trim_start_matches(['(', '[', '<', '"', '\'', '{']).trim_end_matches(['"', '\'']);
    // A closing bracket at the end belongs to a DOI only if the DOI contains the opening bracket.
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
    // `2101` and `1.5` can be parsed as ids, but are numbers.
    if id.is_global() { Some(id) } else { doi_in_url(word) }
}

/// The DOI in the URL of a publisher's page, such as `https://dl.acm.org/doi/abs/10.1145/1.2?download=true`.
fn doi_in_url(word: &str) -> Option<PaperId> {
    /// Endings that publishers append to a DOI.
    const SUFFIXES: [&str; 8] = ["/pdf", "/full", "/abstract", "/meta", "/html", "/epdf", ".pdf", ".html"];
    let (_, path) = word.split_once("://")?;
    let start = path.find("/10.").or_else(|| path.find("=10.").or_else(|| path.find("/10%2E")))? + 1;
    let mut doi = path[start..].split(['?', '#', '&']).next()?.trim_end_matches('/');
    while let Some(shorter) = SUFFIXES.iter().find_map(|suffix| doi.strip_suffix(suffix)) {
        doi = shorter;
    }
    let id = PaperId::parse(&format!("https://doi.org/{doi}")).ok()?;
    id.is_global().then_some(id)
}

/// Converts a bibliography entry to an example: a paper with the entry's ids, title and abstract or, without ids, the
/// text of its title and abstract. `None` if the entry has neither an id nor a title.
fn example(entry: &BibEntry) -> Option<ParsedExample> {
    let field = |name: &str| {
        let text = to_unicode(entry.field(name)?).replace(['{', '}'], "");
        Some(collapse_whitespace(&text)).filter(|text| !text.is_empty())
    };
    // Bibliographies that likewise exports have this field.
    let own = field("likewise").and_then(|id| PaperId::parse(&id).ok());
    let id = |name: &&str| {
        // Spaces in a DOI are removed: they come from LaTeX commands for the DOI's special characters.
        let id = field(name)?.replace(' ', "");
        global_id(&id).or_else(|| global_id(entry.field(name)?))
    };
    let numbered = |name: &str, prefix: &str| global_id(&format!("{prefix}{}", field(name)?));
    let ids = own.into_iter().chain(["eprint", "doi", "url"].iter().filter_map(id));
    let ids = ids.chain(numbered("pmid", "pmid:")).chain(numbered("pmcid", "pmcid:"));
    let text = field("title").map(|title| match field("abstract") {
        Some(text) => format!("{title}. {text}"),
        None => title,
    });
    let ids: Vec<PaperId> = ids.collect();
    match (ids.is_empty(), text) {
        (false, text) => Some(ParsedExample::Paper(ids, text)),
        (true, Some(text)) => Some(ParsedExample::Text(text)),
        (true, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<ParsedExample> {
        parse(text).examples
    }

    fn paper(id: &str) -> ParsedExample {
        ParsedExample::Paper(vec![PaperId::parse(id).unwrap()], None)
    }

    fn text(text: &str) -> ParsedExample {
        ParsedExample::Text(text.into())
    }

    #[test]
    fn global_ids_and_texts_are_distinguished() {
        assert_eq!(read("arXiv:2101.11408v2"), [paper("2101.11408")]);
        assert_eq!(read(" https://arxiv.org/abs/2101.11408 \n"), [paper("2101.11408")]);
        assert_eq!(read("doi:10.1000/X, 2101.11408;"), [paper("10.1000/x"), paper("2101.11408")]);
        assert_eq!(read("(https://doi.org/10.1000/x)."), [paper("10.1000/x")]);
        assert_eq!(read("10.1000/x(99)"), [paper("10.1000/x(99)")]);
        assert_eq!(read("as in 2101.11408 of 2021"), [text("as in 2101.11408 of 2021")]);
        assert_eq!(
            read("l/1"),
            [ParsedExample::Paper(vec![PaperId::parse("l/1").unwrap()], Some("l/1".into()))]
        );
        assert!(read(" \n\n \r\n").is_empty());
        let address = "https://openreview.net/forum?id=x";
        assert_eq!(read(address), [paper(address)], "a URL is not searched for as a text");
        assert!(is_text("caf\u{fffd} in the abstract of a file that was read in another encoding"));
        assert!(
            !is_text("%PDF-1.7 and so on") && !is_text("PK\u{3}\u{4}\0") && !is_text("\u{fffd}\u{fffd} ab")
        );
    }

    #[test]
    fn words_with_digits_or_slashes_are_possible_ids() {
        let id = |id: &str| PaperId::parse(id).unwrap();
        assert_eq!(
            read("www2025/zef\nwww2025/zc1, bee7"),
            [ParsedExample::PossibleIds(
                vec![id("www2025/zef"), id("www2025/zc1"), id("bee7")],
                "www2025/zef www2025/zc1, bee7".into()
            )]
        );
        assert_eq!(read("bees of 2021"), [text("bees of 2021")]);
    }

    #[test]
    fn ids_in_paragraphs_of_their_own_are_possible_ids() {
        let ids = |words: &[&str]| {
            let ids = words.iter().map(|word| PaperId::parse(word).unwrap()).collect();
            ParsedExample::PossibleIds(ids, words.join(" "))
        };
        assert_eq!(read("lab/1\n\nlab/2\n\n\nP9\n"), [ids(&["lab/1", "lab/2", "P9"])]);
        assert_eq!(
            read("P1\n\nAnts find short paths.\n\nP2"),
            [ids(&["P1"]), text("Ants find short paths."), ids(&["P2"])]
        );
        assert_eq!(read("bees\n\nknots"), [text("bees"), text("knots")], "words are separate texts");
    }

    #[test]
    fn parts_between_blank_lines_are_separate_examples() {
        assert_eq!(
            read("One abstract,\nof two lines.\r\n\r\nAnother.\n\n\n2101.11408 9901.00001"),
            [text("One abstract, of two lines."), text("Another."), paper("2101.11408"), paper("9901.00001")]
        );
    }

    #[test]
    fn bibliography_entries_are_papers_or_texts() {
        let bib = "% mine\n@article{a, title = {Bees that {Count}}, doi={10.1000/X},\n abstract=\"We @ count.\"}\n\
                   @misc{b, title={On Knots}, eprint = {2101.11408}, archiveprefix={arXiv}}\n\
                   @article{broken, title={No end\n@book{c, title={A \\\"Uber book}}\n@string{x = {y}}";
        assert_eq!(
            read(bib),
            [
                ParsedExample::Paper(
                    vec![PaperId::parse("10.1000/x").unwrap()],
                    Some("Bees that Count. We @ count.".into())
                ),
                ParsedExample::Paper(vec![PaperId::parse("2101.11408").unwrap()], Some("On Knots".into())),
                text("No end"),
                text("A Über book"),
            ]
        );
        assert_eq!(read("write to me@example.org {now}"), [text("write to me@example.org {now}")]);
        assert_eq!(read("@misc{b, title = {unclosed"), [text("unclosed")]);
        assert_eq!(read("@misc{b, note = {unclosed"), [], "BibTeX source is not searched for as a text");
        let own = "@misc{bee2021, title = {Bees}, likewise = {www2025/zef}}";
        assert_eq!(
            read(own),
            [ParsedExample::Paper(vec![PaperId::parse("www2025/zef").unwrap()], Some("Bees".into()))]
        );
    }

    #[test]
    fn doi_is_found_in_all_pasted_forms() {
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
        for (pasted, expected) in [
            ("10.1016%2F0022-2836%2881%2990087-5", "10.1016/0022-2836(81)90087-5"),
            ("[10.1000/a[1]]", "10.1000/a[1]"),
            ("doi:10.1000/x.", "10.1000/x"),
            ("https://dl.acm.org/doi/pdf/10.1145/1.2?download=true", "10.1145/1.2"),
            ("https://link.springer.com/article/10.1007/s1-2#Sec1", "10.1007/s1-2"),
            ("@article{a, doi = {10.1007/978-3-540-74976-9\\_8}}", "10.1007/978-3-540-74976-9_8"),
            ("@article{a, url = {https://doi.org/10.1007%2Fx}}", "10.1007/x"),
        ] {
            assert_eq!(read(pasted), [paper(expected)], "{pasted}");
        }
        assert_eq!(
            read("10.1000/a;10.1000/b,2101.00001;"),
            [paper("10.1000/a"), paper("10.1000/b"), paper("2101.00001")]
        );
    }

    #[test]
    fn problems_name_the_line_and_key_of_the_entry() {
        let bib = "\u{feff}@article{a, title={One}}\n@misc{empty, note={x}}\n@article{open, doi={10.1000/x},\n title={No end\n";
        let ParsedInput { examples, problems, skipped } = parse(bib);
        assert_eq!((examples.len(), skipped), (2, 1), "{examples:?}");
        assert!(problems[0].starts_with("line 2, empty: the entry has no title"), "{problems:?}");
        assert!(problems[1].starts_with("line 3, open: the value of title is not closed"), "{problems:?}");
    }

    #[test]
    fn hostile_text_is_parsed_quickly_without_deep_recursion() {
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
