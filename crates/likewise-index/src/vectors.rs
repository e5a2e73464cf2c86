//! The vectors of a space, one a slot, in a mapped file or in memory.
//!
//! Its own file because it is all that an index sees of a space.

use crate::Slot;
use likewise_base::map::{Array, MappedFile};
use std::sync::Arc;

/// From so many bytes on, single vectors are copied from a file instead of being read where it is mapped: a walk
/// comes by a dozen of them, anywhere, and would leave all of a large file in the process's memory in the end. It
/// takes half a microsecond each, which small files need not pay.
const COPIED: usize = 1 << 30;

/// Unit vectors of one dimension, by slot. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Vectors {
    values: Array<f32>,
    dimension: usize,
}

impl Vectors {
    /// Vectors one after the other.
    pub fn new(values: Array<f32>, dimension: usize) -> Vectors {
        Vectors { values, dimension }
    }

    /// Vectors one after the other.
    pub fn in_memory(values: Vec<f32>, dimension: usize) -> Vectors {
        Vectors::new(values.into(), dimension)
    }

    /// See [`MappedFile::expect_random`](likewise_base::map::MappedFile::expect_random).
    pub fn expect_random(&self) {
        if let Array::Mapped(file, _) = &self.values {
            file.expect_random();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of each.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// All of them, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vector in a slot, to be read once: where it is or, of a large file, in `room`.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn fetch<'a>(&'a self, slot: Slot, room: &'a mut Vec<f32>) -> &'a [f32] {
        match &self.values {
            Array::Mapped(file, part) if part.len() >= COPIED => self.copy(slot, file, part.start, room),
            _ => self.get(slot),
        }
    }

    fn copy<'a>(
        &self,
        slot: Slot,
        file: &Arc<MappedFile>,
        start: usize,
        room: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        room.resize(self.dimension, 0.0);
        file.copy(start + slot as usize * 4 * self.dimension, bytemuck::cast_slice_mut(room));
        room
    }

    /// The vector in a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn get(&self, slot: Slot) -> &[f32] {
        &self.values[slot as usize * self.dimension..][..self.dimension]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_vector_is_the_one_that_is_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let values: Vec<f32> = (0..80).map(|value| value as f32).collect();
        std::fs::write(&path, bytemuck::cast_slice(&values)).unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let vectors = Vectors::new(Array::mapped(&file, 32..320).unwrap(), 8);
        let mut room = Vec::new();
        for slot in 0..9 {
            assert_eq!(vectors.copy(slot, &file, 32, &mut room), vectors.get(slot));
            assert_eq!(vectors.fetch(slot, &mut room), vectors.get(slot));
        }
    }
}
