//! The vectors that an index searches, one per slot, in a mapped file or in memory.

use crate::Slot;
use likewise_base::map::{Array, MappedFile};
use std::sync::Arc;

/// File size in bytes, from which on [`Vectors::fetch`] copies single vectors from the file instead of reading them
/// from the memory map. A search reads about a dozen vectors at random positions, so after many searches, a large file
/// would be completely in the resident memory of the process. A copy takes half a microsecond, which is not worthwhile
/// for small files.
const MIN_COPIED_FILE_BYTES: usize = 1 << 30;

/// Unit vectors that have the same dimension, by slot. Clones share the vectors.
#[derive(Debug, Clone)]
pub struct Vectors {
    values: Array<f32>,
    dimension: usize,
}

impl Vectors {
    /// Creates vectors from their concatenated values.
    pub fn new(values: Array<f32>, dimension: usize) -> Vectors {
        Vectors { values, dimension }
    }

    /// Creates vectors in memory from their concatenated values.
    pub fn in_memory(values: Vec<f32>, dimension: usize) -> Vectors {
        Vectors::new(values.into(), dimension)
    }

    /// See [`MappedFile::advise_random_access`](likewise_base::map::MappedFile::advise_random_access).
    pub fn advise_random_access(&self) {
        if let Array::Mapped(file, _) = &self.values {
            file.advise_random_access();
        }
    }

    /// The number of vectors.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values per vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The values of all vectors, concatenated.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the vector in a slot, for a caller that reads the vector once. Copies the vector into `buffer` if the
    /// file is large.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn fetch<'a>(&'a self, slot: Slot, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        match &self.values {
            Array::Mapped(file, part) if part.len() >= MIN_COPIED_FILE_BYTES => {
                self.copy(slot, file, part.start, buffer)
            }
            _ => self.get(slot),
        }
    }

    fn copy<'a>(
        &self,
        slot: Slot,
        file: &Arc<MappedFile>,
        start: usize,
        buffer: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        buffer.resize(self.dimension, 0.0);
        file.read_at(start + slot as usize * 4 * self.dimension, bytemuck::cast_slice_mut(buffer));
        buffer
    }

    /// The vector in a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn get(&self, slot: Slot) -> &[f32] {
        &self.values[slot as usize * self.dimension..][..self.dimension]
    }
}

/// The vectors of a graph's nodes. Node 0 has the vector in the slot `first`.
#[derive(Debug, Clone, Copy)]
pub struct NodeVectors<'v> {
    /// The vectors of all slots.
    pub vectors: &'v Vectors,
    /// The slot of node 0.
    pub first: Slot,
}

impl<'v> NodeVectors<'v> {
    /// The vector of a node.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn get(self, node: u32) -> &'v [f32] {
        self.vectors.get(self.first + node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_vectors_equal_mapped_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let values: Vec<f32> = (0..80).map(|value| value as f32).collect();
        std::fs::write(&path, bytemuck::cast_slice(&values)).unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let vectors = Vectors::new(Array::mapped(&file, 32..320).unwrap(), 8);
        let mut buffer = Vec::new();
        for slot in 0..9 {
            assert_eq!(vectors.copy(slot, &file, 32, &mut buffer), vectors.get(slot));
            assert_eq!(vectors.fetch(slot, &mut buffer), vectors.get(slot));
        }
    }
}
