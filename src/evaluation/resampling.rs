//! How far a mean over queries can be trusted, and a difference of two.
//!
//! Its own file because both ask the same question of chance: what if other queries had been asked? Seeds are fixed: the
//! same figures give the same answer.

/// Samples that are drawn.
const DRAWN: usize = 10_000;

const SEED: u64 = 20_261_122;

/// The mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Where the mean of 95 of 100 samples of these queries lies: the percentile bootstrap (Efron 1979).
pub fn interval(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let sample = |_| {
        let sum: f64 = (0..values.len()).map(|_| values[random.usize(..values.len())]).sum();
        sum / values.len() as f64
    };
    let mut means: Vec<f64> = (0..DRAWN).map(sample).collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means[((DRAWN - 1) as f64 * share).round() as usize];
    (at(0.025), at(0.975))
}

/// How often chance alone would make two systems differ as much on the same queries, if neither were better: the paired
/// randomisation test, two-sided (Smucker, Allan & Carterette 2007, section 3.1). `one` and `other` are values of the same queries.
pub fn p_value(one: &[f64], other: &[f64]) -> f64 {
    let differences: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
    let seen = differences.iter().sum::<f64>().abs();
    let mut random = fastrand::Rng::with_seed(SEED);
    let is_as_large = |_: &usize| {
        let mut signs = 0_u64;
        let sum: f64 = differences
            .iter()
            .enumerate()
            .map(|(place, difference)| {
                if place % 64 == 0 {
                    signs = random.u64(..);
                }
                if signs >> (place % 64) & 1 == 1 { *difference } else { -difference }
            })
            .sum();
        // Sums of the same numbers in another order of signs may differ in their last digits.
        sum.abs() >= seen - 1e-12
    };
    let as_large = (0..DRAWN).filter(is_as_large).count();
    // What was seen is one of the samples: no p is 0.
    (as_large + 1) as f64 / (DRAWN + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_that_of_the_standard_error() {
        // Half zeros, half ones: the mean of n has a standard error of 0.5 / sqrt(n).
        let values: Vec<f64> = (0..1000).map(|place| f64::from(place % 2)).collect();
        let (low, high) = interval(&values);
        let wanted = 1.96 * 0.5 / 1000_f64.sqrt();
        assert!((0.5 - low - wanted).abs() < 0.003 && (high - 0.5 - wanted).abs() < 0.003, "{low} {high}");
        assert_eq!((interval(&[]), interval(&[0.3; 5]).0), ((0.0, 0.0), 0.3));
    }

    #[test]
    fn chance_makes_small_differences_and_no_large_ones() {
        let one: Vec<f64> = (0..200).map(|place| f64::from(place * 37 % 101) / 101.0).collect();
        let better: Vec<f64> = one.iter().map(|value| value + 0.1).collect();
        let shuffled: Vec<f64> = one.iter().rev().copied().collect();
        assert!(p_value(&better, &one) < 0.001);
        assert!(p_value(&one, &shuffled) > 0.2);
        assert_eq!(p_value(&one, &one), 1.0);
        // Of three queries, a quarter of the signs (all plus, all minus) differ as much: two of eight.
        assert!((p_value(&[1.0; 3], &[0.0; 3]) - 0.25).abs() < 0.02);
    }
}
