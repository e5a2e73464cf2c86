//! `likewise search`: finds the papers that are most similar to a text, a file or other papers.

use super::dumps::REFUSED;
use super::location::LocationOptions;
use super::print_line;
use super::reranker::RerankerOptions;
use super::value_parsers;
use crate::search::input::{ParsedInput, ResolvedExamples, is_text, parse};
use crate::search::{
    AboveQuery, Aggregation, Answer, DEFAULT_K, DEFAULT_RERANK_TOP, Diversity, Examples, Explanation, Hit,
    Library, Mode, Query, ScoreBreakdown, SentencePair,
};
use crate::store::catalog::{DateRange, Filter};
use anyhow::Context;
use clap::{ArgGroup, Args};
use likewise_papers::cite;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Width of the output, in characters, if standard output is not a terminal.
const DEFAULT_WIDTH: usize = 100;

/// Options of `likewise search`.
#[derive(Args)]
#[command(group(ArgGroup::new("query").required(true).multiple(true).args(["text", "like", "file", "list"])))]
pub struct Options {
    /// Text to search for: a title, an abstract or a question.
    text: Option<String>,
    /// Id of a paper in the library that the results should be similar to. Can be given several times, and together
    /// with a text, --file or --list; the query then has several examples.
    #[arg(long, value_name = "ID")]
    like: Vec<String>,
    /// File with a text to search for; `-` for standard input.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Reading list: a .bib file, or a file of ids and of texts separated by empty lines; `-` for standard input. Every
    /// entry is an example that the results should be similar to.
    #[arg(long, value_name = "PATH", conflicts_with = "file")]
    list: Option<PathBuf>,
    /// Id of a paper that the results should be dissimilar to. Can be given several times.
    #[arg(long, value_name = "ID")]
    unlike: Vec<String>,
    /// How several examples are combined. By default, mean for up to 7 examples, and clusters for 8 or more.
    #[arg(long, value_name = "HOW", value_parser = value_parsers::aggregations())]
    aggregation: Option<Aggregation>,
    /// Number of results, 1 to 1000.
    #[arg(short, default_value_t = DEFAULT_K)]
    k: usize,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    /// Compare the query with every paper instead of searching the index. This is slower, but finds every result; a
    /// search of the index can miss a few results.
    #[arg(long)]
    exact: bool,
    /// How papers are compared with the query. By default, hybrid in a data folder, and semantic in a Milvus
    /// collection, which has no index of terms.
    #[arg(long, value_parser = value_parsers::modes())]
    mode: Option<Mode>,
    /// Minimum probability, 0 to 1, that a result is related to the query (or minimum score, if the model is not
    /// calibrated). By default, there is no minimum, but a search without a filter has no results if no paper is likely
    /// to be related. With 0, the most similar papers are always listed.
    #[arg(long, value_name = "PROBABILITY")]
    min_score: Option<f32>,
    /// Print all papers whose score is at least SCORE, -1 to 1, best first, however many there are: as JSON Lines, or as
    /// CSV with --csv. The score is the cosine similarity, and every paper is compared.
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true, conflicts_with_all = ["k", "json", "aggregation", "mode", "min_score", "rerank_sentences", "rerank", "explain", "diversity", "half_life"])]
    above: Option<f32>,
    /// Print the papers of --above as CSV.
    #[arg(long, requires = "above")]
    csv: bool,
    /// Score the first 30 results again by the similarity of their sentences to those of the query. The results are
    /// better, but the search takes about 0.4 s longer on two cores.
    #[arg(long)]
    rerank_sentences: bool,
    /// Rerank the first N results, 1 to 100, with the model of --reranker, which reads the query and each paper
    /// together. Helps with questions more than with papers. By default 30 with --reranker, and none without it.
    #[arg(long, value_name = "N", requires = "reranker", num_args = 0..=1, default_missing_value = "30")]
    rerank: Option<usize>,
    #[command(flatten)]
    reranker: RerankerOptions,
    /// Explain each of the first 100 results: the parts of its score, the terms that it shares with the query, and the
    /// most similar sentences.
    #[arg(long)]
    explain: bool,
    /// How much a result should differ from earlier results, 0 to 1: the weight of this difference, against the
    /// similarity to the query. Above 0, near duplicates of an earlier result are left out. Raise the weight if the
    /// results are too much alike.
    #[arg(long, value_name = "WEIGHT", default_value_t = 0.0)]
    diversity: f32,
    /// Prefer new papers: a paper's score is halved for every YEARS years of its age. By default, age does not count.
    #[arg(long, value_name = "YEARS")]
    half_life: Option<f32>,
    #[command(flatten)]
    filter: FilterOptions,
    #[command(flatten)]
    location: LocationOptions,
}

