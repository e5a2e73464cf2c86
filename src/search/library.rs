//! A data folder, opened for answering.
//!
//! Its own file because it is where reading meets writing: a library follows what any process writes to its
//! folder, by the catalog's own list of changes. So a paper is found by the first query after it was added, and
//! not found by the first after it was deleted, and no process has to tell another.

use super::filters::Filters;
use super::plan::Plan;
use super::target::Target;
use super::{Answer, Hit, NextStats, Query, Stats};
use crate::catalog::{Catalog, Filter, Listed, Numbers, PaperNumber, Place};
use crate::directory::Directory;
use crate::encoder::{Embedding, Encoder};
use crate::error::{Error, Result};
use crate::eval::probe;
use crate::index::{Index, Neighbour, Segments};
use crate::ingest;
use crate::model::{Fingerprint, Side};
use crate::paper::{Paper, PaperId};
use crate::space::{Description, Space};
use crate::text::text_of_query;
use roaring::RoaringBitmap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Stored vectors that a probe of the recall asks for.
const PROBED: usize = 20;

/// How often a query is answered again because somebody wrote meanwhile.
const TRIES: usize = 8;

/// A data folder, opened for answering.
pub struct Library {
    catalog: Catalog,
    encoder: Arc<Encoder>,
    /// Where the space is.
    data: std::path::PathBuf,
    derived: RwLock<Derived>,
    filters: Filters,
}

/// What is derived from the catalog, as of one of its states.
struct Derived {
    space: Space,
    index: Segments,
    directory: Directory,
    withdrawn: Withdrawn,
    /// See [`Catalog::version`].
    version: i64,
}

/// Papers that are no answers, unless they are asked for: they were taken back.
struct Withdrawn {
    numbers: Numbers,
    /// The slots that stand for such papers only.
    slots: RoaringBitmap,
}

impl Withdrawn {
    fn of(catalog: &Catalog, directory: &Directory) -> Result<Withdrawn> {
        let numbers = catalog.withdrawn()?;
        let mut slots = directory.slots(Some(&numbers)).unwrap_or_default();
        slots = slots
            .into_iter()
            .filter(|slot| directory.papers_of(*slot).all(|number| numbers.contains(number)))
            .collect();
        Ok(Withdrawn { numbers, slots })
    }
}

impl Derived {
    fn open(data: &Path, catalog: &Catalog, fingerprint: &Fingerprint) -> Result<Derived> {
        let version = catalog.version()?;
        let space = Space::open(data, fingerprint)?;
        space.vectors().expect_random();
        let index = Segments::open(space.path(), space.vectors().clone())?;
        let directory = Directory::of(catalog, &space)?;
        let withdrawn = Withdrawn::of(catalog, &directory)?;
        Ok(Derived { space, index, directory, withdrawn, version })
    }

    /// Whether something was written since.
    fn is_behind(&self, catalog: &Catalog) -> Result<bool> {
        // A paper's vector comes after it, and does not change the catalog.
        let has_vectors = || self.directory.without_slot() > 0 && self.space.has_grown();
        Ok(catalog.version()? != self.version || has_vectors())
    }

    /// Takes in what was written since.
    fn follow(&mut self, data: &Path, catalog: &Catalog, fingerprint: &Fingerprint) -> Result<()> {
        if !self.space.is_current(data, fingerprint)? {
            *self = Derived::open(data, catalog, fingerprint)?;
            return Ok(());
        }
        let version = catalog.version()?;
        if self.space.has_grown() {
            // The files it has, and not those that a compaction may just have put in their place.
            self.space = Space::open_in(self.space.path().into(), fingerprint.dimension)?;
            self.space.vectors().expect_random();
        }
        self.index.follow(self.space.path(), self.space.vectors().clone())?;
        self.index.insert_in_background();
        self.directory.follow(catalog, &self.space)?;
        self.withdrawn = Withdrawn::of(catalog, &self.directory)?;
        self.version = version;
        Ok(())
    }

