//! The paper store of a data folder.
//!
//! The store follows the changes that any process writes to the folder, by reading the catalog's log of changes. A
//! paper is found by the first query after it was added, and is no longer found by the first query after it was
//! deleted. Processes need not notify each other.

use super::filters::Filters;
use super::paper_store::{
    AboveVectorQuery, DocFreqs, PaperStore, ScoredPaper, StoredPaper, TermQuery, VectorQuery,
};
use super::plan::Plan;
use super::{NextStats, Stats};
use crate::error::Result;
use crate::ingest;
use crate::store::catalog::{Catalog, Cursor, Filter, PaperNumber, PaperPage, PaperSet};
use crate::store::slot_map::SlotMap;
use crate::store::vector_store::{Description, VectorStore};
use likewise_encoder::Encoder;
use likewise_encoder::model::Fingerprint;
use likewise_index::probe;
use likewise_index::{Index, Neighbour, Segments, dot};
use likewise_papers::{Paper, PaperId};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Number of stored vectors that are searched for to measure the recall.
const RECALL_SAMPLE: usize = 20;

/// Number of papers in a chunk of [`PaperStore::for_each_chunk`].
const CHUNK: usize = 2048;

/// Cost of opening a posting list, as a number of postings that are read.
const LIST_OPEN_COST: usize = 100;

/// Maximum number of times that a search by vector is repeated because the catalog changed while it ran.
const MAX_RETRIES: usize = 8;

/// A data folder opened for search.
pub struct FolderStore {
    catalog: Catalog,
    encoder: Arc<Encoder>,
    /// Path of the data folder.
    data: PathBuf,
    derived: RwLock<Derived>,
    filters: Filters,
}

/// State that is derived from one version of the catalog.
struct Derived {
    vector_store: VectorStore,
    index: Segments,
    slot_map: SlotMap,
    withdrawn: Withdrawn,
    /// See [`Catalog::data_version`].
    version: i64,
}

/// Withdrawn papers. A query finds them only if its filter includes withdrawn papers.
struct Withdrawn {
    numbers: PaperSet,
    /// The slots whose papers are all withdrawn.
    slots: RoaringBitmap,
}

impl Withdrawn {
    fn of(catalog: &Catalog, slot_map: &SlotMap) -> Result<Withdrawn> {
        let numbers = catalog.withdrawn()?;
        let mut slots = slot_map.slots(Some(&numbers)).unwrap_or_default();
        slots = slots
            .into_iter()
            .filter(|slot| slot_map.papers_of(*slot).all(|number| numbers.contains(number)))
            .collect();
        Ok(Withdrawn { numbers, slots })
    }
}

impl Derived {
    fn open(data: &Path, catalog: &Catalog, fingerprint: &Fingerprint) -> Result<Derived> {
        let version = catalog.data_version()?;
        let vector_store = VectorStore::open(data, fingerprint)?;
        vector_store.vectors().advise_random_access();
        let index = Segments::open(vector_store.path(), vector_store.vectors().clone())?;
        let slot_map = SlotMap::open(catalog, &vector_store)?;
        let withdrawn = Withdrawn::of(catalog, &slot_map)?;
        Ok(Derived { vector_store, index, slot_map, withdrawn, version })
    }

    /// Whether the catalog or the vectors have changed since this state was derived.
    fn is_behind(&self, catalog: &Catalog) -> Result<bool> {
        // A vector is written later than its paper, and writing the vector does not change the catalog.
        let has_vectors = || self.slot_map.without_slot() > 0 && self.vector_store.has_grown();
        Ok(catalog.data_version()? != self.version || has_vectors())
    }

