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

/// How often all is copied again, if a space was written anew or removed meanwhile.
const TRIES: usize = 5;

/// Copies a data folder into a new one, `out`, which is there when it is whole.
///
/// # Errors
/// [`Error::Invalid`] if there is something at `out`; [`Error::Data`] if there are no papers, or their vectors are gone, or
/// written anew again and again.
pub fn backup(data: &Path, out: &Path) -> Result<Backup> {
    if out.exists() {
        return Err(Error::Invalid(format!("{}: it is there already; name a new folder", out.display())));
    }
    let Some(name) = out.file_name() else {
        return Err(Error::Invalid(format!("{}: wanted the name of a new folder", out.display())));
    };
    let catalog = open_catalog(data)?;
    let aside = out.with_file_name(format!("{}.part-{}", name.to_string_lossy(), std::process::id()));
    for _ in 0..TRIES {
        disk::create_folder(&aside)?;
        let copied = copy_all(data, &catalog, &aside);
        if let Ok(Some(copied)) = copied {
            std::fs::rename(&aside, out).map_err(Error::io(out))?;
            let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
            disk::sync(parent.unwrap_or(Path::new(".")))?;
            return Ok(copied);
        }
        // Half a copy is of no use.
        disk::remove(&aside)?;
        copied?;
    }
    Err(Error::Data(format!(
        "{}: its vectors are gone, or written anew all the time; run `likewise verify`, or try again later",
        data.display()
    )))
}

/// `None` if a space that the copied catalog names is not as it was when that was copied.
fn copy_all(data: &Path, catalog: &Catalog, out: &Path) -> Result<Option<Backup>> {
    let path = catalog_path(out);
    catalog.copy_to(&path)?;
    disk::sync(&path)?;
    let mut bytes = path.metadata().map_err(Error::io(&path))?.len();
    let copied = Catalog::open(&path)?;
    for sha256 in copied.space()?.into_iter().chain(copied.next_space()?) {
        match Space::copy_to(data, &sha256, out)? {
            Some(of_space) => bytes += of_space,
            None => return Ok(None),
        }
    }
    Ok(Some(Backup { papers: copied.count()?, bytes }))
}
