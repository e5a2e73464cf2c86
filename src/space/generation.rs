//! A space's files, written anew without the slots that stand for nothing.
//!
//! Its own file because it is the one time that slots get other numbers: everything that names slots is made for the
//! new files before they are published, and goes with the old ones. A space's folder holds its first generation
//! itself; a later one has a folder of its own in there, and the file `current` names it.

use super::{DESCRIPTION, KEY_BYTES, KEYS, Slot, Space, VECTORS, header, open_records};
use crate::disk;
use crate::error::{Error, Result};
use crate::model::Fingerprint;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const CURRENT: &str = "current";

/// The folder of the generation in use, in a space's folder.
pub fn current(space: &Path) -> PathBuf {
    match number(space) {
        0 => space.into(),
        number => space.join(number.to_string()),
    }
}

fn number(space: &Path) -> u64 {
    let name = std::fs::read_to_string(space.join(CURRENT)).unwrap_or_default();
    name.trim().parse().unwrap_or_default()
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
        let (old, number) = (current(&space), number(&space) + 1);
        let made = Generation { space, number };
        let folder = made.folder();
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
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
        disk::sync(&folder)?;
        Ok(made)
    }

    /// Where its files are.
    pub fn folder(&self) -> PathBuf {
        self.space.join(self.number.to_string())
    }

    /// Puts it into use, in one step, and removes the one before. A process that reads that one goes on with it.
    pub fn publish(self) -> Result<()> {
        disk::write_atomically(&self.space.join(CURRENT), self.number.to_string().as_bytes())?;
        for entry in std::fs::read_dir(&self.space).map_err(Error::io(&self.space))? {
            let path = entry.map_err(Error::io(&self.space))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if [CURRENT, DESCRIPTION].contains(&name.as_str()) || name == self.number.to_string() {
                continue;
            }
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(Error::io(&path))?;
        }
        Ok(())
    }
}
