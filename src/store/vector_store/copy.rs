//! Copies a vector store while another process can append to it.
//!
//! The files are copied in the reverse of the order in which they are written: first the index, then the keys, then the
//! vectors. Every slot of the copied index therefore has a key, and every key has a vector.

use super::generation::current;
use super::{DESCRIPTION, KEYS, UNREADABLE, VECTORS, VectorStore, folder_name, stores_folder};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_index::Segments;
use std::io::ErrorKind;
use std::path::Path;

impl VectorStore {
    /// Copies the vector store with this fingerprint into the data folder `out`. Returns the number of bytes copied.
    /// Returns `None` if the store does not exist, if it was removed or another generation was put into use meanwhile,
    /// or if an index segment was removed meanwhile. The caller must then start again.
    pub fn copy_to(data: &Path, sha256: &str, out: &Path) -> Result<Option<u64>> {
        let name = folder_name(sha256);
        let (base, to) = (stores_folder(data).join(name), stores_folder(out).join(name));
        if !base.is_dir() {
            return Ok(None);
        }
        disk::create_folder(&to)?;
        let folder = current(&base)?;
        let copied = copy_files(&base, &folder, &to);
        // If another generation is in use now, the files of the copied generation were being removed.
        if !base.is_dir() || current(&base)? != folder {
            return Ok(None);
        }
        copied
    }
}

/// Copies the files of the generation in `folder`. The copy is a first generation, so its files go directly into the
/// store's folder, `to`. `None` if an index segment was removed meanwhile.
fn copy_files(base: &Path, folder: &Path, to: &Path) -> Result<Option<u64>> {
    let mut bytes = 0;
    for segment in Segments::files(folder)? {
        match copy(&segment, &to.join(segment.file_name().unwrap_or_default()))? {
            Some(copied) => bytes += copied,
            // The segment was merged into another segment.
            None => return Ok(None),
        }
    }
    // The two files can be missing. A copy of the description is also in the catalog.
    for (from, name) in [(base, DESCRIPTION), (folder, UNREADABLE)] {
        bytes += copy(&from.join(name), &to.join(name))?.unwrap_or_default();
    }
    for name in [KEYS, VECTORS] {
        let from = folder.join(name);
        let missing =
            || Error::Data(format!("{}: the file is missing; run `likewise verify`", from.display()));
        bytes += copy(&from, &to.join(name))?.ok_or_else(missing)?;
    }
    disk::sync(to)?;
    Ok(Some(bytes))
}

/// Copies a file. Returns the number of bytes, or `None` if the file `from` does not exist.
fn copy(from: &Path, to: &Path) -> Result<Option<u64>> {
    match std::fs::copy(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        copied => {
            let bytes = copied.map_err(Error::io(from))?;
            disk::sync(to)?;
            Ok(Some(bytes))
        }
    }
}
