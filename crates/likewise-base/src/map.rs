//! Files mapped read-only into memory, and arrays whose values are in memory or in a mapped file.
//!
//! Mapping a file is the only `unsafe` code outside the SIMD kernels; callers see ordinary slices.

use crate::FileError;
use bytemuck::Pod;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// A file's bytes, paged in on access and shared between processes.
#[derive(Debug)]
pub struct MappedFile {
    map: memmap2::Mmap,
    #[cfg(unix)]
    file: File,
}

impl MappedFile {
    /// Maps the whole file at its current size; bytes that are appended later are not visible.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<MappedFile, FileError> {
        let file = File::open(path).map_err(FileError::at(path))?;
        // SAFETY: the program changes the files that it maps (model weights, vector files, segments) in two ways only:
        // it appends to a file or replaces the file atomically. The one exception is an incomplete record that a power
        // cut left at the end of a file: the next writer truncates this record once. The mapped bytes therefore do not
        // change, and the mapped range does not shrink. A hostile process with write access to the user's files could
        // change or shrink a mapped file, but such a process could also replace the program itself.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(FileError::at(path))?;
        Ok(MappedFile {
            map,
            #[cfg(unix)]
            file,
        })
    }

    /// Tells the operating system to expect accesses at random positions, which disables read-ahead.
    pub fn advise_random_access(&self) {
        #[cfg(unix)]
        if let Err(error) = self.map.advise(memmap2::Advice::Random) {
            tracing::debug!("madvise on a mapped file failed: {error}");
        }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Fills `bytes` with the file's bytes from the byte offset `start` on. Reads the file instead of the map, because
    /// a page of the map counts as the process's memory once it was accessed, together with the 15 neighbouring pages
    /// that the kernel maps at the same time.
    ///
    /// # Panics
    /// If `start + bytes.len()` is past the end of the file.
    pub fn read_at(&self, start: usize, bytes: &mut [u8]) {
        #[cfg(unix)]
        if std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, start as u64).is_ok() {
            return;
        }
        bytes.copy_from_slice(&self.map[start..][..bytes.len()]);
    }
}

/// An array of values that are either in memory or in a byte range of a mapped file. Clones share the values.
#[derive(Debug, Clone)]
pub enum Array<T> {
    /// Values in memory.
    Memory(Arc<Vec<T>>),
    /// A mapped file and the range of its bytes that holds the values. The first byte of the range is aligned for `T`.
    Mapped(Arc<MappedFile>, Range<usize>),
}

impl<T: Pod> Array<T> {
    /// Returns the values in the byte range `part` of a file. `None` if the file ends before the range does, the range
    /// is not aligned for `T`, or the range does not hold a whole number of values.
    pub fn mapped(file: &Arc<MappedFile>, part: Range<usize>) -> Option<Array<T>> {
        bytemuck::try_cast_slice::<u8, T>(file.bytes().get(part.clone())?).ok()?;
        Some(Array::Mapped(Arc::clone(file), part))
    }

    /// Returns the values for modification. Values that are in a file or shared with a clone are copied first.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        if let Array::Mapped(..) = self {
            *self = Array::from(self.to_vec());
        }
        match self {
            Array::Memory(values) => Arc::make_mut(values),
            Array::Mapped(..) => unreachable!("the values were copied into memory above"),
        }
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(values: Vec<T>) -> Array<T> {
        Array::Memory(Arc::new(values))
    }
}

impl<T: Pod> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Array::Memory(values) => values,
            // Does not panic: `Array::mapped` checked the cast.
            Array::Mapped(file, part) => bytemuck::cast_slice(&file.bytes()[part.clone()]),
        }
    }
}
