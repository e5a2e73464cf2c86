//! Fits the curve that turns scores into probabilities of relevance.
//!
//! No other part of an evaluation fits parameters.

use super::{Run, TestCollection};
use crate::error::{Error, Result};
use likewise_encoder::model::Curve;

/// Number of iterations of Fisher scoring for one upper limit of the curve. Each iteration about doubles the number of
/// correct digits.
const ITERATIONS: usize = 25;

/// Number of bins of the expected calibration error.
const BINS: usize = 10;

/// A score, and whether the pair of query and paper is related.
pub type ScoredPair = (f32, bool);

/// The hits of a run as scored pairs. A pair is related if the paper's grade for the query is at least `relevant`. Hits
/// without a judgement count as not related.
pub fn pairs(collection: &TestCollection, run: &Run, relevant: i32) -> Vec<ScoredPair> {
    let answered = collection.queries.iter().filter_map(|query| Some((query, run.answers.get(&query.id)?)));
    let pairs = answered.flat_map(|(query, hits)| {
        hits.iter()
            .map(|(paper, score)| (*score, query.qrels.get(paper).is_some_and(|grade| *grade >= relevant)))
    });
    pairs.collect()
}

/// Fits the curve of maximum likelihood. Upper limits from 0.5 to 1 are tried in steps of 0.01; for each limit, slope
/// and intercept are fitted by Fisher scoring.
///
/// # Errors
/// Returns [`Error::Invalid`] if all pairs or no pairs are related, or if no fit converges. That happens if scores
/// separate related from unrelated pairs perfectly, because then no curve has the maximum likelihood, or if all scores
/// are equal.
pub fn fit(pairs: &[ScoredPair]) -> Result<Curve> {
    let related = pairs.iter().filter(|(_, related)| *related).count();
    if related == 0 || related == pairs.len() {
        let all = pairs.len();
        return Err(Error::Invalid(format!(
            "calibration needs related and unrelated pairs (got {related} related pairs of {all})"
        )));
    }
    let curves = (50..=100).filter_map(|percent| fit_below(pairs, percent as f64 / 100.0));
    let best = curves.min_by(|a, b| loss(*a, pairs).total_cmp(&loss(*b, pairs)));
    best.ok_or_else(|| {
        Error::Invalid(
            "no curve fits these pairs, because their scores separate related from unrelated pairs perfectly"
                .into(),
        )
    })
}

/// The best curve with a given upper limit; `None` if the fit does not converge, because the best curve is a step or
/// all scores are equal.
fn fit_below(pairs: &[ScoredPair], limit: f64) -> Option<Curve> {
    let share = pairs.iter().filter(|(_, related)| *related).count() as f64 / pairs.len() as f64;
    let start = (share / limit).min(0.95);
    let (mut slope, mut intercept) = (0.0, (start / (1.0 - start)).ln());
    for _ in 0..ITERATIONS {
        // Gradient of the log-likelihood, and Fisher information, in slope and intercept.
        let (mut gradient, mut information) = ([0.0; 2], [0.0; 3]);
        for (score, related) in pairs {
            let score = f64::from(*score);
            let logistic = 1.0 / (1.0 + (-(slope * score + intercept)).exp());
            let probability = (limit * logistic).clamp(1e-9, 1.0 - 1e-9);
            let derivative = limit * logistic * (1.0 - logistic);
            let factor = derivative / (probability * (1.0 - probability));
            let residual = factor * (f64::from(u8::from(*related)) - probability);
            gradient = [gradient[0] + residual * score, gradient[1] + residual];
            let weight = factor * derivative;
            information[0] += weight * score * score;
            information[1] += weight * score;
            information[2] += weight;
        }
        let [a, b, c] = information;
        let determinant = a * c - b * b;
        if determinant.abs() < 1e-12 {
            return None;
        }
        slope += (c * gradient[0] - b * gradient[1]) / determinant;
        intercept += (a * gradient[1] - b * gradient[0]) / determinant;
        if !slope.is_finite() || slope.abs() > 1e4 {
            return None;
        }
    }
    Some(Curve { slope: slope as f32, intercept: intercept as f32, max: limit as f32 })
}

/// The mean negative log-likelihood of the judgements.
fn loss(curve: Curve, pairs: &[ScoredPair]) -> f64 {
    let loss_of = |(score, related): &ScoredPair| {
        let probability = f64::from(curve.at(*score)).clamp(1e-9, 1.0 - 1e-9);
        -(if *related { probability } else { 1.0 - probability }).ln()
    };
    pairs.iter().map(loss_of).sum::<f64>() / pairs.len() as f64
}

/// The expected calibration error (Naeini, Cooper & Hauskrecht 2015) over [`BINS`] bins of equal width: the absolute
/// difference between the mean probability of the pairs in a bin and the share of related pairs in the bin, averaged
/// over the bins with the number of pairs as weight. 0 for no pairs.
pub fn error(curve: Curve, pairs: &[ScoredPair]) -> f64 {
    let mut bins = [(0.0, 0.0); BINS];
    for (score, related) in pairs {
        let probability = f64::from(curve.at(*score));
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + probability, bin.1 + f64::from(u8::from(*related)));
    }
    bins.iter().map(|(predicted, related)| (predicted - related).abs()).sum::<f64>()
        / pairs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(curve: Curve) -> Vec<ScoredPair> {
        let mut random = fastrand::Rng::with_seed(5);
        let pair = |_| {
            let score = random.f32() * 1.2 - 0.2;
            (score, random.f32() < curve.at(score))
        };
        (0..40_000).map(pair).collect()
    }

    #[test]
    fn fit_recovers_the_curve_that_pairs_were_sampled_from() {
        for max in [1.0, 0.7] {
            let expected = Curve { slope: 9.0, intercept: -3.5, max };
            let pairs = sample(expected);
            let got = fit(&pairs).unwrap();
            for score in [-0.1, 0.2, 0.4, 0.6, 0.9] {
                assert!((got.at(score) - expected.at(score)).abs() < 0.02, "{got:?}, expected {expected:?}");
            }
            assert!(error(got, &pairs) < 0.01 && error(Curve { max: 0.4, ..got }, &pairs) > 0.05);
        }
    }

    #[test]
    fn pairs_without_a_best_curve_are_refused() {
        assert!(fit(&[]).is_err() && fit(&[(0.1, true), (0.4, true)]).is_err());
        assert!(fit(&[(0.1, false), (0.2, false), (0.8, true), (0.9, true)]).is_err());
        assert_eq!(error(Curve { slope: 1.0, intercept: 0.0, max: 1.0 }, &[]), 0.0);
    }
}
