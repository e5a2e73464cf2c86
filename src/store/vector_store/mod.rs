//! The vector store of one model: the model's vectors on disk, each with the hash of the paper's text.
//!
//! The vectors of a model are points in the model's *embedding space*: only vectors of the same model, with the same
//! options, can be compared. The model's fingerprint identifies the embedding space, so each fingerprint has a vector
//! store.
//!
//! A store maps the hash of a text to a slot, and the slot to a vector. A store has no papers: two papers with the same
//! text share a slot, and a paper whose text changes gets another slot. Records are appended to two files, first to
//! `vectors.f32` and then to `keys`, and a slot exists only if both files have its record. If a crash leaves an
//! incomplete record at the end of a file, the next writer truncates that record.

mod copy;
mod description;
mod generation;
mod unreadable;
mod writer;

pub use description::Description;
pub use generation::Generation;
pub use writer::{VectorStoreWriter, check_unit};

use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use description::{FOLDER_NAME_DIGITS, folder_name};
use likewise_base::disk;
use likewise_base::map::{Array, MappedFile};
use likewise_encoder::model::{Fingerprint, ModelFolder};
use likewise_index::{Slot, Vectors};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Size in bytes of the header of each of the two files. The header has the format's name and version and the
/// dimension, padded with zeros.
const HEADER_BYTES: usize = 64;

/// Size in bytes of a record in the file `keys`: the hash of the text, and the CRC-32 of the vector's bytes.
const KEY_BYTES: usize = HASH_BYTES + 4;

const VECTORS: &str = "vectors.f32";
const KEYS: &str = "keys";
const DESCRIPTION: &str = "space.json";
const UNREADABLE: &str = "unreadable";

/// Prefix of the names of folders of stores that are being removed.
const REMOVED_PREFIX: &str = ".gone-";

/// A vector store that is open for reading, with the vectors that it had when it was opened.
pub struct VectorStore {
    folder: PathBuf,
    vectors: Vectors,
    keys: MappedFile,
}

impl VectorStore {
    /// The folder of the current files of the vector store with this fingerprint.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if the file `current`, which names the folder, is damaged.
    pub fn folder(data: &Path, fingerprint: &Fingerprint) -> Result<PathBuf> {
        generation::current(&VectorStore::base(data, fingerprint))
    }

    /// The folders of the current files of all vector stores of a data folder.
    pub fn folders(data: &Path) -> Result<Vec<PathBuf>> {
        bases(data)?.iter().map(|base| generation::current(base)).collect()
    }

    /// The folder of the vector store with this fingerprint. It contains all generations of the store.
    pub fn base(data: &Path, fingerprint: &Fingerprint) -> PathBuf {
        stores_folder(data).join(folder_name(&fingerprint.sha256))
    }

    /// Creates an empty vector store for a model if there is none, and writes the description of the model.
    pub fn create(data: &Path, model: &ModelFolder) -> Result<()> {
        let folder = VectorStore::base(data, &model.fingerprint);
        disk::create_folder(&folder)?;
        let (path, description) = (folder.join(DESCRIPTION), Description::json_of(model)?);
        if !path.exists() && VectorStore::is_empty(&folder) {
            let header = header(model.fingerprint.dimension);
            for file in [VECTORS, KEYS] {
                disk::write_atomically(&folder.join(file), &header)?;
            }
        }
        // The description is written again if it differs, because the model's folder might have been moved.
        if std::fs::read(&path).is_ok_and(|old| old == description.as_bytes()) {
            return Ok(());
        }
        Ok(disk::write_atomically(&path, description.as_bytes())?)
    }

    /// Whether a store's folder has no vectors and no later generation. The store can have vectors although its
    /// description is missing.
    fn is_empty(base: &Path) -> bool {
        let is_new = |file| base.join(file).metadata().map_or(true, |file| file.len() <= HEADER_BYTES as u64);
        is_new(VECTORS) && is_new(KEYS) && !base.join(generation::CURRENT).exists()
    }

    /// The description of the vector store with this fingerprint. `None` if the file does not exist.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if the description is damaged.
    pub fn description(data: &Path, sha256: &str) -> Result<Option<Description>> {
        Description::read(&stores_folder(data).join(folder_name(sha256)))
    }

    /// Removes all vector stores of a data folder except those with the fingerprints in `kept`. Returns the
    /// descriptions of the removed stores, except missing and damaged descriptions.
    pub fn remove_others(data: &Path, kept: &[String]) -> Result<Vec<Description>> {
        let mut removed = Vec::new();
        for base in bases(data)? {
            if kept.iter().any(|sha256| base.ends_with(folder_name(sha256))) {
                continue;
            }
            removed.extend(Description::read(&base).ok().flatten());
            // The folder is renamed before it is removed, because renaming is atomic. Otherwise, other processes would
            // take a partly removed folder for a vector store.
            let renamed = base.with_file_name(format!("{REMOVED_PREFIX}{}", removed.len()));
            if renamed.exists() {
                disk::remove(&renamed)?;
            }
            std::fs::rename(&base, &renamed).map_err(Error::io(&base))?;
        }
        let is_renamed = |path: &PathBuf| name_of(path).starts_with(REMOVED_PREFIX);
        for renamed in entries(&stores_folder(data))?.into_iter().filter(is_renamed) {
            disk::remove(&renamed)?;
        }
        Ok(removed)
    }

    /// Replaces the files of the vector store with this fingerprint by an empty generation. For files that are damaged.
    pub fn reset(data: &Path, fingerprint: &Fingerprint) -> Result<()> {
        disk::create_folder(&VectorStore::base(data, fingerprint))?;
        Generation::empty(data, fingerprint)?.publish()
    }