    /// Applies the changes since this state was derived.
    fn follow(&mut self, data: &Path, catalog: &Catalog, fingerprint: &Fingerprint) -> Result<()> {
        if !self.vector_store.is_current(data, fingerprint)? {
            *self = Derived::open(data, catalog, fingerprint)?;
            return Ok(());
        }
        let version = catalog.data_version()?;
        if self.vector_store.has_grown() {
            // Reopened in the same folder: a compaction may have switched to another folder in the meantime.
            self.vector_store = VectorStore::open_in(self.vector_store.path().into(), fingerprint.dimension)?;
            self.vector_store.vectors().advise_random_access();
        }
        self.index.follow(self.vector_store.path(), self.vector_store.vectors().clone())?;
        self.index.insert_in_background();
        self.slot_map.follow(catalog, &self.vector_store)?;
        self.withdrawn = Withdrawn::of(catalog, &self.slot_map)?;
        self.version = version;
        Ok(())
    }

    /// Whether an ingest was interrupted, so that papers lack vectors or many vectors are in no segment.
    fn is_unfinished(&self) -> bool {
        self.lacks_vectors() || self.index.is_behind()
    }

    /// Whether papers lack a vector that the model could compute.
    fn lacks_vectors(&self) -> bool {
        // If the list of texts that the model cannot read is missing, all texts count as readable.
        self.slot_map.without_slot() > 0
            && self.slot_map.waiting(&VectorStore::unreadable(self.vector_store.path()).unwrap_or_default())
                > 0
    }
}

