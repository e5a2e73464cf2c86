//! Nearest neighbours of unit vectors: HNSW graphs in immutable, mapped segments, walked by int8 codes, beside an
//! exact scan that judges them.
//!
//! [`Index`] is the contract; [`Exact`] is its judge and [`Segments`] the fast one: graphs in files that are
//! mapped ([`segment`], [`graph`]), walked ([`walk`]) or scanned by their [`codes`], and after
//! them a live part on hnsw_rs. [`build`] makes the graphs, and what it makes is checked: every vector that is stored is
//! found. The contract's tests are written once, below, and run for every implementation.
//!
//! ```
//! use likewise_index::{Index, Segments, Vectors, build::Effort};
//!
//! # fn main() -> Result<(), likewise_index::Error> {
//! # let folder = std::env::temp_dir().join(format!("likewise-index-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! // 2,000 unit vectors on a circle; a slot is a vector's number.
//! let angle = |slot: usize| slot as f32 * std::f32::consts::TAU / 2000.0;
//! let values = (0..2000).flat_map(|slot| [angle(slot).cos(), angle(slot).sin()]).collect();
//! let vectors = Vectors::in_memory(values, 2);
//!
//! // Build a segment file, and open it: nothing is read until it is searched.
//! Segments::open(&folder, vectors.clone())?.freeze(&folder, Effort::default())?;
//! let index = Segments::open(&folder, vectors)?;
//! let nearest = index.search(&[1.0, 0.0], 3, None);
//! assert_eq!(nearest[0].slot, 0);
//! assert!(nearest[0].score > 0.9999);
//!
//! // The exact scan, over a set of slots that is allowed.
//! let allowed = (500..600).collect();
//! assert_eq!(index.scan(&[1.0, 0.0], 1, Some(&allowed))[0].slot, 500);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok(())
//! # }
//! ```

pub mod build;
mod check;
pub mod codes;
mod dot;
mod error;
mod exact;
pub mod graph;
mod live;
mod recall;
mod scan;
pub mod segment;
mod segments;
mod vectors;
pub mod walk;

pub use dot::dot;
pub use error::{Error, Result};
pub use exact::Exact;
pub use recall::{probe, recall};
pub use segment::Segment;
pub use segments::{IndexStats, Segments, ef_search};
pub use vectors::Vectors;
pub use walk::EF_SEARCH;

use roaring::RoaringBitmap;
use std::cmp::Ordering;

/// A vector's place among those of its space, from 0.
pub type Slot = u32;

/// A stored vector that is near to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Where the vector is.
    pub slot: Slot,
    /// Cosine similarity, -1 to 1; higher is nearer.
    pub score: f32,
}

impl Neighbour {
    /// Nearest first; of equally near ones, the lower slot.
    pub fn nearest_first(&self, other: &Neighbour) -> Ordering {
        other.score.total_cmp(&self.score).then(self.slot.cmp(&other.slot))
    }
}

/// Finds the stored unit vectors that are nearest to a query by cosine.
pub trait Index: Send + Sync {
    /// How many vectors it answers for.
    fn len(&self) -> usize;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `k` nearest of the slots that are `allowed` (of all, for `None`), nearest first.
    ///
    /// There are fewer than `k` only if fewer are allowed. `query` is a unit vector of the stored
    /// vectors' dimension.
    fn search(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour>;
}

/// Cosine of unit vectors; rounding is not allowed to leave -1 to 1.
#[expect(
    clippy::manual_clamp,
    reason = "in this order NaN, which a damaged vector gives, is the farthest there is"
)]
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b).max(-1.0).min(1.0)
}

/// The `k` nearest candidates, nearest first, each slot once; a slot may come twice, not more often.
pub fn nearest(mut candidates: Vec<Neighbour>, k: usize) -> Vec<Neighbour> {
    // Sorting all of a scan to keep ten would cost more than the scan.
    let kept = 2 * k;
    if kept < candidates.len() {
        candidates.select_nth_unstable_by(kept, Neighbour::nearest_first);
        candidates.truncate(kept);
    }
    candidates.sort_unstable_by(Neighbour::nearest_first);
    candidates.dedup_by_key(|neighbour| neighbour.slot);
    candidates.truncate(k);
    candidates
}

#[cfg(test)]
mod tests {
    use super::build::Effort;
    use super::*;
    use crate::Vectors;
    use proptest::prelude::*;

    const DIMENSION: usize = 16;

