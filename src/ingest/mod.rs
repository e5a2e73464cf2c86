//! Writes papers to a data folder: first the papers to the catalog, then their vectors, then the index.
//!
//! This order makes writing crash-safe: a paper is durably in the catalog before anything is derived from the paper, so
//! [`FolderWriter::catch_up`] can complete the work that a crash interrupted.

use crate::error::{Error, Result};
use crate::ingest::vector_writer::{EncodeFn, Precomputed, VectorWriter};
use crate::store::catalog::{ApplyOptions, Catalog};
use crate::store::lock::WriteLock;
use crate::store::slot_map::SlotMap;
use crate::store::vector_store::{Description, VectorStore};
use likewise_base::disk;
use likewise_encoder::model::{DEFAULT_MODELS_DIR, ModelFolder, Precision};
use likewise_encoder::{Devices, Encoder};
use likewise_index::Segments;
use likewise_papers::dump::{BytesRead, Entry, Refused};
use likewise_papers::{Paper, PaperId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod backup;
mod chunk;
mod counts;
pub mod embed;
mod paper_writer;
pub mod reembed;
mod run;
mod sealer;
pub mod vector_writer;
pub mod verify;
pub use backup::{Backup, backup};
pub(crate) use chunk::Chunk;
pub use counts::Counts;
pub use paper_writer::{OpenPaperWriter, PaperWriter, open_folder};
use run::RunRecorder;
pub use run::{IngestRun, IngestState};
pub use vector_writer::EncodeProgress;

/// The path of a data folder's catalog.
pub fn catalog_path(data: &Path) -> PathBuf {
    data.join("catalog.sqlite")
}

/// The path of the lock that the writer of a data folder holds.
pub fn lock_path(data: &Path) -> PathBuf {
    data.join("write.lock")
}

/// The id of the process that is writing to a data folder, or 0 if the id is unknown. `None` if no process is writing,
/// or the lock cannot be read.
pub fn writing_process(data: &Path) -> Option<u32> {
    let path = lock_path(data);
    WriteLock::is_held(&path)
        .filter(|is_taken| *is_taken)
        .map(|_| WriteLock::holder(&path).unwrap_or_default())
}

/// The path of the lock that the writer of the next model's vectors holds.
pub fn next_lock_path(data: &Path) -> PathBuf {
    data.join("next.lock")
}

/// Opens the catalog of a data folder for reading.
///
/// # Errors
/// Returns [`Error::Data`] if nothing was ever ingested into the folder, if the catalog is damaged or has the schema of
/// a newer version, or if it has the schema of an older version while another process is writing to the folder.
pub fn open_catalog(data: &Path) -> Result<Catalog> {
    let path = catalog_path(data);
    if !path.exists() {
        return Err(Error::Data(format!(
            "{}: no papers were ingested into this folder; run `likewise ingest FILE… --data {0}` first",
            data.display()
        )));
    }
    // Opening the catalog migrates it, but a process of the older version would go on writing the old schema.
    if writing_process(data).is_some() && Catalog::is_old(&path)? {
        let owner = WriteLock::describe_holder(&lock_path(data));
        return Err(Error::Data(format!(
            "{owner}, and the catalog has the schema of an older version; wait until that process is done, or stop it, \
             and try again: then the catalog is migrated"
        )));
    }
    Catalog::open(&path)
}

/// Opens the model that a data folder uses. `None` if nothing was ever ingested into the folder, or the folder has no
/// description of its model.
///
/// # Errors
/// Returns [`Error::Model`] if the model is neither at its recorded path nor in the folder `models`, or if it has
/// changed.
pub fn model_of(data: &Path, models: &Path) -> Result<Option<ModelFolder>> {
    open_model(data, models, Catalog::space)
}

/// Opens the model that will replace the model in use; see [`reembed`]. `None` if there is no such model.
///
/// # Errors
/// Returns the errors of [`model_of`].
pub fn next_model_of(data: &Path, models: &Path) -> Result<Option<ModelFolder>> {
    open_model(data, models, Catalog::next_space)
}

/// Whether a catalog exists and is not blank. A catalog is blank if the process that created it was killed just
/// afterwards.
fn has_catalog(data: &Path) -> bool {
    let path = catalog_path(data);
    std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) && !Catalog::is_blank(&path)
}

