//! `likewise eval`: measures search quality on test collections.

use super::location::Location;
use super::reranker::RerankerOptions;
use super::value_parsers;
use super::{EncoderOptions, print_line};
use crate::evaluation::{
    Interval, Metric, Report, Run, RunOptions, SpaceFigures, System, TestCollection, calibration,
    run_queries, space_page,
};
use crate::ingest;
use crate::search::{Aggregation, DEFAULT_RERANK_TOP, Library, MAX_K, MAX_RERANK_TOP, Mode, QueryKind};
use anyhow::Context;
use clap::Args;
use likewise_encoder::Encoder;
use likewise_encoder::model::{Curve, logit};
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
    /// Folders of test collections, in the format of BEIR: corpus.jsonl, queries.jsonl and qrels/test.tsv. A folder can
    /// have a file pools.json ({query: {paper: grade}}) instead of qrels; then each query ranks only the papers of its
    /// own pool. If a query has neither a title, a text nor a list of papers, or the folder has no queries.jsonl, the
    /// query is the paper with the query's id.
    #[arg(required_unless_present = "space", value_name = "FOLDER")]
    sets: Vec<PathBuf>,
    /// Analyse the embeddings of --data, of --index, or of a test collection's corpus; needs no judgements. Prints the
    /// anisotropy, the hubness, the share of near duplicates, the share of titles that find their abstracts, and the
    /// recall of the index as JSON, and draws charts into this SVG file.
    #[arg(long, value_name = "FILE")]
    space: Option<PathBuf>,
    /// For every mode that the library supports, fit the curve that converts scores to probabilities. Prints the curves
    /// in the format of model.toml, with the calibration errors of the new and the current curves.
    #[arg(long, conflicts_with_all = ["runs_only", "space", "json"])]
    calibrate: bool,
    /// Use the judgements of qrels/NAME.tsv. By default, the judgements of qrels/test.tsv, or of the only file in
    /// qrels.
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Compare with the run of another system in this file. The file must be in the run format of TREC, which
    /// --save-run also writes. Can be given several times.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Measure only the runs of --against; do not search.
    #[arg(long, requires = "against")]
    runs_only: bool,
    /// Write the run to this file, in the run format of TREC, so that later evaluations can use it with --against.
    #[arg(long, value_name = "FILE")]
    save_run: Option<PathBuf>,
    /// Write the metrics of each query to this file, separated by tabs.
    #[arg(long, value_name = "FILE")]
    per_query: Option<PathBuf>,
    /// Metrics to compute, separated by commas: nDCG@K, nDCG%P, MAP, recall@K, R-precision, MRR.
    #[arg(long, value_name = "MEASURE", value_delimiter = ',', default_value = Metric::DEFAULT)]
    measures: Vec<Metric>,
    /// Lowest grade that counts as relevant, for metrics with binary relevance. Raise it to count only highly relevant
    /// papers.
    #[arg(long, value_name = "GRADE", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    relevant: i32,
    /// For each query, rank only the papers that have a judgement for that query. By default, all papers are ranked,
    /// unless the test collection has pools.json.
    #[arg(long)]
    pool: bool,
    /// Number of hits per query, 1 to 1000.
    #[arg(short, default_value_t = MAX_K)]
    k: usize,
    /// How papers are compared with the query. Several values, separated by commas, are measured one by one. By
    /// default, hybrid in a data folder, and semantic in a Milvus collection, which has no index of terms.
    #[arg(long, value_name = "MODE", value_delimiter = ',', value_parser = value_parsers::modes())]
    mode: Vec<Mode>,
    /// How several examples are combined. Several values, separated by commas, are measured one by one. By default,
    /// mean for up to 7 examples, and clusters for 8 or more.
    #[arg(long, value_name = "HOW", value_delimiter = ',', value_parser = value_parsers::aggregations())]
    aggregation: Vec<Aggregation>,
    /// Score the first 30 hits again by the similarity of their sentences to those of the query. Each query takes about
    /// 0.4 s longer.
    #[arg(long)]
    rerank_sentences: bool,
    /// Number of hits, 1 to 100, that the model of --reranker reranks. By default 30 with --reranker, and none
    /// without it.
    #[arg(long, value_name = "N", requires = "reranker")]
    rerank: Option<usize>,
    #[command(flatten)]
    reranker: RerankerOptions,
    /// Search the HNSW index, as `likewise search` does by default. Without --hnsw, each query is compared with every
    /// paper, so that the model is measured and not the index.
    #[arg(long)]
    hnsw: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Data folder to store the papers of the corpus in; a later run with the same folder does not encode the papers
    /// again. By default, a temporary folder. If the test collection has no corpus: the data folder to search.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Like --data, but with a collection of a Milvus server: milvus://HOST:PORT/COLLECTION.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    index: Option<String>,
    #[command(flatten)]
    encoder: EncoderOptions,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    anyhow::ensure!((1..=MAX_K).contains(&options.k), "-k must be between 1 and {MAX_K} (got {})", options.k);
    anyhow::ensure!(
        options.save_run.is_none() || options.variants().len() == 1,
        "--save-run needs exactly one mode and aggregation (got {} combinations)",
        options.variants().len()
    );
    let single = options.sets.len() <= 1 || (options.save_run.is_none() && options.data.is_none());
    anyhow::ensure!(
        single,
        "--data and --save-run can be used with one test collection only (got {})",
        options.sets.len()
    );
    for path in [&options.save_run, &options.per_query].into_iter().flatten() {
        // If the file cannot be written, fail now, and not after hours of work. Open the file for appending, so that it
        // keeps its content: it can be a run that `--against` reads later.
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.with_context(|| path.display().to_string())?;
    }
    for measure in &options.measures {
        if let Metric::Recall(depth) = measure
            && *depth > options.k
        {
            eprintln!("{measure} is computed from only the first {} hits; raise -k to use more", options.k);
        }
    }
    let sets = options.sets.iter().map(|folder| read(folder, options));
    let sets: Vec<TestCollection> = sets.collect::<anyhow::Result<_>>()?;
    if let Some(path) = &options.space {
        return draw(options, sets.first(), path);
    }
    if options.calibrate {
        return sets.iter().try_for_each(|set| calibrate(options, set)).map(|()| ExitCode::SUCCESS);
    }
    let mut per_query_values = String::new();
    for set in sets {
        let report = Report::of(&set, &runs(options, &set)?, &options.measures, options.relevant)?;
        if options.json {
            print_line(&serde_json::to_string(&report)?)?;
        } else {
            print_line(table(&report, &set).trim_end())?;
        }
        per_query_values.push_str(&per_query(&report));
    }
    if let Some(path) = &options.per_query {
        std::fs::write(path, per_query_values).with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(folder: &Path, options: &Options) -> anyhow::Result<TestCollection> {
    let mut set = TestCollection::read(folder, options.split.as_deref())?;
    set.pooled |= options.pool;
    set.notes.iter().for_each(|note| eprintln!("{}: {note}", set.name));
    Ok(set)
}

/// Analyses embeddings; see [`Options::space`].
fn draw(options: &Options, set: Option<&TestCollection>, path: &Path) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        options.sets.len() <= 1,
        "--space can be used with at most one test collection (got {})",
        options.sets.len()
    );
    let has_papers = set.is_some() || options.data.is_some() || options.index.is_some();
    anyhow::ensure!(has_papers, "--space needs --data DIR, --index URL, or a test collection with a corpus");
    let (location, _temporary) = options.location()?;
    let encoder = location.load_encoder(&options.encoder)?;
    let library = match set {
        Some(set) => open_with_corpus(&location, &encoder, set)?,
        None => location.open_library(encoder)?,
    };
    let figures = SpaceFigures::of(&library)?;
    std::fs::write(path, space_page(&figures)).with_context(|| path.display().to_string())?;
    print_line(&serde_json::to_string_pretty(&figures)?)?;
    eprintln!("charts written to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Fits the curves from scores to probabilities; see [`Options::calibrate`].
fn calibrate(options: &Options, set: &TestCollection) -> anyhow::Result<()> {
    let (location, _temporary) = options.location()?;
    let encoder = location.load_encoder(&options.encoder)?;
    let library = open_with_corpus(&location, &encoder, set)?;
    let term_modes: &[Mode] = if library.indexes_terms()? { &[Mode::Lexical, Mode::Hybrid] } else { &[] };
    let mut short = 0;
    for query in &set.queries {
        short += usize::from(library.query_kind(&query.examples())? == QueryKind::ShortText);
    }
    let kind = if 2 * short > set.queries.len() { QueryKind::ShortText } else { QueryKind::Papers };
    let kind_name = if kind == QueryKind::ShortText { "texts" } else { "papers" };
    if options.reranker.reranker.is_some() {
        return calibrate_reranker(options, set, library, kind_name);
    }
    print_line(&format!("# test collection {}\n[calibration.{kind_name}]", set.name))?;
    for mode in [&[Mode::Semantic], term_modes].concat() {
        let (k, pooled, exact) = (options.k, set.pooled, !options.hnsw);
        let run_options = RunOptions { mode: Some(mode), k, pooled, exact, ..RunOptions::default() };
        let run = run_queries(&library, set, run_options, |_| {})?;
        let pairs = calibration::pairs(set, &run, options.relevant);
        let curve = calibration::fit(&pairs).with_context(|| mode.to_string())?;
        let Curve { slope, intercept, max } = curve;
        print_line(&format!(
            "{mode} = {{ slope = {slope:.3}, intercept = {intercept:.3}, max = {max:.3} }}"
        ))?;
        let current = library.curve(mode, kind).map(|curve| calibration::error(curve, &pairs));
        let current = current
            .map_or("there is no current curve".into(), |error| format!("the current curve has {error:.4}"));
        let (count, error) = (pairs.len(), calibration::error(curve, &pairs));
        print_line(&format!("# {count} pairs; the expected calibration error is {error:.4}; {current}"))?;
    }
    Ok(())
}

/// Fits the curve from the logits of the cross-encoder to probabilities, over the first [`MAX_RERANK_TOP`] hits of each
/// query.
fn calibrate_reranker(
    options: &Options,
    set: &TestCollection,
    library: Library,
    kind_name: &str,
) -> anyhow::Result<()> {
    let library = library.with_reranker(options.reranker.load(&options.encoder)?);
    let run_options = RunOptions {
        k: MAX_RERANK_TOP,
        pooled: set.pooled,
        exact: !options.hnsw,
        rerank: Some(MAX_RERANK_TOP),
        ..RunOptions::default()
    };
    let mut run = run_queries(&library, set, run_options, |_| {})?;
    for hits in run.answers.values_mut() {
        // Hits that were not reranked have negative scores.
        hits.retain(|(_, relevance)| *relevance >= 0.0);
        hits.iter_mut().for_each(|(_, relevance)| *relevance = logit(*relevance));
    }
    let pairs = calibration::pairs(set, &run, options.relevant);
    let curve = calibration::fit(&pairs).context("the cross-encoder")?;
    let Curve { slope, intercept, max } = curve;
    print_line(&format!(
        "# test collection {}\n[rerank_calibration]\n\
         {kind_name} = {{ slope = {slope:.3}, intercept = {intercept:.3}, max = {max:.3} }}",
        set.name
    ))?;
    let (count, error) = (pairs.len(), calibration::error(curve, &pairs));
    print_line(&format!("# {count} pairs; the expected calibration error is {error:.4}"))
}

/// Returns the runs of `--against` and, unless `--runs-only` is given, the runs of the library, each with its name.
fn runs(options: &Options, set: &TestCollection) -> anyhow::Result<Vec<(String, Run)>> {
    let mut runs = Vec::new();
    for path in &options.against {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let run = Run::read(path)?;
        anyhow::ensure!(
            set.queries.iter().any(|query| run.answers.contains_key(&query.id)),
            "{}: the run has none of the queries of {}; it probably belongs to another test collection",
            path.display(),
            set.name
        );
        runs.push((name, run));
    }
    if options.runs_only {
        return Ok(runs);
    }
    let (location, _temporary) = options.location()?;
    let encoder = location.load_encoder(&options.encoder)?;
    let mut name = encoder.model().describe();
    eprintln!("{}", encoder.describe());
    let reranker = options.reranker.load(&options.encoder)?;
    let library = open_with_corpus(&location, &encoder, set)?.with_reranker(reranker);
    if let Some(reranker) = library.reranker() {
        eprintln!("{}", reranker.describe());
        name = format!("{name}, reranked by {}", reranker.model().describe());
    }
    let missing = missing_papers(&library, set)?;
    if !missing.is_empty() {
        eprintln!("{}: {}", set.name, missing_message(&missing));
    }
    for (mode, aggregation) in options.variants() {
        let (k, pooled, exact) = (options.k, set.pooled, !options.hnsw);
        let rerank_sentences = options.rerank_sentences;
        // With --rerank-sentences, a reranker from the environment is not used.
        let reranker = library.reranker().filter(|_| !rerank_sentences);
        let rerank = options.rerank.or(reranker.map(|_| DEFAULT_RERANK_TOP));
        let run_options = RunOptions { mode, aggregation, rerank_sentences, rerank, k, pooled, exact };
        let all = set.queries.len();
        let how =
            [mode.map(|mode| format!(", {mode}")), aggregation.map(|aggregation| format!(", {aggregation}"))];
        let how: String = how.into_iter().flatten().collect();
        let run = run_queries(&library, set, run_options, |done| {
            eprintln!("{}{how}: {done} of {all} queries", set.name)
        })?;
        if let Some(path) = &options.save_run {
            std::fs::write(path, run.to_text("likewise")).with_context(|| path.display().to_string())?;
        }
        runs.push((format!("{name}{how}"), run));
    }
    Ok(runs)
}

impl Options {
    /// Returns the combinations of mode and aggregation to measure. `None` stands for the default.
    fn variants(&self) -> Vec<(Option<Mode>, Option<Aggregation>)> {
        let (modes, aggregations) = (or_default(&self.mode), or_default(&self.aggregation));
        modes.iter().flat_map(|mode| aggregations.iter().map(|aggregation| (*mode, *aggregation))).collect()
    }

    /// Returns the location where the papers are or will be written. If the location is a temporary folder, the folder
    /// is deleted when the second value is dropped.
    fn location(&self) -> anyhow::Result<(Location, Option<TempDir>)> {
        if let Some(index) = &self.index {
            return Ok((Location::parse(index)?, None));
        }
        if let Some(data) = &self.data {
            return Ok((Location::Folder(data.clone()), None));
        }
        let folder = tempfile::tempdir()?;
        Ok((Location::Folder(folder.path().into()), Some(folder)))
    }
}

/// Returns the given values. If there are none, returns one `None`, which stands for the default.
fn or_default<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

/// Opens the papers for searching. If the test collection has a corpus, ingests the corpus first.
fn open_with_corpus(
    location: &Location,
    encoder: &Arc<Encoder>,
    set: &TestCollection,
) -> anyhow::Result<Library> {
    let Some(corpus) = &set.corpus else { return location.open_library(Arc::clone(encoder)) };
    let dump = dump::Reader::default().read(&Source::file(corpus))?;
    reserve_folder(location, corpus)?;
    let mut writer = location.open_writer(encoder)?;
    writer.set_title_only(true);
    writer.catch_up(&mut |_| {})?;
    for chunk in dump::chunks(dump.entries, writer.chunk_size()) {
        for refused in chunk.iter().filter_map(|entry| entry.as_ref().err()) {
            eprintln!("refused: {}:{}: {}", corpus.display(), refused.line, refused.reason);
        }
        writer.add(chunk)?;
        eprintln!("{}: {} papers read, {} encoded", set.name, writer.counts().read, writer.counts().encoded);
    }
    let (read, replaced) = (writer.counts().read, writer.counts().replaced);
    if replaced > 0 {
        eprintln!("{}: {replaced} papers have the same id as an earlier paper, and replace it", set.name);
    }
    writer.finish()?;
    let library = location.open_library(Arc::clone(encoder))?;
    let papers = library.stats().papers;
    anyhow::ensure!(papers > 0, "{}: the corpus has no papers to search", corpus.display());
    anyhow::ensure!(
        papers as u64 <= read,
        "the library has {papers} papers, but the corpus has only {read}; the other papers would be ranked, too, so \
         use a separate data folder or Milvus collection for each test collection"
    );
    Ok(library)
}

/// Returns the ids of the judged papers that are not in the library.
fn missing_papers<'a>(library: &Library, set: &'a TestCollection) -> anyhow::Result<Vec<&'a str>> {
    let judged: BTreeSet<&String> = set.queries.iter().flat_map(|query| query.qrels.keys()).collect();
    let mut missing = Vec::new();
    for paper in judged {
        if library.find_paper(paper)?.is_none() {
            missing.push(paper.as_str());
        }
    }
    Ok(missing)
}

