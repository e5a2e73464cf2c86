//! `likewise search`: the papers that are like a text, a file or other papers.

use super::choices;
use super::dumps::REFUSED;
use super::place::PlaceOptions;
use super::print_line;
use crate::search::ask::{List, Reading, is_text, read};
use crate::search::{
    Answer, DEFAULT_K, Diversity, Examples, Hit, Library, Like, Mode, Pair, Query, Shares, Why,
};
use crate::store::catalog::{DateRange, Filter};
use anyhow::Context;
use clap::{ArgGroup, Args};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Columns of the answer where there is no terminal to ask.
const PLAIN_WIDTH: usize = 100;

/// Options of `likewise search`.
#[derive(Args)]
#[command(group(ArgGroup::new("query").required(true).multiple(true).args(["text", "like", "file", "list"])))]
pub struct Options {
    /// A title, an abstract, a question.
    text: Option<String>,
    /// A paper that is here, by id. What is given besides is another example.
    #[arg(long, value_name = "ID")]
    like: Vec<String>,
    /// A file with a text; `-` is standard input.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// A reading list: a .bib file, or one with ids, and texts with empty lines between them; `-` is standard input.
    #[arg(long, value_name = "PATH", conflicts_with = "file")]
    list: Option<PathBuf>,
    /// A paper that the answers should be unlike, by id.
    #[arg(long, value_name = "ID")]
    unlike: Vec<String>,
    /// How several examples make one question; left out, by their mean, and from 8 on by clusters.
    #[arg(long, value_name = "HOW", value_parser = choices::examples())]
    examples: Option<Examples>,
    /// How many papers, 1 to 1000.
    #[arg(short, default_value_t = DEFAULT_K)]
    k: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Compare with every paper instead of walking the graph.
    #[arg(long)]
    exact: bool,
    /// By what papers are alike; left out, hybrid, or semantic where no words are kept.
    #[arg(long, value_parser = choices::modes())]
    mode: Option<Mode>,
    /// Leave out papers of a lower chance to be related, 0 to 1.
    #[arg(long, value_name = "CHANCE")]
    min_score: Option<f32>,
    /// Score the first 30 once more, by how near their sentences are, too: takes some 0.4 s on two cores.
    #[arg(long)]
    rescore: bool,
    /// Say of each paper why it is there: what its score comes from, and which terms and sentences it shares.
    #[arg(long)]
    explain: bool,
    /// How much the difference from hits before counts beside nearness, 0 to 1; above 0, papers that say nearly the same as
    /// a nearer one are left out.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    diversity: f32,
    /// Years after which a score is worth half.
    #[arg(long, value_name = "YEARS")]
    half_life: Option<f32>,
    #[command(flatten)]
    filter: FilterOptions,
    #[command(flatten)]
    place: PlaceOptions,
}

