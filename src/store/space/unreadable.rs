//! The texts of a space that its model cannot read: they have no vector, and wait for none.
//!
//! Its own file because it is the third thing that is known of a text, beside its slot and nothing. Hashes of texts, one
//! after the other, in a file beside the keys; without it, such texts would be tried again.

use super::generation::current;
use super::{Space, UNREADABLE, short, spaces};
use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use likewise_base::disk;
use likewise_encoder::model::Fingerprint;
use std::collections::HashSet;
use std::path::Path;

impl Space {
    /// The texts in the folder of a space that its model cannot read.
    pub fn unreadable(folder: &Path) -> Result<HashSet<TextHash>> {
        let path = folder.join(UNREADABLE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
            bytes => bytes.map_err(Error::io(&path))?,
        };
        // Half a hash at the end would be somebody else's doing, and is tried again.
        let hashes = bytes.chunks_exact(HASH_BYTES).filter_map(|hash| hash.try_into().ok());
        Ok(hashes.map(TextHash).collect())
    }

    /// Notes them in the folder of the generation in use.
    pub fn set_unreadable(data: &Path, fingerprint: &Fingerprint, texts: &HashSet<TextHash>) -> Result<()> {
        let folder = current(&spaces(data).join(short(&fingerprint.sha256)))?;
        let mut hashes: Vec<&[u8]> = texts.iter().map(|text| &text.0[..]).collect();
        hashes.sort_unstable();
        Ok(disk::write_atomically(&folder.join(UNREADABLE), &hashes.concat())?)
    }
}
