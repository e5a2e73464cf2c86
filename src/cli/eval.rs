//! `likewise eval`: how good answers are, by people's judgements.

use super::place::Place;
use super::{ModelOptions, print_line};
use crate::dump::{self, Source};
use crate::encoder::Encoder;
use crate::eval::Measure;
use crate::judged::{Asking, JudgedSet, Report, Run, System, ask};
use crate::search::{Library, MAX_K};
use anyhow::Context;
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::TempDir;

/// Options of `likewise eval`.
#[derive(Args)]
pub struct Options {
    /// Judged sets: folders with corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR has them, or with pools.json,
    /// {query: {paper: grade}}, in which each query ranks its own pool. A query without a text is the paper of its id;
    /// without queries.jsonl, all are.
    #[arg(required = true, value_name = "FOLDER")]
    sets: Vec<PathBuf>,
    /// The judgements: qrels/NAME.tsv. Left out, test, or the only ones.
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// A run to compare with: a file of another system's answers, as --save-run and trec_eval's programs write them.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Measure the runs of --against alone, and ask nothing.
    #[arg(long, requires = "against")]
    runs_only: bool,
    /// Write the answers into a file, for --against.
    #[arg(long, value_name = "FILE")]
    save_run: Option<PathBuf>,
    /// Write every query's values into a file, tab separated.
    #[arg(long, value_name = "FILE")]
    per_query: Option<PathBuf>,
    /// What to measure, with commas: nDCG@K, nDCG%P, MAP, recall@K, R-precision, MRR.
    #[arg(long, value_name = "MEASURE", value_delimiter = ',', default_values_t = Measure::USUAL)]
    measures: Vec<Measure>,
    /// A paper counts as relevant from this grade on, where a measure asks for that.
    #[arg(long, value_name = "GRADE", default_value_t = 1)]
    relevant: i32,
    /// Rank for each query only what was judged for it.
    #[arg(long)]
    pool: bool,
    /// Hits of each query, 1 to 1000.
    #[arg(short, default_value_t = MAX_K)]
    k: usize,
    /// Ask as readers do, by walking the graph, and not by comparing with every paper.
    #[arg(long)]
    walk: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Where the corpus's papers are kept, or go: a data folder, so that they are encoded once. Left out, a folder that is
    /// taken away again. Of a set without a corpus, the papers to ask.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The same, in a collection of a Milvus server.
    #[cfg(feature = "milvus")]
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    index: Option<String>,
    #[command(flatten)]
    model: ModelOptions,
}

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::ensure!((1..=MAX_K).contains(&options.k), "-k: got {}, wanted 1 to {MAX_K}", options.k);
    let single = options.sets.len() == 1 || (options.save_run.is_none() && options.data.is_none());
    anyhow::ensure!(
        single,
        "--data, --save-run: one set at a time has them; got {} sets",
        options.sets.len()
    );
    let mut told = String::new();
    for folder in &options.sets {
        let mut set = JudgedSet::read(folder, options.split.as_deref())?;
        set.pooled |= options.pool;
        let report = Report::of(&set, &runs(options, &set)?, &options.measures, options.relevant);
        if options.json {
            print_line(&serde_json::to_string(&report)?)?;
        } else {
            print_line(table(&report, &set).trim_end())?;
        }
        told.push_str(&per_query(&report));
    }
    if let Some(path) = &options.per_query {
        std::fs::write(path, told).with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The answers of the library, and of others, each with its name.
fn runs(options: &Options, set: &JudgedSet) -> anyhow::Result<Vec<(String, Run)>> {
    let mut runs = Vec::new();
    for path in &options.against {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        runs.push((name, Run::read(path)?));
    }
    if options.runs_only {
        return Ok(runs);
    }
    let (place, _kept) = options.place()?;
    let encoder = place.load(&options.model)?;
    let name = encoder.model().describe();
    eprintln!("{}", encoder.describe());
    let library = opened(&place, &encoder, set)?;
    let asking = Asking { k: options.k, pooled: set.pooled, exact: !options.walk };
    let all = set.queries.len();
    let run = ask(&library, set, asking, |done| eprintln!("{}: {done} of {all} queries", set.name))?;
    if let Some(path) = &options.save_run {
        std::fs::write(path, run.text("likewise")).with_context(|| path.display().to_string())?;
    }
    runs.push((name, run));
    Ok(runs)
}

impl Options {
    /// Where the papers are or go, and what keeps them there until the end.
    fn place(&self) -> anyhow::Result<(Place, Option<TempDir>)> {
        #[cfg(feature = "milvus")]
        if let Some(index) = &self.index {
            return Ok((Place::parse(index)?, None));
        }
        if let Some(data) = &self.data {
            return Ok((Place::Folder(data.clone()), None));
        }
        let folder = tempfile::tempdir()?;
        Ok((Place::Folder(folder.path().into()), Some(folder)))
    }
}

/// The papers that are asked, the set's corpus among them.
fn opened(place: &Place, encoder: &Arc<Encoder>, set: &JudgedSet) -> anyhow::Result<Library> {
    let Some(corpus) = &set.corpus else { return place.library(Arc::clone(encoder)) };
    let dump = dump::Reader::default().read(&Source::file(corpus))?;
    let mut intake = place.intake(encoder)?;
    intake.set_title_only(true);
    intake.catch_up(&mut |_, _| {})?;
    for chunk in dump::chunks(dump.entries, intake.chunk()) {
        for refused in chunk.iter().filter_map(|entry| entry.as_ref().err()) {
            eprintln!("refused: {}:{}: {}", corpus.display(), refused.line, refused.reason);
        }
        intake.add(chunk)?;
        eprintln!("{}: {} papers read, {} encoded", set.name, intake.counts().read, intake.counts().encoded);
    }
    intake.finish()?;
    place.library(Arc::clone(encoder))
}

/// A row a system, a column a measure; under each the interval, and what stands between it and the first.
fn table(report: &Report, set: &JudgedSet) -> String {
    let Report { queries, measures, systems, relevant, without_relevant, .. } = report;
    let mut text = format!(
        "{}: {} queries, {} judgements, relevant from grade {relevant} on\n",
        report.set,
        queries.len(),
        set.judgements()
    );
    if *without_relevant > 0 {
        let _ = writeln!(text, "{without_relevant} more have no relevant paper, and say nothing");
    }
    for system in systems {
        let _ = writeln!(text, "\n{}", system.name);
        for (place, measure) in measures.iter().enumerate() {
            let _ = writeln!(text, "  {}", row(system, place, measure));
        }
        let _ = writeln!(text, "  {:<12} {:.1} % of the first ten", "not judged", 100.0 * system.unjudged);
    }
    text
}

fn row(system: &System, place: usize, measure: &str) -> String {
    let (low, high) = system.intervals[place];
    let mut text = format!("{measure:<12} {:.4}  [{low:.4}, {high:.4}]", system.means[place]);
    if let Some(compared) = system.compared.get(place) {
        let (low, high) = compared.interval;
        let _ = write!(text, "  {:+.4} [{low:+.4}, {high:+.4}], p {:.4}", compared.difference, compared.p);
    }
    text
}

/// A line a query and system.
fn per_query(report: &Report) -> String {
    let mut text = format!("set\tquery\tsystem\t{}\n", report.measures.join("\t"));
    for system in &report.systems {
        for (place, query) in report.queries.iter().enumerate() {
            let values =
                system.values.iter().map(|values| format!("\t{:.6}", values[place])).collect::<String>();
            let _ = writeln!(text, "{}\t{query}\t{}{values}", report.set, system.name);
        }
    }
    text
}
