//! Appends vectors to a vector store. The data folder's write lock ensures that there is only one writer at a time.

use super::{HEADER_BYTES, KEY_BYTES, KEYS, VECTORS, VectorStore};
use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use likewise_encoder::model::Fingerprint;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Largest allowed difference between the length of a vector and 1.
const UNIT_TOLERANCE: f32 = 1e-3;

/// A vector store that is open for appending.
pub struct VectorStoreWriter {
    vectors: File,
    keys: File,
    vectors_path: PathBuf,
    /// The hashes of the texts that have a vector.
    texts: HashSet<TextHash>,
    dimension: usize,
    count: usize,
}

impl VectorStoreWriter {
    /// Opens a vector store for appending. If a crash left incomplete records at the end of the store, truncates these
    /// records. Before that, and also if there are no such records, calls `before_truncate` with the number of slots
    /// that remain. `before_truncate` must remove everything that is derived from later slots, because new texts will
    /// get those slots.
    pub fn open(
        data: &Path,
        fingerprint: &Fingerprint,
        before_truncate: impl FnOnce(usize) -> Result<()>,
    ) -> Result<VectorStoreWriter> {
        let folder = VectorStore::folder(data, fingerprint)?;
        let dimension = fingerprint.dimension;
        let (vectors_path, keys_path) = (folder.join(VECTORS), folder.join(KEYS));
        let open =
            |path: &Path| OpenOptions::new().read(true).write(true).open(path).map_err(Error::io(path));
        let (mut vectors, mut keys) = (open(&vectors_path)?, open(&keys_path)?);
        let count = complete_records(&mut vectors, &mut keys, dimension).map_err(Error::io(&vectors_path))?;
        before_truncate(count as usize)?;
        vectors
            .set_len(HEADER_BYTES as u64 + count * 4 * dimension as u64)
            .and_then(|()| keys.set_len(HEADER_BYTES as u64 + count * KEY_BYTES as u64))
            .map_err(Error::io(&vectors_path))?;
        tracing::debug!(count, "vector store opened for writing");
        let texts = VectorStore::open(data, fingerprint)?.texts().collect();
        Ok(VectorStoreWriter { vectors, keys, vectors_path, texts, dimension, count: count as usize })
    }

    /// The number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a text has a vector.
    pub fn has(&self, text: TextHash) -> bool {
        self.texts.contains(&text)
    }

    /// Checks that a vector is a finite unit vector of the store's dimension. The index could not find any other
    /// vector.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the vector has another dimension, another length, or a value that is not finite.
    pub fn check(&self, vector: &[f32]) -> Result<()> {
        check_unit(vector, self.dimension)
    }

    /// Appends vectors, each with the hash of its text. When this returns, the vectors are synced to the disk.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], and writes nothing, if [`VectorStoreWriter::check`] refuses one of the vectors.
    pub fn append(&mut self, entries: &[(TextHash, &[f32])]) -> Result<()> {
        let (mut vector_bytes, mut key_bytes) = (Vec::new(), Vec::new());
        for (hash, vector) in entries {
            self.check(vector)?;
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            key_bytes.extend_from_slice(&hash.0);
            key_bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            vector_bytes.extend_from_slice(&bytes);
        }
        let write = |file: &mut File, bytes: &[u8]| {
            file.seek(SeekFrom::End(0))?;
            file.write_all(bytes)?;
            file.sync_data()
        };
        write(&mut self.vectors, &vector_bytes)
            .and_then(|()| write(&mut self.keys, &key_bytes))
            .map_err(Error::io(&self.vectors_path))?;
        self.texts.extend(entries.iter().map(|(hash, _)| *hash));
        self.count += entries.len();
        Ok(())
    }
}

/// Checks that a vector is a finite unit vector of this dimension.
///
/// # Errors
/// Returns [`Error::Invalid`] if the vector has another dimension, another length, or a value that is not finite.
pub fn check_unit(vector: &[f32], dimension: usize) -> Result<()> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if vector.len() == dimension && (length - 1.0).abs() <= UNIT_TOLERANCE {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "a vector must have {dimension} finite values and length 1 (got {} values and length {length})",
        vector.len()
    )))
}

