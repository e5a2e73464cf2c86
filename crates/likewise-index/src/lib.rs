//! Nearest-neighbour search over unit vectors. HNSW graphs in immutable, memory-mapped segments are searched with
//! vectors quantized to four bits per value (eight if the dimension is less than 256). Every returned score is the cosine
//! of the `f32` vectors. An exact scan is the reference.
//!
//! ```
//! use likewise_index::{Index, Segments, Vectors, build::HnswParams};
//!
//! # fn main() -> Result<(), likewise_index::Error> {
//! # let folder = std::env::temp_dir().join(format!("likewise-index-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! // 2,000 unit vectors on a circle. A slot is the index of a vector, counted from 0.
//! let angle = |slot: usize| slot as f32 * std::f32::consts::TAU / 2000.0;
//! let values = (0..2000).flat_map(|slot| [angle(slot).cos(), angle(slot).sin()]).collect();
//! let vectors = Vectors::in_memory(values, 2);
//!
//! // Build a segment file, then open it. Opening maps the file; a search reads only the pages that it needs.
//! Segments::open(&folder, vectors.clone())?.seal(&folder, HnswParams::default())?;
//! let index = Segments::open(&folder, vectors)?;
//! let hits = index.search(&[1.0, 0.0], 3, None);
//! assert_eq!(hits[0].slot, 0);
//! assert!(hits[0].score > 0.9999);
//!
//! // An exact scan, restricted to the slots 500 to 599.
//! let allowed = (500..600).collect();
//! assert_eq!(index.scan(&[1.0, 0.0], 1, Some(&allowed))[0].slot, 500);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - [`Index`]: the trait that every index implements. The tests of the trait are in this file, and run for every
//!   implementation in this crate.
//! - [`Segments`]: the index that the program uses: immutable segments, and one mutable segment (a graph of the crate
//!   hnsw_rs) for the vectors that are in no immutable segment yet
//! - [`Segment`]: one immutable segment, which is a [`graph`] in a mapped file; [`build`] builds the graph,
//!   [`graph_search`] searches it, and [`quantized`] has its quantized vectors
//! - [`Exact`]: the exact scan of all `f32` vectors, the reference for the other indexes
//! - [`recall`](fn@recall): the fraction of the exact result that a search returns
//!
//! After the graph of an immutable segment is built, every vector of the segment is searched for, and links are added
//! to the vectors that are not found. Vectors that are still unreachable are compared with every query. The mutable
//! segment adds no links: all its unreachable vectors are compared with every query. Every stored vector can therefore
//! be found.

mod bits;
pub mod build;
mod check;
mod dot;
mod error;
mod exact;
pub mod graph;
pub mod graph_search;
mod mutable_segment;
pub mod quantized;
mod recall;
mod scan;
pub mod segment;
mod segments;
mod vectors;

pub use dot::dot;
pub use error::{Error, Result};
pub use exact::Exact;
pub use graph_search::EF_SEARCH;
pub use recall::{probe, recall};
pub use segment::Segment;
pub use segments::{IndexStats, Segments, ef_search};
pub use vectors::Vectors;

use roaring::RoaringBitmap;
use std::cmp::Ordering;

/// The index of a stored vector, counted from 0.
pub type Slot = u32;

/// The parameters of a graph search.
#[derive(Debug, Clone, Copy)]
pub struct SearchParams {
    /// Number of nearest neighbours that the caller wants. The search of a segment can return more or fewer.
    pub k: usize,
    /// Minimum number of candidates that the search keeps; `ef` in the HNSW paper. A search keeps more if `k` is large.
    pub ef: usize,
}

/// A stored vector that is near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The vector's slot.
    pub slot: Slot,
    /// Cosine of the query and the vector, from -1 to 1. Higher is nearer.
    pub score: f32,
}

impl Neighbour {
    /// Orders nearer neighbours first, and equally near neighbours by slot.
    pub fn nearest_first(&self, other: &Neighbour) -> Ordering {
        other.score.total_cmp(&self.score).then(self.slot.cmp(&other.slot))
    }
}

