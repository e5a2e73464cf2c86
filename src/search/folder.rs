//! A data folder, opened for answering.
//!
//! Its own file because it is where reading meets writing: it follows what any process writes to its
//! folder, by the catalog's own list of changes. So a paper is found by the first query after it was added, and
//! not found by the first after it was deleted, and no process has to tell another.

use super::filters::Filters;
use super::holdings::{Holdings, Scored, TermCounts, Wanted, WantedTerms, Whole};
use super::plan::Plan;
use super::{NextStats, Stats};
use crate::error::Result;
use crate::ingest;
use crate::store::catalog::{Catalog, Filter, Listed, Numbers, PaperNumber, Place};
use crate::store::directory::Directory;
use crate::store::space::{Description, Space};
use likewise_encoder::Encoder;
use likewise_encoder::model::Fingerprint;
use likewise_index::probe;
use likewise_index::{Index, Neighbour, Segments, dot};
use likewise_papers::{Paper, PaperId};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Stored vectors that a probe of the recall asks for.
const PROBED: usize = 20;

/// Papers that are given at once when all are walked through.
const WALKED: usize = 2048;

/// What it takes to begin a term's list, in entries of one.
const A_LIST: usize = 100;

/// How often a query is answered again because somebody wrote meanwhile.
const TRIES: usize = 8;

/// A data folder, opened for answering.
pub struct Folder {
    catalog: Catalog,
    encoder: Arc<Encoder>,
    /// Where the space is.
    data: PathBuf,
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
        self.lacks_vectors() || self.index.is_behind()
    }

    /// Whether papers have no vector that could have one.
    fn lacks_vectors(&self) -> bool {
        // Without the file that says which have none, all could.
        self.directory.without_slot() > 0
            && self.directory.waiting(&Space::unreadable(self.space.path()).unwrap_or_default()) > 0
    }
}

impl Folder {
    /// Opens a data folder. What is written to it later, by whichever process, is taken in by the next query.
    ///
    /// What a killed ingest left undone is done first, unless another process is ingesting: then what
    /// is there is served.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if there is nothing, or it is another model's.
    pub fn open(data: &Path, encoder: Arc<Encoder>) -> Result<Folder> {
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
        Ok(Folder { catalog, encoder, data: data.into(), derived: RwLock::new(derived?), filters })
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

    fn next(&self) -> Result<Option<NextStats>> {
        let Some(fingerprint) = self.catalog.next_space()? else { return Ok(None) };
        let Some(description) = Space::description(&self.data, &fingerprint)? else { return Ok(None) };
        let Description { model, fingerprint, .. } = description;
        let vectors = Space::open(&self.data, &fingerprint)?.vectors().len();
        Ok(Some(NextStats { model, fingerprint: fingerprint.sha256, vectors }))
    }

    fn stored_vector(&self, number: PaperNumber) -> Option<Vec<f32>> {
        let derived = self.derived();
        derived.directory.slot(number).map(|slot| derived.space.vectors().get(slot).to_vec())
    }

    /// Papers near to a vector and their scores, nearest first; of equal scores, in no order.
    fn near_numbers(&self, wanted: &Wanted) -> Result<Vec<(f32, PaperNumber)>> {
        let Wanted { vector, k, filter, exact } = *wanted;
        if !filter.is_empty() {
            // Made before the rest is held on to: whoever takes in what was written would wait, and all others for that.
            let last = self.derived().directory.last();
            self.filters.numbers(filter, last)?;
        }
        let Derived { index, directory, withdrawn, .. } = &*self.derived();
        let allowed = if filter.is_empty() {
            None
        } else {
            Some(self.filters.allowed(filter, directory, index.len())?)
        };
        let live = if allowed.is_none() { live(directory, withdrawn, filter.withdrawn) } else { None };
        let slots = allowed.as_ref().map(|allowed| &*allowed.slots).or(live.as_ref());
        let neighbours = match Plan::choose(exact, k, slots.map(RoaringBitmap::len), index.len()) {
            Plan::Scan => index.scan(vector, k, slots),
            Plan::Walk => index.search(vector, k, slots),
        };
        let passes = passing(allowed.as_ref().map(|allowed| &*allowed.numbers), withdrawn, filter.withdrawn);
        let mut found = Vec::new();
        for Neighbour { slot, score } in neighbours {
            found.extend(directory.papers_of(slot).filter(&passes).map(|number| (score, number)));
        }
        Ok(found)
    }

    /// Papers that have terms, and how much these tell together.
    fn listed(
        &self,
        wanted: &WantedTerms,
        passes: impl Fn(&PaperNumber) -> bool,
    ) -> Result<HashMap<PaperNumber, f32>> {
        let WantedTerms { terms, k, entries, least, alone, .. } = *wanted;
        let mut told: HashMap<PaperNumber, f32> = HashMap::new();
        let mut left = entries;
        for (term, count) in terms.rarest().filter(|(_, count)| *count >= least) {
            if count > left && !(alone && told.len() < k) {
                break;
            }
            for number in self.catalog.having_term(term, left.max(k))?.into_iter().filter(&passes) {
                *told.entry(number).or_default() += terms.weight(term);
            }
            left = left.saturating_sub(count + A_LIST);
        }
        Ok(told)
    }

    /// The papers with most of what terms tell and, of those with the same, the nearest; each with its cosine.
    fn numbers_with_terms(&self, wanted: &WantedTerms) -> Result<HashMap<PaperNumber, f32>> {
        let WantedTerms { vector, k, filter, .. } = *wanted;
        let allowed = if filter.is_empty() {
            None
        } else {
            let last = self.derived().directory.last();
            Some(self.filters.numbers(filter, last)?)
        };
        let Derived { directory, space, withdrawn, .. } = &*self.derived();
        let passes = passing(allowed.as_deref(), withdrawn, filter.withdrawn);
        let told = match &allowed {
            Some(allowed) if allowed.count() <= k => allowed.iter().map(|number| (number, 0.0)).collect(),
            _ => self.listed(wanted, passes)?,
        };
        let cosine = |number| {
            let slot = directory.slot(number);
            slot.map_or(0.0, |slot| dot(vector, space.vectors().get(slot)).clamp(-1.0, 1.0))
        };
        let mut best: Vec<(f32, f32, PaperNumber)> =
            told.into_iter().map(|(number, told)| (told, cosine(number), number)).collect();
        best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(b.2.cmp(&a.2)));
        best.truncate(k);
        Ok(best.into_iter().map(|(_, cosine, number)| (number, cosine)).collect())
    }

