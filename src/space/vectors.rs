//! The vectors of a space, one a slot, in a mapped file or in memory.
//!
//! Its own file because it is all that an index sees of a space.

use super::Slot;
use crate::map::Array;

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

    /// See [`MappedFile::expect_random`](crate::map::MappedFile::expect_random).
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

    /// The vector in a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn get(&self, slot: Slot) -> &[f32] {
        &self.values[slot as usize * self.dimension..][..self.dimension]
    }
}
