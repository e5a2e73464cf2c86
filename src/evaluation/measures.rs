//! One query's answer, by the grades that people gave its papers → a number from 0 to 1.
//!
//! Its own file because these are the field's formulas, and each is held to the reference program's value (trec_eval's, by
//! pytrec_eval): `tests/golden/measures.py` makes the cases.

use std::fmt;
use std::str::FromStr;

/// A ranked answer as its papers' grades. What nobody judged has grade 0, and so has what is graded below it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graded {
    /// Of each hit, best first.
    pub ranked: Vec<i32>,
    /// Of all papers that were judged for this query, in any order.
    pub judged: Vec<i32>,
}

/// A measure of one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// `nDCG@k`: gains, which are the grades, over `log2(rank + 1)`, to the best order's; as in trec_eval.
    Ndcg(usize),
    /// `nDCG%p`: of the first `p` hundredths of the judged pool, gains over `log2(max(rank, 2))`, to the best order's:
    /// the discount as it was first proposed, with base 2 (Järvelin & Kekäläinen 2002).
    NdcgShare(usize),
    /// `MAP`: the mean precision at the ranks of the relevant papers; those that are not found count as 0.
    AveragePrecision,
    /// `recall@k`: the share of the relevant papers among the first `k`.
    Recall(usize),
    /// `R-precision`: the share of relevant papers among as many hits as there are relevant papers.
    RPrecision,
    /// `MRR`: one over the rank of the first relevant paper.
    ReciprocalRank,
}

impl Measure {
    /// What is told where nobody says what.
    pub const USUAL: &str = "nDCG@10,nDCG%20,MAP,recall@100,R-precision,MRR";

    /// Of an answer; papers are relevant from the grade `relevant` on, which the two nDCG do not look at. 0 where nothing
    /// is relevant.
    pub fn of(self, answer: &Graded, relevant: i32) -> f64 {
        let Graded { ranked, judged } = answer;
        let is_relevant = |grade: &&i32| **grade >= relevant;
        let all = judged.iter().filter(is_relevant).count() as f64;
        let found = |depth: usize| ranked.iter().take(depth).filter(is_relevant).count() as f64;
        let share = |of: f64| if all > 0.0 { of / all } else { 0.0 };
        match self {
            Measure::Ndcg(depth) => to_the_best(answer, depth, |rank| (rank + 1.0).log2()),
            Measure::NdcgShare(percent) => {
                let depth = (judged.len() * percent / 100).max(1);
                to_the_best(answer, depth, |rank| rank.max(2.0).log2())
            }
            Measure::AveragePrecision => share(total(precisions(ranked, relevant))),
            Measure::Recall(depth) => share(found(depth)),
            Measure::RPrecision => share(found(all as usize)),
            Measure::ReciprocalRank => {
                let first = ranked.iter().position(|grade| *grade >= relevant);
                first.map_or(0.0, |place| 1.0 / (place + 1) as f64)
            }
        }
    }
}

/// The precision at the rank of each relevant paper that was found.
fn precisions(ranked: &[i32], relevant: i32) -> impl Iterator<Item = f64> {
    let ranks = ranked.iter().enumerate().filter(move |(_, grade)| **grade >= relevant);
    ranks.enumerate().map(|(before, (place, _))| (before + 1) as f64 / (place + 1) as f64)
}

/// The sum; of nothing 0, and not -0.
fn total(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// Discounted gains of an answer, over those of the best order of what was judged.
fn to_the_best(answer: &Graded, depth: usize, discount: impl Fn(f64) -> f64) -> f64 {
    let gains = |grades: &[i32]| -> f64 {
        let gain = |(place, grade): (usize, &i32)| f64::from(*grade.max(&0)) / discount((place + 1) as f64);
        total(grades.iter().take(depth).enumerate().map(gain))
    };
    let mut best = answer.judged.clone();
    best.sort_unstable_by(|a, b| b.cmp(a));
    let best = gains(&best);
    if best > 0.0 { gains(&answer.ranked) / best } else { 0.0 }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Measure::Ndcg(depth) => write!(f, "nDCG@{depth}"),
            Measure::NdcgShare(percent) => write!(f, "nDCG%{percent}"),
            Measure::AveragePrecision => f.write_str("MAP"),
            Measure::Recall(depth) => write!(f, "recall@{depth}"),
            Measure::RPrecision => f.write_str("R-precision"),
            Measure::ReciprocalRank => f.write_str("MRR"),
        }
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Measure, String> {
        let lower = text.to_lowercase();
        let number = |prefix: &str, most: usize| {
            let number = lower.strip_prefix(prefix)?.parse().ok()?;
            (1..=most).contains(&number).then_some(number)
        };
        let found = match &*lower {
            "map" => Some(Measure::AveragePrecision),
            "mrr" => Some(Measure::ReciprocalRank),
            "r-precision" => Some(Measure::RPrecision),
            _ => number("ndcg@", usize::MAX)
                .map(Measure::Ndcg)
                .or_else(|| number("ndcg%", 100).map(Measure::NdcgShare))
                .or_else(|| number("recall@", usize::MAX).map(Measure::Recall)),
        };
        found.ok_or_else(|| "wanted nDCG@K, nDCG%P, MAP, recall@K, R-precision or MRR".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::HashMap;

    /// A query of random grades and a random answer, and what trec_eval makes of it.
    #[derive(Deserialize)]
    struct Case {
        ranked: Vec<i32>,
        judged: Vec<i32>,
        relevant: i32,
        values: HashMap<String, f64>,
    }

    #[test]
    fn measures_are_those_of_the_reference_program() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/measures.json")).unwrap();
        assert!(cases.len() >= 100);
        for Case { ranked, judged, relevant, values } in cases {
            let answer = Graded { ranked, judged };
            for (name, wanted) in values {
                let got = name.parse::<Measure>().unwrap().of(&answer, relevant);
                assert!((got - wanted).abs() < 1e-6, "{name}: got {got}, wanted {wanted} for {answer:?}");
            }
        }
    }

    #[test]
    fn a_share_of_the_pool_is_measured_with_no_discount_for_the_second() {
        let answer =
            |ranked: &[i32]| Graded { ranked: ranked.to_vec(), judged: vec![3, 2, 1, 0, 0, 0, 0, 0, 0, 0] };
        let of = |ranked: &[i32]| Measure::NdcgShare(20).of(&answer(ranked), 1);
        assert_eq!(of(&[2, 3, 0]), 1.0, "the first two places count alike, and no other is looked at");
        assert_eq!(of(&[0, 3, 2]), 3.0 / 5.0);
        let of = |ranked: &[i32]| Measure::NdcgShare(30).of(&answer(ranked), 1);
        assert!((of(&[0, 3, 2]) - (3.0 + 2.0 / 3_f64.log2()) / (5.0 + 1.0 / 3_f64.log2())).abs() < 1e-12);
    }

    #[test]
    fn nothing_relevant_is_worth_nothing() {
        for measure in Measure::USUAL.split(',').map(|name| name.parse::<Measure>().unwrap()) {
            let empty = Graded::default();
            let wrong = Graded { ranked: vec![0, -1, 0], judged: vec![0, -1] };
            let values = [measure.of(&empty, 1), measure.of(&wrong, 1)];
            assert!(values.iter().all(|value| value.to_bits() == 0), "{measure}: {values:?}");
            assert_eq!(measure.to_string().parse(), Ok(measure));
        }
        for wrong in ["nDCG", "ndcg@0", "nDCG%101", "recall@-1", "F1", ""] {
            assert!(wrong.parse::<Measure>().is_err(), "{wrong}");
        }
    }
}
