//! Replaces the model of a data folder.
//!
//! A second vector store is written from the catalog while the first store serves searches. When the second store is
//! complete and has passed a check, one transaction puts it into use. Papers that are added meanwhile get vectors of
//! both models. The process that adds these papers encodes them twice, or leaves the encoding by the new model to the
//! process that writes the second store. An interrupted run is continued by the next run.

use crate::error::{Error, Result};
use crate::ingest::vector_writer::VectorWriter;
use crate::ingest::verify::damage_in;
use crate::ingest::{EncodeProgress, lock_path, next_lock_path, open_catalog};
use crate::store::catalog::Catalog;
use crate::store::lock::WriteLock;
use crate::store::slot_map::SlotMap;
use crate::store::vector_store::{Description, VectorStore};
use likewise_encoder::Encoder;
use likewise_index::probe;
use likewise_index::{IndexStats, Segments};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Minimum recall@10 of graph search in the new store, compared with an exact scan.
const MIN_RECALL: f64 = 0.95;

/// The write lock is taken only after a pass that encoded fewer texts than this, so that other writers wait only
/// briefly.
const MAX_PENDING: u64 = 1000;

/// Approximate number of stored vectors that are used as queries to measure the recall. All vectors of a small store
/// are used.
const PROBES: usize = 500;

/// Time between two attempts to take a lock that another process holds.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Maximum time to wait for the write lock. After this time, the papers that the holder of the lock has written
/// meanwhile are encoded, before the next attempt.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(30);

/// The current step of a run, for display.
#[derive(Debug, Clone, PartialEq)]
pub enum ReembedStep {
    /// Waiting for a lock that another process holds. The text names the path of the lock and the process.
    Waiting(String),
    /// Encoding texts.
    Encoding(EncodeProgress),
    /// Checking the new store, because everything is encoded.
    Checking,
}

/// The result of a completed run.
#[derive(Debug, Clone)]
pub struct ReembedReport {
    /// Number of papers in the catalog.
    pub papers: usize,
    /// recall@10 of graph search in the new store.
    pub recall: f64,
    /// Statistics of the new store's index.
    pub index: IndexStats,
}

/// Writes the vector store of the encoder's model and puts the store into use. Returns `None` if that model is already
/// in use. If an interrupted run was replacing that model by another model, this replacement is then cancelled.
///
/// # Errors
/// Returns [`Error::Data`] if nothing was ever ingested, or the new store fails its check. The old store then stays in
/// use.
pub fn reembed(
    data: &Path,
    encoder: &Arc<Encoder>,
    mut on_step: impl FnMut(ReembedStep),
) -> Result<Option<ReembedReport>> {
    let path = open_catalog(data)?.path().to_path_buf();
    let catalog = Catalog::create(&path)?;
    let _next_lock = wait(&next_lock_path(data), Duration::MAX, &mut on_step)?;
    let fingerprint = &encoder.model().fingerprint;
    if catalog.space()?.as_ref() == Some(&fingerprint.sha256) {
        catalog.remove_next_space()?;
        return Ok(None);
    }
    VectorStore::create(data, encoder.model())?;
    catalog.set_next_space(&fingerprint.sha256)?;
    let mut run = ReembedRun { data, catalog, encoder, on_step, checked: None };
    let mut recall = run.encode_and_check()?;
    // The write lock is held only while the last few papers are encoded and the stores are switched.
    let _lock = loop {
        match wait(&lock_path(data), MAX_LOCK_WAIT, &mut run.on_step)? {
            Some(lock) => break lock,
            None => recall = run.encode_and_check()?,
        }
    };
    let mut vectors = run.open_vector_writer()?;
    vectors.catch_up(&run.catalog, |progress| (run.on_step)(ReembedStep::Encoding(progress)))?;
    vectors.save_slot_map(&run.catalog)?;
    let (papers, store) = (run.papers()?, run.open_store()?);
    run.catalog.switch_space(&fingerprint.sha256)?;
    let index = Segments::open(store.path(), store.vectors().clone())?.stats();
    Ok(Some(ReembedReport { papers, recall, index }))
}

/// Removes all vector stores of a data folder except those of the model in use and of the next model. Returns the
/// descriptions of the removed stores.
///
/// # Errors
/// Returns [`Error::Data`] if another process is writing.
pub fn drop_old(data: &Path) -> Result<Vec<Description>> {
    let path = open_catalog(data)?.path().to_path_buf();
    let _locks = [WriteLock::take(&lock_path(data))?, WriteLock::take(&next_lock_path(data))?];
    let catalog = Catalog::create(&path)?;
    let kept: Vec<String> = catalog.space()?.into_iter().chain(catalog.next_space()?).collect();
    VectorStore::remove_others(data, &kept)
}