    fn near_now(&self, wanted: &Wanted) -> Result<Vec<Scored>> {
        let found = self.near_numbers(wanted)?;
        let numbers: Vec<PaperNumber> = found.iter().map(|(_, number)| *number).collect();
        let papers = self.catalog.get(&numbers)?;
        let mut scores = found.into_iter();
        // Both are in the same order; a paper that has gone since is missing from the second.
        let scored = papers
            .into_iter()
            .filter_map(|(number, paper)| Some((scores.find(|(_, scored)| *scored == number)?.0, paper)));
        Ok(scored.collect())
    }
}

impl Holdings for Folder {
    /// Of one state of the catalog: scores of one and papers of the next would leave some out, if they were deleted in
    /// between.
    fn near(&self, wanted: &Wanted) -> Result<Vec<Scored>> {
        for _ in 0..TRIES {
            let version = self.catalog.version()?;
            let found = self.near_now(wanted)?;
            if self.catalog.version()? == version {
                return Ok(found);
            }
        }
        self.near_now(wanted)
    }

    fn counts_of_terms(&self, terms: &[&str]) -> Result<Option<TermCounts>> {
        let papers = self.derived().directory.papers();
        Ok(Some(TermCounts { papers, with: self.catalog.counts_of_terms(terms)? }))
    }

    fn with_terms(&self, wanted: &WantedTerms) -> Result<Vec<Scored>> {
        let cosines = self.numbers_with_terms(wanted)?;
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

    fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        // By a connection of its own: every query asks the other what has changed.
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
        probe(&derived.index, derived.space.vectors(), PROBED)
    }

    fn walk(&self, take: &mut dyn FnMut(Vec<Whole>) -> Result<()>) -> Result<()> {
        let numbers: Vec<PaperNumber> = self.catalog.texts()?.into_iter().map(|(number, _)| number).collect();
        for numbers in numbers.chunks(WALKED) {
            let mut papers = Vec::with_capacity(numbers.len());
            for (number, paper) in self.catalog.get(numbers)? {
                let (records, vector) = (self.catalog.records(number)?, self.stored_vector(number));
                papers.push(Whole { paper, records, vector });
            }
            take(papers)?;
        }
        Ok(())
    }

    fn stats(&self) -> Stats {
        let (model, derived) = (self.encoder.model(), self.derived());
        Stats {
            papers: derived.directory.papers(),
            vectors: derived.space.vectors().len(),
            without_vector: derived.directory.without_slot(),
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

/// Whether a paper may be found: it is one of those that a filter allows or, without a filter, was not taken back.
fn passing<'a>(
    allowed: Option<&'a Numbers>,
    withdrawn: &'a Withdrawn,
    also_withdrawn: bool,
) -> impl Fn(&PaperNumber) -> bool + 'a {
    move |number| match allowed {
        Some(allowed) => allowed.contains(*number),
        None => also_withdrawn || !withdrawn.numbers.contains(*number),
    }
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
