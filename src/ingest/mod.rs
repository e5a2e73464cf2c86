//! Papers into a data folder: catalog, then vectors, then index.
//!
//! Its own file because the order of these three is the promise: a paper is in the catalog, durably,
//! before anything is derived from it, so whatever a crash interrupts, [`Writer::catch_up`] finishes.

use crate::error::{Error, Result};
use crate::ingest::fill::{Encode, Filler, Known};
use crate::store::catalog::Catalog;
use crate::store::directory::Directory;
use crate::store::lock::WriteLock;
use crate::store::space::{Description, Space};
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
pub mod fill;
mod intake;
pub mod reembed;
mod run;
pub mod verify;
pub use backup::{Backup, backup};
pub(crate) use chunk::Chunk;
pub use counts::Counts;
pub use intake::{Intake, OpenIntake, open_folder};
use run::Notes;
pub use run::{Run, State};

/// The path of a data folder's catalog.
pub fn catalog_path(data: &Path) -> PathBuf {
    data.join("catalog.sqlite")
}

/// The path of the lock that whoever writes to a data folder holds.
pub fn lock_path(data: &Path) -> PathBuf {
    data.join("write.lock")
}

/// The process that writes to a data folder, if one does, as far as one can tell.
pub fn writer(data: &Path) -> Option<u32> {
    let path = lock_path(data);
    WriteLock::is_taken(&path)
        .filter(|is_taken| *is_taken)
        .map(|_| WriteLock::holder(&path).unwrap_or_default())
}

/// The path of the lock that whoever fills the space of its next model holds.
pub fn next_lock_path(data: &Path) -> PathBuf {
    data.join("next.lock")
}

/// Opens a data folder's catalog for reading.
///
/// # Errors
/// [`Error::Data`] if nothing was ever ingested into it.
pub fn open_catalog(data: &Path) -> Result<Catalog> {
    let path = catalog_path(data);
    if !path.exists() {
        return Err(Error::Data(format!(
            "{}: no papers here; run `likewise ingest FILE… --data {0}` first",
            data.display()
        )));
    }
    // A process of that version would go on writing as it used to.
    if writer(data).is_some() && Catalog::is_old(&path)? {
        let owner = WriteLock::owner(&lock_path(data));
        return Err(Error::Data(format!(
            "{owner}, and an older version made the catalog: wait for it or stop it, and it is brought up to date"
        )));
    }
    Catalog::open(&path)
}

/// The model whose vectors a data folder is answered by; `None` if nothing was ingested into it yet, or nobody knows.
///
/// # Errors
/// [`Error::Model`] if that model is neither where it was nor under `models`.
pub fn model_of(data: &Path, models: &Path) -> Result<Option<ModelFolder>> {
    open_model(data, models, Catalog::space)
}

/// The model that is to take its place, if there is one.
///
/// # Errors
/// As [`model_of`].
pub fn next_model_of(data: &Path, models: &Path) -> Result<Option<ModelFolder>> {
    open_model(data, models, Catalog::next_space)
}

/// Whether there is a catalog that is more than a name: a process may have been killed when it had just made it.
fn has_catalog(data: &Path) -> bool {
    let path = catalog_path(data);
    std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) && !Catalog::is_blank(&path)
}

fn open_model(
    data: &Path,
    models: &Path,
    space: impl Fn(&Catalog) -> Result<Option<String>>,
) -> Result<Option<ModelFolder>> {
    if !has_catalog(data) {
        return Ok(None);
    }
    let catalog = open_catalog(data)?;
    let Some(sha256) = space(&catalog)? else { return Ok(None) };
    let noted = catalog.model_of(&sha256)?.and_then(|text| Description::parse(text.as_bytes()).ok());
    let description = match (Space::description(data, &sha256), noted) {
        (Ok(Some(description)), _) => Some(description),
        // Its folder was taken away, or the file is damaged; an older version noted nothing.
        (Ok(None), noted) => noted,
        (Err(_), Some(noted)) => Some(noted),
        (Err(error), None) => return Err(error),
    };
    description.map(|description| description.open_model(models)).transpose()
}

/// The precision that a data folder's vectors are in; `None` if it has none of this model.
pub fn precision_of(data: &Path, model: &ModelFolder) -> Result<Option<Precision>> {
    if !has_catalog(data) {
        return Ok(None);
    }
    Ok(open_catalog(data)?.space()?.and_then(|sha256| model.precision_of(&sha256)))
}