/// Takes a lock as soon as it is free. `None` if the lock is not free within `timeout`.
fn wait(path: &Path, timeout: Duration, on_step: &mut impl FnMut(ReembedStep)) -> Result<Option<WriteLock>> {
    let started = Instant::now();
    loop {
        match WriteLock::try_take(path)? {
            Some(lock) => return Ok(Some(lock)),
            None if started.elapsed() > timeout => return Ok(None),
            None => on_step(ReembedStep::Waiting(WriteLock::describe_holder(path))),
        }
        std::thread::sleep(LOCK_POLL_INTERVAL);
    }
}

/// The state of a run.
struct ReembedRun<'a, T> {
    data: &'a Path,
    catalog: Catalog,
    encoder: &'a Arc<Encoder>,
    on_step: T,
    /// The statistics of the index that passed the last check, and its recall. `None`: no index has passed a check.
    checked: Option<(IndexStats, f64)>,
}

impl<T: FnMut(ReembedStep)> ReembedRun<'_, T> {
    /// Encodes and indexes papers until a pass encodes only few new papers, then checks the store. Then encodes the
    /// papers that were added meanwhile, and checks again if that changed the index. Returns the recall.
    fn encode_and_check(&mut self) -> Result<f64> {
        loop {
            let (encoded, index) = self.encode_pending()?;
            if encoded >= MAX_PENDING {
                continue;
            }
            let is_same = |(checked, _): &(IndexStats, f64)| {
                (checked.indexed, checked.segments) == (index.indexed, index.segments)
            };
            if let Some((_, recall)) = self.checked.filter(is_same) {
                return Ok(recall);
            }
            let recall = self.check()?;
            self.checked = Some((index, recall));
        }
    }

    /// Encodes and indexes the papers without a vector. Returns how many texts were encoded, and the statistics of the
    /// index.
    fn encode_pending(&mut self) -> Result<(u64, IndexStats)> {
        let mut vectors = self.open_vector_writer()?;
        let encoded =
            vectors.catch_up(&self.catalog, |progress| (self.on_step)(ReembedStep::Encoding(progress)))?;
        Ok((encoded, vectors.finish(&self.catalog)?.stats()))
    }

    fn open_vector_writer(&self) -> Result<VectorWriter> {
        VectorWriter::open(self.data, &self.catalog, Arc::clone(self.encoder))
    }

    /// Reads the new store completely, repairs damage, and measures the recall.
    fn check(&mut self) -> Result<f64> {
        (self.on_step)(ReembedStep::Checking);
        let mut store = self.open_store()?;
        let damage = damage_in(&store)?;
        if !damage.is_empty() {
            damage.iter().for_each(|damage| tracing::warn!("{damage}; repairing it"));
            store = self.repair()?;
        }
        let index = Segments::open(store.path(), store.vectors().clone())?;
        let recall = probe(&index, store.vectors(), PROBES);
        if recall >= MIN_RECALL {
            return Ok(recall);
        }
        Err(self.failed(format!("recall@10 of graph search must be at least {MIN_RECALL} (got {recall:.3})")))
    }

    fn repair(&mut self) -> Result<VectorStore> {
        self.open_vector_writer()?.remove_damaged(&self.catalog)?;
        self.encode_pending()?;
        self.open_store()
    }

    fn open_store(&self) -> Result<VectorStore> {
        VectorStore::open(self.data, &self.encoder.model().fingerprint)
    }

    /// Number of papers in the catalog.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if a paper has no vector although the model can read its text.
    fn papers(&self) -> Result<usize> {
        let store = self.open_store()?;
        let slot_map = SlotMap::open(&self.catalog, &store)?;
        let waiting = slot_map.waiting(&VectorStore::unreadable(store.path())?);
        let (complete, all) = (slot_map.papers() - waiting, self.catalog.count()?);
        if complete == all {
            return Ok(all);
        }
        Err(self.failed(format!(
            "{} of {all} papers have no vector (see the warnings above)",
            all.abs_diff(complete)
        )))
    }

    fn failed(&self, problem: String) -> Error {
        Error::Data(format!(
            "{}: {problem} in the vector store of {}; the model in use stays in use",
            self.data.display(),
            self.encoder.model().name
        ))
    }
}