/// Options that limit which papers are found. If an option has several values, a paper must match one of them.
#[derive(Args)]
struct FilterOptions {
    /// Find only papers published on this date or later: YYYY, YYYY-MM or YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Find only papers published on this date or earlier: YYYY, YYYY-MM or YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Find only papers in this category; `cs` includes every `cs.…`. Can be given several times.
    #[arg(long = "category", value_name = "NAME")]
    categories: Vec<String>,
    /// Find only papers of this conference or journal. Can be given several times.
    #[arg(long = "venue", value_name = "NAME")]
    venues: Vec<String>,
    /// Find only papers by this author: a full name, or some words of a name. Can be given several times.
    #[arg(long = "author", value_name = "NAME")]
    authors: Vec<String>,
    /// Find only papers from this source: arxiv, daily-papers, or another source that a dump names. Can be given
    /// several times.
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Also find papers that were withdrawn or retracted.
    #[arg(long)]
    withdrawn: bool,
}

impl FilterOptions {
    fn filter(&self) -> Filter {
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let range = DateRange { from: self.from.clone(), to: self.to.clone() };
        Filter {
            ids: None,
            published: Some(range).filter(|range| *range != DateRange::default()),
            categories: list(&self.categories),
            venues: list(&self.venues),
            authors: list(&self.authors),
            sources: list(&self.sources),
            withdrawn: self.withdrawn,
        }
    }
}

/// Runs the command. Exit status: 0, or 2 if a .bib file has entries with neither a title nor a global id.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut like = Examples::papers(options.like.clone());
    like.texts.extend(options.text.clone());
    like.texts.extend(options.file.as_deref().map(read_text).transpose()?);
    let list = options.list.as_deref().map(read_text).transpose()?;
    let library = options.location.location()?.open_library(options.location.load_encoder()?)?;
    let skipped = match list {
        Some(list) => add_reading_list(&mut like, &list, &library)?,
        None => 0,
    };
    let exit = if skipped == 0 { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) };
    if let Some(above) = options.above {
        let unlike = Examples::papers(options.unlike.clone());
        let query = AboveQuery::new(above, like, unlike, options.filter.filter());
        print_above(&library, &query, options.csv)?;
        return Ok(exit);
    }
    let library = library.with_reranker(options.reranker.load(&options.location.data.encoder)?);
    // With --rerank-sentences, a reranker from the environment is not used.
    let reranker = library.reranker().filter(|_| !options.rerank_sentences);
    let default_rerank = reranker.map(|_| DEFAULT_RERANK_TOP);
    let query = Query {
        unlike: Examples::papers(options.unlike.clone()),
        k: options.k,
        aggregation: options.aggregation,
        exact: options.exact,
        mode: options.mode,
        min_score: options.min_score,
        diversity: options.diversity,
        half_life: options.half_life,
        rerank_sentences: options.rerank_sentences,
        rerank: options.rerank.or(default_rerank),
        explain: options.explain,
        filter: options.filter.filter(),
        ..Query::of(like)
    };
    let answer = library.search(&query)?;
    if options.json {
        print_line(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        print(&answer)?;
    }
    Ok(exit)
}

/// Prints all papers above a score, a chunk at a time.
fn print_above(library: &Library, query: &AboveQuery, csv: bool) -> anyhow::Result<()> {
    let mut above = library.above(query)?;
    if csv {
        print_line(cite::scored_header().trim_end())?;
    }
    loop {
        let hits = library.next_above(&mut above)?;
        if hits.is_empty() {
            return Ok(());
        }
        if csv {
            let rows = cite::scored_rows(hits.iter().map(|hit| (hit.rank, hit.score, &hit.paper)));
            print_line(rows.trim_end_matches('\n'))?;
        } else {
            hits.iter().try_for_each(|hit| print_line(&serde_json::to_string(hit)?))?;
        }
    }
}

/// Adds the entries of a reading list to the examples: the paper of an entry if the library has it, otherwise the title
/// and the abstract in the entry. If the library lacks the paper and the entry has no title, the entry is left out with
/// a message. Returns the number of .bib entries that have neither a title nor a global id.
fn add_reading_list(like: &mut Examples, list: &str, library: &Library) -> anyhow::Result<u64> {
    let ParsedInput { examples, problems, skipped } = parse(list);
    problems.iter().for_each(|problem| eprintln!("not read: --list: {problem}"));
    let ResolvedExamples { papers, texts, missing } = ResolvedExamples::of(examples, library)?;
    anyhow::ensure!(
        !papers.is_empty() || !texts.is_empty(),
        "--list: no paper of the list is in the library, and none has a title; give ids, titles or abstracts"
    );
    if let Some(first) = missing.first() {
        eprintln!(
            "{} entries of the list are left out, such as {first}: the papers are not in the library, and the \
             entries have no title",
            missing.len()
        );
    }
    like.papers.extend(papers);
    like.texts.extend(texts);
    Ok(skipped)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
    } else {
        bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    }
    let text = String::from_utf8(bytes)
        .with_context(|| format!("{}: the file must be text in UTF-8", path.display()))?;
    anyhow::ensure!(
        is_text(&text),
        "{}: the file must be text (got a PDF or another binary file)",
        path.display()
    );
    Ok(text)
}

