//! Judged sets: queries whose answers people graded → a library's answers to them → how good those are.
//!
//! [`set`] reads them, [`run`] is a system's answers, and [`report`] measures and compares. What is asked is the library
//! itself, as everybody asks it: what an evaluation says is what readers get.

mod report;
mod run;
mod set;

pub use report::{Comparison, Report, System};
pub use run::Run;
pub use set::{JudgedQuery, JudgedSet};

use crate::catalog::Filter;
use crate::error::Result;
use crate::model::Side;
use crate::paper::PaperId;
use crate::search::{Answer, Library, Like, MAX_K, Query};
use crate::text::text_of_query;
use rayon::prelude::*;
use std::collections::HashMap;

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
        let embeddings =
            if texts.is_empty() { Vec::new() } else { library.encoder().encode(&texts, Side::Query)? };
        let mut embeddings = embeddings.into_iter();
        let encoded: Vec<_> =
            queries.iter().map(|query| (query, query.text().and_then(|_| embeddings.next()))).collect();
        let answer = |(query, embedding)| -> Result<_> {
            let question = question(query, asking);
            let embeddings = Option::into_iter(embedding).collect();
            Ok((query.id.clone(), hits(library.search_encoded(&question, embeddings)?, query)))
        };
        let answered: Vec<_> = encoded.into_par_iter().map(answer).collect::<Result<_>>()?;
        run.answers.extend(answered);
        progress(run.answers.len());
    }
    Ok(run)
}

fn question(query: &JudgedQuery, asking: Asking) -> Query {
    let like = match query.text() {
        Some(text) => Like::text(text),
        None => Like::papers(vec![query.id.clone()]),
    };
    // What was taken back may have been judged before that.
    let mut filter = Filter { withdrawn: true, ..Filter::default() };
    if asking.pooled {
        filter.ids = Some(query.grades.keys().cloned().collect());
    }
    // The query's own paper may be among the hits, and is then taken out.
    let k = if asking.pooled { query.grades.len() } else { asking.k };
    Query { k: (k + 1).min(MAX_K), exact: asking.exact, filter, ..Query::of(like) }
}

/// Papers by the names that the set has for them, with scores, best first. What has the query's own name is no answer.
fn hits(answer: Answer, query: &JudgedQuery) -> Vec<(String, f32)> {
    let mut names: HashMap<PaperId, Vec<&String>> = HashMap::new();
    for name in query.grades.keys() {
        // Names that cannot be ids are of no paper here.
        if let Ok(id) = PaperId::parse(name) {
            names.entry(id).or_default().push(name);
        }
    }
    let mut hits = Vec::new();
    for hit in answer.hits {
        // Several of the set's papers may be one here: they were the same paper twice.
        let known: Vec<&String> = hit.paper.ids().filter_map(|id| names.get(id)).flatten().copied().collect();
        match known.is_empty() {
            true => hits.push((hit.paper.id.as_str().to_string(), hit.score)),
            false => hits.extend(known.into_iter().map(|name| (name.clone(), hit.score))),
        }
    }
    hits.retain(|(name, _)| *name != query.id);
    hits
}
