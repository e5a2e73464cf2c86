//! Geometry of a set of vectors: anisotropy, nearest neighbours and hubness.

use likewise_index::dot;
use rayon::prelude::*;

/// Number of nearest neighbours of each vector that are counted.
pub const NEIGHBOURS: usize = 10;

/// Cosines and neighbours within a set of unit vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Cosines of random pairs of different vectors, four times as many pairs as vectors; empty for fewer than 2
    /// vectors.
    pub random: Vec<f32>,
    /// For each vector the cosine to its nearest neighbour; empty for fewer than 2 vectors.
    pub nearest: Vec<f32>,
    /// For each vector the number of other vectors that have this vector among their [`NEIGHBOURS`] nearest neighbours.
    pub occurrences: Vec<usize>,
}

impl Geometry {
    /// Computes the cosines of random pairs of unit vectors, and the nearest neighbours of each vector. `seed` chooses
    /// the random pairs. The neighbours are found by comparing all pairs, in O(n²).
    pub fn of(vectors: &[Vec<f32>], seed: u64) -> Geometry {
        let mut random = fastrand::Rng::with_seed(seed);
        let draws = if vectors.len() < 2 { 0 } else { 4 * vectors.len() };
        let pair = |_| {
            let one = random.usize(..vectors.len());
            let other = (one + random.usize(1..vectors.len())) % vectors.len();
            dot(&vectors[one], &vectors[other])
        };
        let random = (0..draws).map(pair).collect();
        let near: Vec<Vec<(f32, usize)>> =
            (0..vectors.len()).into_par_iter().map(|one| nearest(vectors, one)).collect();
        let mut occurrences = vec![0; vectors.len()];
        near.iter().flatten().for_each(|(_, other)| occurrences[*other] += 1);
        let nearest = near.iter().filter_map(|near| near.first().map(|(cosine, _)| *cosine)).collect();
        Geometry { random, nearest, occurrences }
    }

    /// The mean cosine of random pairs: 0 if vectors point in all directions, near 1 in a narrow cone (Ethayarajh
    /// 2019).
    pub fn anisotropy(&self) -> f32 {
        mean(&self.random)
    }

    /// The mean cosine to the nearest neighbour.
    pub fn mean_nearest(&self) -> f32 {
        mean(&self.nearest)
    }

    /// The skewness of `occurrences`: 0 if the occurrences are distributed evenly, above 1 if a few vectors are
    /// neighbours of many other vectors (Radovanović, Nanopoulos & Ivanović 2010, section 2).
    pub fn hubness(&self) -> f32 {
        let counts: Vec<f32> = self.occurrences.iter().map(|count| *count as f32).collect();
        let center = mean(&counts);
        let moment =
            |power: i32| mean(&counts.iter().map(|count| (count - center).powi(power)).collect::<Vec<_>>());
        let spread = moment(2).sqrt();
        if spread > 0.0 { moment(3) / spread.powi(3) } else { 0.0 }
    }

    /// The share of vectors that are among the nearest neighbours of no other vector, 0 to 1.
    pub fn nowhere(&self) -> f32 {
        let count = self.occurrences.iter().filter(|count| **count == 0).count();
        if self.occurrences.is_empty() { 0.0 } else { count as f32 / self.occurrences.len() as f32 }
    }
}

/// The cosines and indices of the nearest [`NEIGHBOURS`] of a vector, nearest first.
fn nearest(vectors: &[Vec<f32>], one: usize) -> Vec<(f32, usize)> {
    let others = (0..vectors.len()).filter(|other| *other != one);
    let mut near: Vec<(f32, usize)> =
        others.map(|other| (dot(&vectors[one], &vectors[other]), other)).collect();
    let count = NEIGHBOURS.min(near.len());
    if count > 0 {
        near.select_nth_unstable_by(count - 1, |a, b| b.0.total_cmp(&a.0));
    }
    near.truncate(count);
    near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    near
}

fn mean(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
    if values.is_empty() { 0.0 } else { (sum / values.len() as f64) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(degrees: usize) -> Vec<f32> {
        let angle = (degrees as f32).to_radians();
        vec![angle.cos(), angle.sin()]
    }

    #[test]
    fn ring_has_no_hubs_and_no_anisotropy() {
        let ring: Vec<Vec<f32>> = (0..360).step_by(3).map(at).collect();
        let geometry = Geometry::of(&ring, 1);
        assert!(geometry.anisotropy().abs() < 0.15, "{}", geometry.anisotropy());
        assert!((geometry.mean_nearest() - 3_f32.to_radians().cos()).abs() < 1e-4);
        assert!(geometry.hubness().abs() < 0.7 && geometry.nowhere() == 0.0, "{}", geometry.hubness());
    }

    #[test]
    fn cone_is_anisotropic_and_star_has_a_hub() {
        let cone: Vec<Vec<f32>> = (0..40).map(at).collect();
        assert!(Geometry::of(&cone, 1).anisotropy() > 0.9);
        // All axes, and one vector between the axes that is the nearest neighbour of each axis.
        let axis = |axis: usize| (0..60).map(|index| f32::from(u8::from(index == axis))).collect();
        let mut star: Vec<Vec<f32>> = (0..60).map(axis).collect();
        star.push(vec![1.0 / 60_f32.sqrt(); 60]);
        let geometry = Geometry::of(&star, 1);
        assert_eq!(geometry.occurrences[60], 60);
        assert!(geometry.hubness() > 1.0, "{}", geometry.hubness());
    }

    #[test]
    fn fewer_than_three_vectors_are_measured() {
        for count in 0..3 {
            let geometry = Geometry::of(&vec![at(7); count], 1);
            assert_eq!(geometry.nearest.len(), if count < 2 { 0 } else { count });
            assert!(geometry.hubness() == 0.0 && geometry.anisotropy() >= 0.0);
        }
    }
}
