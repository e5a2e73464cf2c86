//! Generations of a vector store. A new generation is a rewritten copy of the store's files, without orphaned or
//! damaged slots; or it is empty, if the store's files cannot be read.
//!
//! This is the only operation that renumbers slots. All files that refer to slots (the index and the slot map) are made
//! again for a copy before it is published, and the old ones are removed with the old generation. The files
//! of the first generation are directly in the store's folder. Every later generation has a subfolder, and the file
//! `current` contains the name of the subfolder in use.

use super::{DESCRIPTION, KEY_BYTES, KEYS, Slot, UNREADABLE, VECTORS, VectorStore, header, open_records};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_encoder::model::Fingerprint;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(super) const CURRENT: &str = "current";

/// The folder of the generation in use. `base` is the folder of the store.
pub fn current(base: &Path) -> Result<PathBuf> {
    Ok(folder(base, number(base)?))
}

fn folder(base: &Path, number: u64) -> PathBuf {
    if number == 0 { base.into() } else { base.join(number.to_string()) }
}

/// The number of the generation in use. The first generation is 0.
fn number(base: &Path) -> Result<u64> {
    let path = base.join(CURRENT);
    let name = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        name => name.map_err(Error::io(&path))?,
    };
    name.trim().parse().map_err(|_| {
        let folder = base.display();
        Error::Data(format!(
            "{}: the content must be the name of a folder beside this file (got {name:?}); write the name of such a \
             folder into the file, or delete the folder {folder} and run `likewise ingest` to encode the papers again",
            path.display()
        ))
    })
}

/// Removes the files of all generations except the one in use. A killed process can leave such files. Returns whether
/// there were any such files.
pub fn remove_leftovers(base: &Path) -> Result<bool> {
    let number = number(base)?;
    let mut found = false;
    for entry in std::fs::read_dir(base).map_err(Error::io(base))? {
        let path = entry.map_err(Error::io(base))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_generation = name.parse::<u64>().is_ok();
        // The files of the first generation are directly in the store's folder.
        let is_of_first = number > 0 && !is_generation && ![CURRENT, DESCRIPTION].contains(&name.as_str());
        if name == number.to_string() || !(is_generation || is_of_first) {
            continue;
        }
        disk::remove(&path)?;
        found = true;
    }
    Ok(found)
}

/// The highest number of all generations that have a subfolder, in use or not. 0 if there is no subfolder.
fn highest(base: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(base).map_err(Error::io(base))?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max().unwrap_or_default())
}

/// A new generation, which is put into use by [`Generation::publish`].
pub struct Generation {
    base: PathBuf,
    number: u64,
}

impl Generation {
    /// Creates a new generation from these slots of the generation in use, in the order of `slots`.
    pub fn copy(
        data: &Path,
        fingerprint: &Fingerprint,
        slots: impl Iterator<Item = Slot> + Clone,
    ) -> Result<Generation> {
        let base = VectorStore::base(data, fingerprint);
        let used = number(&base)?;
        let (old, number) = (folder(&base, used), used + 1);
        let new = Generation { base, number };
        let folder = new.folder();
        if folder.exists() {
            disk::remove(&folder)?;
        }
        disk::create_folder(&folder)?;
        for (name, size) in [(VECTORS, 4 * fingerprint.dimension), (KEYS, KEY_BYTES)] {
            let records = open_records(&old.join(name), fingerprint.dimension)?;
            let records = &records.bytes()[super::HEADER_BYTES..];
            let path = folder.join(name);
            let write = || -> std::io::Result<()> {
                let mut file = BufWriter::new(File::create(&path)?);
                file.write_all(&header(fingerprint.dimension))?;
                for slot in slots.clone() {
                    file.write_all(&records[slot as usize * size..][..size])?;
                }
                file.into_inner()?.sync_all()
            };
            write().map_err(Error::io(&path))?;
        }
        let (unreadable, copied) = (old.join(UNREADABLE), folder.join(UNREADABLE));
        if unreadable.exists() {
            std::fs::copy(&unreadable, &copied).map_err(Error::io(&unreadable))?;
        }
        disk::sync(&folder)?;
        Ok(new)
    }

    /// Creates a new generation without slots. Does not read the records of the generation in use, which can be
    /// damaged.
    pub fn empty(data: &Path, fingerprint: &Fingerprint) -> Result<Generation> {
        let base = VectorStore::base(data, fingerprint);
        // The number must be new: a process that still has an older generation open recognises a new generation by the
        // name of its folder.
        let used = highest(&base)?.max(number(&base).unwrap_or_default());
        let new = Generation { base, number: used + 1 };
        let folder = new.folder();
        disk::create_folder(&folder)?;
        for name in [VECTORS, KEYS] {
            disk::write_atomically(&folder.join(name), &header(fingerprint.dimension))?;
        }
        Ok(new)
    }

    /// The folder of the generation's files.
    pub fn folder(&self) -> PathBuf {
        folder(&self.base, self.number)
    }

    /// Puts this generation into use, atomically, and removes all other generations. A process that has the previous
    /// generation open can still read it.
    pub fn publish(self) -> Result<()> {
        disk::write_atomically(&self.base.join(CURRENT), self.number.to_string().as_bytes())?;
        remove_leftovers(&self.base).map(drop)
    }
}