/// Returns the warning about missing papers, with the first 10 ids.
fn missing_message(missing: &[&str]) -> String {
    const MAX_LISTED: usize = 10;
    let listed = missing.iter().take(MAX_LISTED).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
    let more = if missing.len() > MAX_LISTED { ", …" } else { "" };
    format!("{} judged papers are not in the library and cannot be found: {listed}{more}", missing.len())
}

/// Marks a data folder as the folder of this corpus. Fails if the folder has other papers, because ingesting the corpus
/// would mix the two sets of papers irreversibly.
fn reserve_folder(location: &Location, corpus: &Path) -> anyhow::Result<()> {
    // `open_with_corpus` checks a Milvus collection after ingesting, by the number of papers in the collection.
    #[cfg_attr(
        not(feature = "milvus"),
        expect(irrefutable_let_patterns, reason = "without Milvus, every location is a folder")
    )]
    let Location::Folder(data) = location else { return Ok(()) };
    let (marker, corpus) = (data.join("judged-set"), corpus.canonicalize()?.display().to_string());
    let marked = std::fs::read_to_string(&marker).ok();
    if marked.as_ref() == Some(&corpus) {
        return Ok(());
    }
    anyhow::ensure!(
        marked.is_none() && !ingest::catalog_path(data).exists(),
        "{}: the folder has other papers ({}), and the papers of {corpus} would be mixed with them; give another \
         folder with --data, or leave out --data to use a temporary folder",
        data.display(),
        marked.unwrap_or_else(|| "not from a test collection".into()),
    );
    std::fs::create_dir_all(data)?;
    std::fs::write(&marker, corpus).with_context(|| marker.display().to_string())
}