/// The number of records up to and including the last record that is complete in both files and matches its checksum.
/// Damage to an earlier record is not the result of an interrupted append, and is left to `likewise verify`.
fn complete_records(vectors: &mut File, keys: &mut File, dimension: usize) -> std::io::Result<u64> {
    let vector_bytes = 4 * dimension as u64;
    let records = |file: &File, size: u64| -> std::io::Result<u64> {
        Ok(file.metadata()?.len().saturating_sub(HEADER_BYTES as u64) / size)
    };
    let mut count = records(vectors, vector_bytes)?.min(records(keys, KEY_BYTES as u64)?);
    let (mut vector, mut key) = (vec![0; 4 * dimension], [0; KEY_BYTES]);
    while count > 0 {
        vectors.seek(SeekFrom::Start(HEADER_BYTES as u64 + (count - 1) * vector_bytes))?;
        keys.seek(SeekFrom::Start(HEADER_BYTES as u64 + (count - 1) * KEY_BYTES as u64))?;
        vectors.read_exact(&mut vector)?;
        keys.read_exact(&mut key)?;
        if crc32fast::hash(&vector).to_le_bytes() == key[HASH_BYTES..] {
            break;
        }
        count -= 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use likewise_encoder::model::{ModelFolder, ModelOptions, Precision};

    fn model() -> ModelFolder {
        let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small-bert");
        let model = ModelFolder::open(small.to_str().unwrap(), Path::new("models"), Precision::F32).unwrap();
        let dimensions = Some(2);
        model.with_options(ModelOptions { dimensions, ..ModelOptions::default() }).unwrap()
    }

    fn filled(data: &Path) -> VectorStoreWriter {
        VectorStore::create(data, &model()).unwrap();
        let mut writer = VectorStoreWriter::open(data, &model().fingerprint, |_| Ok(())).unwrap();
        let entries: [(TextHash, &[f32]); 2] =
            [(TextHash::of("a"), &[1.0, 0.0]), (TextHash::of("b"), &[0.0, 1.0])];
        writer.append(&entries).unwrap();
        writer
    }

    #[test]
    fn appended_vectors_can_be_read() {
        let data = tempfile::tempdir().unwrap();
        let writer = filled(data.path());
        assert!(writer.has(TextHash::of("a")) && !writer.has(TextHash::of("c")));
        let store = VectorStore::open(data.path(), &model().fingerprint).unwrap();
        assert_eq!(store.vectors().len(), 2);
        let slots = |first| store.slots([TextHash::of("b"), TextHash::of("z")].into_iter(), first);
        assert_eq!(slots(0), [(TextHash::of("b"), 1)].into());
        assert_eq!((slots(1).len(), slots(2).len()), (1, 0));
        assert_eq!(store.vectors().get(1), [0.0, 1.0]);
    }

    #[test]
    fn vectors_that_are_not_unit_vectors_are_refused() {
        let data = tempfile::tempdir().unwrap();
        let mut writer = filled(data.path());
        for wrong in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 0.0], &[1.0], &[2.0, 0.0]] {
            assert!(writer.append(&[(TextHash::of("c"), wrong)]).is_err(), "{wrong:?}");
        }
        assert_eq!(VectorStore::open(data.path(), &model().fingerprint).unwrap().vectors().len(), 2);
    }

    #[test]
    fn damage_before_the_end_is_reported_and_not_truncated() {
        let data = tempfile::tempdir().unwrap();
        drop(filled(data.path()));
        let vectors = VectorStore::folder(data.path(), &model().fingerprint).unwrap().join(VECTORS);
        let mut bytes = std::fs::read(&vectors).unwrap();
        bytes[HEADER_BYTES] ^= 1;
        std::fs::write(&vectors, bytes).unwrap();
        let open = || VectorStore::open(data.path(), &model().fingerprint).unwrap();
        assert_eq!(open().damaged(), [0]);
        let writer = VectorStoreWriter::open(data.path(), &model().fingerprint, |_| Ok(())).unwrap();
        assert!(writer.has(TextHash::of("a")) && writer.has(TextHash::of("b")), "nothing is truncated");
    }

    #[test]
    fn an_incomplete_record_at_the_end_is_truncated_and_overwritten() {
        for torn in 0..3 {
            let data = tempfile::tempdir().unwrap();
            drop(filled(data.path()));
            let folder = VectorStore::folder(data.path(), &model().fingerprint).unwrap();
            let (vectors, keys) = (folder.join(VECTORS), folder.join(KEYS));
            let cut = |path: &Path, bytes: u64| {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
            };
            match torn {
                0 => cut(&vectors, 3),
                1 => cut(&keys, 1),
                _ => {
                    let mut bytes = std::fs::read(&vectors).unwrap();
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&vectors, bytes).unwrap();
                }
            }
            let mut left = None;
            let before_truncate = |count| {
                left = Some(count);
                Ok(())
            };
            let mut writer =
                VectorStoreWriter::open(data.path(), &model().fingerprint, before_truncate).unwrap();
            assert_eq!(left, Some(1));
            assert!(writer.has(TextHash::of("a")) && !writer.has(TextHash::of("b")));
            writer.append(&[(TextHash::of("c"), &[0.6, 0.8])]).unwrap();
            let store = VectorStore::open(data.path(), &model().fingerprint).unwrap();
            assert_eq!(store.vectors().values(), [1.0, 0.0, 0.6, 0.8]);
            assert_eq!(store.texts().nth(1), Some(TextHash::of("c")));
        }
    }
}
