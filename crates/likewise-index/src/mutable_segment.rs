//! The mutable segment: vectors that are in no immutable segment yet, in a graph of the crate hnsw_rs.
//!
//! This is the only file of this crate that uses hnsw_rs. It adds the guarantee that every stored vector can be found.
//! After each insertion, it searches for every vector. Vectors that this search does not return are called
//! *unreachable*, and are compared with every query from then on. Vectors that have not been inserted yet are also
//! compared with every query.

use super::build::{EF_CONSTRUCTION, M};
use super::{Neighbour, SearchParams, cosine, dot};
use crate::{Slot, Vectors};
use hnsw_rs::prelude::{Distance, Hnsw};
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// Minimum number of candidates of a search.
const MIN_EF: usize = 128;

/// The maximum number of layers that hnsw_rs supports.
const MAX_LAYERS: usize = 16;

/// Number of vectors for which hnsw_rs allocates memory at first.
const INITIAL_CAPACITY: usize = 10_000;

/// Minimum number of vectors that one thread compares with a query.
const MIN_TASK_VECTORS: usize = 1000;

/// A vector counts as found if a search for the vector returns it among this many nearest vectors. The number is more
/// than 1, because some papers have exact duplicates.
const SELF_CHECK_K: usize = 10;

/// Distance between unit vectors: `1 - cosine`, but at least 0, because hnsw_rs panics on negative distances.
#[derive(Default, Clone, Copy)]
struct CosineDistance;

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

type HnswRsGraph = Hnsw<'static, f32, CosineDistance>;

/// The segment of all slots from `first` on, to which vectors can be added.
pub struct MutableSegment {
    graph: OnceLock<HnswRsGraph>,
    first: Slot,
    inserted: RwLock<Inserted>,
    /// Held during an insertion, so that there is only one insertion at a time.
    insertion: Mutex<()>,
}

/// Which slots are in the graph, and which of these the graph cannot find.
#[derive(Clone)]
struct Inserted {
    /// The end of the slots that are in the graph: this slot and later slots are not in it.
    end: Slot,
    /// Slots in the graph that searches do not return.
    unreachable: RoaringBitmap,
}

impl MutableSegment {
    /// Creates a segment of the slots from `first` on. At first, the graph is empty, so all slots are compared with
    /// every query.
    pub fn starting_at(first: Slot) -> MutableSegment {
        let inserted = RwLock::new(Inserted { end: first, unreachable: RoaringBitmap::new() });
        MutableSegment { graph: OnceLock::new(), first, inserted, insertion: Mutex::new(()) }
    }

    /// Number of vectors that are in the graph but that searches of the graph do not find. They are compared with every
    /// query.
    pub fn unreachable(&self) -> usize {
        self.inserted().unreachable.len() as usize
    }

    /// Number of vectors that are not in the graph yet, if the whole index has `count` vectors.
    pub fn not_inserted(&self, count: usize) -> usize {
        count.saturating_sub(self.inserted().end as usize)
    }

    fn inserted(&self) -> RwLockReadGuard<'_, Inserted> {
        self.inserted.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts the vectors that are not in the graph yet. Returns at once if another thread is inserting vectors.
    /// Searches can run during an insertion. They compare the query with the new vectors directly until all new vectors
    /// are inserted and checked.
    pub fn insert(&self, vectors: &Vectors) {
        let Ok(_insertion) = self.insertion.try_lock() else { return };
        let end = self.inserted().end;
        let new = end..vectors.len() as Slot;
        if new.is_empty() {
            return;
        }
        let graph = self.graph.get_or_init(|| {
            HnswRsGraph::new(M, INITIAL_CAPACITY, MAX_LAYERS, EF_CONSTRUCTION, CosineDistance)
        });
        for slot in new.clone() {
            graph.insert((vectors.get(slot), slot as usize));
        }
        // A new node can remove the last link to any other node, so all nodes are checked.
        let unreachable =
            (self.first..new.end).filter(|slot| !finds_itself(graph, vectors.get(*slot), *slot)).collect();
        let mut inserted = self.inserted.write().unwrap_or_else(PoisonError::into_inner);
        *inserted = Inserted { end: new.end, unreachable };
    }