    /// Whether papers have no vector, or many vectors are in no segment: an ingest was cut short.
    fn is_unfinished(&self) -> bool {
        self.directory.without_slot() > 0 || self.index.is_behind()
    }
}

impl Library {
    /// Opens a data folder. What is written to it later, by whichever process, is taken in by the next query.
    ///
    /// What a killed ingest left undone is done first, unless another process is ingesting: then what
    /// is there is served.
    ///
    /// # Errors
    /// [`Error::Data`] if there is nothing, or it is another model's.
    pub fn open(data: &Path, encoder: Arc<Encoder>) -> Result<Library> {
        let catalog = ingest::open_catalog(data)?;
        ingest::check_space(&catalog, encoder.model())?;
        let fingerprint = &encoder.model().fingerprint;
        let mut derived = Derived::open(data, &catalog, fingerprint);
        if !derived.as_ref().is_ok_and(|derived| !derived.is_unfinished()) {
            match finish_interrupted(data, &encoder) {
                Ok(()) => derived = Derived::open(data, &catalog, fingerprint),
                // Half an answer is better than none: a disk may be full, a folder only readable.
                Err(error) if derived.is_ok() => {
                    tracing::warn!("an earlier run was interrupted and could not be finished: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        let filters = Filters::new(ingest::open_catalog(data)?);
        Ok(Library { catalog, encoder, data: data.into(), derived: RwLock::new(derived?), filters })
    }

    /// What is derived, as of now.
    fn derived(&self) -> RwLockReadGuard<'_, Derived> {
        // A panic elsewhere leaves nothing half changed that the next change does not set right.
        let read = || self.derived.read().unwrap_or_else(PoisonError::into_inner);
        let derived = read();
        match derived.is_behind(&self.catalog) {
            Ok(false) => return derived,
            Ok(true) => drop(derived),
            Err(error) => {
                tracing::warn!("the catalog cannot be asked for changes: {error}");
                return derived;
            }
        }
        let mut behind = self.derived.write().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = &self.encoder.model().fingerprint;
        // Another query may have done it meanwhile.
        let followed = match behind.is_behind(&self.catalog) {
            Ok(true) => behind.follow(&self.data, &self.catalog, fingerprint),
            other => other.map(drop),
        };
        match followed {
            Ok(()) => {}
            // Its files may be gone: it goes on with what it has, for as long as it takes to open the next.
            Err(_) if self.is_superseded().unwrap_or_default() => {
                behind.version = self.catalog.version().unwrap_or_default();
            }
            Err(error) => tracing::warn!("what was written since is not served: {error}"),
        }
        drop(behind);
        read()
    }

    /// The model it encodes queries with.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.data
    }

    /// The newest papers that pass a filter, a page at a time; see [`Catalog::list`].
    pub fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        // By a connection of its own: every query asks the other what has changed.
        self.filters.catalog().list(filter, after, limit)
    }

    /// See [`Catalog::published_within`].
    pub fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        self.catalog.published_within(days, offset, limit)
    }

