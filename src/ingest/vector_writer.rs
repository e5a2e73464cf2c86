//! Writes one vector store: encodes papers' texts, appends the vectors, and builds the index.
//!
//! A data folder can have two vector stores that are written at the same time, each with its own encoder: the store of
//! the model in use, and the store of a model that will replace it (see [`super::reembed`]).

use super::sealer::{Sealer, seal};
use crate::error::Result;
use crate::store::catalog::Catalog;
use crate::store::slot_map::SlotMap;
use crate::store::text::{TextHash, document_of, text_of};
use crate::store::vector_store::{Description, Generation, VectorStore, VectorStoreWriter};
use likewise_encoder::model::{Fingerprint, InputType};
use likewise_encoder::{Devices, DocumentTexts, Embedding, Encoder};
use likewise_index::Segments;
use likewise_index::build::HnswParams;
use likewise_papers::Paper;
use roaring::RoaringBitmap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// [`VectorWriter::finish`] compacts the store if more than this fraction of its slots is orphaned (belongs to no
/// paper), and if at least [`MIN_ORPHANED`] slots are orphaned.
const MAX_ORPHANED_FRACTION: f64 = 0.2;

/// Minimum number of orphaned slots for which the store is compacted.
const MIN_ORPHANED: usize = 1000;

/// Vectors that were computed before, by the hash of the encoded text.
pub type Precomputed = HashMap<TextHash, Vec<f32>>;

/// Encodes texts; returns one embedding per text, in order. The function can call an encoder directly, or submit the
/// texts to a queue.
pub type EncodeFn = Box<dyn Fn(&[&str]) -> likewise_encoder::Result<Vec<Embedding>> + Send>;

/// Returns a function that calls the encoder directly, with the input type for documents.
pub fn encode_with(encoder: &Arc<Encoder>) -> EncodeFn {
    let encoder = Arc::clone(encoder);
    Box::new(move |texts| encoder.encode(texts, InputType::Document))
}

/// The progress of [`VectorWriter::catch_up`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeProgress {
    /// Number of texts that have been encoded, or that the model could not read.
    pub done: usize,
    /// Number of texts to encode in all, including the texts that are counted in `done`.
    pub total: usize,
}

/// Returns the vector of an encoded text.
///
/// # Errors
/// Returns the reason if the text could not be encoded or `check` rejects the vector.
pub(crate) fn checked_vector(
    encoded: &Result<Embedding, String>,
    check: impl Fn(&[f32]) -> Result<()>,
) -> Result<&[f32], String> {
    let embedding = encoded.as_ref().map_err(String::clone)?;
    check(&embedding.vector).map_err(|error| error.to_string())?;
    Ok(&embedding.vector)
}

/// Counts of the texts of one call of [`VectorWriter::encode`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeCounts {
    /// Texts that were encoded.
    pub encoded: u64,
    /// Tokens of these texts, and of texts whose vector was invalid.
    pub tokens: u64,
    /// Texts whose precomputed vector was stored.
    pub precomputed: u64,
    /// Texts that got no vector. Searches find the papers with these texts only by their words.
    pub without_vector: u64,
}

/// Writes one vector store. The caller must hold the write lock for this store.
pub struct VectorWriter {
    data: PathBuf,
    encoder: Arc<Encoder>,
    /// Encodes texts with `encoder`, directly or through a queue.
    encode_fn: EncodeFn,
    store: VectorStoreWriter,
    sealer: Sealer,
    /// Papers that got no vector in the last call of [`VectorWriter::encode`], each with the reason.
    pub(super) unreadable_papers: Vec<String>,
    /// Texts that the model's tokenizer cannot read.
    unreadable_texts: HashSet<TextHash>,
}

