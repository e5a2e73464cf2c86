//! Papers into a data folder: catalog, then vectors, then index.
//!
//! Its own file because the order of these three is the promise: a paper is in the catalog, durably,
//! before anything is derived from it, so whatever a crash interrupts, [`Writer::catch_up`] finishes.

use crate::catalog::{Catalog, Upsert};
use crate::directory::Directory;
use crate::disk::{self, WriteLock};
use crate::dump::Refused;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::Segments;
use crate::index::build::Effort;
use crate::model::{ModelFolder, Precision};
use crate::paper::{Paper, PaperId};
use crate::space::{Generation, Space, SpaceWriter};
use crate::text::{TextHash, text_of};
use roaring::RoaringBitmap;
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Papers taken from the dump at once, for every thread that encodes: enough to sort them by length and for
/// the threads to end together, few enough that a kill costs seconds of work.
const CHUNK_A_THREAD: usize = 128;

/// Vectors that are built into segments in the middle of a run.
const FREEZE_EVERY: usize = 32_768;

/// The index is built anew without the slots that stand for no paper when they are more than this share of all…
const DEAD_SHARE: f64 = 0.2;

/// … and at least so many.
const LEAST_DEAD: usize = 1000;

const CATALOG: &str = "catalog.sqlite";
const LOCK: &str = "write.lock";

/// What became of the papers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Entries read from the dumps.
    pub read: u64,
    /// New ids.
    pub added: u64,
    /// Known ids with something changed.
    pub replaced: u64,
    /// Known ids with nothing changed.
    pub unchanged: u64,
    /// Entries that are no papers.
    pub refused: u64,
    /// Texts encoded.
    pub encoded: u64,
}

/// The path of a data folder's catalog.
pub fn catalog_path(data: &Path) -> PathBuf {
    data.join(CATALOG)
}

/// The precision that a data folder's vectors are in; `None` if it has none of this model.
pub fn precision_of(data: &Path, model: &ModelFolder) -> Result<Option<Precision>> {
    let path = catalog_path(data);
    if !path.exists() {
        return Ok(None);
    }
    let space = Catalog::open(&path)?.space()?;
    let is_of =
        |precision: &Precision| Some(model.clone().in_precision(*precision).fingerprint.sha256) == space;
    Ok(Precision::ALL.into_iter().find(is_of))
}

/// Refuses a data folder whose vectors are another model's.
///
/// # Errors
/// [`Error::Data`] with both fingerprints.
pub fn check_space(catalog: &Catalog, model: &ModelFolder) -> Result<()> {
    let wanted = &model.fingerprint.sha256;
    match catalog.space()? {
        Some(got) if got != *wanted => Err(Error::Data(format!(
            "{}: its vectors are of another model or precision: the folder has fingerprint {got}, the model {} in {} has \
             {wanted}; give --model and --precision as it was filled with, or --data another folder",
            catalog.path().display(),
            model.name,
            model.precision
        ))),
        _ => Ok(()),
    }
}

/// The one process that writes to a data folder.
pub struct Writer<'a> {
    data: PathBuf,
    catalog: Catalog,
    space: SpaceWriter,
    encoder: &'a Encoder,
    /// Vectors that are in segments.
    frozen: usize,
    _lock: WriteLock,
}