/// Refuses a data folder whose vectors are another model's.
///
/// # Errors
/// [`Error::Data`] says what differs.
pub fn check_space(catalog: &Catalog, model: &ModelFolder) -> Result<()> {
    let wanted = &model.fingerprint;
    let Some(got) = catalog.space()?.filter(|got| *got != wanted.sha256) else { return Ok(()) };
    // What has no papers yet, as after a dump that could not be read, is nobody's.
    if catalog.count()? == 0 {
        return Ok(());
    }
    // Older versions noted nothing.
    let noted = catalog.model_of(&got)?.and_then(|text| Description::parse(text.as_bytes()).ok());
    let (name, differences) = match noted {
        Some(Description { model, fingerprint, .. }) => (model, wanted.differences(&fingerprint)),
        None => ("another model".into(), vec![format!("fingerprint is {} and was {got}", wanted.sha256)]),
    };
    Err(Error::Data(format!(
        "{}: its vectors are those of {name}, and not of {} as it is wanted now ({}); leave --model, --precision, \
         --dimensions and --prompt-name out to use the folder's own, let this one take its place by `likewise reembed`, \
         or give --data another folder",
        catalog.path().display(),
        model.describe(),
        differences.join("; ")
    )))
}

/// Puts what stands in the catalog's write-ahead log into its file, as the last thing that a server does: a copy of the file
/// alone has all papers then. Nothing is done if there is no catalog, or one of an older version.
pub fn checkpoint(data: &Path) -> Result<()> {
    let path = catalog_path(data);
    if has_catalog(data) && !Catalog::is_old(&path)? {
        // Closing it does that.
        drop(Catalog::create(&path)?);
    }
    Ok(())
}

/// The one process that writes to a data folder.
pub struct Writer {
    catalog: Catalog,
    /// The space in use.
    space: Filler,
    /// The one that is to take its place, if nobody else fills it; looked for when the first papers come.
    next: Option<Option<Next>>,
    data: PathBuf,
    notes: Notes,
    /// Whether papers without an abstract are taken, by their titles.
    pub title_only: bool,
    lock: WriteLock,
}

impl Writer {
    /// Opens a data folder for writing, and makes it if there is none.
    ///
    /// # Errors
    /// [`Error::Data`] if another process is writing, or the folder is another model's.
    pub fn open(data: &Path, encoder: &Arc<Encoder>) -> Result<Writer> {
        disk::create_folder(data)?;
        let lock = WriteLock::take(&lock_path(data))?;
        Writer::open_locked(data, encoder, lock)
    }

    /// Like [`Writer::open`], but `None` if another process is writing.
    pub fn try_open(data: &Path, encoder: &Arc<Encoder>) -> Result<Option<Writer>> {
        let lock = WriteLock::try_take(&lock_path(data))?;
        lock.map(|lock| Writer::open_locked(data, encoder, lock)).transpose()
    }

    /// The same, by whoever has the lock already.
    pub(crate) fn open_locked(data: &Path, encoder: &Arc<Encoder>, lock: WriteLock) -> Result<Writer> {
        let catalog = Catalog::create(&catalog_path(data))?;
        check_space(&catalog, encoder.model())?;
        let space = Filler::open(data, &catalog, Arc::clone(encoder))?;
        catalog.set_space(&encoder.model().fingerprint.sha256)?;
        let notes = Notes::new(data);
        Ok(Writer { catalog, space, next: None, data: data.into(), notes, title_only: false, lock })
    }

    /// Encodes papers that are in the catalog and have no vector: what a killed run left. Calls
    /// `progress` with how many are done and how many there are.
    pub fn catch_up(&mut self, progress: impl FnMut(usize, usize)) -> Result<u64> {
        let encoded = self.space.catch_up(&self.catalog, progress)?;
        self.notes.took(Counts { encoded, ..Counts::default() });
        Ok(encoded)
    }

    /// See [`WriteLock::offer`].
    pub fn offer_turns(&mut self) -> Result<()> {
        self.lock.offer()
    }

    /// See [`WriteLock::is_wanted`].
    pub fn is_wanted(&self) -> bool {
        WriteLock::is_wanted(&lock_path(&self.data))
    }