impl VectorWriter {
    /// Opens the vector store of the encoder's model for writing. Creates the store if it does not exist. Removes
    /// incomplete files and records that interrupted processes left.
    pub fn open(data: &Path, catalog: &Catalog, encoder: Arc<Encoder>) -> Result<VectorWriter> {
        let fingerprint = &encoder.model().fingerprint;
        VectorStore::create(data, encoder.model())?;
        catalog.set_model_of(&fingerprint.sha256, &Description::json_of(encoder.model())?)?;
        if VectorStore::remove_leftovers(data, fingerprint)? {
            catalog.touch()?;
        }
        let folder = VectorStore::folder(data, fingerprint)?;
        SlotMap::remove_if_ahead(&folder, catalog)?;
        let truncate_derived = |slots| {
            Segments::remove_beyond(&folder, slots)?;
            SlotMap::remove_beyond(&folder, slots)
        };
        let store = VectorStoreWriter::open(data, fingerprint, truncate_derived)?;
        let sealed = Segments::sealed_in(&folder, store.count())?;
        let unreadable_texts = VectorStore::unreadable(&folder)?;
        Ok(VectorWriter {
            data: data.into(),
            encode_fn: encode_with(&encoder),
            encoder,
            store,
            sealer: Sealer::new(sealed),
            unreadable_papers: Vec::new(),
            unreadable_texts,
        })
    }

    /// Sets the function that encodes texts, for example a function that submits them to a queue which several callers
    /// share. The function must use the encoder of this writer.
    pub fn set_encode_fn(&mut self, encode_fn: EncodeFn) {
        self.encode_fn = encode_fn;
    }

    /// The devices of the encoder.
    pub fn devices(&self) -> &Devices {
        self.encoder.devices()
    }

    /// Number of vectors in the store, including vectors that belong to no paper.
    pub fn vector_count(&self) -> usize {
        self.store.count()
    }

    /// Recommended number of papers per call of [`VectorWriter::encode`]: small enough that an interruption loses only
    /// seconds of work.
    pub fn chunk_size(&self) -> usize {
        self.encoder.chunk_size()
    }

