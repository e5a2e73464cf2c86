//! A collection, opened for answering.
//!
//! Its own file because it is one of the two things that a [`Library`] stands on; the other is a
//! data folder.

use super::expression::{Passing, is_by, passing};
use super::intake::CollectionIntake;
use super::order::{largest, newest};
use super::rows::{day_number, paper_of, written};
use super::{OF_FINGERPRINT, Settings, open};
use crate::catalog::{Filter, Listed, PaperNumber, Place};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::milvus::{Key, MOST, Milvus, Near, and, is_one_of, quoted};
use crate::index::{IndexStats, dot};
use crate::ingest::Intake;
use crate::paper::{Paper, PaperId};
use crate::search::holdings::{Holdings, Scored, Wanted, Whole};
use crate::search::{Library, Stats};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows that an exact scan compares at most: all of them come here, some ten thousand a second.
const MOST_SCANNED: usize = 1_000_000;

/// Rows that are compared one by one when a walk ends before so many were found as are wanted.
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
    /// What was last known.
    stats: Mutex<Option<Stats>>,
}

impl Collection {
    /// Opens a collection, as a library.
    ///
    /// # Errors
    /// [`Error::Data`] if there is nothing, or it is another model's; [`Error::Engine`] if the engine is away.
    pub fn library(settings: &Settings, encoder: Arc<Encoder>) -> Result<Library> {
        let milvus = open(settings, &encoder)?;
        let collection = Collection { milvus, encoder: Arc::clone(&encoder), stats: Mutex::default() };
        Ok(Library::over(Box::new(collection), encoder))
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
            if is_by(&paper_of(&id, &document)?.1, &names) {
                passing.push(id);
            }
        }
        Ok((!passing.is_empty()).then(|| is_one_of("id", &passing)))
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
            Some(paper_of(&key.id, &document).map(|(paper, _)| (key.number, paper)))
        };
        keys.iter().filter_map(paper).collect()
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
        let mut near = match wanted.exact {
            true => self.scan(wanted, &expression)?,
            false => self.milvus.search(wanted.vector, wanted.k, &expression, 0)?,
        };
        // A graph may have parts that no walk comes to. Where so few are left that it matters, all are compared.
        if !wanted.exact && near.len() < wanted.k {
            let count = self.milvus.count(&expression)?;
            if near.len() < count && count <= FEW_ENOUGH {
                near = self.scan(wanted, &expression)?;
            }
        }
        let scored = |near: Near| Ok((near.score, paper_of(&near.id, &near.document)?.0));
        near.into_iter().map(scored).collect()
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
        let left = after.map_or(all.clone(), |place| and(&all, &comes_after(place)));
        let mut keys = newest(&self.milvus, &left, limit + 1)?;
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
        let keys = newest(&self.milvus, &within, offset + limit)?;
        self.papers(&keys[offset.min(keys.len())..])
    }

    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        const KNOWN: &str = "withdrawn == false and first > 0 and first == last";
        let day = day_number(day);
        let count = |part: &str| self.milvus.count(&and(KNOWN, part));
        let (before, after) = (format!("first < {day}"), format!("first > {day}"));
        let mut around = (None, None);
        if count(&before)? > 0 {
            let is_since = |from| Ok(count(&format!("{before} and first >= {from}"))? > 0);
            around.0 = Some(largest((1, day.into()), is_since)?);
        }
        if count(&after)? > 0 {
            let is_none_until = |to| Ok(count(&format!("{after} and first < {to}"))? == 0);
            around.1 = Some(largest((day.into(), LAST_DAY), is_none_until)?);
        }
        let day = |day: i64| i32::try_from(day).map(written).ok();
        Ok((around.0.and_then(day), around.1.and_then(day)))
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
                let read = paper_of(id, &documents.remove(id)?);
                Some(read.map(|(paper, records)| Whole { paper, records, vector: vectors.remove(id) }))
            };
            take(ids.iter().filter_map(whole).collect::<Result<_>>()?)
        })
    }

    fn stats(&self) -> Stats {
        let ask = || Ok::<_, Error>((self.milvus.count("")?, self.milvus.indexed()?));
        let mut known = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known
            .as_ref()
            .map_or((0, (0, 0)), |known| (known.papers, (known.index.indexed, known.index.waiting)));
        let (papers, (indexed, waiting)) = ask().unwrap_or_else(|error| {
            tracing::warn!("what there is, is as it was last known: {error}");
            before
        });
        let model = self.encoder.model();
        let stats = Stats {
            papers,
            vectors: papers,
            without_vector: 0,
            index: IndexStats { segments: 0, indexed, repaired: 0, stragglers: 0, waiting },
            engine: Some(self.milvus.settings().to_string()),
            model: model.name.clone(),
            fingerprint: model.fingerprint.sha256.clone(),
            dimension: self.encoder.dimension(),
            next: None,
        };
        *known = Some(stats.clone());
        stats
    }

    fn is_superseded(&self) -> Result<bool> {
        Ok(false)
    }

    fn intake(&self, encoder: &Arc<Encoder>) -> Result<Option<Box<dyn Intake>>> {
        let milvus = self.milvus.clone().with_patience(PATIENCE);
        Ok(Some(Box::new(CollectionIntake::over(milvus, Arc::clone(encoder)))))
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

const LAST_DAY: i64 = 99_991_231;

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
