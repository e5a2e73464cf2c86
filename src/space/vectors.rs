//! The vectors of a space, one a slot, in a mapped file or in memory.
//!
//! Its own file because it is all that an index sees of a space.

use super::Slot;
use crate::map::MappedFile;
use std::sync::Arc;

/// Unit vectors of one dimension, by slot. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Vectors {
    storage: Arc<Storage>,
    dimension: usize,
    count: usize,
}

#[derive(Debug)]
enum Storage {
    Mapped { file: MappedFile, start: usize },
    Memory(Vec<f32>),
}

impl Vectors {
    /// The first `count` vectors after byte `start` of a file; `start` is a multiple of 4.
    pub(super) fn mapped(file: MappedFile, start: usize, dimension: usize, count: usize) -> Vectors {
        Vectors { storage: Arc::new(Storage::Mapped { file, start }), dimension, count }
    }

    /// Vectors one after the other.
    pub fn in_memory(values: Vec<f32>, dimension: usize) -> Vectors {
        let count = values.len() / dimension;
        Vectors { storage: Arc::new(Storage::Memory(values)), dimension, count }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length of each.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// All of them, one after the other.
    pub fn values(&self) -> &[f32] {
        let values = match &*self.storage {
            // The map starts on a page and `start` is a multiple of 4, so the cast cannot fail.
            Storage::Mapped { file, start } => {
                bytemuck::cast_slice(&file.bytes()[*start..*start + self.count * self.dimension * 4])
            }
            Storage::Memory(values) => values,
        };
        &values[..self.count * self.dimension]
    }

    /// The vector in a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn get(&self, slot: Slot) -> &[f32] {
        let start = slot as usize * self.dimension;
        &self.values()[start..start + self.dimension]
    }
}
