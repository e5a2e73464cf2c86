//! Retrieval metrics of one answer, 0 to 1, such as nDCG and recall.
//!
//! Each metric except `nDCG%p` is tested against the values of the reference program (trec_eval, through pytrec_eval);
//! `tests/golden/measures.py` makes the test cases.

use std::fmt;
use std::str::FromStr;

/// The grades of a ranked answer. A paper without a judgement has grade 0. In nDCG, negative grades count as 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GradedAnswer {
    /// The grades of the hits, best hit first.
    pub ranked: Vec<i32>,
    /// The grades of all papers that were judged for the query, in any order.
    pub judged: Vec<i32>,
}

/// A metric of one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// `nDCG@k`: the sum of the first `k` grades, each divided by `log2(rank + 1)`, relative to this sum for the best
    /// order; as in trec_eval.
    Ndcg(usize),
    /// `nDCG%p`: like `nDCG@k`, where `k` is `p` per cent of the number of judged papers, rounded down and at least 1.
    /// But each grade is divided by `log2(max(rank, 2))`: the original discount with base 2 (Järvelin & Kekäläinen
    /// 2002).
    NdcgShare(usize),
    /// `MAP`: the mean, over all relevant papers, of the precision at the rank of the paper; the precision is 0 for
    /// relevant papers that were not retrieved.
    AveragePrecision,
    /// `recall@k`: the share of the relevant papers that are among the first `k` hits.
    Recall(usize),
    /// `R-precision`: the precision of the first R hits, where R is the number of relevant papers.
    RPrecision,
    /// `MRR`: the reciprocal rank of the first relevant paper; 0 if no relevant paper was retrieved.
    ReciprocalRank,
}

impl Metric {
    /// The metrics that are computed by default.
    pub const DEFAULT: &str = "nDCG@10,nDCG%20,MAP,recall@100,R-precision,MRR";

    /// Computes the metric. Papers with grade `relevant` or more are relevant; nDCG uses the grades instead and ignores
    /// `relevant`. 0 if no judged paper is relevant or, for nDCG, if no judged paper has a grade above 0.
    pub fn of(self, answer: &GradedAnswer, relevant: i32) -> f64 {
        let GradedAnswer { ranked, judged } = answer;
        let is_relevant = |grade: &&i32| **grade >= relevant;
        let all = judged.iter().filter(is_relevant).count() as f64;
        let found = |depth: usize| ranked.iter().take(depth).filter(is_relevant).count() as f64;
        let share = |of: f64| if all > 0.0 { of / all } else { 0.0 };
        match self {
            Metric::Ndcg(depth) => ndcg(answer, depth, |rank| (rank + 1.0).log2()),
            Metric::NdcgShare(percent) => {
                let depth = (judged.len() * percent / 100).max(1);
                ndcg(answer, depth, |rank| rank.max(2.0).log2())
            }
            Metric::AveragePrecision => share(total(precisions(ranked, relevant))),
            Metric::Recall(depth) => share(found(depth)),
            Metric::RPrecision => share(found(all as usize)),
            Metric::ReciprocalRank => {
                let first = ranked.iter().position(|grade| *grade >= relevant);
                first.map_or(0.0, |index| 1.0 / (index + 1) as f64)
            }
        }
    }
}

/// The precision at the rank of each relevant paper that was retrieved.
fn precisions(ranked: &[i32], relevant: i32) -> impl Iterator<Item = f64> {
    let ranks = ranked.iter().enumerate().filter(move |(_, grade)| **grade >= relevant);
    ranks.enumerate().map(|(before, (index, _))| (before + 1) as f64 / (index + 1) as f64)
}