fn print(answer: &Answer) -> anyhow::Result<()> {
    let width = console::Term::stdout().size_checked().map_or(DEFAULT_WIDTH, |(_, columns)| columns.into());
    let truncated: Vec<_> = answer.texts.iter().filter(|text| text.truncated).collect();
    if let Some(text) = truncated.first() {
        let texts = match answer.texts.len() {
            1 => "the text is".into(),
            _ => format!("{} texts are", truncated.len()),
        };
        eprintln!("{texts} too long for the model: only the first {} tokens are used", text.tokens);
    }
    if answer.no_match {
        return print_line(
            "no match: no paper is similar enough; --min-score 0 shows the most similar ones anyway",
        );
    }
    if answer.hits.is_empty() {
        return print_line("no paper was found");
    }
    answer.hits.iter().try_for_each(|hit| print_line(&formatted(hit, width)))?;
    if let Some(Diversity { vendi, plain }) = answer.diversity {
        print_line(&format!(
            "diversity: as diverse as {vendi:.1} entirely different papers (Vendi Score); without --diversity, as \
             {plain:.1}"
        ))?;
    }
    Ok(())
}

/// Formats a hit: rank, probability (or score, if the model is not calibrated), year and title, wrapped to `width`
/// columns; then the id, one line of the abstract, and the explanation, if there is one.
fn formatted(hit: &Hit, width: usize) -> String {
    const INDENT: &str = "           ";
    let year = hit.paper.published.as_deref().and_then(|date| date.get(..4)).unwrap_or("    ");
    let head = format!("{:>3}  {:.3} ", hit.rank, hit.probability.unwrap_or(hit.score));
    let options = textwrap::Options::new(width.max(40)).initial_indent(&head).subsequent_indent(INDENT);
    let title = textwrap::fill(&format!("{} {}", year, hit.paper.title), options);
    let columns = width.max(40) - INDENT.len();
    let clipped = |text: &str| console::truncate_str(text, columns, "…").into_owned();
    let explanation = hit.explanation.as_ref();
    let explanation =
        explanation.map_or(String::new(), |explanation| explained(explanation, INDENT, width.max(40)));
    let (id, text) = (clipped(hit.paper.id.as_str()), clipped(&hit.paper.r#abstract));
    format!("{title}\n{INDENT}{id}\n{INDENT}{text}{explanation}")
}

/// Formats an explanation. Every line begins with a line break.
fn explained(explanation: &Explanation, indent: &str, width: usize) -> String {
    let ScoreBreakdown { semantic, title, lexical, sentences, cross_encoder } = explanation.score_breakdown;
    let sentences_text = sentences.map(|share| format!(" + {share:.3} sentences")).unwrap_or_default();
    let terms: Vec<&str> = explanation.terms.iter().map(|term| term.term.as_str()).collect();
    let sum = semantic + title + lexical + sentences.unwrap_or_default();
    let mut lines = vec![
        match cross_encoder {
            Some(relevance) => format!("score: {relevance:.3}, by the reranker"),
            None => format!(
                "score: {sum:.3} = {semantic:.3} meaning + {title:.3} title + {lexical:.3} words{sentences_text}"
            ),
        },
        format!("shared terms: {}", if terms.is_empty() { "none".into() } else { terms.join(", ") }),
    ];
    lines.extend(
        explanation
            .pairs
            .iter()
            .map(|SentencePair { query, hit }| format!("“{}” ~ “{}”", query.text, hit.text)),
    );
    let options = textwrap::Options::new(width).initial_indent(indent).subsequent_indent(indent);
    lines.iter().map(|line| format!("\n{}", textwrap::fill(line, options.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::{Paper, PaperId};

    #[test]
    fn hits_are_wrapped_to_the_width() {
        let paper = Paper {
            id: PaperId::parse("2101.11408").unwrap(),
            title: "Number parsing at a gigabyte per second ".repeat(4).trim().into(),
            r#abstract: "With disks and networks providing gigabytes per second, ".repeat(8),
            published: Some("2021-01-11".into()),
            ..Paper::default()
        };
        let text = formatted(
            &Hit {
                rank: 1,
                score: 0.71234,
                probability: None,
                parts: None,
                near_duplicates: Vec::new(),
                explanation: None,
                sub_query: 0,
                paper,
            },
            80,
        );
        assert!(text.starts_with("  1  0.712 2021 Number parsing"), "{text}");
        assert!(text.contains("\n           2101.11408\n"), "{text}");
        assert!(text.lines().all(|line| console::measure_text_width(line) <= 80), "{text}");
    }
}