    /// See [`Catalog::days_around`].
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        self.catalog.days_around(day)
    }

    /// What each source says of the paper with this id.
    ///
    /// # Errors
    /// As [`Library::paper`].
    pub fn records(&self, id: &str) -> Result<Vec<Paper>> {
        self.catalog.records(self.find(id)?.0)
    }

    /// The largest number of a paper: those that come have larger ones.
    pub fn last_number(&self) -> Result<PaperNumber> {
        self.catalog.last_number()
    }

    /// The vector of the paper with this id; `None` if it is not here, or has none yet.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn vector(&self, id: &PaperId) -> Result<Option<Vec<f32>>> {
        let Some((number, _)) = self.catalog.find(id)? else { return Ok(None) };
        Ok(self.stored_vector(number))
    }

    /// Whether papers have no vector yet, as far as is known: asking about one of them takes the encoder.
    pub fn lacks_vectors(&self) -> bool {
        self.derived.read().unwrap_or_else(PoisonError::into_inner).directory.without_slot() > 0
    }

    /// recall@10 of walks against the exact scan, over stored vectors that are asked for: whether the index still finds
    /// what it should. 1 where there is nothing.
    pub fn probe_recall(&self) -> f64 {
        let derived = self.derived();
        probe(&derived.index, derived.space.vectors(), PROBED)
    }

    /// What it holds.
    pub fn stats(&self) -> Stats {
        let (model, derived) = (self.encoder.model(), self.derived());
        Stats {
            papers: derived.directory.papers(),
            vectors: derived.space.vectors().len(),
            without_vector: derived.directory.without_slot(),
            index: derived.index.stats(),
            model: model.name.clone(),
            fingerprint: model.fingerprint.sha256.clone(),
            dimension: self.encoder.dimension(),
            next: self.next().unwrap_or_default(),
        }
    }

    fn next(&self) -> Result<Option<NextStats>> {
        let Some(fingerprint) = self.catalog.next_space()? else { return Ok(None) };
        let Some(description) = Space::description(&self.data, &fingerprint)? else { return Ok(None) };
        let Description { model, fingerprint, .. } = description;
        let vectors = Space::open(&self.data, &fingerprint)?.vectors().len();
        Ok(Some(NextStats { model, fingerprint: fingerprint.sha256, vectors }))
    }

    /// Whether another model has taken the place of the one that this was opened with: it goes on to answer, but new
    /// papers do not reach it any more.
    pub fn is_superseded(&self) -> Result<bool> {
        let used = self.catalog.space()?;
        Ok(used.is_some_and(|used| used != self.encoder.model().fingerprint.sha256))
    }

    /// The paper with this id, however it is written.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not here, [`Error::Invalid`] if that cannot be an id.
    pub fn paper(&self, id: &str) -> Result<Paper> {
        Ok(self.find(id)?.1)
    }

    /// The same, but `None` if it is not here, or that cannot be an id.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn paper_if_here(&self, id: &str) -> Result<Option<Paper>> {
        match self.paper(id) {
            Err(Error::NotFound(_) | Error::Invalid(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    pub(super) fn find(&self, id: &str) -> Result<(PaperNumber, Paper)> {
        let id = PaperId::parse(id).map_err(Error::Invalid)?;
        self.catalog.find(&id)?.ok_or_else(|| {
            Error::NotFound(format!("no paper {:?} here; ask by text instead, or ingest it", id.as_str()))
        })
    }

    /// Answers a query.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::NotFound`] say what is wrong with the query.
    pub fn search(&self, query: &Query) -> Result<Answer> {
        query.check()?;
        let texts: Vec<_> = query.like.texts.iter().map(|text| text_of_query(text)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let embeddings =
            if texts.is_empty() { Vec::new() } else { self.encoder.encode(&texts, Side::Query)? };
        self.search_encoded(query, embeddings)
    }

    /// Answers a query whose texts were encoded already: the server encodes the texts of many queries together.
    ///
    /// # Errors
    /// As [`Library::search`]; also if texts come without their embeddings.
    pub fn search_encoded(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Answer> {
        query.check()?;
        let target = self.target(query, embeddings)?;
        let hits = self.nearest_papers(&target, query)?;
        Ok(Answer { hits, texts: target.texts, target: target.vector })
    }

    /// `None` if it has none yet.
    pub(super) fn stored_vector(&self, number: PaperNumber) -> Option<Vec<f32>> {
        let derived = self.derived();
        derived.directory.slot(number).map(|slot| derived.space.vectors().get(slot).to_vec())
    }

    /// Papers near to a target and their scores, nearest first; of equal scores, in no order.
    fn near(&self, target: &Target, query: &Query) -> Result<Vec<(f32, PaperNumber)>> {
        if !query.filter.is_empty() {
            // Made before the rest is held on to: whoever takes in what was written would wait, and all others for that.
            let last = self.derived().directory.last();
            self.filters.numbers(&query.filter, last)?;
        }
        let Derived { index, directory, withdrawn, .. } = &*self.derived();
        let allowed = if query.filter.is_empty() {
            None
        } else {
            Some(self.filters.allowed(&query.filter, directory, index.len())?)
        };
        let live = if allowed.is_none() { live(directory, withdrawn, query.filter.withdrawn) } else { None };
        let slots = allowed.as_ref().map(|allowed| &*allowed.slots).or(live.as_ref());
        // The queried papers may be among the nearest, and are then taken out again.
        let k = query.offset + query.k + target.excluded.len();
        let neighbours = match Plan::choose(query.exact, k, slots.map(RoaringBitmap::len), index.len()) {
            Plan::Scan => index.scan(&target.vector, k, slots),
            Plan::Walk => index.search(&target.vector, k, slots),
        };
        let passes = |number: &PaperNumber| {
            let is_allowed = match &allowed {
                Some(allowed) => allowed.numbers.contains(*number),
                None => query.filter.withdrawn || !withdrawn.numbers.contains(*number),
            };
            is_allowed && !target.excluded.contains(number)
        };
        let mut found = Vec::new();
        for Neighbour { slot, score } in neighbours {
            found.extend(directory.papers_of(slot).filter(passes).map(|number| (score, number)));
        }
        Ok(found)
    }

    /// Hits of one state of the catalog: scores of one and papers of the next would leave some out, if they were deleted
    /// in between.
    fn nearest_papers(&self, target: &Target, query: &Query) -> Result<Vec<Hit>> {
        for _ in 0..TRIES {
            let version = self.catalog.version()?;
            let hits = self.nearest_papers_now(target, query)?;
            if self.catalog.version()? == version {
                return Ok(hits);
            }
        }
        self.nearest_papers_now(target, query)
    }

    fn nearest_papers_now(&self, target: &Target, query: &Query) -> Result<Vec<Hit>> {
        let found = self.near(target, query)?;
        let numbers: Vec<PaperNumber> = found.iter().map(|(_, number)| *number).collect();
        let papers = self.catalog.get(&numbers)?;
        let mut scores = found.into_iter();
        // Both are in the same order; a paper that has gone since is missing from the second.
        let mut hits: Vec<(f32, Paper)> = papers
            .into_iter()
            .filter_map(|(number, paper)| Some((scores.find(|(_, scored)| *scored == number)?.0, paper)))
            .collect();
        hits.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
        hits.truncate(query.offset + query.k);
        hits.retain(|(score, _)| query.min_score.is_none_or(|least| *score >= least));
        let hit = |(rank, (score, paper))| Hit { rank: rank + 1, score, paper };
        Ok(hits.into_iter().enumerate().skip(query.offset).map(hit).collect())
    }
}

/// The slots that an unfiltered query may be answered from; `None` if those are all.
fn live(directory: &Directory, withdrawn: &Withdrawn, also_withdrawn: bool) -> Option<RoaringBitmap> {
    let live = directory.slots(None);
    if also_withdrawn || withdrawn.slots.is_empty() {
        return live;
    }
    let all = || {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..directory.slot_count());
        all
    };
    Some(live.unwrap_or_else(all) - &withdrawn.slots)
}

/// Finishes what a killed ingest left, if no other process is at it.
fn finish_interrupted(data: &Path, encoder: &Arc<Encoder>) -> Result<()> {
    let Some(mut writer) = ingest::Writer::try_open(data, encoder)? else {
        return Ok(());
    };
    tracing::info!("an earlier run was interrupted; finishing its work");
    writer.catch_up(|done, all| tracing::info!("encoded {done} of {all} papers left over"))?;
    writer.finish().map(drop)
}
