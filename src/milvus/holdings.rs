//! A collection, opened for answering.
//!
//! Its own file because it is one of the two things that a [`Library`] stands on; the other is a
//! data folder.

use super::expression::{Passing, is_by, passing};
use super::intake;
use super::order::{LAST_DAY, Newest, largest};
use super::rows::{day_number, paper_of, written};
use super::{OF_FINGERPRINT, Settings, open};
use crate::error::{Error, Result};
use crate::milvus::engine::{Key, MOST, Milvus, Near, is_one_of, quoted};
use crate::search::holdings::{Holdings, Scored, TermCounts, Wanted, WantedTerms, Whole};
use crate::search::{Library, Stats};
use crate::store::catalog::{Filter, Listed, PaperNumber, Place};
use likewise_encoder::Encoder;
use likewise_index::{IndexStats, dot};
use likewise_papers::{Paper, PaperId};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// Rows that an exact scan compares at most: all of them come here, some ten thousand a second, and somebody waits.
const MOST_SCANNED: usize = 250_000;

/// Rows that are compared one by one when no walk comes to so many as are wanted.
const FEW_ENOUGH: usize = 100_000;

/// Rows that a probe of the recall asks for.
const PROBED: usize = 20;

/// Candidates of a search that finds nearly everything.
const THOROUGH: usize = 32_768;

/// How long a server's writes are tried again: somebody waits for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// A collection, opened for answering.
pub struct Collection {
    milvus: Milvus,
    encoder: Arc<Encoder>,
    newest: Newest,
    /// What was last known.
    stats: Mutex<Option<Stats>>,
    /// Held by who asks how much there is: one is enough.
    asks: Mutex<()>,
}

impl Collection {
    /// Opens a collection, as a library.
    ///
    /// # Errors
    /// [`Error::Data`] if there is nothing, or it is another model's; [`Error::Engine`] if the engine is away.
    pub fn library(settings: &Settings, encoder: Arc<Encoder>) -> Result<Library> {
        let milvus = open(settings, &encoder)?;
        let (newest, stats, asks) = (Newest::default(), Mutex::default(), Mutex::default());
        let intake = intake::open(milvus.clone(), PATIENCE);
        let collection = Collection { milvus, encoder: Arc::clone(&encoder), newest, stats, asks };
        Ok(Library::over(Box::new(collection), intake, encoder))
    }

    /// The expression that leaves what passes a filter; `None` if nothing does.
    fn expression(&self, filter: &Filter) -> Result<Option<String>> {
        let (expression, names) = match passing(filter)? {
            Passing::Nothing => return Ok(None),
            Passing::Some(expression, None) => return Ok(Some(expression)),
            Passing::Some(expression, Some(names)) => (expression, names),
        };
        let keys = self.milvus.keys(&expression, MOST)?;
        if keys.len() == MOST {
            return Err(Error::Invalid(format!(
                "filter.authors: more than {MOST} papers may be by them; name less"
            )));
        }
        let ids: Vec<String> = keys.into_iter().map(|key| key.id).collect();
        let mut passing = Vec::new();
        for (id, document) in self.milvus.documents(&ids)? {
            if read(&id, &document).is_some_and(|(_, records)| is_by(&records, &names)) {
                passing.push(id);
            }
        }
        Ok((!passing.is_empty()).then(|| is_one_of("id", &passing)))
    }

    /// The nearest of what passes, by the index; as many as are wanted, if there are.
    fn search(&self, wanted: &Wanted, expression: &str) -> Result<Vec<Near>> {
        let search = |effort| self.milvus.search(wanted.vector, wanted.k, expression, effort);
        let near = search(0)?;
        if near.len() >= wanted.k {
            return Ok(near);
        }
        let count = self.milvus.count(expression)?;
        let is_all = |near: &Vec<Near>| near.len() >= count.min(wanted.k);
        if is_all(&near) {
            return Ok(near);
        }
        // A graph may have parts that few walks come to, or none.
        let near = search(THOROUGH)?;
        if is_all(&near) || count > FEW_ENOUGH { Ok(near) } else { self.scan(wanted, expression) }
    }

