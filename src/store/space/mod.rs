//! One embedding space on disk: its fingerprint, its vectors, and which text each belongs to.
//!
//! A space maps a text's hash to a slot, and a slot to a vector. It knows nothing of papers: two
//! papers with the same text share a slot, and a paper whose text changes gets another one. Two files
//! grow by appending, `vectors.f32` first and `keys` after it, so that a slot counts only when both
//! are on the disk; whatever a crash left half written is cut off by the next writer.

mod copy;
mod description;
mod generation;
mod unreadable;
mod writer;

pub use description::Description;
pub use generation::Generation;
pub use writer::{SpaceWriter, check_unit};

use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use description::{SHORT, short};
use likewise_base::disk;
use likewise_base::map::{Array, MappedFile};
use likewise_encoder::model::{Fingerprint, ModelFolder};
use likewise_index::{Slot, Vectors};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes before the first record of either file: magic and dimension, padded.
const HEADER_BYTES: usize = 64;

/// A record of `keys`: the text's hash and the CRC-32 of its vector's bytes.
const KEY_BYTES: usize = HASH_BYTES + 4;

const VECTORS: &str = "vectors.f32";
const KEYS: &str = "keys";
const DESCRIPTION: &str = "space.json";
const UNREADABLE: &str = "unreadable";

/// Begins the names of spaces that are being removed.
const GONE: &str = ".gone-";

/// A space, as it was when it was opened.
pub struct Space {
    folder: PathBuf,
    vectors: Vectors,
    keys: MappedFile,
}

impl Space {
    /// The folder of the space with this fingerprint, under a data folder: where the files are that are in use.
    ///
    /// # Errors
    /// [`Error::Data`] if the file that names it is damaged.
    pub fn folder(data: &Path, fingerprint: &Fingerprint) -> Result<PathBuf> {
        generation::current(&Space::base(data, fingerprint))
    }

    /// The same of every space that a data folder has.
    pub fn folders(data: &Path) -> Result<Vec<PathBuf>> {
        bases(data)?.iter().map(|base| generation::current(base)).collect()
    }

    /// The folder of the space with this fingerprint, whichever generation is in use.
    pub fn base(data: &Path, fingerprint: &Fingerprint) -> PathBuf {
        spaces(data).join(short(&fingerprint.sha256))
    }

    /// Makes an empty space, if there is none, and notes where its model is.
    pub fn create(data: &Path, model: &ModelFolder) -> Result<()> {
        let folder = Space::base(data, &model.fingerprint);
        disk::create_folder(&folder)?;
        let (path, description) = (folder.join(DESCRIPTION), Description::of(model)?);
        if !path.exists() && Space::is_empty(&folder) {
            let header = header(model.fingerprint.dimension);
            for file in [VECTORS, KEYS] {
                disk::write_atomically(&folder.join(file), &header)?;
            }
        }
        // The model may have been elsewhere before.
        if std::fs::read(&path).is_ok_and(|old| old == description.as_bytes()) {
            return Ok(());
        }
        Ok(disk::write_atomically(&path, description.as_bytes())?)
    }

    /// Whether a space's folder has no vectors yet; what says whose it is may be gone from one that has.
    fn is_empty(base: &Path) -> bool {
        let is_new = |file| base.join(file).metadata().map_or(true, |file| file.len() <= HEADER_BYTES as u64);
        is_new(VECTORS) && is_new(KEYS) && !base.join(generation::CURRENT).exists()
    }

    /// What the space with this fingerprint says of itself, if there is one.
    ///
    /// # Errors
    /// [`Error::Data`] if that cannot be read.
    pub fn description(data: &Path, sha256: &str) -> Result<Option<Description>> {
        Description::read(&spaces(data).join(short(sha256)))
    }

    /// Removes every space of a data folder but those with these fingerprints; gives what they said of themselves.
    pub fn remove_others(data: &Path, kept: &[String]) -> Result<Vec<Description>> {
        let mut removed = Vec::new();
        for base in bases(data)? {
            if kept.iter().any(|sha256| base.ends_with(short(sha256))) {
                continue;
            }
            removed.extend(Description::read(&base).ok().flatten());
            // In one step: half a space would be taken for one, by whoever reads it and whoever fills it again.
            let gone = base.with_file_name(format!("{GONE}{}", removed.len()));
            if gone.exists() {
                disk::remove(&gone)?;
            }
            std::fs::rename(&base, &gone).map_err(Error::io(&base))?;
        }
        for gone in entries(&spaces(data))?.into_iter().filter(|path| name_of(path).starts_with(GONE)) {
            disk::remove(&gone)?;
        }
        Ok(removed)
    }

