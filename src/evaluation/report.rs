//! Runs beside a set's judgements → measures, how far each can be trusted, and whether one run is better than another.
//!
//! Its own file because it is what an evaluation says, whoever prints it.

use super::{JudgedSet, Run};
use crate::error::{Error, Result};
use crate::evaluation::{Graded, Measure, interval, mean, p_value};
use serde::Serialize;
use std::collections::HashSet;

/// How good some systems are on one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The set.
    pub set: String,
    /// Queries that something is relevant for; the others say nothing.
    pub queries: Vec<String>,
    /// Queries left out.
    pub without_relevant: usize,
    /// From this grade on a paper is relevant.
    pub relevant: i32,
    /// What was measured.
    pub measures: Vec<String>,
    /// Each system.
    pub systems: Vec<System>,
}

/// How good one system is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct System {
    /// What it is called.
    pub name: String,
    /// Hits that nobody judged, among the first ten of all queries: a share, 0 to 1.
    pub unjudged: f64,
    /// Queries that it answered with nothing at all.
    pub unanswered: usize,
    /// By measure: of each query, in their order.
    pub values: Vec<Vec<f64>>,
    /// By measure: the mean.
    pub means: Vec<f64>,
    /// By measure: where the mean of 95 of 100 such samples of queries lies.
    pub intervals: Vec<(f64, f64)>,
    /// By measure: beside the first system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Comparison>,
}

/// One system beside the first, on one measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// The difference of the means.
    pub difference: f64,
    /// Where it lies for 95 of 100 samples of queries.
    pub interval: (f64, f64),
    /// See [`p_value`].
    pub p: f64,
}

impl Report {
    /// Measures runs, each with its name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if nothing is relevant for any query: there is nothing to measure.
    pub fn of(
        set: &JudgedSet,
        runs: &[(String, Run)],
        measures: &[Measure],
        relevant: i32,
    ) -> Result<Report> {
        let says = |grades: &super::set::Grades| grades.values().any(|grade| *grade >= relevant);
        let asked: Vec<_> = set.queries.iter().filter(|query| says(&query.grades)).collect();
        if asked.is_empty() {
            let (name, all) = (&set.name, set.queries.len());
            return Err(Error::Invalid(format!(
                "{name}: got no paper of grade {relevant} or more for any of {all} queries, wanted one: are the grades below?"
            )));
        }
        let mut systems: Vec<System> = Vec::new();
        for (name, run) in runs {
            let answers: Vec<(Graded, usize)> = asked.iter().map(|query| graded(query, run)).collect();
            let of =
                |measure: &Measure| answers.iter().map(|(answer, _)| measure.of(answer, relevant)).collect();
            let values: Vec<Vec<f64>> = measures.iter().map(of).collect();
            let compared = systems.first().map(|first| compare(&values, &first.values)).unwrap_or_default();
            let shown: usize = answers.iter().map(|(answer, _)| answer.ranked.len().min(SHOWN)).sum();
            let unjudged: usize = answers.iter().map(|(_, unjudged)| unjudged).sum();
            let unanswered = answers.iter().filter(|(answer, _)| answer.ranked.is_empty()).count();
            systems.push(System {
                name: name.clone(),
                unjudged: unjudged as f64 / shown.max(1) as f64,
                unanswered,
                means: values.iter().map(|values| mean(values)).collect(),
                intervals: values.iter().map(|values| interval(values)).collect(),
                values,
                compared,
            });
        }
        Ok(Report {
            set: set.name.clone(),
            without_relevant: set.queries.len() - asked.len(),
            queries: asked.iter().map(|query| query.id.clone()).collect(),
            relevant,
            measures: measures.iter().map(Measure::to_string).collect(),
            systems,
        })
    }
}

/// Hits that are looked at for whether anybody judged them.
const SHOWN: usize = 10;

/// A query's answer as grades, and how many of its first hits nobody judged.
fn graded(query: &super::JudgedQuery, run: &Run) -> (Graded, usize) {
    let hits = run.answers.get(&query.id).map(Vec::as_slice).unwrap_or_default();
    let mut seen = HashSet::new();
    // A paper counts once, where it is best, and a query is no answer to itself.
    let hits: Vec<&str> = hits
        .iter()
        .map(|(paper, _)| &**paper)
        .filter(|paper| *paper != query.id && seen.insert(*paper))
        .collect();
    let grade = |paper: &&str| query.grades.get(*paper).copied();
    let unjudged = hits.iter().take(SHOWN).filter(|paper| grade(paper).is_none()).count();
    let ranked = hits.iter().map(|paper| grade(paper).unwrap_or_default()).collect();
    let others = query.grades.iter().filter(|(paper, _)| **paper != query.id);
    (Graded { ranked, judged: others.map(|(_, grade)| *grade).collect() }, unjudged)
}

fn compare(values: &[Vec<f64>], first: &[Vec<f64>]) -> Vec<Comparison> {
    let compare = |(these, those): (&Vec<f64>, &Vec<f64>)| {
        let differences: Vec<f64> = these.iter().zip(those).map(|(this, that)| this - that).collect();
        Comparison {
            difference: mean(&differences),
            interval: interval(&differences),
            p: p_value(these, those),
        }
    };
    values.iter().zip(first).map(compare).collect()
}
