//! A file mapped read-only into memory, and arrays that may be a part of one.
//!
//! Its own file because mapping is the one `unsafe` act outside the kernels: everything else sees
//! plain values.

use crate::FileError;
use bytemuck::Pod;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

/// A file's bytes, paged in as they are read and shared between processes.
#[derive(Debug)]
pub struct MappedFile {
    map: memmap2::Mmap,
    #[cfg(unix)]
    file: File,
}

impl MappedFile {
    /// Maps the whole file as it is now; what is appended later is not seen.
    ///
    /// # Errors
    /// [`FileError`] with the path, if it cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<MappedFile, FileError> {
        let file = File::open(path).map_err(FileError::at(path))?;
        // SAFETY: the program only ever appends to, or atomically replaces, the files it maps (model
        // weights, vector files, segments; a torn end that a power cut left is cut off once, by the next writer),
        // so the mapped bytes do not change and the mapped range does not
        // shrink. A hostile process with write access to the user's own files could do both; it could
        // as well replace the binary.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(FileError::at(path))?;
        Ok(MappedFile {
            map,
            #[cfg(unix)]
            file,
        })
    }

    /// Says that it will be read here and there: then the disk is asked for what is read, and not for what
    /// comes after it.
    pub fn expect_random(&self) {
        #[cfg(unix)]
        if let Err(error) = self.map.advise(memmap2::Advice::Random) {
            tracing::debug!("no advice on a mapped file: {error}");
        }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Copies some of the file's bytes without touching the map: a page of it that was touched counts as the
    /// process's memory from then on, and so do the fifteen around it that the system maps with it.
    ///
    /// # Panics
    /// If the file is shorter than that.
    pub fn copy(&self, start: usize, bytes: &mut [u8]) {
        #[cfg(unix)]
        if std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, start as u64).is_ok() {
            return;
        }
        bytes.copy_from_slice(&self.map[start..][..bytes.len()]);
    }
}

/// Values that are in memory, or a part of a mapped file. Cloning one shares it.
#[derive(Debug, Clone)]
pub enum Array<T> {
    /// In memory.
    Memory(Arc<Vec<T>>),
    /// Bytes of a file; they begin at a multiple of the values' alignment.
    Mapped(Arc<MappedFile>, Range<usize>),
}

impl<T: Pod> Array<T> {
    /// A part of a file; `None` if the file is too short, or the part is no whole number of values.
    pub fn mapped(file: &Arc<MappedFile>, part: Range<usize>) -> Option<Array<T>> {
        bytemuck::try_cast_slice::<u8, T>(file.bytes().get(part.clone())?).ok()?;
        Some(Array::Mapped(Arc::clone(file), part))
    }

    /// The values for changing; they are copied first if they are a file's, or shared.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        if let Array::Mapped(..) = self {
            *self = Array::from(self.to_vec());
        }
        match self {
            Array::Memory(values) => Arc::make_mut(values),
            Array::Mapped(..) => unreachable!("it was copied into memory"),
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
            // It was cast once, when it was made.
            Array::Mapped(file, part) => bytemuck::cast_slice(&file.bytes()[part.clone()]),
        }
    }
}