/// An index of unit vectors, which finds the vectors that are nearest to a query by cosine.
pub trait Index: Send + Sync {
    /// The number of vectors in the index.
    fn len(&self) -> usize;

    /// Whether the index has no vectors.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the `k` nearest of the allowed slots, nearest first. If `allowed` is `None`, all slots are allowed.
    ///
    /// Returns fewer than `k` slots only if fewer than `k` slots are allowed. `query` must be a unit vector with the
    /// dimension of the stored vectors.
    fn search(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour>;
}

/// Cosine of two unit vectors, clamped to -1..1, because rounding errors can lead outside that range.
#[expect(
    clippy::manual_clamp,
    reason = "in this order NaN, the score of a damaged vector, becomes -1, the farthest score"
)]
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b).max(-1.0).min(1.0)
}

/// Returns the `k` nearest candidates, nearest first, with each slot only once. `candidates` must have each slot at
/// most twice.
pub fn nearest(mut candidates: Vec<Neighbour>, k: usize) -> Vec<Neighbour> {
    // Selects the nearest candidates before it sorts, because sorting all results of a scan would cost more than the
    // scan.
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
    use super::build::HnswParams;
    use super::*;
    use crate::Vectors;
    use proptest::prelude::*;

    /// With the first dimension, segments quantize vectors to eight bits per value, and with the second to four.
    const DIMENSIONS: [usize; 2] = [16, 256];

    /// Clustered unit vectors of 16 values; see [`vectors_of`].
    pub(super) fn vectors(count: usize, seed: u64) -> Vectors {
        vectors_of(DIMENSIONS[0], count, seed)
    }

    /// Clustered unit vectors, like those of papers: a few centres with noise, and some exact duplicates. Vectors of 256
    /// values have more noise: otherwise the vectors of a cluster would be so similar that segments would use eight bits.
    pub(super) fn vectors_of(dimension: usize, count: usize, seed: u64) -> Vectors {
        let mut state = seed | 1;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        };
        let noise = if dimension == DIMENSIONS[0] { 0.3 } else { 1.0 };
        let centres: Vec<f32> = (0..dimension * 8).map(|_| next()).collect();
        let mut values: Vec<f32> = Vec::new();
        for slot in 0..count {
            if slot % 17 == 16 {
                values.extend_from_within((slot - 1) * dimension..slot * dimension);
                continue;
            }
            let centre = slot % 8 * dimension;
            let vector: Vec<f32> = (0..dimension).map(|at| centres[centre + at] + noise * next()).collect();
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            values.extend(vector.iter().map(|value| value / length));
        }
        Vectors::in_memory(values, dimension)
    }

    /// Returns two indexes. The first has a single immutable segment. The second has two immutable segments, a mutable
    /// segment that was filled in two steps, and vectors that are in no segment.
    fn segments(vectors: &Vectors) -> [Segments; 2] {
        let dimension = vectors.dimension();
        let first =
            |count: usize| Vectors::in_memory(vectors.values()[..count * dimension].to_vec(), dimension);
        let saved = |ends: &[usize]| {
            let folder = tempfile::tempdir().unwrap();
            for ends in ends.windows(2).filter(|ends| ends[0] < ends[1]) {
                let slots = ends[0] as Slot..ends[1] as Slot;
                Segment::build(vectors, slots, HnswParams::default()).save(folder.path()).unwrap();
            }
            folder
        };
        let count = vectors.len();
        let folder = saved(&[0, count / 4, count / 2]);
        let mut several = Segments::open(folder.path(), first(count * 3 / 4)).unwrap();
        several.insert();
        several.follow(folder.path(), first(count * 4 / 5)).unwrap();
        several.insert();
        several.follow(folder.path(), vectors.clone()).unwrap();
        [Segments::open(saved(&[0, count]).path(), vectors.clone()).unwrap(), several]
    }

    fn every_implementation(vectors: &Vectors) -> Vec<Box<dyn Index>> {
        let [one, several] = segments(vectors);
        vec![Box::new(Exact::new(vectors.clone())), Box::new(one), Box::new(several)]
    }

    /// The reference implementation: scores every allowed vector, and sorts.
    pub(super) fn exact_by_sorting(
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
    fn empty_and_tiny_indexes_return_all_vectors() {
        for (count, dimension) in (0..4).flat_map(|count| DIMENSIONS.map(|dimension| (count, dimension))) {
            let vectors = vectors_of(dimension, count, 3);
            let mut query = vec![0.0; dimension];
            query[0] = 1.0;
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
        for vectors in DIMENSIONS.map(|dimension| vectors_of(dimension, 3000, 5)) {
            for index in every_implementation(&vectors) {
                for slot in 0..vectors.len() as Slot {
                    let found = index.search(vectors.get(slot), 3, None);
                    assert!(found.iter().any(|neighbour| neighbour.slot == slot), "{slot} not in {found:?}");
                    assert!(found[0].score > 0.999_99 && found[0].score <= 1.0);
                }
            }
        }
    }

    #[test]
    fn vectors_are_found_before_during_and_after_insertion() {
        let vectors = vectors(4000, 5);
        let index = Segments::empty(vectors.clone());
        index.insert_in_background();
        for slot in (0..vectors.len() as Slot).cycle().take(3 * vectors.len()) {
            let found = index.search(vectors.get(slot), 3, None);
            assert!(found.iter().any(|neighbour| neighbour.slot == slot), "{slot} not in {found:?}");
        }
        index.insert();
        assert_eq!(index.stats().waiting, 4000, "inserted vectors are in no immutable segment");
    }

    #[test]
    fn recall_is_at_least_99_percent() {
        for dimension in DIMENSIONS {
            let (vectors, all) = (vectors_of(dimension, 3000, 7), vectors_of(dimension, 3200, 7));
            for index in every_implementation(&vectors) {
                let mut common = 0;
                for query in 3000..3200 {
                    let query = all.get(query);
                    let exact = exact_by_sorting(&vectors, query, 10, None);
                    let found = index.search(query, 10, None);
                    assert_eq!(found.len(), 10);
                    common +=
                        found.iter().filter(|hit| exact.iter().any(|e| e.score <= hit.score + 1e-6)).count();
                }
                assert!(common >= 1980, "{common} of 2000");
            }
        }
    }

    #[test]
    fn graph_does_not_depend_on_the_number_of_threads() {
        for vectors in DIMENSIONS.map(|dimension| vectors_of(dimension, 3000, 11)) {
            let build = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| build::build(&vectors, 0..3000, HnswParams::default()))
            };
            let (one, three) = (build(1), build(3));
            assert!(one.quantized[..] == three.quantized[..]);
            for (one, three) in one.layers.iter().zip(&three.layers) {
                assert!(one.nodes[..] == three.nodes[..] && one.links[..] == three.links[..]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn filtered_searches_return_k_allowed_hits(
            count in 1_usize..400, seed in any::<u64>(), keep in 0_u32..=64, k in 1_usize..30, wide: bool,
        ) {
            let dimension = DIMENSIONS[usize::from(wide)];
            let vectors = vectors_of(dimension, count, seed);
            let query = vectors_of(dimension, 1, seed ^ 9).get(0).to_vec();
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
                let all = exact.search(&query, count, Some(&allowed));
                let min_score = all.get(k - 1).map_or(0.5, |neighbour| neighbour.score);
                let above: Vec<_> = all.into_iter().filter(|neighbour| neighbour.score >= min_score).collect();
                prop_assert_eq!(index.scan_above(&query, min_score, Some(&allowed)), above);
            }
            let found = exact.search(&query, k, Some(&allowed));
            for (found, expected) in found.iter().zip(exact_by_sorting(&vectors, &query, k, Some(&allowed))) {
                prop_assert!((found.score - expected.score).abs() < 1e-5);
            }
        }
    }
}
