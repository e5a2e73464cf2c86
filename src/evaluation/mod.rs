//! Evaluates search on test collections: queries with relevance judgements (qrels).
//!
//! [`test_collection`] reads a collection, [`run`] holds a system's answers, [`report`] computes metrics and compares
//! systems, and [`calibration`] fits probabilities to scores. [`space`] describes an embedding space without
//! judgements. [`Library`] answers the queries of a collection like the queries of users, except that withdrawn papers
//! are included and [`crate::search::NO_MATCH_PROBABILITY`] does not apply.

pub mod calibration;
mod geometry;
mod metrics;
mod plots;
mod report;
mod resampling;
mod run;
mod space;
mod test_collection;

pub use geometry::Geometry;
pub use metrics::{GradedAnswer, Metric};
pub use plots::space_page;
pub use report::{Comparison, Report, System};
pub use resampling::{Interval, interval, mean, p_value};
pub use run::Run;
pub use space::SpaceFigures;
pub use test_collection::{Qrels, TestCollection, TestQuery};

use crate::error::{Error, Result};
use crate::search::{Aggregation, Answer, Hit, Library, MAX_K, Mode, Query, comparable_scores};
use crate::store::catalog::Filter;
use crate::store::text::text_of_query;
use likewise_encoder::Embedding;
use likewise_encoder::model::InputType;
use likewise_papers::PaperId;
use std::collections::HashMap;
use std::path::Path;

/// Number of queries whose texts are encoded in one call.
const QUERIES_PER_BATCH: usize = 512;

/// Options for running the queries of a test collection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOptions {
    /// Maximum number of hits for each query, 1 to [`MAX_K`]; has no effect if `pooled` is true.
    pub k: usize,
    /// Whether to rank for each query only the papers that were judged for that query, but all of them.
    pub pooled: bool,
    /// Whether to compare each query with every paper, so that the model is evaluated and not the index.
    pub exact: bool,
    /// Method of comparing papers with a query. `None`: the default of [`Query::mode`].
    pub mode: Option<Mode>,
    /// Method of combining several examples. `None`: the default of [`Query::aggregation()`].
    pub aggregation: Option<Aggregation>,
    /// Whether to rerank the first candidates by their sentences; see [`Query::rerank_sentences`].
    pub rerank_sentences: bool,
    /// Number of candidates that the library's cross-encoder reranks; see [`Query::rerank`].
    pub rerank: Option<usize>,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        let (mode, aggregation, rerank) = (None, None, None);
        RunOptions {
            k: MAX_K,
            pooled: false,
            exact: false,
            mode,
            aggregation,
            rerank_sentences: false,
            rerank,
        }
    }
}

/// Runs all queries of a collection. `progress` is called after every 512 queries and at the end, with the number of
/// queries answered so far.
///
/// # Errors
/// Returns the errors of [`Library::search`], such as [`Error::NotFound`] if the library lacks a paper of a query.
pub fn run_queries(
    library: &Library,
    collection: &TestCollection,
    options: RunOptions,
    progress: impl Fn(usize) + Sync,
) -> Result<Run> {
    let mut run = Run::default();
    for queries in collection.queries.chunks(QUERIES_PER_BATCH) {
        let texts: Vec<_> = queries.iter().filter_map(TestQuery::text).collect();
        let texts: Vec<_> = texts.iter().map(|text| text_of_query(text)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let mut embeddings = library.encoder().encode(&texts, InputType::Query)?.into_iter();
        let encoded: Vec<_> =
            queries.iter().map(|query| (query, query.text().and_then(|_| embeddings.next()))).collect();
        // One query at a time: an exact search already uses all cores.
        for (query, embedding) in encoded {
            run.answers.insert(query.id.clone(), run_query(library, query, embedding, options)?);
        }
        progress(run.answers.len());
    }
    Ok(run)
}

/// Reads a UTF-8 file, without its byte order mark.
fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (valid, path) = (error.utf8_error().valid_up_to(), path.display());
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        Error::Invalid(format!("{path}: line {line}: the bytes are not UTF-8; convert the file to UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// Runs one query. Returns the hits as pairs of the collection's paper id and the score, best first.
fn run_query(
    library: &Library,
    query: &TestQuery,
    embedding: Option<Embedding>,
    options: RunOptions,
) -> Result<Vec<(String, f32)>> {
    if !options.pooled {
        let search = build_query(query, options, None);
        let answer = library.search_encoded(&search, embedding.into_iter().collect())?;
        let mut hits = hits_by_judged_id(answer, query);
        hits.truncate(options.k);
        return Ok(hits);
    }
    // Judged ids that are not valid paper ids are skipped: no library has papers with such ids. A large pool is
    // searched in parts, each with fewer than MAX_K papers.
    let ids: Vec<String> = query.qrels.keys().filter(|id| PaperId::parse(id).is_ok()).cloned().collect();
    let mut all = Vec::new();
    for part in ids.chunks(MAX_K - 1) {
        let search = build_query(query, options, Some(part.to_vec()));
        let answer = library.search_encoded(&search, embedding.clone().into_iter().collect())?;
        all.extend(hits_by_judged_id(answer, query));
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(all)
}

fn build_query(query: &TestQuery, options: RunOptions, pool: Option<Vec<String>>) -> Query {
    // One hit more than needed, because the query's own paper can be among the hits and is removed later.
    let k = pool.as_ref().map_or(options.k, Vec::len) + 1;
    // Withdrawn papers are included: papers may have been withdrawn after they were judged.
    let filter = Filter { withdrawn: true, ids: pool, ..Filter::default() };
    let RunOptions { mode, exact, aggregation, rerank_sentences, rerank, .. } = options;
    Query {
        k: k.min(MAX_K),
        exact,
        mode,
        aggregation,
        rerank_sentences,
        rerank,
        filter,
        ..Query::of(query.examples())
    }
}

/// Returns the hits as pairs of the collection's paper id and the score, best first, without the query's own paper. If
/// some hits were reranked, the scores of the others are negative; see [`comparable_scores`].
fn hits_by_judged_id(answer: Answer, query: &TestQuery) -> Vec<(String, f32)> {
    let mut judged: HashMap<PaperId, Vec<&String>> = HashMap::new();
    for name in query.qrels.keys() {
        // Judged ids that are not valid paper ids are skipped: no library has papers with such ids.
        if let Ok(id) = PaperId::parse(name) {
            judged.entry(id).or_default().push(name);
        }
    }
    let own = PaperId::parse(&query.id).ok();
    let scores: Vec<_> = answer.hits.iter().map(|hit| (hit.score, hit.parts)).collect();
    let scores = comparable_scores(&scores);
    let mut hits = Vec::new();
    let is_own = |hit: &Hit| hit.paper.ids().any(|id| Some(id) == own.as_ref());
    for (hit, score) in answer.hits.into_iter().zip(scores).filter(|(hit, _)| !is_own(hit)) {
        // If the collection has a paper under several ids, the library merges them into one paper: each id becomes a
        // hit.
        let names: Vec<&String> =
            hit.paper.ids().filter_map(|id| judged.get(id)).flatten().copied().collect();
        match names.is_empty() {
            true => hits.push((hit.paper.id.as_str().to_string(), score)),
            false => hits.extend(names.into_iter().map(|name| (name.clone(), score))),
        }
    }
    hits
}