impl FolderStore {
    /// Opens a data folder. Each query sees everything that any process wrote to the folder before the query.
    ///
    /// If an ingest was interrupted, its work is finished first. If another process is writing at that time, or if the
    /// work fails, for example because the disk is full, the folder is opened without this work.
    ///
    /// # Errors
    /// Returns [`crate::Error::Data`] if the folder has no catalog, or if another model computed its vectors.
    pub fn open(data: &Path, encoder: Arc<Encoder>) -> Result<FolderStore> {
        let catalog = ingest::open_catalog(data)?;
        ingest::check_model(&catalog, encoder.model())?;
        let fingerprint = &encoder.model().fingerprint;
        let mut derived = Derived::open(data, &catalog, fingerprint);
        if !derived.as_ref().is_ok_and(|derived| !derived.is_unfinished()) {
            match finish_interrupted(data, &encoder) {
                Ok(()) => derived = Derived::open(data, &catalog, fingerprint),
                // The disk can be full or the folder read-only: incomplete answers are better than no answers.
                Err(error) if derived.is_ok() => {
                    tracing::warn!("cannot finish an interrupted ingest; answers may lack papers: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        let filters = Filters::new(ingest::open_catalog(data)?);
        Ok(FolderStore { catalog, encoder, data: data.into(), derived: RwLock::new(derived?), filters })
    }

    /// Brings the derived state up to date and returns it. If that fails, returns the state as it is, and logs a
    /// warning unless the data folder has switched to another model.
    fn derived(&self) -> RwLockReadGuard<'_, Derived> {
        // A poisoned lock is safe to use: the next change repairs a state that a panic left half updated.
        let read = || self.derived.read().unwrap_or_else(PoisonError::into_inner);
        let derived = read();
        match derived.is_behind(&self.catalog) {
            Ok(false) => return derived,
            Ok(true) => drop(derived),
            Err(error) => {
                tracing::warn!("cannot read the catalog's changes; the next query tries again: {error}");
                return derived;
            }
        }
        let mut behind = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = &self.encoder.model().fingerprint;
        // Another query may have applied the changes meanwhile.
        let followed = match behind.is_behind(&self.catalog) {
            Ok(true) => behind.follow(&self.data, &self.catalog, fingerprint),
            other => other.map(drop),
        };
        match followed {
            Ok(()) => {}
            // After a switch to another model, the old model's files may be deleted: keep serving the loaded state
            // until the new model is opened.
            Err(_) if self.is_superseded().unwrap_or_default() => {
                behind.version = self.catalog.data_version().unwrap_or_default();
            }
            Err(error) => {
                tracing::warn!("cannot apply the latest changes; the next query tries again: {error}")
            }
        }
        drop(behind);
        read()
    }

    fn next(&self) -> Result<Option<NextStats>> {
        let Some(fingerprint) = self.catalog.next_space()? else { return Ok(None) };
        let Some(description) = VectorStore::description(&self.data, &fingerprint)? else { return Ok(None) };
        let Description { model, fingerprint, .. } = description;
        let vectors = VectorStore::open(&self.data, &fingerprint)?.vectors().len();
        Ok(Some(NextStats { model, fingerprint: fingerprint.sha256, vectors }))
    }

    fn stored_vector(&self, number: PaperNumber) -> Option<Vec<f32>> {
        let derived = self.derived();
        derived.slot_map.slot(number).map(|slot| derived.vector_store.vectors().get(slot).to_vec())
    }

    /// Returns the nearest papers with their cosines, nearest first; papers with equal cosines are in no particular
    /// order.
    fn nearest_numbers(&self, query: &VectorQuery) -> Result<Vec<(f32, PaperNumber)>> {
        let VectorQuery { vector, k, filter, exact } = *query;
        self.numbers_of(filter, |index, slots| {
            let allowed = slots.map(RoaringBitmap::len);
            match if exact { Plan::Scan } else { Plan::choose(k, allowed, index.len()) } {
                Plan::Scan => index.scan(vector, k, slots),
                Plan::GraphSearch => index.search(vector, k, slots),
            }
        })
    }

    /// Returns the papers of the slots that `find` finds, in the same order, with the scores of the slots. `find` gets
    /// the index and the allowed slots (`None`: all), and must return only allowed slots.
    fn numbers_of(
        &self,
        filter: &Filter,
        find: impl FnOnce(&Segments, Option<&RoaringBitmap>) -> Vec<Neighbour>,
    ) -> Result<Vec<(f32, PaperNumber)>> {
        if !filter.is_empty() {
            // The set of allowed papers is computed before the read lock is taken. Otherwise, a query that applies
            // changes would wait for the read lock, and all other queries would wait for that query.
            let last = self.derived().slot_map.last_change();
            self.filters.numbers(filter, last)?;
        }
        let Derived { index, slot_map, withdrawn, .. } = &*self.derived();
        let allowed = if filter.is_empty() {
            None
        } else {
            Some(self.filters.allowed(filter, slot_map, index.len())?)
        };
        let live = if allowed.is_none() { live(slot_map, withdrawn, filter.withdrawn) } else { None };
        let slots = allowed.as_ref().map(|allowed| &*allowed.slots).or(live.as_ref());
        let neighbours = find(index, slots);
        let passes = passing(allowed.as_ref().map(|allowed| &*allowed.numbers), withdrawn, filter.withdrawn);
        let mut found = Vec::new();
        for Neighbour { slot, score } in neighbours {
            found.extend(slot_map.papers_of(slot).filter(&passes).map(|number| (score, number)));
        }
        Ok(found)
    }

    /// Reads posting lists, rarest term first, until a list does not fit into `max_postings`, and sums for each paper
    /// the weights of the terms that were read. With `fill_to_k`, reads further lists while fewer than `k` papers are
    /// found.
    fn term_weights(
        &self,
        query: &TermQuery,
        passes: impl Fn(&PaperNumber) -> bool,
    ) -> Result<HashMap<PaperNumber, f32>> {
        let TermQuery { terms, k, max_postings, min_doc_freq, fill_to_k, .. } = *query;
        let mut weights: HashMap<PaperNumber, f32> = HashMap::new();
        let mut remaining = max_postings;
        for (term, doc_freq) in terms.rarest().filter(|(_, doc_freq)| *doc_freq >= min_doc_freq) {
            if doc_freq > remaining && !(fill_to_k && weights.len() < k) {
                break;
            }
            for number in self.catalog.papers_with_term(term, remaining.max(k))?.into_iter().filter(&passes) {
                *weights.entry(number).or_default() += terms.weight(term);
            }
            remaining = remaining.saturating_sub(doc_freq + LIST_OPEN_COST);
        }
        Ok(weights)
    }

    /// Returns the `k` papers with the largest term weights, with their cosines. If the filter has conditions and at
    /// most `k` papers pass, returns all of them. Of papers with equal weights, those with the larger cosines are
    /// chosen.
    fn cosines_with_terms(&self, query: &TermQuery) -> Result<HashMap<PaperNumber, f32>> {
        let TermQuery { vector, k, filter, .. } = *query;
        let allowed = if filter.is_empty() {
            None
        } else {
            let last = self.derived().slot_map.last_change();
            Some(self.filters.numbers(filter, last)?)
        };
        let Derived { slot_map, vector_store, withdrawn, .. } = &*self.derived();
        let passes = passing(allowed.as_deref(), withdrawn, filter.withdrawn);
        let weights = match &allowed {
            Some(allowed) if allowed.count() <= k => allowed.iter().map(|number| (number, 0.0)).collect(),
            _ => self.term_weights(query, passes)?,
        };
        let cosine = |number| {
            let slot = slot_map.slot(number);
            slot.map_or(0.0, |slot| dot(vector, vector_store.vectors().get(slot)).clamp(-1.0, 1.0))
        };
        let mut best: Vec<(f32, f32, PaperNumber)> =
            weights.into_iter().map(|(number, weight)| (weight, cosine(number), number)).collect();
        best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(b.2.cmp(&a.2)));
        best.truncate(k);
        Ok(best.into_iter().map(|(_, cosine, number)| (number, cosine)).collect())
    }

    fn nearest_once(&self, query: &VectorQuery) -> Result<Vec<ScoredPaper>> {
        let found = self.nearest_numbers(query)?;
        let numbers: Vec<PaperNumber> = found.iter().map(|(_, number)| *number).collect();
        let papers = self.catalog.get(&numbers)?;
        let mut scores = found.into_iter();
        // `papers` and `scores` are in the same order; a paper that was deleted in the meantime is missing from
        // `papers`.
        let scored = papers
            .into_iter()
            .filter_map(|(number, paper)| Some((scores.find(|(_, scored)| *scored == number)?.0, paper)));
        Ok(scored.collect())
    }
}

impl PaperStore for FolderStore {
    /// Repeats the search if the catalog changed while it ran: papers that are deleted between scoring and reading
    /// would leave fewer than `k` papers.
    fn nearest(&self, query: &VectorQuery) -> Result<Vec<ScoredPaper>> {
        for _ in 0..MAX_RETRIES {
            let version = self.catalog.data_version()?;
            let found = self.nearest_once(query)?;
            if self.catalog.data_version()? == version {
                return Ok(found);
            }
        }
        self.nearest_once(query)
    }

    fn above(&self, query: &AboveVectorQuery) -> Result<Vec<(f32, PaperNumber)>> {
        self.numbers_of(query.filter, |index, slots| index.scan_above(query.vector, query.above, slots))
    }

    fn papers(&self, numbers: &[PaperNumber]) -> Result<Vec<(PaperNumber, Paper)>> {
        self.catalog.get(numbers)
    }

    fn doc_freqs(&self, terms: &[&str]) -> Result<Option<DocFreqs>> {
        let papers = self.derived().slot_map.papers();
        Ok(Some(DocFreqs { papers, counts: self.catalog.doc_freqs(terms)? }))
    }

    fn search_terms(&self, query: &TermQuery) -> Result<Vec<ScoredPaper>> {
        let cosines = self.cosines_with_terms(query)?;
        let numbers: Vec<PaperNumber> = cosines.keys().copied().collect();
        let papers = self.catalog.get(&numbers)?.into_iter();
        Ok(papers.filter_map(|(number, paper)| Some((*cosines.get(&number)?, paper))).collect())
    }

    fn find(&self, id: &PaperId) -> Result<Option<(Paper, Option<Vec<f32>>)>> {
        let found = self.catalog.find(id)?;
        Ok(found.map(|(number, paper)| (paper, self.stored_vector(number))))
    }

    fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        let vector = |id: &PaperId| {
            let found = self.catalog.find(id)?;
            Ok(found.and_then(|(number, _)| self.stored_vector(number)))
        };
        ids.iter().map(vector).collect()
    }

    fn paper(&self, id: &PaperId) -> Result<Option<Paper>> {
        Ok(self.catalog.find(id)?.map(|(_, paper)| paper))
    }

    fn records(&self, id: &PaperId) -> Result<Vec<Paper>> {
        let Some((number, _)) = self.catalog.find(id)? else { return Ok(Vec::new()) };
        self.catalog.records(number)
    }

    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<PaperPage> {
        // Reads with the connection of the filters, because every query uses `self.catalog` to check for changes.
        self.filters.catalog().list(filter, after, limit)
    }

    fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        self.catalog.published_within(days, offset, limit)
    }

    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        self.catalog.days_around(day)
    }

    fn last_number(&self) -> Result<PaperNumber> {
        self.catalog.last_number()
    }

    fn lacks_vectors(&self) -> bool {
        self.derived.read().unwrap_or_else(PoisonError::into_inner).lacks_vectors()
    }

    fn probe_recall(&self) -> f64 {
        let derived = self.derived();
        probe(&derived.index, derived.vector_store.vectors(), RECALL_SAMPLE)
    }

    fn for_each_chunk(&self, take: &mut dyn FnMut(Vec<StoredPaper>) -> Result<()>) -> Result<()> {
        let numbers: Vec<PaperNumber> = self.catalog.texts()?.into_iter().map(|(number, _)| number).collect();
        for numbers in numbers.chunks(CHUNK) {
            let mut papers = Vec::with_capacity(numbers.len());
            for (number, paper) in self.catalog.get(numbers)? {
                let (records, vector) = (self.catalog.records(number)?, self.stored_vector(number));
                papers.push(StoredPaper { paper, records, vector });
            }
            take(papers)?;
        }
        Ok(())
    }

    fn stats(&self) -> Stats {
        let (model, derived) = (self.encoder.model(), self.derived());
        Stats {
            papers: derived.slot_map.papers(),
            vectors: derived.vector_store.vectors().len(),
            without_vector: derived.slot_map.without_slot(),
            index: derived.index.stats(),
            engine: None,
            model: model.name.clone(),
            fingerprint: model.fingerprint.sha256.clone(),
            dimension: self.encoder.dimension(),
            next: self.next().unwrap_or_default(),
        }
    }

    fn is_superseded(&self) -> Result<bool> {
        let used = self.catalog.space()?;
        Ok(used.is_some_and(|used| used != self.encoder.model().fingerprint.sha256))
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.data)
    }
}