/// Which papers may be answers; what is given several times is one of them.
#[derive(Args)]
struct FilterOptions {
    /// Published on this day or later: YYYY, YYYY-MM or YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Published on this day or earlier.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Of this category; `cs` also means every `cs.…`.
    #[arg(long = "category", value_name = "NAME")]
    categories: Vec<String>,
    /// Of this conference or journal.
    #[arg(long = "venue", value_name = "NAME")]
    venues: Vec<String>,
    /// By this author: a name, or a word of one.
    #[arg(long = "author", value_name = "NAME")]
    authors: Vec<String>,
    /// From this dump: arxiv, daily-papers, or what the dump says.
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Papers that were withdrawn or retracted, too.
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

/// Runs it: exit status 0, or 2 if entries of a reading list stand for nothing.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut like = Like::papers(options.like.clone());
    like.texts.extend(options.text.clone());
    like.texts.extend(options.file.as_deref().map(read_text).transpose()?);
    let list = options.list.as_deref().map(read_text).transpose()?;
    let library = options.place.place()?.library(options.place.load()?)?;
    let lost = match list {
        Some(list) => add(&mut like, &list, &library)?,
        None => 0,
    };
    let Options { k, examples, exact, mode, min_score, diversity, half_life, rescore, explain, .. } =
        *options;
    let (unlike, filter) = (Like::papers(options.unlike.clone()), options.filter.filter());
    let query = Query {
        unlike,
        k,
        examples,
        exact,
        mode,
        min_score,
        diversity,
        half_life,
        rescore,
        explain,
        filter,
        ..Query::of(like)
    };
    let answer = library.search(&query)?;
    if options.json {
        print_line(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        print(&answer)?;
    }
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

/// Adds what a reading list stands for; gives how many entries stand for nothing. What is not here is asked for by its text,
/// if it has one.
fn add(like: &mut Like, list: &str, library: &Library) -> anyhow::Result<u64> {
    let Reading { examples, not_read, lost } = read(list);
    not_read.iter().for_each(|wrong| eprintln!("not read: --list: {wrong}"));
    let List { papers, texts, missing } = List::of(examples, library)?;
    anyhow::ensure!(
        !papers.is_empty() || !texts.is_empty(),
        "--list: got nothing that is here, wanted ids, titles, abstracts"
    );
    if let Some(first) = missing.first() {
        eprintln!("{} of the list's papers are not here and have no title, such as {first}", missing.len());
    }
    like.papers.extend(papers);
    like.texts.extend(texts);
    Ok(lost)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
    } else {
        bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    }
    let text =
        String::from_utf8(bytes).with_context(|| format!("{}: wanted text in UTF-8", path.display()))?;
    anyhow::ensure!(
        is_text(&text),
        "{}: got no text, but a PDF or another file; wanted text",
        path.display()
    );
    Ok(text)
}

fn print(answer: &Answer) -> anyhow::Result<()> {
    let width = console::Term::stdout().size_checked().map_or(PLAIN_WIDTH, |(_, columns)| columns.into());
    let cut: Vec<_> = answer.texts.iter().filter(|read| read.truncated).collect();
    if let Some(read) = cut.first() {
        let texts =
            if answer.texts.len() == 1 { "the text is".into() } else { format!("{} texts are", cut.len()) };
        eprintln!("{texts} longer than the model reads: only the first {} tokens count", read.tokens);
    }
    if answer.nothing_like_it {
        return print_line("nothing here is like it; --min-score 0 shows the nearest all the same");
    }
    if answer.hits.is_empty() {
        return print_line("no papers");
    }
    answer.hits.iter().try_for_each(|hit| print_line(&shown(hit, width)))?;
    if let Some(Diversity { vendi, plain }) = answer.diversity {
        print_line(&format!(
            "as different as {vendi:.1} papers that have nothing in common; the plain list {plain:.1}"
        ))?;
    }
    Ok(())
}

/// `rank chance year title`, or the score, if no chance is known; wrapped; then the id, and a line of the abstract.
fn shown(hit: &Hit, width: usize) -> String {
    const INDENT: &str = "           ";
    let year = hit.paper.published.as_deref().and_then(|date| date.get(..4)).unwrap_or("    ");
    let head = format!("{:>3}  {:.3} ", hit.rank, hit.chance.unwrap_or(hit.score));
    let options = textwrap::Options::new(width.max(40)).initial_indent(&head).subsequent_indent(INDENT);
    let title = textwrap::fill(&format!("{} {}", year, hit.paper.title), options);
    let room = width.max(40) - INDENT.len();
    let clipped = |text: &str| console::truncate_str(text, room, "…").into_owned();
    let why = hit.why.as_ref().map(|why| told(why, INDENT, width.max(40))).unwrap_or_default();
    let (id, text) = (clipped(hit.paper.id.as_str()), clipped(&hit.paper.r#abstract));
    format!("{title}\n{INDENT}{id}\n{INDENT}{text}{why}")
}

/// Why it is there, in lines of their own.
fn told(why: &Why, indent: &str, width: usize) -> String {
    let Shares { semantic, title, lexical, sentences } = why.shares;
    let sentences = sentences.map(|share| format!(" + {share:.3} sentences")).unwrap_or_default();
    let terms: Vec<&str> = why.terms.iter().map(|term| term.term.as_str()).collect();
    let whole = semantic + title + lexical + why.shares.sentences.unwrap_or_default();
    let mut lines = vec![
        format!(
            "score: {whole:.3} = {semantic:.3} meaning + {title:.3} title + {lexical:.3} words{sentences}"
        ),
        format!("shares: {}", if terms.is_empty() { "no telling word".into() } else { terms.join(", ") }),
    ];
    lines
        .extend(why.pairs.iter().map(|Pair { asked, found }| format!("“{}” ~ “{}”", asked.text, found.text)));
    let options = textwrap::Options::new(width).initial_indent(indent).subsequent_indent(indent);
    lines.iter().map(|line| format!("\n{}", textwrap::fill(line, options.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_papers::{Paper, PaperId};

    #[test]
    fn a_hit_is_wrapped_to_the_terminal() {
        let paper = Paper {
            id: PaperId::parse("2101.11408").unwrap(),
            title: "Number parsing at a gigabyte per second ".repeat(4).trim().into(),
            r#abstract: "With disks and networks providing gigabytes per second, ".repeat(8),
            published: Some("2021-01-11".into()),
            ..Paper::default()
        };
        let text = shown(
            &Hit {
                rank: 1,
                score: 0.71234,
                chance: None,
                parts: None,
                nearly_the_same: Vec::new(),
                why: None,
                aim: 0,
                paper,
            },
            80,
        );
        assert!(text.starts_with("  1  0.712 2021 Number parsing"), "{text}");
        assert!(text.contains("\n           2101.11408\n"), "{text}");
        assert!(text.lines().all(|line| console::measure_text_width(line) <= 80), "{text}");
    }
}
