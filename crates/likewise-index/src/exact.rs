//! The exact index: compares the query with every allowed vector.
//!
//! It is the reference that the results of other indexes are compared with.

use super::{Index, Neighbour, cosine, nearest};
use crate::{Slot, Vectors};
use rayon::prelude::*;
use roaring::RoaringBitmap;

/// Number of vectors that one task scans. It is large enough to outweigh the overhead of a task, and small enough to
/// spread a scan over all cores.
const TASK_VECTORS: usize = 4096;

/// An index that scans all vectors.
pub struct Exact {
    vectors: Vectors,
}

impl Exact {
    /// Creates an index of `vectors`.
    pub fn new(vectors: Vectors) -> Exact {
        Exact { vectors }
    }

    fn score(&self, query: &[f32], slot: Slot) -> Neighbour {
        Neighbour { slot, score: cosine(query, self.vectors.get(slot)) }
    }

    fn scan_all(&self, query: &[f32], k: usize) -> Vec<Neighbour> {
        let dimension = self.vectors.dimension();
        let scan = |(task, values): (usize, &[f32])| {
            let start = (task * TASK_VECTORS) as Slot;
            let score = |(vector, slot): (&[f32], Slot)| Neighbour { slot, score: cosine(query, vector) };
            nearest(values.chunks_exact(dimension).zip(start..).map(score).collect(), k)
        };
        let tasks = self.vectors.values().par_chunks(TASK_VECTORS * dimension).enumerate();
        nearest(tasks.flat_map_iter(scan).collect(), k)
    }
}

impl Index for Exact {
    fn len(&self) -> usize {
        self.vectors.len()
    }

    fn search(&self, query: &[f32], k: usize, allowed: Option<&RoaringBitmap>) -> Vec<Neighbour> {
        match allowed {
            None => self.scan_all(query, k),
            Some(allowed) => {
                let slots: Vec<Slot> =
                    allowed.iter().take_while(|slot| (*slot as usize) < self.len()).collect();
                let scan =
                    |slots: &[Slot]| nearest(slots.iter().map(|&slot| self.score(query, slot)).collect(), k);
                nearest(slots.par_chunks(TASK_VECTORS).flat_map_iter(scan).collect(), k)
            }
        }
    }
}
