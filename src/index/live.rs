//! The live part of the index, built by hnsw_rs: vectors that are in no segment yet; the only file that names
//! that crate.
//!
//! What is ours here is the promise that no stored vector is lost: after every insertion each vector it
//! touched must be found by its own values, and one that is not (a *straggler*) is compared exactly with
//! every query from then on. So are vectors that were not inserted yet.

use super::build::{EF_CONSTRUCTION, M};
use super::{Neighbour, cosine, dot};
use crate::space::{Slot, Vectors};
use hnsw_rs::prelude::Distance;
use rayon::prelude::*;
use roaring::RoaringBitmap;
use std::ops::Range;

/// Candidates while searching, at least.
const EF_SEARCH: usize = 128;

/// hnsw_rs's own largest number of layers.
const MAX_LAYER: usize = 16;

/// Points inserted one after the other into an empty graph, before inserting from several threads:
/// the first points of a contended build are the ones that get lost.
const SEQUENTIAL_INSERTS: usize = 1000;

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
    graph: Option<Graph>,
    first: Slot,
    /// Slots from `first` up to here are in the graph.
    inserted: Slot,
    stragglers: RoaringBitmap,
}

impl Live {
    /// Has the slots from `first` on, none of them in a graph: all are compared exactly.
    pub fn from(first: Slot) -> Live {
        Live { graph: None, first, inserted: first, stragglers: RoaringBitmap::new() }
    }

    /// How many vectors are in its graph and compared exactly all the same.
    pub fn stragglers(&self) -> usize {
        self.stragglers.len() as usize
    }

    /// Inserts the vectors that are not in the graph.
    pub fn insert(&mut self, vectors: &Vectors) {
        let new: Vec<Slot> = (self.inserted..vectors.len() as Slot).collect();
        if new.is_empty() {
            return;
        }
        let graph = self.graph.get_or_insert_with(|| {
            Graph::new(M, new.len().max(SEQUENTIAL_INSERTS), MAX_LAYER, EF_CONSTRUCTION, UnitCosine)
        });
        let before = (self.inserted - self.first) as usize;
        let one_by_one = SEQUENTIAL_INSERTS.saturating_sub(before).min(new.len());
        for &slot in &new[..one_by_one] {
            graph.insert((vectors.get(slot), slot as usize));
        }
        let rest = new[one_by_one..].iter().map(|&slot| (vectors.get(slot), slot as usize)).collect();
        graph.parallel_insert_slice(&rest);
        let graph = &*graph;
        let touched = touched(graph, vectors, self.first, self.inserted..vectors.len() as Slot);
        self.inserted = vectors.len() as Slot;
        let lost = |slot: &Slot| (!finds_itself(graph, vectors.get(*slot), *slot)).then_some(*slot);
        let lost: Vec<Slot> = touched.iter().collect::<Vec<_>>().par_iter().filter_map(lost).collect();
        self.stragglers = &(&self.stragglers - &touched) | &lost.into_iter().collect::<RoaringBitmap>();
    }

    /// Adds candidates for the `k` nearest that pass, in no order: what the graph finds, and every slot that it
    /// cannot be asked for.
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        (k, ef): (usize, usize),
        passes: impl Fn(Slot) -> bool,
        found: &mut Vec<Neighbour>,
    ) {
        let score = |slot| Neighbour { slot, score: cosine(query, vectors.get(slot)) };
        if let Some(graph) = &self.graph {
            let near = graph.search(query, k.max(ef), ef.max(k).max(EF_SEARCH));
            let near = near.into_iter().map(|near| near.d_id as Slot).filter(|slot| passes(*slot));
            found.extend(near.map(score));
        }
        let outside = self.stragglers.iter().chain(self.inserted..vectors.len() as Slot);
        found.extend(outside.filter(|slot| passes(*slot)).map(score));
    }
}

/// The slots whose links an insertion of `new` ones may have changed: those, and the ones that are near to
/// them, which hnsw_rs gives new links in place of old ones.
fn touched(graph: &Graph, vectors: &Vectors, first: Slot, new: Range<Slot>) -> RoaringBitmap {
    const NEAR: usize = 2 * M;
    // Looking for what is near costs as much as looking for a vector itself.
    if new.len() * NEAR >= (new.end - first) as usize {
        return (first..new.end).collect();
    }
    let near =
        |slot| graph.search(vectors.get(slot), NEAR, EF_SEARCH).into_iter().map(|found| found.d_id as Slot);
    let near: Vec<Slot> = new.clone().into_par_iter().flat_map_iter(near).collect();
    near.into_iter().chain(new).collect()
}

fn finds_itself(graph: &Graph, vector: &[f32], slot: Slot) -> bool {
    let found = graph.search(vector, SELF_CHECK_K, EF_SEARCH);
    found.iter().any(|neighbour| neighbour.d_id == slot as usize)
}
