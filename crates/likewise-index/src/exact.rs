//! The exact scan: every allowed vector is compared.
//!
//! The judge of every other index, and the answer itself for small or heavily filtered sets.

use super::{Index, Neighbour, cosine, nearest};
use crate::{Slot, Vectors};
use rayon::prelude::*;
use roaring::RoaringBitmap;

/// Vectors that one task scans: enough to be worth a task, few enough to share out evenly.
const SCAN_CHUNK: usize = 4096;

/// Answers by scanning.
pub struct Exact {
    vectors: Vectors,
}

impl Exact {
    /// Answers for these vectors.
    pub fn new(vectors: Vectors) -> Exact {
        Exact { vectors }
    }

    fn score(&self, query: &[f32], slot: Slot) -> Neighbour {
        Neighbour { slot, score: cosine(query, self.vectors.get(slot)) }
    }

    fn scan_all(&self, query: &[f32], k: usize) -> Vec<Neighbour> {
        let dimension = self.vectors.dimension();
        let scan = |(chunk, values): (usize, &[f32])| {
            let start = (chunk * SCAN_CHUNK) as Slot;
            let score = |(vector, slot): (&[f32], Slot)| Neighbour { slot, score: cosine(query, vector) };
            nearest(values.chunks_exact(dimension).zip(start..).map(score).collect(), k)
        };
        let chunks = self.vectors.values().par_chunks(SCAN_CHUNK * dimension).enumerate();
        nearest(chunks.flat_map_iter(scan).collect(), k)
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
                nearest(slots.par_chunks(SCAN_CHUNK).flat_map_iter(scan).collect(), k)
            }
        }
    }
}
