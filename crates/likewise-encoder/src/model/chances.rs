//! What a score means: the chance that two papers which have it are related.
//!
//! Its own file because it is data of a model, as its pooling is, and of no library: what makes it comparable between
//! questions is that it was fitted once, on pairs that somebody judged.

use serde::{Deserialize, Serialize};

/// A logistic curve (Platt 1999) that ends below 1, since papers can be as alike as can be and be judged apart:
/// `most / (1 + exp(-(slope · score + intercept)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// How soon it rises.
    pub slope: f32,
    /// Where.
    pub intercept: f32,
    /// How far, 0 to 1.
    pub most: f32,
}

impl Curve {
    /// The chance at a score, 0 to 1.
    pub fn at(self, score: f32) -> f32 {
        self.most / (1.0 + (-(self.slope * score + self.intercept)).exp())
    }
}

/// A model's curves: a few words are less like anything than an abstract is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chances {
    /// Of what is asked by papers, or by texts as long as their abstracts.
    pub papers: Curves,
    /// Of what is asked by a few words, a title, a sentence.
    pub texts: Curves,
}

/// One curve for each way of comparing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curves {
    /// Of cosines.
    pub semantic: Curve,
    /// Of shares of words.
    pub lexical: Curve,
    /// Of both together.
    pub hybrid: Curve,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_from_no_chance_to_certainty() {
        let curve = Curve { slope: 8.0, intercept: -4.0, most: 0.8 };
        assert_eq!(curve.at(0.5), 0.4);
        assert!(curve.at(-1.0) < 1e-5 && (0.799..=0.8).contains(&curve.at(1.5)));
    }
}