    /// Says where the entries that follow come from, for whoever looks on.
    pub fn reads(&mut self, source: &Path, bytes: BytesRead) {
        self.notes.reads(source, bytes);
    }

    /// What became of all entries so far.
    pub fn counts(&self) -> &Counts {
        self.notes.counts()
    }

    /// See [`Filler::encode_by`].
    pub fn encode_by(&mut self, encode: Encode) {
        self.space.encode_by(encode);
    }

    /// How many vectors there are, those of no paper too.
    pub fn vectors(&self) -> usize {
        self.space.vectors()
    }

    /// Entries that [`Writer::add`] is best given at once.
    pub fn chunk(&self) -> usize {
        self.space.chunk()
    }

    /// The papers.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Takes a chunk of a dump's entries: stores, then encodes what is new. Refused entries are only
    /// counted; telling of them is the caller's. Vectors that come along must be of this space. Gives what became of
    /// this chunk.
    pub fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts> {
        let Chunk { entries, known, mut counts } = Chunk::of(entries);
        let written = self.catalog.apply(&Chunk::acts(&entries), self.title_only)?;
        written.outcomes.iter().for_each(|outcome| counts.count(*outcome));
        let filled = self.space.encode(&self.catalog, &written.papers, &known)?;
        counts.encoded += filled.encoded;
        counts.tokens += filled.tokens;
        counts.taken += filled.taken;
        counts.without_vector += filled.without_vector;
        if let Err(error) = self.encode_for_next(&written.papers) {
            // It is filled from the catalog in the end, whatever becomes of it here.
            tracing::warn!("papers are not encoded by the next model yet: {error}");
            self.next = Some(None);
        }
        self.notes.took(counts);
        Ok(counts)
    }

    fn encode_for_next(&mut self, papers: &[Paper]) -> Result<()> {
        if self.next.is_none() {
            self.next = Some(Next::open(&self.data, &self.catalog, self.space.devices())?);
        }
        if let Some(Some(next)) = &mut self.next {
            next.space.encode(&self.catalog, papers, &Known::new())?;
        }
        Ok(())
    }

    /// See [`Filler::finish`].
    pub fn finish(self) -> Result<Segments> {
        let index = self.space.finish(&self.catalog)?;
        self.notes.end();
        Ok(index)
    }

    /// See [`Filler::compact`].
    pub fn compact(self) -> Result<Segments> {
        self.space.compact(&self.catalog)
    }

    /// Indexes the papers' terms anew, if they are not counted as the papers have them.
    pub fn mend_words(&self) -> Result<()> {
        if self.catalog.counts_are_right()? { Ok(()) } else { self.catalog.index_words() }
    }

    /// See [`Filler::leave_out_damage`].
    pub fn leave_out_damage(self) -> Result<Segments> {
        self.space.leave_out_damage(&self.catalog)
    }
}

/// The space of a model that is to take the place of the one in use.
struct Next {
    space: Filler,
    _lock: WriteLock,
}

impl Next {
    /// `None` if there is no such model, or another process fills its space: that takes the papers from the catalog.
    fn open(data: &Path, catalog: &Catalog, devices: &Devices) -> Result<Option<Next>> {
        let Some(sha256) = catalog.next_space()? else { return Ok(None) };
        let Some(lock) = WriteLock::try_take(&next_lock_path(data))? else { return Ok(None) };
        let Some(description) = Space::description(data, &sha256)? else { return Ok(None) };
        let model = description.open_model(Path::new(DEFAULT_MODELS_DIR))?;
        let space = Filler::open(data, catalog, Arc::new(Encoder::load_on(&model, devices)?))?;
        tracing::info!(
            "papers are encoded by {} too, which is to take the place of the model in use",
            model.name
        );
        Ok(Some(Next { space, _lock: lock }))
    }
}

/// Deletes papers from a data folder; gives which of them were here. They are no answers from now on.
///
/// # Errors
/// [`Error::Data`] if there is nothing, or another process is writing.
pub fn delete(data: &Path, ids: &[PaperId]) -> Result<Vec<bool>> {
    open_catalog(data)?;
    let _lock = WriteLock::take(&lock_path(data))?;
    let catalog = Catalog::create(&catalog_path(data))?;
    for folder in Space::folders(data)? {
        Directory::remove_if_ahead(&folder, &catalog)?;
    }
    catalog.delete(ids)
}