    /// The nearest of all that pass, each compared.
    fn scan(&self, wanted: &Wanted, expression: &str) -> Result<Vec<Near>> {
        let count = self.milvus.count(expression)?;
        if count > MOST_SCANNED {
            return Err(Error::Invalid(format!(
                "exact: {count} papers would be compared one by one, wanted at most {MOST_SCANNED}; narrow the filter, or \
                 leave it out"
            )));
        }
        let farthest_last = |near: &mut Vec<(f32, String)>| {
            near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            near.truncate(wanted.k);
        };
        let mut near: Vec<(f32, String)> = Vec::new();
        self.milvus.scan(expression, 0, |keys| {
            let ids: Vec<String> = keys.into_iter().map(|key| key.id).collect();
            let vectors = self.milvus.vectors(&ids)?.into_iter();
            near.extend(vectors.map(|(id, vector)| (dot(wanted.vector, &vector).clamp(-1.0, 1.0), id)));
            if near.len() > 2 * wanted.k + 4096 {
                farthest_last(&mut near);
            }
            Ok(())
        })?;
        farthest_last(&mut near);
        let ids: Vec<String> = near.iter().map(|(_, id)| id.clone()).collect();
        let mut documents = self.milvus.documents(&ids)?;
        let with_document =
            |(score, id): (f32, String)| Some(Near { document: documents.remove(&id)?, id, score });
        Ok(near.into_iter().filter_map(with_document).collect())
    }

    /// The papers of keys, in their order; one that has gone since is left out.
    fn papers(&self, keys: &[Key]) -> Result<Vec<(PaperNumber, Paper)>> {
        let ids: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
        let mut documents = self.milvus.documents(&ids)?;
        let paper = |key: &Key| {
            let document = documents.remove(&key.id)?;
            Some((key.number, read(&key.id, &document)?.0))
        };
        Ok(keys.iter().filter_map(paper).collect())
    }

    /// The paper that is called so or, if none is, one that has this as another id; its records, and its vector, if that
    /// is wanted.
    fn look_up(&self, id: &PaperId, with_vector: bool) -> Result<Option<Whole>> {
        let id = quoted(id.as_str());
        for expression in [format!("id == {id}"), format!("array_contains(also, {id})")] {
            if let Some((stored, vector)) = self.milvus.look_up(&expression, with_vector)? {
                let (paper, records) = paper_of(&stored.id, &stored.document)?;
                return Ok(Some(Whole { paper, records, vector }));
            }
        }
        Ok(None)
    }
}

impl Holdings for Collection {
    fn near(&self, wanted: &Wanted) -> Result<Vec<Scored>> {
        let Some(expression) = self.expression(wanted.filter)? else { return Ok(Vec::new()) };
        let near = match wanted.exact {
            true => self.scan(wanted, &expression)?,
            false => self.search(wanted, &expression)?,
        };
        let scored = |near: Near| Some((near.score, read(&near.id, &near.document)?.0));
        Ok(near.into_iter().filter_map(scored).collect())
    }

    /// The engines that were tested have no index of terms.
    fn counts_of_terms(&self, _: &[&str]) -> Result<Option<TermCounts>> {
        Ok(None)
    }

    fn with_terms(&self, _: &WantedTerms) -> Result<Vec<Scored>> {
        Ok(Vec::new())
    }

    fn find(&self, id: &PaperId) -> Result<Option<(Paper, Option<Vec<f32>>)>> {
        Ok(self.look_up(id, true)?.map(|whole| (whole.paper, whole.vector)))
    }

    fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let found = self.milvus.vectors(&ids)?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    fn paper(&self, id: &PaperId) -> Result<Option<Paper>> {
        Ok(self.look_up(id, false)?.map(|whole| whole.paper))
    }

    fn records(&self, id: &PaperId) -> Result<Vec<Paper>> {
        Ok(self.look_up(id, false)?.map(|whole| whole.records).unwrap_or_default())
    }

    fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        let Some(all) = self.expression(filter)? else { return Ok(Listed::default()) };
        let after = after.map(comes_after);
        let mut keys = self.newest.of(&self.milvus, &all, after.as_deref(), limit + 1)?;
        let is_more = keys.len() > limit;
        keys.truncate(limit);
        let days = |(first, last): (i32, i32)| (first > 0).then(|| (written(first), written(last)));
        let next = keys.last().map(|key| Place::after(days(key.days), key.number)).filter(|_| is_more);
        let papers = self.papers(&keys)?.into_iter().map(|(_, paper)| paper).collect();
        Ok(Listed { papers, total: self.milvus.count(&all)?, next })
    }

    fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        let (from, to) = (day_number(days.0), day_number(days.1));
        let within = format!("withdrawn == false and first >= {from} and first <= {to} and last <= {to}");
        if offset + limit > MOST {
            return Err(Error::Invalid(format!(
                "got a wish for papers {offset} to {} of these days, wanted none after the first {MOST}; ask for fewer days",
                offset + limit
            )));
        }
        let keys = self.newest.of(&self.milvus, &within, None, offset + limit)?;
        self.papers(&keys[offset.min(keys.len())..])
    }

    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        const KNOWN: &str = "withdrawn == false and first > 0 and first == last";
        let day = day_number(day);
        let before = self.newest.of(&self.milvus, &format!("{KNOWN} and first < {day}"), None, 1)?;
        let after = |until: i64| format!("{KNOWN} and first > {day} and first < {until}");
        let mut next = None;
        if self.milvus.count(&after(LAST_DAY + 1))? > 0 {
            let is_none_until = |until| Ok(self.milvus.count(&after(until))? == 0);
            next = i32::try_from(largest((day.into(), LAST_DAY), is_none_until)?).ok();
        }
        Ok((before.first().map(|key| written(key.days.0)), next.map(written)))
    }

    fn last_number(&self) -> Result<PaperNumber> {
        // What is written from now on has a larger one, since they are times.
        Ok(super::rows::number_now(""))
    }

    fn lacks_vectors(&self) -> bool {
        false
    }

    fn probe_recall(&self) -> f64 {
        let probe = || -> Result<f64> {
            let ids: Vec<String> = self.milvus.keys("", PROBED)?.into_iter().map(|key| key.id).collect();
            let vectors = self.milvus.vectors(&ids)?;
            let (mut wanted, mut found) = (0, 0);
            for vector in vectors.values() {
                let all = self.milvus.search(vector, 10, "", THOROUGH)?;
                let least = all.last().map_or(1.0, |near| near.score) - 1e-6;
                wanted += all.len();
                found +=
                    self.milvus.search(vector, 10, "", 0)?.iter().filter(|near| near.score >= least).count();
            }
            Ok(if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 })
        };
        probe().unwrap_or_else(|error| {
            tracing::warn!("the recall was not looked at: {error}");
            f64::NAN
        })
    }

    fn walk(&self, take: &mut dyn FnMut(Vec<Whole>) -> Result<()>) -> Result<()> {
        self.milvus.scan("", 0, |keys| {
            let ids: Vec<String> = keys.into_iter().map(|key| key.id).collect();
            let (mut documents, mut vectors) = (self.milvus.documents(&ids)?, self.milvus.vectors(&ids)?);
            let whole = |id: &String| {
                let (paper, records) = read(id, &documents.remove(id)?)?;
                Some(Whole { paper, records, vector: vectors.remove(id) })
            };
            take(ids.iter().filter_map(whole).collect())
        })
    }

    fn stats(&self) -> Stats {
        let known = || self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known().clone();
        let asks = self.asks.try_lock();
        // The engine may take long to answer, and many may ask.
        if let (Some(stats), Err(TryLockError::WouldBlock)) = (&before, &asks) {
            return stats.clone();
        }
        let ask = || self.milvus.count("").and_then(|papers| Ok((papers, self.milvus.indexed(papers)?)));
        let (papers, indexed) = ask().unwrap_or_else(|error| {
            tracing::warn!("what there is, is as it was last known: {error}");
            before.map(|stats| (stats.papers, stats.index.indexed)).unwrap_or_default()
        });
        let model = self.encoder.model();
        let stats = Stats {
            papers,
            vectors: papers,
            without_vector: 0,
            index: IndexStats { indexed, waiting: papers - indexed, ..IndexStats::default() },
            engine: Some(self.milvus.settings().to_string()),
            model: model.name.clone(),
            fingerprint: model.fingerprint.sha256.clone(),
            dimension: self.encoder.dimension(),
            next: None,
        };
        *known() = Some(stats.clone());
        stats
    }

    fn is_superseded(&self) -> Result<bool> {
        Ok(false)
    }

    fn check(&self) -> Result<()> {
        let properties = self.milvus.check()?;
        let wanted = &self.encoder.model().fingerprint.sha256;
        match properties.get(OF_FINGERPRINT) {
            Some(got) if got == wanted => Ok(()),
            _ => Err(Error::Engine(format!(
                "{}: its vectors are no more those of {}; start the server again",
                self.milvus.settings(),
                self.encoder.model().name
            ))),
        }
    }

    fn folder(&self) -> Option<&Path> {
        None
    }
}

/// The paper of a row and its records; one that cannot be read keeps nobody from the others.
fn read(id: &str, document: &str) -> Option<(Paper, Vec<Paper>)> {
    paper_of(id, document).inspect_err(|error| tracing::warn!("{error}")).ok()
}

/// The expression that leaves what comes after a place, by date.
fn comes_after(place: &Place) -> String {
    match place.parts() {
        (Some((first, last)), number) => {
            let (first, last) = (day_number(first), day_number(last));
            format!(
                "first < {first} or (first == {first} and (last < {last} or (last == {last} and number < {number})))"
            )
        }
        (None, number) => format!("first == 0 and number < {number}"),
    }
}
