//! A copy of a space's files, while others may append to it.
//!
//! Its own file because of what must come before what: the index, then the keys, then the vectors, so that every slot that
//! the copied index has a place for has a key, and every key a vector.

use super::generation::current;
use super::{DESCRIPTION, KEYS, Space, UNREADABLE, VECTORS, short, spaces};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_index::Segments;
use std::io::ErrorKind;
use std::path::Path;

impl Space {
    /// Copies the space with this fingerprint into another data folder; gives how many bytes, or `None` if it was written
    /// anew or removed meanwhile, so that everything is to be copied again.
    pub fn copy_to(data: &Path, sha256: &str, out: &Path) -> Result<Option<u64>> {
        let (base, to) = (spaces(data).join(short(sha256)), spaces(out).join(short(sha256)));
        if !base.is_dir() {
            return Ok(None);
        }
        disk::create_folder(&to)?;
        let folder = current(&base)?;
        let copied = copy_files(&base, &folder, &to);
        // What is missing from a generation that is not in use any more was removed with it.
        if !base.is_dir() || current(&base)? != folder {
            return Ok(None);
        }
        copied
    }
}

/// The copy is a first generation: its files stand in the space's folder itself.
fn copy_files(base: &Path, folder: &Path, to: &Path) -> Result<Option<u64>> {
    let mut bytes = 0;
    for segment in Segments::files(folder)? {
        match copy(&segment, &to.join(segment.file_name().unwrap_or_default()))? {
            Some(copied) => bytes += copied,
            // It was merged into another.
            None => return Ok(None),
        }
    }
    // The catalog knows, too, what the first says.
    for (from, name) in [(base, DESCRIPTION), (folder, UNREADABLE)] {
        bytes += copy(&from.join(name), &to.join(name))?.unwrap_or_default();
    }
    for name in [KEYS, VECTORS] {
        let from = folder.join(name);
        let gone = || Error::Data(format!("{}: it is gone; run `likewise verify`", from.display()));
        bytes += copy(&from, &to.join(name))?.ok_or_else(gone)?;
    }
    disk::sync(to)?;
    Ok(Some(bytes))
}

/// Copies a file; `None` if there is none.
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
