//! Scores of judged pairs → the chance that a pair of some score is related.
//!
//! Its own file because it is the one thing that is fitted: everything else of an evaluation is counted.

use super::{JudgedSet, Run};
use crate::error::{Error, Result};
use likewise_encoder::model::Curve;

/// Steps of Fisher's scoring for one end of the curve: it doubles its digits with each.
const STEPS: usize = 25;

/// Parts into which chances are put to be compared with what happened.
const PARTS: usize = 10;

/// A score, and whether the pair is related.
pub type ScoredPair = (f32, bool);

/// What a run says of pairs, and what the judgements do. In a set without pools, what was not judged is not related.
pub fn pairs(set: &JudgedSet, run: &Run, relevant: i32) -> Vec<ScoredPair> {
    let answered = set.queries.iter().filter_map(|query| Some((query, run.answers.get(&query.id)?)));
    let pairs = answered.flat_map(|(query, hits)| {
        hits.iter()
            .map(|(paper, score)| (*score, query.grades.get(paper).is_some_and(|grade| *grade >= relevant)))
    });
    pairs.collect()
}

/// The curve that makes what was judged most likely. Where it ends is tried from 0.5 to 1; the rest, for each end, is found
/// by Fisher's scoring.
///
/// # Errors
/// [`Error::Invalid`] if all pairs are of one kind, or scores tell them apart without exception: no curve is the best then.
pub fn fit(pairs: &[ScoredPair]) -> Result<Curve> {
    let related = pairs.iter().filter(|(_, related)| *related).count();
    if related == 0 || related == pairs.len() {
        let all = pairs.len();
        return Err(Error::Invalid(format!(
            "got {related} related pairs of {all}, wanted some of either kind"
        )));
    }
    let curves = (50..=100).filter_map(|most| fit_below(pairs, most as f64 / 100.0));
    let best = curves.min_by(|a, b| loss(*a, pairs).total_cmp(&loss(*b, pairs)));
    best.ok_or_else(|| {
        Error::Invalid("no curve fits these pairs: their scores tell them apart without exception".into())
    })
}

/// The best curve with some end; `None` if it would be a step.
fn fit_below(pairs: &[ScoredPair], most: f64) -> Option<Curve> {
    let share = pairs.iter().filter(|(_, related)| *related).count() as f64 / pairs.len() as f64;
    let start = (share / most).min(0.95);
    let (mut slope, mut intercept) = (0.0, (start / (1.0 - start)).ln());
    for _ in 0..STEPS {
        // The gradient of the likelihood, and its expected curvature, by slope and intercept.
        let (mut gradient, mut curvature) = ([0.0; 2], [0.0; 3]);
        for (score, related) in pairs {
            let score = f64::from(*score);
            let rise = 1.0 / (1.0 + (-(slope * score + intercept)).exp());
            let chance = (most * rise).clamp(1e-9, 1.0 - 1e-9);
            let change = most * rise * (1.0 - rise);
            let pull = change / (chance * (1.0 - chance));
            let off = pull * (f64::from(u8::from(*related)) - chance);
            gradient = [gradient[0] + off * score, gradient[1] + off];
            let weight = pull * change;
            curvature[0] += weight * score * score;
            curvature[1] += weight * score;
            curvature[2] += weight;
        }
        let [a, b, c] = curvature;
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
    Some(Curve { slope: slope as f32, intercept: intercept as f32, most: most as f32 })
}

/// The mean logarithm of how unlikely what was judged is.
fn loss(curve: Curve, pairs: &[ScoredPair]) -> f64 {
    let unlikely = |(score, related): &ScoredPair| {
        let chance = f64::from(curve.at(*score)).clamp(1e-9, 1.0 - 1e-9);
        -(if *related { chance } else { 1.0 - chance }).ln()
    };
    pairs.iter().map(unlikely).sum::<f64>() / pairs.len() as f64
}

/// How far chances are from what happened, on average over pairs: the expected calibration error (Naeini, Cooper &
/// Hauskrecht 2015), in ten equal parts.
pub fn error(curve: Curve, pairs: &[ScoredPair]) -> f64 {
    let mut parts = [(0.0, 0.0); PARTS];
    for (score, related) in pairs {
        let chance = f64::from(curve.at(*score));
        let part = &mut parts[((chance * PARTS as f64) as usize).min(PARTS - 1)];
        *part = (part.0 + chance, part.1 + f64::from(u8::from(*related)));
    }
    parts.iter().map(|(said, happened)| (said - happened).abs()).sum::<f64>() / pairs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(curve: Curve) -> Vec<ScoredPair> {
        let mut random = fastrand::Rng::with_seed(5);
        let pair = |_| {
            let score = random.f32() * 1.2 - 0.2;
            (score, random.f32() < curve.at(score))
        };
        (0..40_000).map(pair).collect()
    }

    #[test]
    fn a_curve_is_found_again() {
        for most in [1.0, 0.7] {
            let wanted = Curve { slope: 9.0, intercept: -3.5, most };
            let pairs = drawn(wanted);
            let got = fit(&pairs).unwrap();
            for score in [-0.1, 0.2, 0.4, 0.6, 0.9] {
                assert!((got.at(score) - wanted.at(score)).abs() < 0.02, "{got:?}, wanted {wanted:?}");
            }
            assert!(error(got, &pairs) < 0.01 && error(Curve { most: 0.4, ..got }, &pairs) > 0.05);
        }
    }

    #[test]
    fn what_has_no_best_curve_says_so() {
        assert!(fit(&[]).is_err() && fit(&[(0.1, true), (0.4, true)]).is_err());
        assert!(fit(&[(0.1, false), (0.2, false), (0.8, true), (0.9, true)]).is_err());
        assert_eq!(error(Curve { slope: 1.0, intercept: 0.0, most: 1.0 }, &[]), 0.0);
    }
}