/// The slots that a query without a filter can return; `None` if it can return all slots.
fn live(slot_map: &SlotMap, withdrawn: &Withdrawn, include_withdrawn: bool) -> Option<RoaringBitmap> {
    let live = slot_map.slots(None);
    if include_withdrawn || withdrawn.slots.is_empty() {
        return live;
    }
    let all = || {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..slot_map.slot_count());
        all
    };
    Some(live.unwrap_or_else(all) - &withdrawn.slots)
}

/// Returns the test for whether a paper is allowed in an answer. If `allowed` is `Some`, a paper must be in that set;
/// otherwise, a paper must not be withdrawn, unless `include_withdrawn` is true.
fn passing<'a>(
    allowed: Option<&'a PaperSet>,
    withdrawn: &'a Withdrawn,
    include_withdrawn: bool,
) -> impl Fn(&PaperNumber) -> bool + 'a {
    move |number| match allowed {
        Some(allowed) => allowed.contains(*number),
        None => include_withdrawn || !withdrawn.numbers.contains(*number),
    }
}

/// Finishes the work of an interrupted ingest, unless another process is writing.
fn finish_interrupted(data: &Path, encoder: &Arc<Encoder>) -> Result<()> {
    let Some(mut writer) = ingest::FolderWriter::try_open(data, encoder)? else {
        return Ok(());
    };
    tracing::info!("an earlier ingest was interrupted; finishing its work");
    writer.catch_up(|ingest::EncodeProgress { done, total }| {
        tracing::info!("interrupted ingest: encoded {done} of {total} papers");
    })?;
    writer.finish().map(drop)
}