fn open_model(
    data: &Path,
    models: &Path,
    fingerprint: impl Fn(&Catalog) -> Result<Option<String>>,
) -> Result<Option<ModelFolder>> {
    if !has_catalog(data) {
        return Ok(None);
    }
    let catalog = open_catalog(data)?;
    let Some(sha256) = fingerprint(&catalog)? else { return Ok(None) };
    let in_catalog = catalog.model_of(&sha256)?.and_then(|text| Description::parse(text.as_bytes()).ok());
    let description = match (VectorStore::description(data, &sha256), in_catalog) {
        (Ok(Some(description)), _) => Some(description),
        // The description in the vector store is missing or damaged, so the copy in the catalog is used. Catalogs of
        // older versions have no copy.
        (Ok(None), in_catalog) => in_catalog,
        (Err(_), Some(in_catalog)) => Some(in_catalog),
        (Err(error), None) => return Err(error),
    };
    description.map(|description| description.open_model(models)).transpose()
}

/// The precision in which this model computed a data folder's vectors. `None` if another model, or this model with
/// other options, computed them, or if nothing was ever ingested into the folder.
pub fn precision_of(data: &Path, model: &ModelFolder) -> Result<Option<Precision>> {
    if !has_catalog(data) {
        return Ok(None);
    }
    Ok(open_catalog(data)?.space()?.and_then(|sha256| model.precision_of(&sha256)))
}

/// Checks that this model computed the vectors of a data folder, in the same precision and with the same options. A
/// folder without papers passes the check.
///
/// # Errors
/// Returns [`Error::Data`] with the differences if the model, its precision or its options differ.
pub fn check_model(catalog: &Catalog, model: &ModelFolder) -> Result<()> {
    let fingerprint = &model.fingerprint;
    let Some(stored) = catalog.space()?.filter(|stored| *stored != fingerprint.sha256) else { return Ok(()) };
    // An ingest that read no papers can have recorded the fingerprint of its model in the catalog.
    if catalog.count()? == 0 {
        return Ok(());
    }
    // Catalogs of older versions have no description of the model.
    let description = catalog.model_of(&stored)?.and_then(|text| Description::parse(text.as_bytes()).ok());
    let (name, differences) = match description {
        Some(description) => (description.model, fingerprint.differences(&description.fingerprint)),
        None => (
            "another model".into(),
            vec![format!(
                "the requested model's fingerprint is {}, that of the vectors is {stored}",
                fingerprint.sha256
            )],
        ),
    };
    Err(Error::Data(format!(
        "{}: the vectors of this folder were computed by {name}, not by {} as requested ({}); omit --model, \
         --precision, --dimensions, --prompt-name and --title to use the folder's own model, replace that model with `likewise \
         reembed`, or give --data another folder",
        catalog.path().display(),
        model.describe(),
        differences.join("; ")
    )))
}

/// Moves the content of the catalog's write-ahead log to the catalog's main file, so that a copy of the main file alone
/// has all papers. A server does this when it stops. Does nothing if there is no catalog, or if the catalog has the
/// schema of an older version.
pub fn checkpoint(data: &Path) -> Result<()> {
    let path = catalog_path(data);
    if has_catalog(data) && !Catalog::is_old(&path)? {
        // Dropping a catalog that is open for writing moves the log to the main file.
        drop(Catalog::create(&path)?);
    }
    Ok(())
}