    /// Clustered unit vectors, as papers are: a few centres, noise, and some exact duplicates.
    pub(super) fn vectors(count: usize, seed: u64) -> Vectors {
        let mut state = seed | 1;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        };
        let centres: Vec<f32> = (0..DIMENSION * 8).map(|_| next()).collect();
        let mut values: Vec<f32> = Vec::new();
        for slot in 0..count {
            if slot % 17 == 16 {
                values.extend_from_within((slot - 1) * DIMENSION..slot * DIMENSION);
                continue;
            }
            let centre = slot % 8 * DIMENSION;
            let vector: Vec<f32> = (0..DIMENSION).map(|at| centres[centre + at] + 0.3 * next()).collect();
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            values.extend(vector.iter().map(|value| value / length));
        }
        Vectors::in_memory(values, DIMENSION)
    }

    /// One segment; and two with a live part after them, inserted in two goes, and vectors after that.
    fn segments(vectors: &Vectors) -> [Segments; 2] {
        let part =
            |count: usize| Vectors::in_memory(vectors.values()[..count * DIMENSION].to_vec(), DIMENSION);
        let saved = |ends: &[usize]| {
            let folder = tempfile::tempdir().unwrap();
            for ends in ends.windows(2).filter(|ends| ends[0] < ends[1]) {
                let slots = ends[0] as Slot..ends[1] as Slot;
                Segment::build(vectors, slots, Effort::default()).save(folder.path()).unwrap();
            }
            folder
        };
        let count = vectors.len();
        let folder = saved(&[0, count / 4, count / 2]);
        let mut parts = Segments::open(folder.path(), part(count * 3 / 4)).unwrap();
        parts.insert();
        parts.follow(folder.path(), part(count * 4 / 5)).unwrap();
        parts.insert();
        parts.follow(folder.path(), vectors.clone()).unwrap();
        [Segments::open(saved(&[0, count]).path(), vectors.clone()).unwrap(), parts]
    }

    fn every_implementation(vectors: &Vectors) -> Vec<Box<dyn Index>> {
        let [whole, parts] = segments(vectors);
        vec![Box::new(Exact::new(vectors.clone())), Box::new(whole), Box::new(parts)]
    }

    /// The obvious way: score everything, sort.
    pub(super) fn obvious(
        vectors: &Vectors,
        query: &[f32],
        k: usize,
        allowed: Option<&RoaringBitmap>,
    ) -> Vec<Neighbour> {
        let slots =
            (0..vectors.len() as Slot).filter(|slot| allowed.is_none_or(|allowed| allowed.contains(*slot)));
        let score = |slot| query.iter().zip(vectors.get(slot)).map(|(a, b)| a * b).sum::<f32>();
        nearest(slots.map(|slot| Neighbour { slot, score: score(slot) }).collect(), k)
    }

    #[test]
    fn empty_and_tiny_indexes_answer() {
        for count in 0..4 {
            let vectors = vectors(count, 3);
            let query = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
            for index in every_implementation(&vectors) {
                assert_eq!(index.len(), count);
                assert_eq!(index.search(&query, 10, None).len(), count);
                assert!(index.search(&query, 0, None).is_empty());
                assert!(index.search(&query, 10, Some(&RoaringBitmap::new())).is_empty());
            }
        }
    }

    #[test]
    fn every_vector_finds_itself() {
        let vectors = vectors(3000, 5);
        for index in every_implementation(&vectors) {
            for slot in 0..vectors.len() as Slot {
                let found = index.search(vectors.get(slot), 3, None);
                assert!(found.iter().any(|neighbour| neighbour.slot == slot), "{slot} not in {found:?}");
                assert!(found[0].score > 0.999_99 && found[0].score <= 1.0);
            }
        }
    }

    #[test]
    fn vectors_are_found_before_while_and_after_they_are_inserted() {
        let vectors = vectors(4000, 5);
        let index = Segments::empty(vectors.clone());
        index.insert_in_background();
        for slot in (0..vectors.len() as Slot).cycle().take(3 * vectors.len()) {
            let found = index.search(vectors.get(slot), 3, None);
            assert!(found.iter().any(|neighbour| neighbour.slot == slot), "{slot} not in {found:?}");
        }
        index.insert();
        assert_eq!(index.stats().waiting, 4000, "in no segment, but in a graph");
    }

    #[test]
    fn recall_is_high_against_the_exact_scan() {
        let vectors = vectors(3000, 7);
        let queries = self::vectors(200, 8);
        for index in every_implementation(&vectors) {
            let mut common = 0;
            for query in 0..queries.len() as Slot {
                let query = queries.get(query);
                let wanted = obvious(&vectors, query, 10, None);
                let found = index.search(query, 10, None);
                assert_eq!(found.len(), 10);
                common += found.iter().filter(|f| wanted.iter().any(|w| w.score <= f.score + 1e-6)).count();
            }
            assert!(common >= 1980, "{common} of 2000");
        }
    }

    #[test]
    fn the_same_vectors_give_the_same_graph_whatever_the_threads() {
        let vectors = vectors(3000, 11);
        let build = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| build::build(&vectors, 0..3000, Effort::default()))
        };
        let (one, three) = (build(1), build(3));
        for (one, three) in one.layers.iter().zip(&three.layers) {
            assert!(one.nodes[..] == three.nodes[..] && one.links[..] == three.links[..]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn filters_of_any_selectivity_give_k_hits_that_pass(
            count in 1_usize..400, seed in any::<u64>(), keep in 0_u32..=64, k in 1_usize..30,
        ) {
            let vectors = vectors(count, seed);
            let query = self::vectors(1, seed ^ 9).get(0).to_vec();
            let allowed: RoaringBitmap = (0..count as Slot).filter(|slot| slot.wrapping_mul(2_654_435_761) >> 26 < keep).collect();
            for index in every_implementation(&vectors) {
                let found = index.search(&query, k, Some(&allowed));
                prop_assert_eq!(found.len() as u64, (k as u64).min(allowed.len()));
                prop_assert!(found.iter().all(|neighbour| allowed.contains(neighbour.slot)));
                prop_assert!(found.is_sorted_by(|a, b| a.nearest_first(b).is_lt()));
            }
            let exact = Exact::new(vectors.clone());
            for index in segments(&vectors) {
                prop_assert_eq!(index.scan(&query, k, Some(&allowed)), exact.search(&query, k, Some(&allowed)));
                prop_assert_eq!(index.scan(&query, k, None), exact.search(&query, k, None));
            }
            let found = exact.search(&query, k, Some(&allowed));
            for (found, wanted) in found.iter().zip(obvious(&vectors, &query, k, Some(&allowed))) {
                prop_assert!((found.score - wanted.score).abs() < 1e-5);
            }
        }
    }
}
