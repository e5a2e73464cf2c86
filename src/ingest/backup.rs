//! A copy of a data folder, made while others read and write it.
//!
//! Its own file because the order is the point: the catalog is copied as of one moment, by SQLite's own means; then, of
//! each space, the index, the keys and the vectors. What is written meanwhile is only ever more than the copied catalog
//! speaks of.

use super::{catalog_path, open_catalog};
use crate::error::{Error, Result};
use crate::store::catalog::Catalog;
use crate::store::space::Space;
use likewise_base::disk;
use std::path::Path;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// Papers.
    pub papers: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// How often a space is copied again that was written anew meanwhile.
const TRIES: usize = 5;

/// Copies a data folder into a new one, `out`, which is there when it is whole.
///
/// # Errors
/// [`Error::Invalid`] if there is something at `out`; [`Error::Data`] if there are no papers, or a space is written anew
/// again and again.
pub fn backup(data: &Path, out: &Path) -> Result<Backup> {
    if out.exists() {
        return Err(Error::Invalid(format!("{}: it is there already; name a new folder", out.display())));
    }
    let catalog = open_catalog(data)?;
    let aside = out.with_extension("part");
    if aside.exists() {
        disk::remove(&aside)?;
    }
    disk::create_folder(&aside)?;
    let copied = copy_all(data, &catalog, &aside);
    match copied.and_then(|copied| std::fs::rename(&aside, out).map_err(Error::io(out)).map(|()| copied)) {
        Ok(copied) => {
            let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
            disk::sync(parent.unwrap_or(Path::new(".")))?;
            Ok(copied)
        }
        Err(error) => {
            // Half a copy is no use to anybody.
            let _ = disk::remove(&aside);
            Err(error)
        }
    }
}

fn copy_all(data: &Path, catalog: &Catalog, out: &Path) -> Result<Backup> {
    let path = catalog_path(out);
    catalog.copy_to(&path)?;
    disk::sync(&path)?;
    let mut bytes = path.metadata().map_err(Error::io(&path))?.len();
    for sha256 in catalog.space()?.into_iter().chain(catalog.next_space()?) {
        bytes += copy_space(data, &sha256, out)?;
    }
    let papers = Catalog::open(&path)?.count()?;
    Ok(Backup { papers, bytes })
}

fn copy_space(data: &Path, sha256: &str, out: &Path) -> Result<u64> {
    for _ in 0..TRIES {
        if let Some(bytes) = Space::copy_to(data, sha256, out)? {
            return Ok(bytes);
        }
    }
    Err(Error::Data(format!(
        "{}: its vectors are written anew all the time; try again later",
        data.display()
    )))
}