    /// Opens a vector store for reading. Vectors that are appended later are not visible.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if a file is missing or has a wrong header.
    pub fn open(data: &Path, fingerprint: &Fingerprint) -> Result<VectorStore> {
        VectorStore::open_in(VectorStore::folder(data, fingerprint)?, fingerprint.dimension)
    }

    /// Opens the vector store whose files are in `folder`.
    pub fn open_in(folder: PathBuf, dimension: usize) -> Result<VectorStore> {
        // The keys are opened before the vectors. Each key was written after its vector, so every key in the opened
        // file has a vector.
        let keys = open_records(&folder.join(KEYS), dimension)?;
        let mapped = open_records(&folder.join(VECTORS), dimension)?;
        let complete = (mapped.bytes().len() - HEADER_BYTES) / (4 * dimension);
        let count = complete.min((keys.bytes().len() - HEADER_BYTES) / KEY_BYTES);
        let values = Array::mapped(&Arc::new(mapped), HEADER_BYTES..HEADER_BYTES + count * 4 * dimension)
            .ok_or_else(|| {
                Error::Data(format!(
                    "{}: the file is cut short; run `likewise verify --repair`",
                    folder.join(VECTORS).display()
                ))
            })?;
        Ok(VectorStore { folder, vectors: Vectors::new(values, dimension), keys })
    }

    /// Whether the opened files are still the current files of the store.
    pub fn is_current(&self, data: &Path, fingerprint: &Fingerprint) -> Result<bool> {
        Ok(self.folder == VectorStore::folder(data, fingerprint)?)
    }

    /// Removes the files of old and unfinished generations, which killed processes left. Returns whether there were
    /// such files.
    pub fn remove_leftovers(data: &Path, fingerprint: &Fingerprint) -> Result<bool> {
        generation::remove_leftovers(&VectorStore::base(data, fingerprint))
    }

    /// Whether vectors were appended since the store was opened.
    pub fn has_grown(&self) -> bool {
        let length = std::fs::metadata(self.folder.join(KEYS)).map_or(0, |file| file.len());
        length > self.keys.bytes().len() as u64
    }

    /// The folder of the opened files.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The vectors, by slot.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// The hashes of the texts of the vectors, in the order of the slots.
    pub fn texts(&self) -> impl Iterator<Item = TextHash> {
        (0..self.vectors.len()).map(|slot| self.text(slot))
    }

    /// The slots whose vectors do not match their recorded checksums. Reads all vectors.
    pub fn damaged(&self) -> Vec<Slot> {
        let dimension = self.vectors.dimension();
        let keys = self.keys.bytes()[HEADER_BYTES..].par_chunks_exact(KEY_BYTES);
        let rows = keys.zip(self.vectors.values().par_chunks_exact(dimension)).enumerate();
        let is_damaged = |(slot, (key, vector)): (usize, (&[u8], &[f32]))| {
            let actual = crc32fast::hash(bytemuck::cast_slice(vector)).to_le_bytes();
            (actual != key[HASH_BYTES..]).then_some(slot as Slot)
        };
        rows.filter_map(is_damaged).collect()
    }

    /// Finds the slots of `texts`, but only slots from `first` on. Texts without such a slot are left out. Reads the
    /// keys backwards from the end until all texts are found, because texts that were added recently are at the end.
    pub fn slots(&self, texts: impl Iterator<Item = TextHash>, first: usize) -> HashMap<TextHash, Slot> {
        let mut missing: HashSet<TextHash> = texts.collect();
        let mut found = HashMap::new();
        for slot in (first..self.vectors.len()).rev() {
            if missing.is_empty() {
                break;
            }
            let text = self.text(slot);
            if missing.remove(&text) {
                found.insert(text, slot as Slot);
            }
        }
        found
    }

    fn text(&self, slot: usize) -> TextHash {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&self.keys.bytes()[HEADER_BYTES + slot * KEY_BYTES..][..HASH_BYTES]);
        TextHash(hash)
    }
}

fn stores_folder(data: &Path) -> PathBuf {
    data.join("spaces")
}

/// The folders of a data folder's vector stores. Ignores all files, and folders whose names are not 16 hexadecimal
/// digits.
fn bases(data: &Path) -> Result<Vec<PathBuf>> {
    let is_base = |path: &PathBuf| {
        let name = name_of(path);
        name.len() == FOLDER_NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit()) && path.is_dir()
    };
    Ok(entries(&stores_folder(data))?.into_iter().filter(is_base).collect())
}

/// The paths of the files and folders in a folder. Empty if the folder does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(folder))?,
    };
    entries.map(|entry| Ok(entry.map_err(Error::io(folder))?.path())).collect()
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn header(dimension: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let text = format!("likewise space 1\ndimension {dimension}\n");
    header[..text.len()].copy_from_slice(text.as_bytes());
    header
}

fn open_records(path: &Path, dimension: usize) -> Result<MappedFile> {
    let file = MappedFile::open(path).map_err(|error| match error {
        error if error.cause.kind() == std::io::ErrorKind::NotFound => {
            Error::Data(format!("{}: the file is missing; {}", path.display(), remedy(path)))
        }
        other => other.into(),
    })?;
    if file.bytes().get(..HEADER_BYTES) != Some(&header(dimension)[..]) {
        return Err(Error::Data(format!(
            "{}: the file must begin with the header of a vector store of dimension {dimension}; {}",
            path.display(),
            remedy(path)
        )));
    }
    Ok(file)
}

/// Advice for an error message about a file that cannot be used.
fn remedy(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    format!(
        "run `likewise verify --repair`, or delete the folder {folder} and run `likewise ingest`; in either case the \
         papers are encoded again"
    )
}
