//! Verifies a data folder, and repairs it.
//!
//! Unlike opening a folder, verification reads every byte: it runs SQLite's check of the catalog, and compares each
//! vector and each index segment with its checksum. Repairing loses no papers: segments are rebuilt from the vectors,
//! and vectors are computed again from the papers' texts. A damaged catalog and damaged papers cannot be repaired.

use crate::error::{Error, Result};
use crate::ingest::{self, FolderWriter};
use crate::store::lock::WriteLock;
use crate::store::slot_map::SlotMap;
use crate::store::vector_store::VectorStore;
use likewise_encoder::Encoder;
use likewise_index::Slot;
use likewise_index::{Segment, Segments};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Damage to a part of a data folder.
#[derive(Debug)]
pub enum Damage {
    /// A paper in the catalog is damaged; the message says how.
    Paper(String),
    /// This many papers have no vector, although the model can read their texts. Vector search does not find them.
    MissingVectors(usize),
    /// An index segment is damaged.
    Segment(Error),
    /// The document frequencies of the term index do not match the papers.
    TermIndex,
    /// The files of the vector store cannot be read.
    VectorStore(Error),
    /// The description of the vector store, `space.json`, is missing or damaged.
    Description(Error),
    /// The saved slot map at this path cannot be read, or does not belong to this catalog and vector store. Every
    /// process that opens the folder must derive the map again, which takes time.
    SlotMap(PathBuf),
    /// The vector in this slot does not match its checksum. The path is the folder of the vector store.
    Vector(PathBuf, Slot),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Damage::Paper(what) => write!(f, "{what}"),
            Damage::MissingVectors(count) => write!(f, "{count} papers have no vector"),
            Damage::TermIndex => f.write_str("the term index of the catalog does not match the papers"),
            Damage::Segment(error) | Damage::VectorStore(error) | Damage::Description(error) => {
                write!(f, "{error}")
            }
            Damage::SlotMap(path) => {
                write!(f, "{}: the slot map is damaged, or belongs to another catalog", path.display())
            }
            Damage::Vector(path, slot) => {
                write!(f, "{}: the vector in slot {slot} does not match its checksum", path.display())
            }
        }
    }
}

/// Reads a data folder completely; returns the damage found. Stops early if the files of the vector store cannot be
/// read.
///
/// # Errors
/// Returns [`Error::Data`] if there is no catalog, if the catalog is damaged, or if the folder's vectors are of another
/// model. A damaged catalog cannot be repaired, because everything else is derived from the catalog.
pub fn verify(data: &Path, encoder: &Encoder) -> Result<Vec<Damage>> {
    let catalog = ingest::open_catalog(data)?;
    ingest::check_model(&catalog, encoder.model())?;
    catalog.check()?;
    let fingerprint = &encoder.model().fingerprint;
    let mut damage: Vec<Damage> = catalog.damaged()?.into_iter().map(Damage::Paper).collect();
    damage.extend((!catalog.doc_freqs_are_correct()?).then_some(Damage::TermIndex));
    match VectorStore::description(data, &fingerprint.sha256) {
        Ok(Some(_)) => {}
        Ok(None) => {
            let missing = format!(
                "{}: space.json is missing; it describes the model of these vectors",
                VectorStore::base(data, fingerprint).display()
            );
            damage.push(Damage::Description(Error::Data(missing)));
        }
        Err(error) => damage.push(Damage::Description(error)),
    }
    let store = match VectorStore::open(data, fingerprint) {
        Err(error @ Error::Data(_)) => {
            damage.push(Damage::VectorStore(error));
            return Ok(damage);
        }
        store => store?,
    };
    if !SlotMap::is_readable(store.path(), &catalog, store.vectors().len())? {
        damage.push(Damage::SlotMap(SlotMap::path(store.path())));
    }
    // The slot map is derived from scratch, because a wrong saved slot map could hide missing vectors.
    let mut slot_map = SlotMap::new(&catalog.identity()?);
    slot_map.follow(&catalog, &store)?;
    let missing = slot_map.waiting(&VectorStore::unreadable(store.path())?);
    damage.extend(Some(missing).filter(|count| *count > 0).map(Damage::MissingVectors));
    damage.extend(damage_in(&store)?);
    Ok(damage)
}

/// Reads a vector store and its index completely; returns the damage found.
pub fn damage_in(store: &VectorStore) -> Result<Vec<Damage>> {
    let vectors = store.damaged().into_iter().map(|slot| Damage::Vector(store.path().into(), slot));
    let segments = Segments::files(store.path())?.into_iter();
    // A segment that no longer exists was merged into another segment meanwhile.
    let segments = segments.filter_map(|path| Segment::verify(&path).err().filter(|_| path.exists()));
    let segments = segments.map(|error| Damage::Segment(error.into()));
    Ok(vectors.chain(segments).collect())
}

/// Repairs all damage except damaged papers, which must be ingested again. Rewrites the vector store without damaged
/// vectors, rebuilds its index, and encodes the papers whose vectors were damaged or missing. If the files of the
/// vector store cannot be read, encodes all papers. Processes that have the folder open switch to the new files.
///
/// # Errors
/// Returns [`Error::Data`] if another process is writing.
pub fn repair(data: &Path, encoder: &Arc<Encoder>) -> Result<()> {
    let fingerprint = &encoder.model().fingerprint;
    let lock = WriteLock::take(&ingest::lock_path(data))?;
    // The check is repeated while the lock is held, because another process might have repaired the store.
    if matches!(VectorStore::open(data, fingerprint), Err(Error::Data(_))) {
        VectorStore::reset(data, fingerprint)?;
    }
    let writer = FolderWriter::open_locked(data, encoder, lock)?;
    writer.repair_terms()?;
    writer.remove_damaged()?;
    let mut writer = FolderWriter::open(data, encoder)?;
    writer.catch_up(|_| {})?;
    writer.finish().map(drop)
}