impl<'a> Writer<'a> {
    /// Opens a data folder for writing, and makes it if there is none.
    ///
    /// # Errors
    /// [`Error::Data`] if another process is writing, or the folder is another model's.
    pub fn open(data: &Path, encoder: &'a Encoder) -> Result<Writer<'a>> {
        disk::create_folder(data)?;
        let lock = WriteLock::take(&data.join(LOCK))?;
        Writer::open_locked(data, encoder, lock)
    }

    /// Like [`Writer::open`], but `None` if another process is writing.
    pub fn try_open(data: &Path, encoder: &'a Encoder) -> Result<Option<Writer<'a>>> {
        let lock = WriteLock::try_take(&data.join(LOCK))?;
        lock.map(|lock| Writer::open_locked(data, encoder, lock)).transpose()
    }

    fn open_locked(data: &Path, encoder: &'a Encoder, lock: WriteLock) -> Result<Writer<'a>> {
        let catalog = Catalog::create(&catalog_path(data))?;
        check_space(&catalog, encoder.model())?;
        Space::create(data, encoder.model())?;
        if Space::sweep(data, &encoder.model().fingerprint)? {
            catalog.touch()?;
        }
        let folder = Space::folder(data, &encoder.model().fingerprint)?;
        Directory::remove_if_ahead(&folder, &catalog)?;
        let forget_derived = |slots| {
            Segments::remove_beyond(&folder, slots)?;
            Directory::remove_beyond(&folder, slots)
        };
        let space = SpaceWriter::open(data, &encoder.model().fingerprint, forget_derived)?;
        catalog.set_space(&encoder.model().fingerprint.sha256)?;
        let frozen = Segments::frozen_in(&folder, space.count())?;
        Ok(Writer { data: data.into(), catalog, space, encoder, frozen, _lock: lock })
    }

    /// Encodes papers that are in the catalog and have no vector: what a killed run left. Calls
    /// `progress` with how many are done and how many there are.
    pub fn catch_up(&mut self, mut progress: impl FnMut(usize, usize)) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut behind = self.catalog.texts()?;
        behind.retain(|(_, text)| !self.space.has(*text) && seen.insert(*text));
        let mut encoded = 0;
        for (chunk, numbers) in behind.chunks(self.chunk()).enumerate() {
            progress(chunk * self.chunk(), behind.len());
            let numbers: Vec<_> = numbers.iter().map(|(number, _)| *number).collect();
            let papers: Vec<Paper> =
                self.catalog.get(&numbers)?.into_iter().map(|(_, paper)| paper).collect();
            encoded += self.encode(&papers)?;
        }
        Ok(encoded)
    }

    /// How many vectors there are, those of no paper too.
    pub fn vectors(&self) -> usize {
        self.space.count()
    }

    /// Entries that [`Writer::add`] is best given at once.
    pub fn chunk(&self) -> usize {
        CHUNK_A_THREAD * self.encoder.threads()
    }

    /// Takes a chunk of a dump's entries: stores, then encodes what is new. Refused entries are only
    /// counted; telling of them is the caller's.
    pub fn add(&mut self, entries: Vec<Result<Paper, Refused>>, counts: &mut Counts) -> Result<()> {
        counts.read += entries.len() as u64;
        let entered = entries.len();
        let papers: Vec<Paper> = entries.into_iter().filter_map(Result::ok).collect();
        counts.refused += (entered - papers.len()) as u64;
        for outcome in self.catalog.upsert(&papers)? {
            match outcome {
                Upsert::Added => counts.added += 1,
                Upsert::Replaced => counts.replaced += 1,
                Upsert::Unchanged => counts.unchanged += 1,
            }
        }
        counts.encoded += self.encode(&papers)?;
        if self.space.count() >= self.frozen + FREEZE_EVERY {
            // Whoever serves this folder would compare all of them one by one until the run is over.
            self.freeze(&self.open_space()?)?;
            self.frozen = self.space.count();
        }
        Ok(())
    }

    /// Encodes and stores the texts that have no vector yet, each once.
    fn encode(&mut self, papers: &[Paper]) -> Result<u64> {
        let mut seen = HashSet::new();
        let texts: Vec<(TextHash, String, &Paper)> = papers
            .iter()
            .map(|paper| (text_of(paper), paper))
            .map(|(text, paper)| (TextHash::of(&text), text, paper))
            .filter(|(hash, ..)| !self.space.has(*hash) && seen.insert(*hash))
            .collect();
        if texts.is_empty() {
            return Ok(0);
        }
        let read: Vec<&str> = texts.iter().map(|(_, text, _)| text.as_str()).collect();
        let embeddings = self.encoder.encode(&read)?;
        let mut entries: Vec<(TextHash, &[f32])> = Vec::with_capacity(texts.len());
        for ((hash, _, paper), embedding) in texts.iter().zip(&embeddings) {
            match self.space.check(&embedding.vector) {
                Ok(()) => entries.push((*hash, &embedding.vector)),
                // The others need not wait for it; it stays in the catalog, without a vector.
                Err(error) => tracing::warn!("paper {} cannot be searched for: {error}", paper.id),
            }
        }
        self.space.append(&entries)?;
        Ok(entries.len() as u64)
    }

    /// Brings the index up to the vectors, and saves it. If many slots stand for no paper any more, they are
    /// left out, as by [`Writer::compact`].
    pub fn finish(self) -> Result<Segments> {
        let space = self.open_space()?;
        let directory = self.directory(&space)?;
        let (dead, all) = (directory.dead(), space.vectors().len());
        if dead >= LEAST_DEAD && dead as f64 > DEAD_SHARE * all as f64 {
            return self.compact();
        }
        directory.save(space.path())?;
        self.freeze(&space)
    }

    fn freeze(&self, space: &Space) -> Result<Segments> {
        let mut index = Segments::open(space.path(), space.vectors().clone())?;
        index.freeze(space.path(), Effort::default())?;
        self.catalog.touch()?;
        Ok(index)
    }

    /// Writes the space anew without the slots that stand for no paper, and builds its index: it is then as if
    /// only the papers that are here had ever been.
    pub fn compact(self) -> Result<Segments> {
        self.compact_without(&RoaringBitmap::new())
    }

    /// The same without some other slots, too: the next [`Writer::catch_up`] encodes their papers again.
    pub fn compact_without(self, damaged: &RoaringBitmap) -> Result<Segments> {
        let directory = self.directory(&self.open_space()?)?;
        let kept = directory.live().filter(|slot| !damaged.contains(*slot));
        let generation = Generation::copy(&self.data, &self.encoder.model().fingerprint, kept)?;
        let folder = generation.folder();
        let space = Space::open_in(folder.clone(), self.encoder.dimension())?;
        let mut index = Segments::empty(space.vectors().clone());
        index.freeze(&folder, Effort::default())?;
        self.directory(&space)?.save(&folder)?;
        generation.publish()?;
        self.catalog.touch()?;
        Ok(index)
    }

    fn open_space(&self) -> Result<Space> {
        Space::open(&self.data, &self.encoder.model().fingerprint)
    }

    fn directory(&self, space: &Space) -> Result<Directory> {
        let mut directory = Directory::load(space.path(), &self.catalog.identity()?, space.vectors().len());
        directory.follow(&self.catalog, space)?;
        Ok(directory)
    }
}

/// Deletes papers from a data folder; gives which of them were here. They are no answers from now on.
///
/// # Errors
/// [`Error::Data`] if there is nothing, or another process is writing.
pub fn delete(data: &Path, ids: &[PaperId]) -> Result<Vec<bool>> {
    if !catalog_path(data).exists() {
        return Err(nothing_here(data));
    }
    let _lock = WriteLock::take(&data.join(LOCK))?;
    let catalog = Catalog::create(&catalog_path(data))?;
    for folder in Space::folders(data)? {
        Directory::remove_if_ahead(&folder, &catalog)?;
    }
    catalog.delete(ids)
}

/// The error for a data folder that nothing was ever ingested into.
pub fn nothing_here(data: &Path) -> Error {
    Error::Data(format!("{}: no papers here; run `likewise ingest FILE… --data {0}` first", data.display()))
}
