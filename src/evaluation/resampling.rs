//! Confidence intervals of means over queries, and significance tests of differences, by resampling.
//!
//! Seeds are fixed, so the same values always give the same result.

use serde::Serialize;

/// Number of samples that are drawn.
const SAMPLES: usize = 10_000;

const SEED: u64 = 20_261_122;

/// An interval of values; serialised as `[low, high]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "[f64; 2]")]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl From<Interval> for [f64; 2] {
    fn from(Interval { low, high }: Interval) -> [f64; 2] {
        [low, high]
    }
}

/// The mean; 0 for no values.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The 95 % confidence interval of the mean, by the percentile bootstrap (Efron 1979); 0 to 0 for no values.
pub fn interval(values: &[f64]) -> Interval {
    if values.is_empty() {
        return Interval { low: 0.0, high: 0.0 };
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let sample = |_| {
        let sum: f64 = (0..values.len()).map(|_| values[random.usize(..values.len())]).sum();
        sum / values.len() as f64
    };
    let mut means: Vec<f64> = (0..SAMPLES).map(sample).collect();
    means.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| means[((SAMPLES - 1) as f64 * share).round() as usize];
    Interval { low: quantile(0.025), high: quantile(0.975) }
}

/// The p-value of a difference between two systems, by the two-sided paired randomisation test (Smucker, Allan &
/// Carterette 2007, section 3.1). `one` and `other` are the systems' values for the same queries, in the same order.
pub fn p_value(one: &[f64], other: &[f64]) -> f64 {
    let differences: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
    let observed = differences.iter().sum::<f64>().abs();
    let mut random = fastrand::Rng::with_seed(SEED);
    let is_as_large = |_: &usize| {
        let mut signs = 0_u64;
        let sum: f64 = differences
            .iter()
            .enumerate()
            .map(|(index, difference)| {
                if index % 64 == 0 {
                    signs = random.u64(..);
                }
                if signs >> (index % 64) & 1 == 1 { *difference } else { -difference }
            })
            .sum();
        // The tolerance allows for rounding, which differs with the signs.
        sum.abs() >= observed - 1e-12
    };
    let as_large = (0..SAMPLES).filter(is_as_large).count();
    // The observed difference counts as one of the samples, so that p is never 0.
    (as_large + 1) as f64 / (SAMPLES + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_matches_the_standard_error() {
        // Half zeros, half ones: the mean of n values has a standard error of 0.5 / sqrt(n).
        let values: Vec<f64> = (0..1000).map(|index| f64::from(index % 2)).collect();
        let Interval { low, high } = interval(&values);
        let expected = 1.96 * 0.5 / 1000_f64.sqrt();
        assert!(
            (0.5 - low - expected).abs() < 0.003 && (high - 0.5 - expected).abs() < 0.003,
            "{low} {high}"
        );
        assert_eq!((interval(&[]), interval(&[0.3; 5]).low), (Interval { low: 0.0, high: 0.0 }, 0.3));
    }

    #[test]
    fn only_large_differences_are_significant() {
        let one: Vec<f64> = (0..200).map(|index| f64::from(index * 37 % 101) / 101.0).collect();
        let better: Vec<f64> = one.iter().map(|value| value + 0.1).collect();
        let shuffled: Vec<f64> = one.iter().rev().copied().collect();
        assert!(p_value(&better, &one) < 0.001);
        assert!(p_value(&one, &shuffled) > 0.2);
        assert_eq!(p_value(&one, &one), 1.0);
        // With three queries, two of the eight combinations of signs (all plus, all minus) give as large a difference.
        assert!((p_value(&[1.0; 3], &[0.0; 3]) - 0.25).abs() < 0.02);
    }
}