    /// Encodes the papers of the catalog that have no vector, except papers with a text that the tokenizer refused
    /// before. Returns how many texts were encoded.
    pub fn catch_up(&mut self, catalog: &Catalog, mut progress: impl FnMut(EncodeProgress)) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut pending = catalog.texts()?;
        pending.retain(|(_, text)| {
            !self.store.has(*text) && !self.unreadable_texts.contains(text) && seen.insert(*text)
        });
        let mut encoded = 0;
        for (chunk, numbers) in pending.chunks(self.chunk_size()).enumerate() {
            progress(EncodeProgress { done: chunk * self.chunk_size(), total: pending.len() });
            let numbers: Vec<_> = numbers.iter().map(|(number, _)| *number).collect();
            let papers: Vec<Paper> = catalog.get(&numbers)?.into_iter().map(|(_, paper)| paper).collect();
            encoded += self.encode(catalog, &papers, &Precomputed::new())?.encoded;
        }
        Ok(encoded)
    }

    /// Stores a vector for each paper whose text has no vector, if the model can read the text. Takes the vector from
    /// `precomputed` if it is there and valid, and encodes the text otherwise. Each distinct text is encoded once.
    /// Starts to build an index segment in the background once 32,768 vectors are in no segment.
    pub fn encode(
        &mut self,
        catalog: &Catalog,
        papers: &[Paper],
        precomputed: &Precomputed,
    ) -> Result<EncodeCounts> {
        self.unreadable_papers.clear();
        let mut seen = HashSet::new();
        let new: Vec<(TextHash, &Paper)> = papers
            .iter()
            .map(|paper| (TextHash::of(&text_of(paper)), paper))
            .filter(|(hash, _)| !self.store.has(*hash) && seen.insert(*hash))
            .collect();
        if new.is_empty() {
            return Ok(EncodeCounts::default());
        }
        let is_usable =
            |hash: &TextHash| precomputed.get(hash).is_some_and(|vector| self.store.check(vector).is_ok());
        let (given, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|(hash, _)| is_usable(hash));
        let documents =
            DocumentTexts::of(self.encoder.model(), new.iter().map(|(_, paper)| document_of(paper)));
        let encoded = documents.encode(&self.encode_fn)?;
        let mut entries: Vec<(TextHash, &[f32])> =
            given.iter().map(|(hash, _)| (*hash, &precomputed[hash][..])).collect();
        let mut counts = EncodeCounts { precomputed: given.len() as u64, ..EncodeCounts::default() };
        for ((hash, paper), encoded) in new.iter().zip(&encoded) {
            counts.tokens += encoded.as_ref().map_or(0, |embedding| embedding.tokens as u64);
            match checked_vector(encoded, |vector| self.store.check(vector)) {
                Ok(vector) => {
                    entries.push((*hash, vector));
                    counts.encoded += 1;
                }
                Err(reason) => {
                    tracing::warn!(
                        "paper {} has no vector, so only lexical search finds it: {reason}",
                        paper.id
                    );
                    self.unreadable_papers.push(format!("{}: {reason}", paper.id));
                    counts.without_vector += 1;
                    // From now on, `catch_up` skips texts that the tokenizer refuses. A text whose vector is invalid is
                    // tried again, because the model caused this error, not the text.
                    if encoded.is_err() {
                        self.unreadable_texts.insert(*hash);
                    }
                }
            }
        }
        self.store.append(&entries)?;
        if counts.without_vector > 0 && encoded.iter().any(Result::is_err) {
            VectorStore::set_unreadable(&self.data, self.fingerprint(), &self.unreadable_texts)?;
        }
        let (data, fingerprint) = (&self.data, &self.encoder.model().fingerprint);
        if self.sealer.start_if_due(self.store.count(), || VectorStore::open(data, fingerprint))? {
            catalog.touch()?;
        }
        Ok(counts)
    }

    /// Builds an index segment of the vectors that are in no segment, and saves the slot map. If many slots are
    /// orphaned, compacts the store instead, as [`VectorWriter::compact`] does.
    pub fn finish(mut self, catalog: &Catalog) -> Result<Segments> {
        self.sealer.wait()?;
        let store = self.open_store()?;
        let slot_map = SlotMap::open(catalog, &store)?;
        let (orphaned, all) = (slot_map.orphaned(), store.vectors().len());
        if orphaned >= MIN_ORPHANED && orphaned as f64 > MAX_ORPHANED_FRACTION * all as f64 {
            return self.compact(catalog);
        }
        slot_map.save(store.path())?;
        let index = seal(&store)?;
        catalog.touch()?;
        Ok(index)
    }

    /// Saves the slot map without building a segment. Searches scan the vectors that are in no segment one by one.
    pub fn save_slot_map(self, catalog: &Catalog) -> Result<()> {
        let store = self.open_store()?;
        SlotMap::open(catalog, &store)?.save(store.path())
    }

    /// Rewrites the store without orphaned slots and rebuilds its index. The result is the same as if only the papers
    /// in the catalog had ever been ingested.
    pub fn compact(self, catalog: &Catalog) -> Result<Segments> {
        self.compact_without(catalog, &RoaringBitmap::new())
    }

    /// Like [`VectorWriter::compact`], but also leaves out damaged vectors. The next [`VectorWriter::catch_up`] encodes
    /// the papers of these vectors again.
    pub fn remove_damaged(self, catalog: &Catalog) -> Result<Segments> {
        let store = self.open_store()?;
        // The saved slot map can be wrong too, so it is derived again.
        SlotMap::remove(store.path())?;
        let damaged = store.damaged().into_iter().collect();
        self.compact_without(catalog, &damaged)
    }

    fn compact_without(mut self, catalog: &Catalog, damaged: &RoaringBitmap) -> Result<Segments> {
        self.sealer.wait()?;
        let slot_map = SlotMap::open(catalog, &self.open_store()?)?;
        let kept = slot_map.used_slots().filter(|slot| !damaged.contains(*slot));
        let generation = Generation::copy(&self.data, self.fingerprint(), kept)?;
        let folder = generation.folder();
        let store = VectorStore::open_in(folder.clone(), self.encoder.dimension())?;
        let mut index = Segments::empty(store.vectors().clone());
        index.seal(&folder, HnswParams::default())?;
        SlotMap::open(catalog, &store)?.save(&folder)?;
        generation.publish()?;
        catalog.touch()?;
        Ok(index)
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.encoder.model().fingerprint
    }

    fn open_store(&self) -> Result<VectorStore> {
        VectorStore::open(&self.data, self.fingerprint())
    }
}
