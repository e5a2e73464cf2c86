//! A file mapped read-only into memory.
//!
//! Its own file because mapping is the one `unsafe` act outside the kernels: everything else sees
//! plain bytes.

use crate::error::{Error, Result};
use std::fs::File;
use std::path::Path;

/// A file's bytes, paged in as they are read and shared between processes.
#[derive(Debug)]
pub struct MappedFile {
    map: memmap2::Mmap,
}

impl MappedFile {
    /// Maps the whole file as it is now; what is appended later is not seen.
    ///
    /// # Errors
    /// [`Error::Io`] with the path, if it cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<MappedFile> {
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: the program only ever appends to, or atomically replaces, the files it maps (model
        // weights and vector files), so the mapped bytes do not change and the mapped range does not
        // shrink. A hostile process with write access to the user's own files could do both; it could
        // as well replace the binary.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        Ok(MappedFile { map })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}