/// Writes papers to a data folder. Only one writer per folder can exist at a time, across all processes.
pub struct FolderWriter {
    catalog: Catalog,
    /// The vectors of the model in use.
    vectors: VectorWriter,
    /// The writer of the next model's vectors. The outer `None`: not known, because [`FolderWriter::add`] has not been
    /// called. The inner `None`: there is no next model, another process writes its vectors, its vector store has no
    /// description, or the next model could not be loaded or failed to encode.
    next: Option<Option<NextModel>>,
    data: PathBuf,
    recorder: RunRecorder,
    /// Whether new papers without an abstract are accepted. Only the title of such a paper is encoded.
    pub title_only: bool,
    lock: WriteLock,
}

impl FolderWriter {
    /// Opens a data folder for writing; creates it if it does not exist. If another process is writing, waits as
    /// [`WriteLock::take`] does.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if that process is still writing then, or the folder's vectors are of another model.
    pub fn open(data: &Path, encoder: &Arc<Encoder>) -> Result<FolderWriter> {
        disk::create_folder(data)?;
        let lock = WriteLock::take(&lock_path(data))?;
        FolderWriter::open_locked(data, encoder, lock)
    }

    /// Like [`FolderWriter::open`], but the folder must exist. Returns `None` at once if another process is writing or
    /// waiting to write.
    pub fn try_open(data: &Path, encoder: &Arc<Encoder>) -> Result<Option<FolderWriter>> {
        let lock = WriteLock::try_take(&lock_path(data))?;
        lock.map(|lock| FolderWriter::open_locked(data, encoder, lock)).transpose()
    }

    /// Like [`FolderWriter::open`], for a caller that holds the lock.
    pub(crate) fn open_locked(data: &Path, encoder: &Arc<Encoder>, lock: WriteLock) -> Result<FolderWriter> {
        let catalog = Catalog::create(&catalog_path(data))?;
        check_model(&catalog, encoder.model())?;
        let vectors = VectorWriter::open(data, &catalog, Arc::clone(encoder))?;
        catalog.set_space(&encoder.model().fingerprint.sha256)?;
        let recorder = RunRecorder::new(data);
        Ok(FolderWriter {
            catalog,
            vectors,
            next: None,
            data: data.into(),
            recorder,
            title_only: false,
            lock,
        })
    }

    /// Encodes the papers of the catalog that have no vector; an interrupted run leaves such papers. Skips texts that
    /// the tokenizer refused before. Returns how many texts were encoded.
    pub fn catch_up(&mut self, progress: impl FnMut(EncodeProgress)) -> Result<u64> {
        let encoded = self.vectors.catch_up(&self.catalog, progress)?;
        self.recorder.add(Counts { encoded, ..Counts::default() });
        Ok(encoded)
    }

    /// See [`WriteLock::announce_yielding`].
    pub fn announce_yielding(&mut self) -> Result<()> {
        self.lock.announce_yielding()
    }

    /// See [`WriteLock::has_waiters`].
    pub fn has_waiters(&self) -> bool {
        WriteLock::has_waiters(&lock_path(&self.data))
    }

    /// Writes down that the next entries come from the file at `path`; the status page shows it.
    pub fn start_source(&mut self, path: &Path, bytes_read: BytesRead) {
        self.recorder.start_source(path, bytes_read);
    }

    /// The counts of all entries since the writer was opened, and of the texts that [`FolderWriter::catch_up`] encoded.
    pub fn counts(&self) -> &Counts {
        self.recorder.counts()
    }

    /// See [`VectorWriter::set_encode_fn`].
    pub fn set_encode_fn(&mut self, encode_fn: EncodeFn) {
        self.vectors.set_encode_fn(encode_fn);
    }

    /// Number of vectors in the store, including vectors that belong to no paper.
    pub fn vector_count(&self) -> usize {
        self.vectors.vector_count()
    }

