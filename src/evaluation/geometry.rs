//! What vectors are like before anybody asks them anything: do they point everywhere, and does everything come up?
//!
//! Its own file because it needs neither judgements nor an index, only vectors.

use likewise_index::dot;
use rayon::prelude::*;

/// Neighbours that are counted.
pub const NEIGHBOURS: usize = 10;

/// What some unit vectors are like among themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Cosines of pairs that were drawn by chance.
    pub random: Vec<f32>,
    /// Of each vector, the cosine to its nearest.
    pub nearest: Vec<f32>,
    /// Of each vector, how many of the others have it among their nearest [`NEIGHBOURS`].
    pub occurrences: Vec<usize>,
}

impl Geometry {
    /// Compares all pairs of unit vectors: O(n²).
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

    /// The mean cosine of pairs drawn by chance: 0 where vectors point everywhere, near 1 in a narrow cone (Ethayarajh 2019).
    pub fn anisotropy(&self) -> f32 {
        mean(&self.random)
    }

    /// The mean cosine to the nearest.
    pub fn mean_nearest(&self) -> f32 {
        mean(&self.nearest)
    }

    /// The skewness of how often each is a neighbour: 0 where all are as often, above 1 where a few come up everywhere
    /// (Radovanović, Nanopoulos & Ivanović 2010, section 2).
    pub fn hubness(&self) -> f32 {
        let counts: Vec<f32> = self.occurrences.iter().map(|count| *count as f32).collect();
        let middle = mean(&counts);
        let moment =
            |power: i32| mean(&counts.iter().map(|count| (count - middle).powi(power)).collect::<Vec<_>>());
        let spread = moment(2).sqrt();
        if spread > 0.0 { moment(3) / spread.powi(3) } else { 0.0 }
    }

    /// The share of those that are nobody's neighbour.
    pub fn nowhere(&self) -> f32 {
        let count = self.occurrences.iter().filter(|count| **count == 0).count();
        if self.occurrences.is_empty() { 0.0 } else { count as f32 / self.occurrences.len() as f32 }
    }
}

/// The nearest of one, best first.
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
    fn a_ring_has_no_hubs_and_points_everywhere() {
        let ring: Vec<Vec<f32>> = (0..360).step_by(3).map(at).collect();
        let geometry = Geometry::of(&ring, 1);
        assert!(geometry.anisotropy().abs() < 0.15, "{}", geometry.anisotropy());
        assert!((geometry.mean_nearest() - 3_f32.to_radians().cos()).abs() < 1e-4);
        assert!(geometry.hubness().abs() < 0.7 && geometry.nowhere() == 0.0, "{}", geometry.hubness());
    }

    #[test]
    fn a_cone_is_seen_and_so_is_a_hub() {
        let cone: Vec<Vec<f32>> = (0..40).map(at).collect();
        assert!(Geometry::of(&cone, 1).anisotropy() > 0.9);
        // Each axis, and one vector between all of them: everybody's nearest.
        let axis = |place: usize| (0..60).map(|other| f32::from(u8::from(other == place))).collect();
        let mut star: Vec<Vec<f32>> = (0..60).map(axis).collect();
        star.push(vec![1.0 / 60_f32.sqrt(); 60]);
        let geometry = Geometry::of(&star, 1);
        assert_eq!(geometry.occurrences[60], 60);
        assert!(geometry.hubness() > 1.0, "{}", geometry.hubness());
    }

    #[test]
    fn few_vectors_are_no_trouble() {
        for count in 0..3 {
            let geometry = Geometry::of(&vec![at(7); count], 1);
            assert_eq!(geometry.nearest.len(), if count < 2 { 0 } else { count });
            assert!(geometry.hubness() == 0.0 && geometry.anisotropy() >= 0.0);
        }
    }
}
