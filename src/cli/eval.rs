//! `likewise eval`: how good answers are, by people's judgements.

use super::choices;
use super::place::Place;
use super::{ModelOptions, print_line};
use crate::evaluation::Measure;
use crate::evaluation::{Asking, JudgedSet, Report, Run, SpaceFigures, System, ask, calibration, space_page};
use crate::ingest;
use crate::search::{Examples, Library, MAX_K, Mode};
use anyhow::Context;
use clap::Args;
use likewise_encoder::Encoder;
use likewise_encoder::model::Curve;
use likewise_papers::dump::{self, Source};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tempfile::TempDir;

/// Options of `likewise eval`.
#[derive(Args)]
pub struct Options {
    /// Judged sets: folders with corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR has them, or with pools.json,
    /// {query: {paper: grade}}, in which each query ranks its own pool. A query without a text is the paper of its id;
    /// without queries.jsonl, all are.
    #[arg(required_unless_present = "space", value_name = "FOLDER")]
    sets: Vec<PathBuf>,
    /// Say what the embeddings of --data, or of a set's corpus, are like before one trusts them, and draw it into an SVG file:
    /// anisotropy, hubness, duplicates, titles that find their abstracts, recall of the index. No judgement is needed.
    #[arg(long, value_name = "FILE")]
    space: Option<PathBuf>,
    /// Fit the chances that scores stand for, in every mode, as model.toml has them, and say how far they and those in use are
    /// from what was judged.
    #[arg(long, conflicts_with_all = ["runs_only", "space", "json"])]
    calibrate: bool,
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
    #[arg(long, value_name = "MEASURE", value_delimiter = ',', default_value = Measure::USUAL)]
    measures: Vec<Measure>,
    /// A paper counts as relevant from this grade on, where a measure asks for that.
    #[arg(long, value_name = "GRADE", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    relevant: i32,
    /// Rank for each query only what was judged for it.
    #[arg(long)]
    pool: bool,
    /// Hits of each query, 1 to 1000.
    #[arg(short, default_value_t = MAX_K)]
    k: usize,
    /// By what papers are alike; several, with commas, are compared. Left out, hybrid, or semantic where no words are kept.
    #[arg(long, value_name = "MODE", value_delimiter = ',', value_parser = choices::modes())]
    mode: Vec<Mode>,
    /// How several examples make one question; several, with commas, are compared.
    #[arg(long, value_name = "HOW", value_delimiter = ',', value_parser = choices::examples())]
    examples: Vec<Examples>,
    /// Score the first 30 hits once more, by their sentences, too: some 0.4 s each.
    #[arg(long)]
    rescore: bool,
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
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    index: Option<String>,
    #[command(flatten)]
    model: ModelOptions,
}

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::ensure!((1..=MAX_K).contains(&options.k), "-k: got {}, wanted 1 to {MAX_K}", options.k);
    anyhow::ensure!(
        options.save_run.is_none() || options.ways().len() == 1,
        "--save-run: one way of asking at a time has it; got {}",
        options.ways().len()
    );
    let single = options.sets.len() <= 1 || (options.save_run.is_none() && options.data.is_none());
    anyhow::ensure!(
        single,
        "--data, --save-run: one set at a time has them; got {} sets",
        options.sets.len()
    );
    for path in [&options.save_run, &options.per_query].into_iter().flatten() {
        // Now, and not when hours of work are done. What is in it may be compared with yet.
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.with_context(|| path.display().to_string())?;
    }
    for measure in &options.measures {
        if let Measure::Recall(depth) = measure
            && *depth > options.k
        {
            eprintln!("{measure}: of the first {} hits, since -k asks for no more", options.k);
        }
    }
    let sets = options.sets.iter().map(|folder| read(folder, options));
    let sets: Vec<JudgedSet> = sets.collect::<anyhow::Result<_>>()?;
    if let Some(path) = &options.space {
        return draw(options, sets.first(), path);
    }
    if options.calibrate {
        return sets.iter().try_for_each(|set| calibrate(options, set)).map(|()| ExitCode::SUCCESS);
    }
    let mut told = String::new();
    for set in sets {
        let report = Report::of(&set, &runs(options, &set)?, &options.measures, options.relevant)?;
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

fn read(folder: &Path, options: &Options) -> anyhow::Result<JudgedSet> {
    let mut set = JudgedSet::read(folder, options.split.as_deref())?;
    set.pooled |= options.pool;
    set.notes.iter().for_each(|note| eprintln!("{}: {note}", set.name));
    Ok(set)
}

/// What the space of some papers is like: in words, and drawn.
fn draw(options: &Options, set: Option<&JudgedSet>, path: &Path) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(options.sets.len() <= 1, "--space: wanted one set, or none and --data");
    let is_somewhere = set.is_some() || options.data.is_some() || options.has_index();
    anyhow::ensure!(is_somewhere, "--space: wanted --data DIR, a folder with papers, or a set with a corpus");
    let (place, _kept) = options.place()?;
    let encoder = place.load(&options.model)?;
    let library = match set {
        Some(set) => opened(&place, &encoder, set)?,
        None => place.library(encoder)?,
    };
    let figures = SpaceFigures::of(&library)?;
    std::fs::write(path, space_page(&figures)).with_context(|| path.display().to_string())?;
    print_line(&serde_json::to_string_pretty(&figures)?)?;
    eprintln!("drawn in {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// What scores mean, by a set's judgements.
fn calibrate(options: &Options, set: &JudgedSet) -> anyhow::Result<()> {
    let (place, _kept) = options.place()?;
    let encoder = place.load(&options.model)?;
    let library = opened(&place, &encoder, set)?;
    let words: &[Mode] = if library.keeps_words()? { &[Mode::Lexical, Mode::Hybrid] } else { &[] };
    let mut short = 0;
    for query in &set.queries {
        short += usize::from(library.is_short(&query.like())?);
    }
    let by_text = 2 * short > set.queries.len();
    print_line(&format!("# {}\n[chances.{}]", set.name, if by_text { "texts" } else { "papers" }))?;
    for mode in [&[Mode::Semantic], words].concat() {
        let (k, pooled, exact) = (options.k, set.pooled, !options.walk);
        let asking = Asking { k, pooled, exact, mode: Some(mode), examples: None, rescore: false };
        let run = ask(&library, set, asking, |_| {})?;
        let pairs = calibration::pairs(set, &run, options.relevant);
        let curve = calibration::fit(&pairs).with_context(|| mode.to_string())?;
        let Curve { slope, intercept, most } = curve;
        print_line(&format!(
            "{mode} = {{ slope = {slope:.3}, intercept = {intercept:.3}, most = {most:.3} }}"
        ))?;
        let own = library.curve(mode, by_text).map(|curve| calibration::error(curve, &pairs));
        let own = own.map_or("no curve is in use".into(), |own| format!("of that in use {own:.4}"));
        let (count, error) = (pairs.len(), calibration::error(curve, &pairs));
        print_line(&format!("# {count} pairs; expected calibration error {error:.4}, {own}"))?;
    }
    Ok(())
}

/// The answers of the library, and of others, each with its name.
fn runs(options: &Options, set: &JudgedSet) -> anyhow::Result<Vec<(String, Run)>> {
    let mut runs = Vec::new();
    for path in &options.against {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let run = Run::read(path)?;
        anyhow::ensure!(
            set.queries.iter().any(|query| run.answers.contains_key(&query.id)),
            "{}: it answers none of the queries of {}; got a run of another set?",
            path.display(),
            set.name
        );
        runs.push((name, run));
    }
    if options.runs_only {
        return Ok(runs);
    }
    let (place, _kept) = options.place()?;
    let encoder = place.load(&options.model)?;
    let name = encoder.model().describe();
    eprintln!("{}", encoder.describe());
    let library = opened(&place, &encoder, set)?;
    let missing = judged_but_missing(&library, set)?;
    if !missing.is_empty() {
        eprintln!("{}: {}", set.name, told_missing(&missing));
    }
    for (mode, examples) in options.ways() {
        let (k, pooled, exact) = (options.k, set.pooled, !options.walk);
        let asking = Asking { k, pooled, exact, mode, examples, rescore: options.rescore };
        let all = set.queries.len();
        let how = [mode.map(|mode| format!(", {mode}")), examples.map(|examples| format!(", {examples}"))];
        let how: String = how.into_iter().flatten().collect();
        let run = ask(&library, set, asking, |done| eprintln!("{}{how}: {done} of {all} queries", set.name))?;
        if let Some(path) = &options.save_run {
            std::fs::write(path, run.text("likewise")).with_context(|| path.display().to_string())?;
        }
        runs.push((format!("{name}{how}"), run));
    }
    Ok(runs)
}

impl Options {
    /// The ways of asking that are compared.
    fn ways(&self) -> Vec<(Option<Mode>, Option<Examples>)> {
        let (modes, examples) = (named(&self.mode), named(&self.examples));
        modes.iter().flat_map(|mode| examples.iter().map(|examples| (*mode, *examples))).collect()
    }

    fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// Where the papers are or go, and what keeps them there until the end.
    fn place(&self) -> anyhow::Result<(Place, Option<TempDir>)> {
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

/// Each of some, or nothing in particular.
fn named<T: Copy>(some: &[T]) -> Vec<Option<T>> {
    if some.is_empty() { vec![None] } else { some.iter().copied().map(Some).collect() }
}

/// The papers that are asked, the set's corpus among them.
fn opened(place: &Place, encoder: &Arc<Encoder>, set: &JudgedSet) -> anyhow::Result<Library> {
    let Some(corpus) = &set.corpus else { return place.library(Arc::clone(encoder)) };
    let dump = dump::Reader::default().read(&Source::file(corpus))?;
    keep_apart(place, corpus)?;
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
    let (read, replaced) = (intake.counts().read, intake.counts().replaced);
    if replaced > 0 {
        eprintln!("{}: {replaced} papers came again by the same id, otherwise: the last counts", set.name);
    }
    intake.finish()?;
    let library = place.library(Arc::clone(encoder))?;
    let papers = library.stats().papers;
    anyhow::ensure!(papers > 0, "{}: got no paper, wanted those that queries are asked of", corpus.display());
    anyhow::ensure!(
        papers as u64 <= read,
        "got {papers} papers, where the set has {read}: others would be ranked beside them; keep each set's papers by \
         themselves"
    );
    Ok(library)
}

/// The papers that were judged and cannot be found, by their ids.
fn judged_but_missing<'a>(library: &Library, set: &'a JudgedSet) -> anyhow::Result<Vec<&'a str>> {
    let judged: BTreeSet<&String> = set.queries.iter().flat_map(|query| query.grades.keys()).collect();
    let mut missing = Vec::new();
    for paper in judged {
        if library.paper_if_here(paper)?.is_none() {
            missing.push(paper.as_str());
        }
    }
    Ok(missing)
}

/// Says which they are, of many the first.
fn told_missing(missing: &[&str]) -> String {
    const NAMED: usize = 10;
    let named = missing.iter().take(NAMED).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
    let more = if missing.len() > NAMED { ", …" } else { "" };
    format!("{} judged papers are not here, so that no system can find them: {named}{more}", missing.len())
}

/// Notes in a data folder whose papers it has, and refuses one with others: they would be mixed for good.
fn keep_apart(place: &Place, corpus: &Path) -> anyhow::Result<()> {
    // A collection is looked at when the papers are in it: one may be only for this.
    #[cfg_attr(
        not(feature = "milvus"),
        expect(irrefutable_let_patterns, reason = "there is no other place then")
    )]
    let Place::Folder(data) = place else { return Ok(()) };
    let (note, corpus) = (data.join("judged-set"), corpus.canonicalize()?.display().to_string());
    let noted = std::fs::read_to_string(&note).ok();
    if noted.as_ref() == Some(&corpus) {
        return Ok(());
    }
    anyhow::ensure!(
        noted.is_none() && !ingest::catalog_path(data).exists(),
        "{}: it has other papers ({}), and {corpus} would be mixed with them for good; give --data a folder of its own, or \
         leave it out",
        data.display(),
        noted.unwrap_or_else(|| "a library of yours".into()),
    );
    std::fs::create_dir_all(data)?;
    std::fs::write(&note, corpus).with_context(|| note.display().to_string())
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
        if system.unanswered > 0 {
            let _ = writeln!(text, "  {:<12} {} of the queries", "no answer", system.unanswered);
        }
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