/// The sum; 0 for no values, where `sum()` returns -0.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// The discounted cumulative gain of an answer, divided by the gain of the best order of the judged papers.
fn ndcg(answer: &GradedAnswer, depth: usize, discount: impl Fn(f64) -> f64) -> f64 {
    let gains = |grades: &[i32]| -> f64 {
        let gain = |(index, grade): (usize, &i32)| f64::from(*grade.max(&0)) / discount((index + 1) as f64);
        total(grades.iter().take(depth).enumerate().map(gain))
    };
    let mut best = answer.judged.clone();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let best = gains(&best);
    if best > 0.0 { gains(&answer.ranked) / best } else { 0.0 }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Metric::Ndcg(depth) => write!(f, "nDCG@{depth}"),
            Metric::NdcgShare(percent) => write!(f, "nDCG%{percent}"),
            Metric::AveragePrecision => f.write_str("MAP"),
            Metric::Recall(depth) => write!(f, "recall@{depth}"),
            Metric::RPrecision => f.write_str("R-precision"),
            Metric::ReciprocalRank => f.write_str("MRR"),
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Metric, String> {
        let lower = text.to_lowercase();
        let number = |prefix: &str, max: usize| {
            let number = lower.strip_prefix(prefix)?.parse().ok()?;
            (1..=max).contains(&number).then_some(number)
        };
        let found = match &*lower {
            "map" => Some(Metric::AveragePrecision),
            "mrr" => Some(Metric::ReciprocalRank),
            "r-precision" => Some(Metric::RPrecision),
            _ => number("ndcg@", usize::MAX)
                .map(Metric::Ndcg)
                .or_else(|| number("ndcg%", 100).map(Metric::NdcgShare))
                .or_else(|| number("recall@", usize::MAX).map(Metric::Recall)),
        };
        found.ok_or_else(|| "a metric must be nDCG@K, nDCG%P, MAP, recall@K, R-precision or MRR".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::HashMap;

    /// Random judgements and a random answer, with the values that trec_eval computes.
    #[derive(Deserialize)]
    struct GoldenCase {
        ranked: Vec<i32>,
        judged: Vec<i32>,
        relevant: i32,
        values: HashMap<String, f64>,
    }

    #[test]
    fn metrics_match_trec_eval() {
        let cases: Vec<GoldenCase> =
            serde_json::from_str(include_str!("../../tests/golden/measures.json")).unwrap();
        assert!(cases.len() >= 100);
        for GoldenCase { ranked, judged, relevant, values } in cases {
            let answer = GradedAnswer { ranked, judged };
            for (name, expected) in values {
                let got = name.parse::<Metric>().unwrap().of(&answer, relevant);
                assert!(
                    (got - expected).abs() < 1e-6,
                    "{name}: got {got}, expected {expected} for {answer:?}"
                );
            }
        }
    }

    #[test]
    fn ndcg_of_a_share_does_not_discount_the_second_rank() {
        let answer = |ranked: &[i32]| GradedAnswer {
            ranked: ranked.to_vec(),
            judged: vec![3, 2, 1, 0, 0, 0, 0, 0, 0, 0],
        };
        let of = |ranked: &[i32]| Metric::NdcgShare(20).of(&answer(ranked), 1);
        assert_eq!(of(&[2, 3, 0]), 1.0, "only the first two ranks count, and equally");
        assert_eq!(of(&[0, 3, 2]), 3.0 / 5.0);
        let of = |ranked: &[i32]| Metric::NdcgShare(30).of(&answer(ranked), 1);
        assert!((of(&[0, 3, 2]) - (3.0 + 2.0 / 3_f64.log2()) / (5.0 + 1.0 / 3_f64.log2())).abs() < 1e-12);
    }

    #[test]
    fn metrics_are_zero_without_relevant_papers() {
        for metric in Metric::DEFAULT.split(',').map(|name| name.parse::<Metric>().unwrap()) {
            let empty = GradedAnswer::default();
            let irrelevant = GradedAnswer { ranked: vec![0, -1, 0], judged: vec![0, -1] };
            let values = [metric.of(&empty, 1), metric.of(&irrelevant, 1)];
            assert!(values.iter().all(|value| value.to_bits() == 0), "{metric}: {values:?}");
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        for wrong in ["nDCG", "ndcg@0", "nDCG%101", "recall@-1", "F1", ""] {
            assert!(wrong.parse::<Metric>().is_err(), "{wrong}");
        }
    }
}
