//! Judged sets: queries whose answers people graded → a library's answers to them → how good those are.
//!
//! [`set`] reads them, [`run`] is a system's answers, [`report`] measures and compares, and [`calibration`] says what scores
//! mean; [`space`] is what can be said of a space without judgements. What is asked is the library
//! itself, as everybody asks it: with as many hits as readers ask for, an evaluation measures what they get.

pub mod calibration;
mod geometry;
mod measures;
mod plots;
mod report;
mod resampling;
mod run;
mod set;
mod space;

pub use geometry::Geometry;
pub use measures::{Graded, Measure};
pub use plots::space_page;
pub use report::{Comparison, Report, System};
pub use resampling::{interval, mean, p_value};
pub use run::Run;
pub use set::{JudgedQuery, JudgedSet};
pub use space::SpaceFigures;

use crate::error::{Error, Result};
use crate::search::{Answer, Examples, Library, MAX_K, Mode, Query};
use crate::store::catalog::Filter;
use crate::store::text::text_of_query;
use likewise_encoder::Embedding;
use likewise_encoder::model::Side;
use likewise_papers::PaperId;
use std::collections::HashMap;
use std::path::Path;

/// Texts that are encoded at once.
const TEXTS: usize = 512;

/// How queries are asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asking {
    /// Hits a query, 1 to [`MAX_K`].
    pub k: usize,
    /// Only what was judged for a query is ranked for it.
    pub pooled: bool,
    /// Every paper is compared: the model is judged, and not the index.
    pub exact: bool,
    /// By what papers are alike, if not as usual.
    pub mode: Option<Mode>,
    /// How several examples make one question.
    pub examples: Option<Examples>,
    /// Whether sentences count, too.
    pub rescore: bool,
}

/// Asks a library every query of a set. `progress` is told how many are answered.
///
/// # Errors
/// As [`Library::search`]; a query that is a paper which is not here is an error, too.
pub fn ask(
    library: &Library,
    set: &JudgedSet,
    asking: Asking,
    progress: impl Fn(usize) + Sync,
) -> Result<Run> {
    let mut run = Run::default();
    for queries in set.queries.chunks(TEXTS) {
        let texts: Vec<_> = queries.iter().filter_map(JudgedQuery::text).collect();
        let texts: Vec<_> = texts.iter().map(|text| text_of_query(text)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let mut embeddings = library.encoder().encode(&texts, Side::Query)?.into_iter();
        let encoded: Vec<_> =
            queries.iter().map(|query| (query, query.text().and_then(|_| embeddings.next()))).collect();
        // One after the other: comparing with every paper takes every core by itself.
        for (query, embedding) in encoded {
            run.answers.insert(query.id.clone(), answered(library, query, embedding, asking)?);
        }
        progress(run.answers.len());
    }
    Ok(run)
}

/// A file's text, without the mark that some programs put before it.
fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let (valid, path) = (error.utf8_error().valid_up_to(), path.display());
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        Error::Invalid(format!("{path}: line {line}: got bytes that are no UTF-8; wanted the file in UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// A query's hits, by the names that the set has for them, with scores, best first.
fn answered(
    library: &Library,
    query: &JudgedQuery,
    embedding: Option<Embedding>,
    asking: Asking,
) -> Result<Vec<(String, f32)>> {
    if !asking.pooled {
        let answer =
            library.search_encoded(&question(query, asking, None), embedding.into_iter().collect())?;
        let mut hits = hits(answer, query);
        hits.truncate(asking.k);
        return Ok(hits);
    }
    // Names that cannot be ids are of no paper here; a large pool is asked for in parts.
    let names: Vec<String> =
        query.grades.keys().filter(|name| PaperId::parse(name).is_ok()).cloned().collect();
    let mut all = Vec::new();
    for part in names.chunks(MAX_K - 1) {
        let question = question(query, asking, Some(part.to_vec()));
        all.extend(hits(library.search_encoded(&question, embedding.clone().into_iter().collect())?, query));
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(all)
}

fn question(query: &JudgedQuery, asking: Asking, pool: Option<Vec<String>>) -> Query {
    // What was taken back may have been judged before that.
    // The query's own paper may be among the hits, and is then taken out.
    let k = pool.as_ref().map_or(asking.k, Vec::len) + 1;
    let filter = Filter { withdrawn: true, ids: pool, ..Filter::default() };
    let Asking { mode, exact, examples, rescore, .. } = asking;
    Query { k: k.min(MAX_K), exact, mode, examples, rescore, filter, ..Query::of(query.like()) }
}

/// Papers by the names that the set has for them, with scores, best first. The query's own paper is no answer.
fn hits(answer: Answer, query: &JudgedQuery) -> Vec<(String, f32)> {
    let mut names: HashMap<PaperId, Vec<&String>> = HashMap::new();
    for name in query.grades.keys() {
        // Names that cannot be ids are of no paper here.
        if let Ok(id) = PaperId::parse(name) {
            names.entry(id).or_default().push(name);
        }
    }
    let own = PaperId::parse(&query.id).ok();
    let mut hits = Vec::new();
    for hit in answer.hits.into_iter().filter(|hit| !hit.paper.ids().any(|id| Some(id) == own.as_ref())) {
        // Several of the set's papers may be one here: they were the same paper twice.
        let known: Vec<&String> = hit.paper.ids().filter_map(|id| names.get(id)).flatten().copied().collect();
        match known.is_empty() {
            true => hits.push((hit.paper.id.as_str().to_string(), hit.score)),
            false => hits.extend(known.into_iter().map(|name| (name.clone(), hit.score))),
        }
    }
    hits
}
