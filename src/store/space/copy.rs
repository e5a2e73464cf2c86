//! A copy of a space's files, while others may append to it.
//!
//! Its own file because of what must come before what: the index, then the keys, then the vectors, so that every slot that
//! the copied index has a place for has a key, and every key a vector.

use super::generation::current;
use super::{DESCRIPTION, KEYS, Space, VECTORS, short, spaces};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_index::Segments;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

impl Space {
    /// Copies the space with this fingerprint into another data folder; gives how many bytes, or `None` if it was written
    /// anew meanwhile, and is to be copied again. A folder without that space has nothing to copy.
    pub fn copy_to(data: &Path, sha256: &str, out: &Path) -> Result<Option<u64>> {
        let (base, to) = (spaces(data).join(short(sha256)), spaces(out).join(short(sha256)));
        if !base.is_dir() {
            return Ok(Some(0));
        }
        if to.exists() {
            disk::remove(&to)?;
        }
        disk::create_folder(&to)?;
        let folder = current(&base)?;
        let copied = copy_files(&base, &folder, &to);
        if current(&base)? != folder {
            return Ok(None);
        }
        match copied {
            // A segment that was merged into another.
            Err(Error::Io(error)) if error.cause.kind() == ErrorKind::NotFound => Ok(None),
            copied => copied.map(Some),
        }
    }
}

fn copy_files(base: &Path, folder: &Path, to: &Path) -> Result<u64> {
    let first = |name: &str| (base.join(name), to.join(name));
    let mut files: Vec<(PathBuf, PathBuf)> = vec![first(DESCRIPTION)];
    // The copy is a first generation: its files stand in the space's folder itself.
    for path in Segments::files(folder)? {
        let name = path.file_name().unwrap_or_default();
        files.push((path.clone(), to.join(name)));
    }
    files.extend([KEYS, VECTORS].map(|name| (folder.join(name), to.join(name))));
    let mut bytes = 0;
    for (from, to) in files {
        bytes += std::fs::copy(&from, &to).map_err(Error::io(&from))?;
        disk::sync(&to)?;
    }
    disk::sync(to)?;
    Ok(bytes)
}
