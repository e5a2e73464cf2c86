//! Copies a vector store while another process may append to it.
//!
//! The order matters: first the index, then the keys, then the vectors. Then every slot of the copied index has a key,
//! and every key has a vector.

use super::generation::current;
use super::{DESCRIPTION, KEYS, UNREADABLE, VECTORS, VectorStore, folder_name, stores_folder};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_index::Segments;
use std::io::ErrorKind;
use std::path::Path;

impl VectorStore {
    /// Copies the vector store with this fingerprint into another data folder. Returns the number of bytes copied, or
    /// `None` if the store was replaced or removed meanwhile, and the caller must start again.
    pub fn copy_to(data: &Path, sha256: &str, out: &Path) -> Result<Option<u64>> {
        let name = folder_name(sha256);
        let (base, to) = (stores_folder(data).join(name), stores_folder(out).join(name));
        if !base.is_dir() {
            return Ok(None);
        }
        disk::create_folder(&to)?;
        let folder = current(&base)?;
        let copied = copy_files(&base, &folder, &to);
        // If another generation is in use now, the copied one was being removed.
        if !base.is_dir() || current(&base)? != folder {
            return Ok(None);
        }
        copied
    }
}

/// The copy is a first generation, so its files are directly in the store's folder.
fn copy_files(base: &Path, folder: &Path, to: &Path) -> Result<Option<u64>> {
    let mut bytes = 0;
    for segment in Segments::files(folder)? {
        match copy(&segment, &to.join(segment.file_name().unwrap_or_default()))? {
            Some(copied) => bytes += copied,
            // The segment was merged into another one.
            None => return Ok(None),
        }
    }
    // These files may be missing; the catalog has the description too.
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

/// Copies a file. Returns the number of bytes, or `None` if there is no such file.
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
