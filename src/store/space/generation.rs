//! A space's files, written anew without the slots that stand for nothing.
//!
//! Its own file because it is the one time that slots get other numbers: everything that names slots is made for the
//! new files before they are published, and goes with the old ones. A space's folder holds its first generation
//! itself; a later one has a folder of its own in there, and the file `current` names it.

use super::{DESCRIPTION, KEY_BYTES, KEYS, Slot, Space, UNREADABLE, VECTORS, header, open_records};
use crate::error::{Error, Result};
use likewise_base::disk;
use likewise_encoder::model::Fingerprint;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub(super) const CURRENT: &str = "current";

/// The folder of the generation in use, in a space's folder.
pub fn current(space: &Path) -> Result<PathBuf> {
    Ok(folder(space, number(space)?))
}

fn folder(space: &Path, number: u64) -> PathBuf {
    if number == 0 { space.into() } else { space.join(number.to_string()) }
}

fn number(space: &Path) -> Result<u64> {
    let path = space.join(CURRENT);
    let name = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        name => name.map_err(Error::io(&path))?,
    };
    name.trim().parse().map_err(|_| {
        let folder = space.display();
        Error::Data(format!(
            "{}: got {name:?}, wanted the name of a folder beside it; write that into it, or delete {folder} and run \
             `likewise ingest` to encode its papers again",
            path.display()
        ))
    })
}

/// Removes what is of another generation than the one in use: a killed process left it. Gives whether there was
/// something.
pub fn sweep(space: &Path) -> Result<bool> {
    let number = number(space)?;
    let mut found = false;
    for entry in std::fs::read_dir(space).map_err(Error::io(space))? {
        let path = entry.map_err(Error::io(space))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_generation = name.parse::<u64>().is_ok();
        // The first one's files stand in the space's folder itself.
        let is_of_first = number > 0 && !is_generation && ![CURRENT, DESCRIPTION].contains(&name.as_str());
        if name == number.to_string() || !(is_generation || is_of_first) {
            continue;
        }
        disk::remove(&path)?;
        found = true;
    }
    Ok(found)
}

/// The highest number of a generation's folder.
fn highest(space: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(space).map_err(Error::io(space))?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max().unwrap_or_default())
}

/// A generation that is not in use yet.
pub struct Generation {
    space: PathBuf,
    number: u64,
}

impl Generation {
    /// Copies some slots of the generation in use, in this order, into a new one.
    pub fn copy(
        data: &Path,
        fingerprint: &Fingerprint,
        slots: impl Iterator<Item = Slot> + Clone,
    ) -> Result<Generation> {
        let space = Space::base(data, fingerprint);
        let used = number(&space)?;
        let (old, number) = (folder(&space, used), used + 1);
        let made = Generation { space, number };
        let folder = made.folder();
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
        Ok(made)
    }

    /// A new one without a slot; nothing of the one in use is read.
    pub fn empty(data: &Path, fingerprint: &Fingerprint) -> Result<Generation> {
        let space = Space::base(data, fingerprint);
        // A process that has one of these open must not take another for it.
        let used = highest(&space)?.max(number(&space).unwrap_or_default());
        let made = Generation { space, number: used + 1 };
        let folder = made.folder();
        disk::create_folder(&folder)?;
        for name in [VECTORS, KEYS] {
            disk::write_atomically(&folder.join(name), &header(fingerprint.dimension))?;
        }
        Ok(made)
    }

    /// Where its files are.
    pub fn folder(&self) -> PathBuf {
        folder(&self.space, self.number)
    }

    /// Puts it into use, in one step, and removes the one before. A process that reads that one goes on with it.
    pub fn publish(self) -> Result<()> {
        disk::write_atomically(&self.space.join(CURRENT), self.number.to_string().as_bytes())?;
        sweep(&self.space).map(drop)
    }
}
