//! Is a data folder what it was written as? And mending it, if it is not.
//!
//! Its own file because it reads every byte, which opening a folder does not: the catalog by SQLite's own
//! check, every vector and every segment by its checksum. Mending loses nothing: a segment is built again from
//! the vectors, and a vector from its paper's text.

use crate::error::{Error, Result};
use crate::ingest::{self, Writer};
use crate::store::directory::Directory;
use crate::store::lock::WriteLock;
use crate::store::space::Space;
use likewise_encoder::Encoder;
use likewise_index::Slot;
use likewise_index::{Segment, Segments};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that is not as it was written.
#[derive(Debug)]
pub enum Damage {
    /// What is wrong with a paper.
    Paper(String),
    /// So many papers have no vector, and cannot be found.
    Missing(usize),
    /// What is wrong with a segment's file.
    Segment(Error),
    /// Terms are not counted as the papers have them.
    Words,
    /// What is wrong with a space's files, which are of no use then.
    Space(Error),
    /// What is wrong with what a space says of itself.
    Description(Error),
    /// What was saved of which papers the vectors are of cannot be read: every process that opens the folder works it out
    /// anew.
    Directory(PathBuf),
    /// A vector whose values do not give its checksum: its file, and where.
    Vector(PathBuf, Slot),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Damage::Paper(what) => write!(f, "{what}"),
            Damage::Missing(count) => write!(f, "{count} papers have no vector"),
            Damage::Words => f.write_str("terms are not counted as the papers have them"),
            Damage::Segment(error) | Damage::Space(error) | Damage::Description(error) => {
                write!(f, "{error}")
            }
            Damage::Directory(path) => write!(f, "{}: it is damaged, or of another catalog", path.display()),
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
    let catalog = ingest::open_catalog(data)?;
    ingest::check_space(&catalog, encoder.model())?;
    catalog.check()?;
    let fingerprint = &encoder.model().fingerprint;
    let mut damage: Vec<Damage> = catalog.damaged()?.into_iter().map(Damage::Paper).collect();
    damage.extend((!catalog.counts_are_right()?).then_some(Damage::Words));
    match Space::description(data, &fingerprint.sha256) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let gone = format!("{}: space.json is gone", Space::base(data, fingerprint).display());
            damage.push(Damage::Description(Error::Data(gone)));
        }
        Err(error) => damage.push(Damage::Description(error)),
    }
    let space = match Space::open(data, fingerprint) {
        Err(error @ Error::Data(_)) => {
            damage.push(Damage::Space(error));
            return Ok(damage);
        }
        space => space?,
    };
    if !Directory::is_readable(space.path(), &catalog, space.vectors().len())? {
        damage.push(Damage::Directory(Directory::path(space.path())));
    }
    // Made from nothing, so that what was saved cannot hide anything.
    let mut directory = Directory::new(&catalog.identity()?);
    directory.follow(&catalog, &space)?;
    let missing = directory.waiting(&Space::unreadable(space.path())?);
    damage.extend(Some(missing).filter(|count| *count > 0).map(Damage::Missing));
    damage.extend(damage_in(&space)?);
    Ok(damage)
}

/// Reads the whole of a space; gives what is damaged.
pub fn damage_in(space: &Space) -> Result<Vec<Damage>> {
    let vectors = space.damaged().into_iter().map(|slot| Damage::Vector(space.path().into(), slot));
    let segments = Segments::files(space.path())?.into_iter();
    // One that is gone meanwhile was merged into another.
    let segments = segments.filter_map(|path| Segment::verify(&path).err().filter(|_| path.exists()));
    let segments = segments.map(|error| Damage::Segment(error.into()));
    Ok(vectors.chain(segments).collect())
}

/// Mends what is damaged, but for papers, which only their dumps can mend: writes the space anew without the damaged
/// vectors, builds its index again from the others, and encodes only the papers whose vectors were damaged or missing: all,
/// if the files that hold them cannot be read at all.
/// What is open goes on with the new files.
///
/// # Errors
/// [`Error::Data`] if another process is writing.
pub fn repair(data: &Path, encoder: &Arc<Encoder>) -> Result<()> {
    let fingerprint = &encoder.model().fingerprint;
    let lock = WriteLock::take(&ingest::lock_path(data))?;
    // Only now: another process may have been at it.
    if matches!(Space::open(data, fingerprint), Err(Error::Data(_))) {
        Space::empty(data, fingerprint)?;
    }
    let writer = Writer::open_locked(data, encoder, lock)?;
    writer.mend_words()?;
    writer.leave_out_damage()?;
    let mut writer = Writer::open(data, encoder)?;
    writer.catch_up(|_, _| {})?;
    writer.finish().map(drop)
}
