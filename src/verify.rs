//! Is a data folder what it was written as? And mending it, if it is not.
//!
//! Its own file because it reads every byte, which opening a folder does not: the catalog by SQLite's own
//! check, every vector and every segment by its checksum. Mending loses nothing: a segment is built again from
//! the vectors, and a vector from its paper's text.

use crate::catalog::Catalog;
use crate::directory::Directory;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::{Segment, Segments};
use crate::ingest::{self, Writer};
use crate::space::{Slot, Space};
use std::path::{Path, PathBuf};

/// Something that is not as it was written.
#[derive(Debug)]
pub enum Damage {
    /// A segment's file, and what is wrong with it.
    Segment(PathBuf, Error),
    /// A vector whose values do not give its checksum: its file, and where.
    Vector(PathBuf, Slot),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Damage::Segment(_, error) => write!(f, "{error}"),
            Damage::Vector(path, slot) => {
                write!(f, "{}: the vector in slot {slot} does not give its checksum", path.display())
            }
        }
    }
}

/// Reads the whole of a data folder; gives what is damaged.
///
/// # Errors
/// [`Error::Data`] if the catalog is damaged, since that is the truth and cannot be mended here, or if there is
/// none.
pub fn verify(data: &Path, encoder: &Encoder) -> Result<Vec<Damage>> {
    let path = ingest::catalog_path(data);
    if !path.exists() {
        return Err(ingest::nothing_here(data));
    }
    let catalog = Catalog::open(&path)?;
    ingest::check_space(&catalog, encoder.model())?;
    catalog.check()?;
    let space = Space::open(data, &encoder.model().fingerprint)?;
    let vectors = space.damaged().into_iter().map(|slot| Damage::Vector(space.path().into(), slot));
    let segments = Segments::files(space.path())?.into_iter().filter_map(|path| {
        let error = Segment::verify(&path).err()?;
        Some(Damage::Segment(path, error))
    });
    Ok(vectors.chain(segments).collect())
}

/// Mends what is damaged: encodes the texts of damaged vectors again, and no others, and builds the index again
/// where it is missing.
///
/// # Errors
/// [`Error::Data`] if another process is writing.
pub fn repair(data: &Path, encoder: &Encoder, damage: &[Damage]) -> Result<()> {
    let folder = Space::folder(data, &encoder.model().fingerprint);
    let mut writer = Writer::open(data, encoder)?;
    // It says where papers' vectors are, and some will be elsewhere.
    Directory::remove(&folder)?;
    let mut slots = Vec::new();
    for damage in damage {
        match damage {
            Damage::Vector(_, slot) => slots.push(*slot),
            Damage::Segment(path, _) => std::fs::remove_file(path).map_err(Error::io(path))?,
        }
    }
    writer.forget(&slots)?;
    writer.catch_up(|_, _| {})?;
    writer.finish().map(drop)
}
