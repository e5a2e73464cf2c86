//! Generations: rewrites a vector store's files without the orphaned slots.
//!
//! This is the only operation that renumbers slots. Everything that refers to slots is made for the new files before
//! they are published, and removed with the old ones. The files of the first generation are directly in the store's
//! folder; a later generation has a subfolder, and the file `current` names it.

use super::{DESCRIPTION, KEY_BYTES, KEYS, Slot, UNREADABLE, VECTORS, VectorStore, header, open_records};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_encoder::model::Fingerprint;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(super) const CURRENT: &str = "current";

/// The folder of the generation in use, in the folder of a store.
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
            "{}: the content must be the name of a folder beside this file (got {name:?}); write that name into it, or \
             delete {folder} and run `likewise ingest` to encode the papers again",
            path.display()
        ))
    })
}

/// Removes the files of all generations but the one in use, which a killed process left. Returns whether there were
/// any.
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

/// The highest number of a generation that has a folder, in use or not.
fn highest(base: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(base).map_err(Error::io(base))?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max().unwrap_or_default())
}

/// A generation that is not in use yet.
pub struct Generation {
    base: PathBuf,
    number: u64,
}

impl Generation {
    /// Creates a new generation with these slots of the one in use, in this order.
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

    /// Creates a new generation without slots. Reads nothing of the one in use, which may be damaged.
    pub fn empty(data: &Path, fingerprint: &Fingerprint) -> Result<Generation> {
        let base = VectorStore::base(data, fingerprint);
        // A new number, because a process may still have an older generation open and tells them apart by their folders.
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

    /// Puts this generation into use, atomically, and removes the one before. A process that has that one open can
    /// still read it.
    pub fn publish(self) -> Result<()> {
        disk::write_atomically(&self.base.join(CURRENT), self.number.to_string().as_bytes())?;
        remove_leftovers(&self.base).map(drop)
    }
}
