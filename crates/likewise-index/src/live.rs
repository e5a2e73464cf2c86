//! The live part of the index, built by hnsw_rs: vectors that are in no segment yet; the only file that names
//! that crate.
//!
//! What is ours here is the promise that no stored vector is lost: after every insertion each vector
//! must be found by its own values, and one that is not (a *straggler*) is compared exactly with
//! every query from then on. So are vectors that were not inserted yet.

use super::build::{EF_CONSTRUCTION, M};
use super::{Neighbour, cosine, dot};
use crate::{Slot, Vectors};
use hnsw_rs::prelude::Distance;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// Candidates while searching, at least.
const EF_SEARCH: usize = 128;

/// hnsw_rs's own largest number of layers.
const MAX_LAYER: usize = 16;

/// Vectors that room is made for at first.
const CAPACITY: usize = 10_000;

/// Fewer vectors than this are compared by one thread.
const SCAN_LEAST: usize = 1000;

/// A vector counts as found if it is among so many nearest to itself; more than 1, because papers
/// have exact duplicates.
const SELF_CHECK_K: usize = 10;

/// Distance of unit vectors: `1 - cosine`, never below 0, which hnsw_rs would panic on.
#[derive(Default, Clone, Copy)]
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

type Graph = hnsw_rs::prelude::Hnsw<'static, f32, UnitCosine>;

/// The slots from some slot on.
pub struct Live {
    graph: OnceLock<Graph>,
    first: Slot,
    inserted: RwLock<Inserted>,
    /// One insertion at a time.
    inserting: Mutex<()>,
}

/// What the graph can be asked for.
#[derive(Clone)]
struct Inserted {
    /// Slots up to here.
    end: Slot,
    /// But for these.
    stragglers: RoaringBitmap,
}

impl Live {
    /// Has the slots from `first` on, none of them in a graph: all are compared exactly.
    pub fn from(first: Slot) -> Live {
        let inserted = RwLock::new(Inserted { end: first, stragglers: RoaringBitmap::new() });
        Live { graph: OnceLock::new(), first, inserted, inserting: Mutex::new(()) }
    }

    /// How many vectors are in its graph and compared exactly all the same.
    pub fn stragglers(&self) -> usize {
        self.inserted().stragglers.len() as usize
    }

    /// How many of so many vectors are not in the graph.
    pub fn outside(&self, vectors: usize) -> usize {
        vectors.saturating_sub(self.inserted().end as usize)
    }

    fn inserted(&self) -> RwLockReadGuard<'_, Inserted> {
        self.inserted.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts the vectors that are not in the graph, unless another thread is at it. Searches go on meanwhile;
    /// they compare the new vectors exactly until all of them are inserted and looked for.
    pub fn insert(&self, vectors: &Vectors) {
        let Ok(_inserting) = self.inserting.try_lock() else { return };
        let end = self.inserted().end;
        let new = end..vectors.len() as Slot;
        if new.is_empty() {
            return;
        }
        let graph =
            self.graph.get_or_init(|| Graph::new(M, CAPACITY, MAX_LAYER, EF_CONSTRUCTION, UnitCosine));
        for slot in new.clone() {
            graph.insert((vectors.get(slot), slot as usize));
        }
        // A new point may take the last link to any other: all are looked for.
        let lost = (self.first..new.end).filter(|slot| !finds_itself(graph, vectors.get(*slot), *slot));
        let stragglers = lost.collect();
        let mut inserted = self.inserted.write().unwrap_or_else(PoisonError::into_inner);
        *inserted = Inserted { end: new.end, stragglers };
    }

    /// Adds candidates for the `k` nearest that pass, in no order: what the graph finds, and every slot that it
    /// cannot be asked for.
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        (k, ef): (usize, usize),
        passes: impl Fn(Slot) -> bool + Sync,
        found: &mut Vec<Neighbour>,
    ) {
        let score = |slot| Neighbour { slot, score: cosine(query, vectors.get(slot)) };
        let Inserted { end, stragglers } = self.inserted().clone();
        if let Some(graph) = self.graph.get().filter(|_| end > self.first) {
            let near = graph.search(query, k.max(ef), ef.max(k).max(EF_SEARCH));
            let near = near.into_iter().map(|near| near.d_id as Slot);
            found.extend(near.filter(|slot| *slot < end && passes(*slot)).map(score));
        }
        found.extend(stragglers.iter().filter(|slot| passes(*slot)).map(score));
        let outside = (end..vectors.len() as Slot).into_par_iter().with_min_len(SCAN_LEAST);
        found.par_extend(outside.filter(|slot| passes(*slot)).map(score));
    }
}

fn finds_itself(graph: &Graph, vector: &[f32], slot: Slot) -> bool {
    let found = graph.search(vector, SELF_CHECK_K, EF_SEARCH);
    found.iter().any(|neighbour| neighbour.d_id == slot as usize)
}

#[cfg(test)]
mod tests {
    use super::super::build::Effort;
    use super::super::nearest;
    use super::super::segment::Segment;
    use super::super::tests::{obvious, vectors};
    use super::*;

    /// hnsw_rs is the judge of the graphs that are built here, from the number of candidates on that give a good
    /// answer: with fewer it is ahead, of graphs walked by codes (benches/results/search.md has the same of papers).
    #[test]
    fn a_segment_finds_what_hnsw_rs_finds_with_as_many_candidates() {
        let (vectors, queries) = (vectors(4000, 21), vectors(300, 22));
        let theirs = Graph::new(M, CAPACITY, MAX_LAYER, EF_CONSTRUCTION, UnitCosine);
        let end = vectors.len() as Slot;
        (0..end).for_each(|slot| theirs.insert((vectors.get(slot), slot as usize)));
        let ours = Segment::build(&vectors, 0..end, Effort::default());
        for ef in [48, 64, 96] {
            let (mut right_ours, mut right_theirs) = (0, 0);
            for query in (0..queries.len() as Slot).map(|slot| queries.get(slot)) {
                let exact = obvious(&vectors, query, 10, None);
                let right = |found: Vec<Neighbour>| {
                    nearest(found, 10).iter().filter(|hit| hit.score >= exact[9].score - 1e-6).count()
                };
                let mut found = Vec::new();
                ours.search(&vectors, query, (10, ef), |_| true, &mut found);
                right_ours += right(found);
                let near = theirs.search(query, 10, ef).into_iter().map(|near| near.d_id as Slot);
                let near = near.map(|slot| Neighbour { slot, score: cosine(query, vectors.get(slot)) });
                right_theirs += right(near.collect());
            }
            let all = 10 * queries.len();
            assert!(
                right_ours + all / 200 >= right_theirs,
                "ef {ef}: {right_ours} of {all}, hnsw_rs {right_theirs}"
            );
        }
    }
}