    /// Recommended number of entries per call of [`FolderWriter::add`].
    pub fn chunk_size(&self) -> usize {
        self.vectors.chunk_size()
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Writes a chunk of a dump's entries to the catalog, then encodes the new texts. Refused entries are only counted;
    /// the caller reports them. Vectors in the entries must have been computed by this folder's model. Returns the
    /// counts of this chunk.
    pub fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts> {
        let Chunk { entries, precomputed, mut counts } = Chunk::of(entries);
        let written =
            self.catalog.apply(&Chunk::mutations(&entries), ApplyOptions { title_only: self.title_only })?;
        written.outcomes.iter().for_each(|outcome| counts.count(*outcome));
        let encoded = self.vectors.encode(&self.catalog, &written.papers, &precomputed)?;
        counts.encoded += encoded.encoded;
        counts.tokens += encoded.tokens;
        counts.taken += encoded.precomputed;
        counts.without_vector += encoded.without_vector;
        if let Err(error) = self.encode_for_next(&written.papers) {
            // `reembed` encodes these papers from the catalog later.
            tracing::warn!(
                "the model that will replace the model in use could not encode new papers: {error}; the next \
                 `likewise reembed` encodes them"
            );
            self.next = Some(None);
        }
        self.recorder.add(counts);
        Ok(counts)
    }

    fn encode_for_next(&mut self, papers: &[Paper]) -> Result<()> {
        if self.next.is_none() {
            self.next = Some(NextModel::open(&self.data, &self.catalog, self.vectors.devices())?);
        }
        if let Some(Some(next)) = &mut self.next {
            next.vectors.encode(&self.catalog, papers, &Precomputed::new())?;
        }
        Ok(())
    }

    /// Completes the index as [`VectorWriter::finish`] does, and records that the run is complete.
    pub fn finish(self) -> Result<Segments> {
        let index = self.vectors.finish(&self.catalog)?;
        self.recorder.finish();
        Ok(index)
    }

    /// See [`VectorWriter::compact`].
    pub fn compact(self) -> Result<Segments> {
        self.vectors.compact(&self.catalog)
    }

    /// Rebuilds the catalog's term index if its document frequencies do not match the papers.
    pub fn repair_terms(&self) -> Result<()> {
        if self.catalog.doc_freqs_are_correct()? { Ok(()) } else { self.catalog.rebuild_postings() }
    }

    /// See [`VectorWriter::remove_damaged`].
    pub fn remove_damaged(self) -> Result<Segments> {
        self.vectors.remove_damaged(&self.catalog)
    }
}

/// Writes the vectors of the model that will replace the model in use.
struct NextModel {
    vectors: VectorWriter,
    _lock: WriteLock,
}

impl NextModel {
    /// Opens the vector store of the next model. `None` if there is no next model, its vector store has no description,
    /// or another process writes its vectors. That process then reads the new papers from the catalog.
    fn open(data: &Path, catalog: &Catalog, devices: &Devices) -> Result<Option<NextModel>> {
        let Some(sha256) = catalog.next_space()? else { return Ok(None) };
        let Some(lock) = WriteLock::try_take(&next_lock_path(data))? else { return Ok(None) };
        let Some(description) = VectorStore::description(data, &sha256)? else { return Ok(None) };
        let model = description.open_model(Path::new(DEFAULT_MODELS_DIR))?;
        let vectors = VectorWriter::open(data, catalog, Arc::new(Encoder::load_on(&model, devices)?))?;
        tracing::info!(
            "new papers are also encoded by {}, the model that will replace the model in use",
            model.name
        );
        Ok(Some(NextModel { vectors, _lock: lock }))
    }
}

/// Deletes papers from a data folder. Each id can be the id or an alternate id of a paper. Returns for each id whether
/// its paper was present. Searches stop returning the papers immediately.
///
/// # Errors
/// Returns [`Error::Data`] if nothing was ever ingested into the folder, or another process is writing.
pub fn delete(data: &Path, ids: &[PaperId]) -> Result<Vec<bool>> {
    open_catalog(data)?;
    let _lock = WriteLock::take(&lock_path(data))?;
    let catalog = Catalog::create(&catalog_path(data))?;
    for folder in VectorStore::folders(data)? {
        SlotMap::remove_if_ahead(&folder, &catalog)?;
    }
    catalog.delete(ids)
}
