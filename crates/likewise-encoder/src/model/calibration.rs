//! Converts the score of a paper to the probability that the paper is related to the query (a paper or a text).
//!
//! Scores of different models and search modes are not comparable, but these probabilities are. The curves that convert
//! scores are part of a model's settings. They were fitted once, on pairs of a query and a paper with relevance
//! judgements (`likewise eval --calibrate`).

use serde::{Deserialize, Serialize};

/// A logistic curve (Platt 1999) with an upper limit: `max / (1 + exp(-(slope * score + intercept)))`. The limit is
/// usually below 1, because even papers with the highest score are not always related.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// How steeply the probability rises with the score.
    pub slope: f32,
    /// Shifts the curve along the scores: the probability is `max / 2` at the score `-intercept / slope`.
    pub intercept: f32,
    /// The upper limit of the probability, 0 to 1; `most` in files that version 0.1 wrote.
    #[serde(alias = "most")]
    pub max: f32,
}

impl Curve {
    /// Whether the curve rises, and returns probabilities.
    pub(super) fn is_valid(self) -> bool {
        let Curve { slope, intercept, max } = self;
        slope > 0.0 && slope.is_finite() && intercept.is_finite() && (0.0..=1.0).contains(&max)
    }

    /// The probability at a score, 0 to 1.
    pub fn at(self, score: f32) -> f32 {
        self.max / (1.0 + (-(self.slope * score + self.intercept)).exp())
    }
}

/// The calibration curves of a model. There is a set for each kind of query, because the scores of short texts are
/// lower than the scores of abstracts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The curves for queries that are papers, or texts about as long as an abstract.
    pub papers: ModeCurves,
    /// The curves for queries that are short texts: a few words, a title, a sentence.
    pub texts: ModeCurves,
}

/// The calibration curves of a cross-encoder, from the logit of a pair to the probability that the paper is related.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankCalibration {
    /// The curve for queries that are papers, or texts about as long as an abstract. `None`: not calibrated.
    pub papers: Option<Curve>,
    /// The curve for queries that are short texts: a few words, a title, a sentence. `None`: not calibrated.
    pub texts: Option<Curve>,
}

/// One curve for each search mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeCurves {
    /// The curve for the scores of semantic search, which are cosine similarities.
    pub semantic: Curve,
    /// The curve for the scores of lexical search.
    pub lexical: Curve,
    /// The curve for the scores of hybrid search, which combines semantic and lexical search.
    pub hybrid: Curve,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_zero_to_its_maximum() {
        let curve = Curve { slope: 8.0, intercept: -4.0, max: 0.8 };
        assert_eq!(curve.at(0.5), 0.4);
        assert!(curve.is_valid());
        for (slope, max) in [(f32::NAN, 0.8), (-1.0, 0.8), (0.0, 0.8), (8.0, 5.0), (f32::INFINITY, 0.8)] {
            assert!(!Curve { slope, intercept: -4.0, max }.is_valid(), "{slope} {max}");
        }
        assert!(curve.at(-1.0) < 1e-5 && (0.799..=0.8).contains(&curve.at(1.5)));
    }
}
