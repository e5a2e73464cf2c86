//! Computes the metrics of runs, with confidence intervals, and compares each run with the first run.

use super::{Run, TestCollection};
use crate::error::{Error, Result};
use crate::evaluation::{GradedAnswer, Interval, Metric, Qrels, TestQuery, interval, mean, p_value};
use serde::Serialize;
use std::collections::HashSet;

/// The metrics of some systems on one test collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name of the collection.
    pub set: String,
    /// Ids of the queries with a relevant paper; metrics are computed for these queries only.
    pub queries: Vec<String>,
    /// Number of queries without a relevant paper.
    pub without_relevant: usize,
    /// Lowest grade of a relevant paper.
    pub relevant: i32,
    /// Names of the metrics.
    pub measures: Vec<String>,
    /// The systems, in the order of the runs.
    pub systems: Vec<System>,
}

/// The metrics of one system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct System {
    /// Name of the run.
    pub name: String,
    /// Share of hits without a judgement among the first ten hits of each query, over all queries of
    /// [`Report::queries`], 0 to 1.
    pub unjudged: f64,
    /// Number of the queries of [`Report::queries`] without any hit.
    pub unanswered: usize,
    /// For each metric the values of the queries, in the order of [`Report::queries`].
    pub values: Vec<Vec<f64>>,
    /// For each metric the mean over the queries.
    pub means: Vec<f64>,
    /// For each metric the 95 % confidence interval of the mean.
    pub intervals: Vec<Interval>,
    /// For each metric the comparison with the first system; empty for the first system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Comparison>,
}

/// Comparison of a system with the first system, by one metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// The mean of this system minus the mean of the first system.
    pub difference: f64,
    /// The 95 % confidence interval of the difference.
    pub interval: Interval,
    /// The p-value of the difference; see [`p_value`].
    pub p: f64,
}

impl Report {
    /// Computes the metrics of named runs. Papers with grade `relevant` or more are relevant.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if no query has a relevant paper.
    pub fn of(
        collection: &TestCollection,
        runs: &[(String, Run)],
        metrics: &[Metric],
        relevant: i32,
    ) -> Result<Report> {
        let has_relevant = |qrels: &Qrels| qrels.values().any(|grade| *grade >= relevant);
        let queries: Vec<_> = collection.queries.iter().filter(|query| has_relevant(&query.qrels)).collect();
        if queries.is_empty() {
            let (name, all) = (&collection.name, collection.queries.len());
            return Err(Error::Invalid(format!(
                "{name}: none of the {all} queries has a paper of grade {relevant} or more; check the grades, or \
                 lower --relevant"
            )));
        }
        let mut systems: Vec<System> = Vec::new();
        for (name, run) in runs {
            let answers: Vec<(GradedAnswer, usize)> =
                queries.iter().map(|query| graded(query, run)).collect();
            let of =
                |metric: &Metric| answers.iter().map(|(answer, _)| metric.of(answer, relevant)).collect();
            let values: Vec<Vec<f64>> = metrics.iter().map(of).collect();
            let compared = systems.first().map(|first| compare(&values, &first.values)).unwrap_or_default();
            let shown: usize =
                answers.iter().map(|(answer, _)| answer.ranked.len().min(UNJUDGED_DEPTH)).sum();
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
            set: collection.name.clone(),
            without_relevant: collection.queries.len() - queries.len(),
            queries: queries.iter().map(|query| query.id.clone()).collect(),
            relevant,
            measures: metrics.iter().map(Metric::to_string).collect(),
            systems,
        })
    }
}

/// Number of first hits that [`System::unjudged`] counts.
const UNJUDGED_DEPTH: usize = 10;

/// Returns the grades of a query's hits, and the number of hits without a judgement among the first [`UNJUDGED_DEPTH`]
/// hits.
fn graded(query: &TestQuery, run: &Run) -> (GradedAnswer, usize) {
    let hits = run.answers.get(&query.id).map(Vec::as_slice).unwrap_or_default();
    let mut seen = HashSet::new();
    // A repeated paper counts at its first rank, and the query's own paper does not count.
    let hits: Vec<&str> = hits
        .iter()
        .map(|(paper, _)| &**paper)
        .filter(|paper| *paper != query.id && seen.insert(*paper))
        .collect();
    let grade = |paper: &&str| query.qrels.get(*paper).copied();
    let unjudged = hits.iter().take(UNJUDGED_DEPTH).filter(|paper| grade(paper).is_none()).count();
    let ranked = hits.iter().map(|paper| grade(paper).unwrap_or_default()).collect();
    let others = query.qrels.iter().filter(|(paper, _)| **paper != query.id);
    (GradedAnswer { ranked, judged: others.map(|(_, grade)| *grade).collect() }, unjudged)
}

/// Compares the values of a system with the values of the first system, metric by metric.
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