    /// Appends candidates for the `k` nearest slots to `found`, in no order: the slots that a search of the graph
    /// finds, all slots in the graph that searches do not find, and all slots that are not in the graph. Appends only
    /// slots for which `passes` returns true.
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        SearchParams { k, ef }: SearchParams,
        passes: impl Fn(Slot) -> bool + Sync,
        found: &mut Vec<Neighbour>,
    ) {
        let score = |slot| Neighbour { slot, score: cosine(query, vectors.get(slot)) };
        let Inserted { end, unreachable } = self.inserted().clone();
        if let Some(graph) = self.graph.get().filter(|_| end > self.first) {
            let near = graph.search(query, k.max(ef), ef.max(k).max(MIN_EF));
            let near = near.into_iter().map(|near| near.d_id as Slot);
            found.extend(near.filter(|slot| *slot < end && passes(*slot)).map(score));
        }
        found.extend(unreachable.iter().filter(|slot| passes(*slot)).map(score));
        let not_inserted = (end..vectors.len() as Slot).into_par_iter().with_min_len(MIN_TASK_VECTORS);
        found.par_extend(not_inserted.filter(|slot| passes(*slot)).map(score));
    }
}

fn finds_itself(graph: &HnswRsGraph, vector: &[f32], slot: Slot) -> bool {
    let found = graph.search(vector, SELF_CHECK_K, MIN_EF);
    found.iter().any(|neighbour| neighbour.d_id == slot as usize)
}

#[cfg(test)]
mod tests {
    use super::super::build::HnswParams;
    use super::super::nearest;
    use super::super::segment::Segment;
    use super::super::tests::{exact_by_sorting, vectors};
    use super::*;

    /// The graphs of this crate have the same recall as graphs of hnsw_rs, at every number of candidates that gives
    /// good recall. With fewer candidates, hnsw_rs has a higher recall, because it compares `f32` vectors
    /// (benches/results/search.md has the same comparison on papers).
    #[test]
    fn segment_has_the_recall_of_hnsw_rs() {
        let (vectors, queries) = (vectors(4000, 21), vectors(300, 22));
        let theirs = HnswRsGraph::new(M, INITIAL_CAPACITY, MAX_LAYERS, EF_CONSTRUCTION, CosineDistance);
        let end = vectors.len() as Slot;
        (0..end).for_each(|slot| theirs.insert((vectors.get(slot), slot as usize)));
        let ours = Segment::build(&vectors, 0..end, HnswParams::default());
        for ef in [48, 64, 96] {
            let (mut correct_ours, mut correct_theirs) = (0, 0);
            for query in (0..queries.len() as Slot).map(|slot| queries.get(slot)) {
                let exact = exact_by_sorting(&vectors, query, 10, None);
                let correct = |found: Vec<Neighbour>| {
                    nearest(found, 10).iter().filter(|hit| hit.score >= exact[9].score - 1e-6).count()
                };
                let mut found = Vec::new();
                ours.search(&vectors, query, SearchParams { k: 10, ef }, |_| true, &mut found);
                correct_ours += correct(found);
                let near = theirs.search(query, 10, ef).into_iter().map(|near| near.d_id as Slot);
                let near = near.map(|slot| Neighbour { slot, score: cosine(query, vectors.get(slot)) });
                correct_theirs += correct(near.collect());
            }
            let all = 10 * queries.len();
            assert!(
                correct_ours + all / 200 >= correct_theirs,
                "ef {ef}: {correct_ours} of {all} correct, hnsw_rs {correct_theirs}"
            );
        }
    }
}
