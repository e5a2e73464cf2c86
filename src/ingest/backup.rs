//! Copies a data folder while other processes read and write it.
//!
//! The order of copying makes the copy consistent: first a snapshot of the catalog, by SQLite's backup API; then, for
//! the vector stores of the model in use and of the next model, the index, the keys and the vectors. Writes by other
//! processes meanwhile only add to these files; if a file is rewritten or removed, the copy is started again.

use super::{catalog_path, open_catalog};
use crate::error::{Error, Result};
use crate::store::catalog::Catalog;
use crate::store::vector_store::VectorStore;
use likewise_base::disk;
use std::path::Path;

/// The size of a completed backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Number of papers in the copy.
    pub papers: usize,
    /// Size of all copied files, in bytes.
    pub bytes: u64,
}

/// Maximum number of attempts to copy the folder. An attempt fails if a vector store is rewritten or removed meanwhile.
const MAX_ATTEMPTS: usize = 5;

/// Copies a data folder to a new folder, `out`. The copy appears there only when it is complete.
///
/// # Errors
/// Returns [`Error::Invalid`] if `out` exists or is not a folder's name. Returns [`Error::Data`] if nothing was ever
/// ingested, or the vectors are missing or were rewritten during every attempt.
pub fn backup(data: &Path, out: &Path) -> Result<Backup> {
    if out.exists() {
        return Err(Error::Invalid(format!(
            "{}: this path already exists; give the name of a new folder",
            out.display()
        )));
    }
    let Some(name) = out.file_name() else {
        return Err(Error::Invalid(format!(
            "{}: the path must end in the name of a new folder",
            out.display()
        )));
    };
    let catalog = open_catalog(data)?;
    let aside = out.with_file_name(format!("{}.part-{}", name.to_string_lossy(), std::process::id()));
    for _ in 0..MAX_ATTEMPTS {
        disk::create_folder(&aside)?;
        let copied = copy_all(data, &catalog, &aside);
        if let Ok(Some(copied)) = copied {
            std::fs::rename(&aside, out).map_err(Error::io(out))?;
            let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
            disk::sync(parent.unwrap_or(Path::new(".")))?;
            return Ok(copied);
        }
        disk::remove(&aside)?;
        copied?;
    }
    Err(Error::Data(format!(
        "{}: the vectors are missing, or were rewritten during every attempt; run `likewise verify`, or try again later",
        data.display()
    )))
}

/// Copies all files, in one attempt. `None` if a vector store that the copied catalog refers to was rewritten or
/// removed meanwhile.
fn copy_all(data: &Path, catalog: &Catalog, out: &Path) -> Result<Option<Backup>> {
    let path = catalog_path(out);
    catalog.copy_to(&path)?;
    disk::sync(&path)?;
    let mut bytes = path.metadata().map_err(Error::io(&path))?.len();
    let copied = Catalog::open(&path)?;
    for sha256 in copied.space()?.into_iter().chain(copied.next_space()?) {
        match VectorStore::copy_to(data, &sha256, out)? {
            Some(copied) => bytes += copied,
            None => return Ok(None),
        }
    }
    Ok(Some(Backup { papers: copied.count()?, bytes }))
}