/// Formats the report as text, with one row per metric for each system.
fn table(report: &Report, set: &TestCollection) -> String {
    let Report { queries, measures, systems, relevant, without_relevant, .. } = report;
    let mut text = format!(
        "{}: {} queries, {} judgements, relevant from grade {relevant} on\n",
        report.set,
        queries.len(),
        set.judgement_count()
    );
    if *without_relevant > 0 {
        let _ = writeln!(text, "{without_relevant} more queries have no relevant paper and are not measured");
    }
    for system in systems {
        let _ = writeln!(text, "\n{}", system.name);
        for (index, measure) in measures.iter().enumerate() {
            let _ = writeln!(text, "  {}", row(system, index, measure));
        }
        let _ =
            writeln!(text, "  {:<12} {:.1} % of the first ten hits", "not judged", 100.0 * system.unjudged);
        if system.unanswered > 0 {
            let _ = writeln!(text, "  {:<12} {} of the queries", "no hits", system.unanswered);
        }
    }
    text
}

/// Formats a metric's mean and the confidence interval of the mean. For every system after the first, also formats the
/// difference from the first system, with the confidence interval and the p-value of the difference.
fn row(system: &System, index: usize, measure: &str) -> String {
    let Interval { low, high } = system.intervals[index];
    let mut text = format!("{measure:<12} {:.4}  [{low:.4}, {high:.4}]", system.means[index]);
    if let Some(compared) = system.compared.get(index) {
        let Interval { low, high } = compared.interval;
        let _ = write!(text, "  {:+.4} [{low:+.4}, {high:+.4}], p {:.4}", compared.difference, compared.p);
    }
    text
}

/// Formats the metrics of each query: one line per system and query, in columns that are separated by tabs.
fn per_query(report: &Report) -> String {
    let mut text = format!("set\tquery\tsystem\t{}\n", report.measures.join("\t"));
    for system in &report.systems {
        for (index, query) in report.queries.iter().enumerate() {
            let values =
                system.values.iter().map(|values| format!("\t{:.6}", values[index])).collect::<String>();
            let _ = writeln!(text, "{}\t{query}\t{}{values}", report.set, system.name);
        }
    }
    text
}
