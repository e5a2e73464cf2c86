//! The texts that the model of a vector store cannot read, because the tokenizer refuses them. These texts get no
//! vector, and are not tried again while this list exists. An empty generation of the store starts without the list.
//!
//! The file `unreadable`, beside the file `keys`, has the concatenated hashes of these texts.

use super::generation::current;
use super::{UNREADABLE, VectorStore, folder_name, stores_folder};
use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use likewise_base::disk;
use likewise_encoder::model::Fingerprint;
use std::collections::HashSet;
use std::path::Path;

impl VectorStore {
    /// Reads the hashes of the texts that the model cannot read, from the folder of a vector store.
    pub fn unreadable(folder: &Path) -> Result<HashSet<TextHash>> {
        let path = folder.join(UNREADABLE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
            bytes => bytes.map_err(Error::io(&path))?,
        };
        // An incomplete hash at the end is ignored, so the text with this hash is tried again.
        let hashes = bytes.chunks_exact(HASH_BYTES).filter_map(|hash| hash.try_into().ok());
        Ok(hashes.map(TextHash).collect())
    }

    /// Replaces the stored list of texts that the model cannot read.
    pub fn set_unreadable(data: &Path, fingerprint: &Fingerprint, texts: &HashSet<TextHash>) -> Result<()> {
        let folder = current(&stores_folder(data).join(folder_name(&fingerprint.sha256)))?;
        let mut hashes: Vec<&[u8]> = texts.iter().map(|text| &text.0[..]).collect();
        hashes.sort_unstable();
        Ok(disk::write_atomically(&folder.join(UNREADABLE), &hashes.concat())?)
    }
}