    /// Puts an empty generation in the place of the files of the space with this fingerprint, which are of no use.
    pub fn empty(data: &Path, fingerprint: &Fingerprint) -> Result<()> {
        disk::create_folder(&Space::base(data, fingerprint))?;
        Generation::empty(data, fingerprint)?.publish()
    }

    /// Opens a space for reading; what is appended later is not seen.
    ///
    /// # Errors
    /// [`Error::Data`] if a file is not what its header should say.
    pub fn open(data: &Path, fingerprint: &Fingerprint) -> Result<Space> {
        Space::open_in(Space::folder(data, fingerprint)?, fingerprint.dimension)
    }

    /// Opens the files in a folder.
    pub fn open_in(folder: PathBuf, dimension: usize) -> Result<Space> {
        // Keys first: each was written after its vector, so every key read here has one.
        let keys = open_records(&folder.join(KEYS), dimension)?;
        let mapped = open_records(&folder.join(VECTORS), dimension)?;
        let whole = (mapped.bytes().len() - HEADER_BYTES) / (4 * dimension);
        let count = whole.min((keys.bytes().len() - HEADER_BYTES) / KEY_BYTES);
        let values = Array::mapped(&Arc::new(mapped), HEADER_BYTES..HEADER_BYTES + count * 4 * dimension)
            .ok_or_else(|| Error::Data(format!("{}: it is cut short", folder.join(VECTORS).display())))?;
        Ok(Space { folder, vectors: Vectors::new(values, dimension), keys })
    }

    /// Whether its files are still those in use.
    pub fn is_current(&self, data: &Path, fingerprint: &Fingerprint) -> Result<bool> {
        Ok(self.folder == Space::folder(data, fingerprint)?)
    }

    /// Removes what killed processes left; gives whether there was something.
    pub fn sweep(data: &Path, fingerprint: &Fingerprint) -> Result<bool> {
        generation::sweep(&Space::base(data, fingerprint))
    }

    /// Whether vectors were appended since it was opened.
    pub fn has_grown(&self) -> bool {
        let length = std::fs::metadata(self.folder.join(KEYS)).map_or(0, |file| file.len());
        length > self.keys.bytes().len() as u64
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Its vectors, by slot.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// The texts that have a vector, by slot.
    pub fn texts(&self) -> impl Iterator<Item = TextHash> {
        (0..self.vectors.len()).map(|slot| self.text(slot))
    }

    /// The slots whose vectors do not give their checksums. It reads everything.
    pub fn damaged(&self) -> Vec<Slot> {
        let dimension = self.vectors.dimension();
        let keys = self.keys.bytes()[HEADER_BYTES..].par_chunks_exact(KEY_BYTES);
        let rows = keys.zip(self.vectors.values().par_chunks_exact(dimension)).enumerate();
        let is_damaged = |(slot, (key, vector)): (usize, (&[u8], &[f32]))| {
            let got = crc32fast::hash(bytemuck::cast_slice(vector)).to_le_bytes();
            (got != key[HASH_BYTES..]).then_some(slot as Slot)
        };
        rows.filter_map(is_damaged).collect()
    }

    /// The slots of those of some texts that have a vector, from the slot `first` on. It reads keys from the end on
    /// until all are found: what was just written is there.
    pub fn slots(&self, texts: impl Iterator<Item = TextHash>, first: usize) -> HashMap<TextHash, Slot> {
        let mut wanted: HashSet<TextHash> = texts.collect();
        let mut found = HashMap::new();
        for slot in (first..self.vectors.len()).rev() {
            if wanted.is_empty() {
                break;
            }
            let text = self.text(slot);
            if wanted.remove(&text) {
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

fn spaces(data: &Path) -> PathBuf {
    data.join("spaces")
}

/// The folders of a data folder's spaces; what else somebody keeps there is none of ours.
fn bases(data: &Path) -> Result<Vec<PathBuf>> {
    let is_base = |path: &PathBuf| {
        let name = name_of(path);
        name.len() == SHORT && name.bytes().all(|byte| byte.is_ascii_hexdigit()) && path.is_dir()
    };
    Ok(entries(&spaces(data))?.into_iter().filter(is_base).collect())
}

/// What is in a folder; nothing, if there is no such folder.
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
            Error::Data(format!("{}: it is gone; {}", path.display(), start_over(path)))
        }
        other => other.into(),
    })?;
    if file.bytes().get(..HEADER_BYTES) != Some(&header(dimension)[..]) {
        return Err(Error::Data(format!(
            "{}: the header is not that of a space of dimension {dimension}; {}",
            path.display(),
            start_over(path)
        )));
    }
    Ok(file)
}

/// What to do about a file that is of no use.
fn start_over(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    format!(
        "run `likewise verify --repair`, or delete the folder {folder} and run `likewise ingest`: either encodes its papers again"
    )
}
