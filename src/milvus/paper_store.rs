//! The paper store for papers in a Milvus collection.

use super::collection_writer;
use super::expression::{FilterExpression, expression_of, is_by};
use super::newest::{LAST_DAY, NewestRows, largest};
use super::rows::{day_number, day_text, paper_of};
use super::{FINGERPRINT_PROPERTY, Settings, open};
use crate::error::{Error, Result};
use crate::milvus::engine::{DayRange, MAX_ROWS, Milvus, NearestRow, RowKey, is_one_of, quoted};
use crate::search::paper_store::{
    AboveVectorQuery, DocFreqs, PaperStore, ScoredPaper, StoredPaper, TermQuery, VectorQuery,
};
use crate::search::{Library, Stats};
use crate::store::catalog::{Cursor, Filter, PaperNumber, PaperPage};
use likewise_encoder::Encoder;
use likewise_index::{IndexStats, dot};
use likewise_papers::{Paper, PaperId};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// Maximum number of rows that an exact query compares; if more rows pass the filter, the query is refused. The vectors
/// of all these rows have to be read, about ten thousand a second.
const MAX_EXACT_ROWS: usize = 250_000;

/// Maximum number of rows that are compared exactly if the index finds too few rows. If more rows pass the filter, the
/// answer has fewer hits than it could have.
const MAX_FALLBACK_ROWS: usize = 100_000;

/// Number of stored vectors that are searched for to measure the recall.
const RECALL_SAMPLE: usize = 20;

/// Number of candidates for a search with nearly full recall: the largest number that Milvus accepts.
const THOROUGH_CANDIDATES: usize = 32_768;

/// Time for which a server retries the failed calls of a write while the client waits.
const SERVER_RETRY_TIME: Duration = Duration::from_secs(5);

/// A collection opened for search.
pub struct Collection {
    milvus: Milvus,
    encoder: Arc<Encoder>,
    newest: NewestRows,
    /// The stats that were read last; `None` if no stats were read.
    stats: Mutex<Option<Stats>>,
    /// Locked while the stats are read, so that only one thread reads them at a time.
    reading_stats: Mutex<()>,
}

impl Collection {
    /// Opens a collection as a library.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if the collection does not exist, has vectors of another model, or was created by a
    /// version of likewise with another row format; [`Error::Engine`] if the engine cannot be reached.
    pub fn library(settings: &Settings, encoder: Arc<Encoder>) -> Result<Library> {
        let milvus = open(settings, &encoder)?;
        let (newest, stats, reading_stats) = (NewestRows::default(), Mutex::default(), Mutex::default());
        let open_writer = collection_writer::open(milvus.clone(), SERVER_RETRY_TIME);
        let collection = Collection { milvus, encoder: Arc::clone(&encoder), newest, stats, reading_stats };
        Ok(Library::over(Box::new(collection), open_writer, encoder))
    }

    /// The expression for the papers that pass a filter; `None` if no paper passes. If the filter has names of three or
    /// more words, reads and checks the papers that may have such an author.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the filter is invalid, or if [`MAX_ROWS`] papers or more would have to be checked.
    fn expression(&self, filter: &Filter) -> Result<Option<String>> {
        let (expression, names) = match expression_of(filter)? {
            FilterExpression::Nothing => return Ok(None),
            FilterExpression::Rows(expression, None) => return Ok(Some(expression)),
            FilterExpression::Rows(expression, Some(names)) => (expression, names),
        };
        let keys = self.milvus.keys(&expression, MAX_ROWS)?;
        if keys.len() == MAX_ROWS {
            return Err(Error::Invalid(format!(
                "filter.authors must match fewer than {MAX_ROWS} papers; give fewer names"
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

    /// Finds the `k` nearest rows that pass the expression. If a search of the index finds too few rows, searches again
    /// with more candidates. If these are also too few, compares all rows that pass, unless they are more than
    /// [`MAX_FALLBACK_ROWS`].
    fn search(&self, query: &VectorQuery, expression: &str) -> Result<Vec<NearestRow>> {
        let search = |min_candidates| self.milvus.search(query.vector, query.k, expression, min_candidates);
        let near = search(0)?;
        if near.len() >= query.k {
            return Ok(near);
        }
        let count = self.milvus.count(expression)?;
        let is_complete = |near: &Vec<NearestRow>| near.len() >= count.min(query.k);
        if is_complete(&near) {
            return Ok(near);
        }
        // Some parts of a graph may be reachable only with many candidates, or not at all.
        let near = search(THOROUGH_CANDIDATES)?;
        if is_complete(&near) || count > MAX_FALLBACK_ROWS { Ok(near) } else { self.scan(query, expression) }
    }

    /// Finds the nearest rows by comparing all rows that pass the expression. Returns [`Error::Invalid`] if they are
    /// more than [`MAX_EXACT_ROWS`].
    fn scan(&self, query: &VectorQuery, expression: &str) -> Result<Vec<NearestRow>> {
        let count = self.milvus.count(expression)?;
        if count > MAX_EXACT_ROWS {
            return Err(Error::Invalid(format!(
                "exact must be false if more than {MAX_EXACT_ROWS} papers of a collection pass the filter (got {count}); \
                 narrow the filter, or leave exact out"
            )));
        }
        let keep_nearest = |near: &mut Vec<(f32, String)>| {
            near.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            near.truncate(query.k);
        };
        let mut near: Vec<(f32, String)> = Vec::new();
        self.milvus.scan(expression, 0, |keys| {
            let ids: Vec<String> = keys.into_iter().map(|key| key.id).collect();
            let vectors = self.milvus.vectors(&ids)?.into_iter();
            near.extend(vectors.map(|(id, vector)| (dot(query.vector, &vector).clamp(-1.0, 1.0), id)));
            if near.len() > 2 * query.k + 4096 {
                keep_nearest(&mut near);
            }
            Ok(())
        })?;
        keep_nearest(&mut near);
        let ids: Vec<String> = near.iter().map(|(_, id)| id.clone()).collect();
        let mut documents = self.milvus.documents(&ids)?;
        let with_document =
            |(score, id): (f32, String)| Some(NearestRow { document: documents.remove(&id)?, id, score });
        Ok(near.into_iter().filter_map(with_document).collect())
    }

    /// Returns the papers with the given keys, in the order of the keys; papers that were deleted in the meantime are
    /// left out.
    fn papers(&self, keys: &[RowKey]) -> Result<Vec<(PaperNumber, Paper)>> {
        let ids: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
        let mut documents = self.milvus.documents(&ids)?;
        let paper = |key: &RowKey| {
            let document = documents.remove(&key.id)?;
            Some((key.number, read(&key.id, &document)?.0))
        };
        Ok(keys.iter().filter_map(paper).collect())
    }

    /// Returns the paper with this id or, if there is none, the paper with this alternate id; and the records of the
    /// paper.
    fn look_up(&self, id: &PaperId) -> Result<Option<(Paper, Vec<Paper>)>> {
        for expression in id_expressions(id) {
            if let Some(row) = self.milvus.look_up(&expression)? {
                return paper_of(&row.id, &row.document).map(Some);
            }
        }
        Ok(None)
    }
}

impl PaperStore for Collection {
    fn nearest(&self, query: &VectorQuery) -> Result<Vec<ScoredPaper>> {
        let Some(expression) = self.expression(query.filter)? else { return Ok(Vec::new()) };
        let near = match query.exact {
            true => self.scan(query, &expression)?,
            false => self.search(query, &expression)?,
        };
        let scored = |row: NearestRow| Some((row.score, read(&row.id, &row.document)?.0));
        Ok(near.into_iter().filter_map(scored).collect())
    }

    fn above(&self, _: &AboveVectorQuery) -> Result<Vec<(f32, PaperNumber)>> {
        Err(Error::Invalid(
            "above needs a data folder: a Milvus collection cannot list all papers above a score; use k and min_score"
                .into(),
        ))
    }

    /// Always empty: only papers found by [`PaperStore::above`] are read by their numbers.
    fn papers(&self, _: &[PaperNumber]) -> Result<Vec<(PaperNumber, Paper)>> {
        Ok(Vec::new())
    }

    /// Always `None`: the tested engines have no index of terms.
    fn doc_freqs(&self, _: &[&str]) -> Result<Option<DocFreqs>> {
        Ok(None)
    }

    fn search_terms(&self, _: &TermQuery) -> Result<Vec<ScoredPaper>> {
        Ok(Vec::new())
    }

    fn find(&self, id: &PaperId) -> Result<Option<(Paper, Option<Vec<f32>>)>> {
        for expression in id_expressions(id) {
            if let Some((row, vector)) = self.milvus.look_up_with_vector(&expression)? {
                return Ok(Some((paper_of(&row.id, &row.document)?.0, vector)));
            }
        }
        Ok(None)
    }

    fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let found = self.milvus.vectors(&ids)?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    fn paper(&self, id: &PaperId) -> Result<Option<Paper>> {
        Ok(self.look_up(id)?.map(|(paper, _)| paper))
    }

    fn records(&self, id: &PaperId) -> Result<Vec<Paper>> {
        Ok(self.look_up(id)?.map(|(_, records)| records).unwrap_or_default())
    }

    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<PaperPage> {
        let Some(all) = self.expression(filter)? else { return Ok(PaperPage::default()) };
        let after = after.map(after_cursor);
        let mut keys = self.newest.find(&self.milvus, &all, after.as_deref(), limit + 1)?;
        let is_more = keys.len() > limit;
        keys.truncate(limit);
        let days = |days: DayRange| (days.first > 0).then(|| (day_text(days.first), day_text(days.last)));
        let next = keys.last().map(|key| Cursor::after(days(key.days), key.number)).filter(|_| is_more);
        let papers = self.papers(&keys)?.into_iter().map(|(_, paper)| paper).collect();
        Ok(PaperPage { papers, total: self.milvus.count(&all)?, next })
    }

    fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        let (from, to) = (day_number(days.0), day_number(days.1));
        let within = format!("withdrawn == false and first >= {from} and first <= {to} and last <= {to}");
        if offset + limit > MAX_ROWS {
            return Err(Error::Invalid(format!(
                "cannot page past the first {MAX_ROWS} papers of a date range (got papers {offset} to {}); ask for \
                 fewer days",
                offset + limit
            )));
        }
        let keys = self.newest.find(&self.milvus, &within, None, offset + limit)?;
        self.papers(&keys[offset.min(keys.len())..])
    }

    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        const EXACT_DAY: &str = "withdrawn == false and first > 0 and first == last";
        let day = day_number(day);
        let before = self.newest.find(&self.milvus, &format!("{EXACT_DAY} and first < {day}"), None, 1)?;
        let after = |until: i64| format!("{EXACT_DAY} and first > {day} and first < {until}");
        let mut next = None;
        if self.milvus.count(&after(LAST_DAY + 1))? > 0 {
            let is_none_until = |until| Ok(self.milvus.count(&after(until))? == 0);
            next = i32::try_from(largest(day.into()..=LAST_DAY, is_none_until)?).ok();
        }
        Ok((before.first().map(|key| day_text(key.days.first)), next.map(day_text)))
    }

    fn last_number(&self) -> Result<PaperNumber> {
        // Numbers are times, so rows that are written later have larger numbers.
        Ok(super::rows::number_now(""))
    }

    fn lacks_vectors(&self) -> bool {
        false
    }

    fn probe_recall(&self) -> f64 {
        let probe = || -> Result<f64> {
            let ids: Vec<String> =
                self.milvus.keys("", RECALL_SAMPLE)?.into_iter().map(|key| key.id).collect();
            let vectors = self.milvus.vectors(&ids)?;
            let (mut expected, mut found) = (0, 0);
            for vector in vectors.values() {
                let nearest = self.milvus.search(vector, 10, "", THOROUGH_CANDIDATES)?;
                let min_score = nearest.last().map_or(1.0, |row| row.score) - 1e-6;
                expected += nearest.len();
                let rows = self.milvus.search(vector, 10, "", 0)?;
                found += rows.iter().filter(|row| row.score >= min_score).count();
            }
            Ok(if expected == 0 { 1.0 } else { found as f64 / expected as f64 })
        };
        probe().unwrap_or_else(|error| {
            tracing::warn!("cannot measure the recall of the index: {error}");
            f64::NAN
        })
    }

    fn for_each_chunk(&self, take: &mut dyn FnMut(Vec<StoredPaper>) -> Result<()>) -> Result<()> {
        self.milvus.scan("", 0, |keys| {
            let ids: Vec<String> = keys.into_iter().map(|key| key.id).collect();
            let (mut documents, mut vectors) = (self.milvus.documents(&ids)?, self.milvus.vectors(&ids)?);
            let stored = |id: &String| {
                let (paper, records) = read(id, &documents.remove(id)?)?;
                Some(StoredPaper { paper, records, vector: vectors.remove(id) })
            };
            take(ids.iter().filter_map(stored).collect())
        })
    }

    fn stats(&self) -> Stats {
        let cached = || self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let last = cached().clone();
        let reading = self.reading_stats.try_lock();
        // The engine can take long to answer. While one thread waits, other threads get the stats that were read last.
        if let (Some(stats), Err(TryLockError::WouldBlock)) = (&last, &reading) {
            return stats.clone();
        }
        let read = || self.milvus.count("").and_then(|papers| Ok((papers, self.milvus.indexed(papers)?)));
        let (papers, indexed) = read().unwrap_or_else(|error| {
            tracing::warn!("cannot count the papers, so the last known count is used: {error}");
            last.map(|stats| (stats.papers, stats.index.indexed)).unwrap_or_default()
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
        *cached() = Some(stats.clone());
        stats
    }

    fn is_superseded(&self) -> Result<bool> {
        Ok(false)
    }

    fn check(&self) -> Result<()> {
        let properties = self.milvus.check()?;
        let fingerprint = &self.encoder.model().fingerprint.sha256;
        match properties.get(FINGERPRINT_PROPERTY) {
            Some(found) if found == fingerprint => Ok(()),
            _ => Err(Error::Engine(format!(
                "{}: the vectors of the collection must be of the model {}, but the collection was replaced; restart `likewise serve`",
                self.milvus.settings(),
                self.encoder.model().name
            ))),
        }
    }

    fn folder(&self) -> Option<&Path> {
        None
    }
}

/// The expressions that find a row by an id of its paper, in the order in which they are tried: by id, then by
/// alternate id.
fn id_expressions(id: &PaperId) -> [String; 2] {
    let id = quoted(id.as_str());
    [format!("id == {id}"), format!("array_contains(also, {id})")]
}

/// Reads the paper of a row and its records; `None`, with a warning, if the row cannot be read.
fn read(id: &str, document: &str) -> Option<(Paper, Vec<Paper>)> {
    paper_of(id, document).inspect_err(|error| tracing::warn!("{error}")).ok()
}

/// The expression for rows after a cursor: rows with an older date, or with the same date and a smaller number. Rows
/// without a date have `first == 0`.
fn after_cursor(cursor: &Cursor) -> String {
    match cursor.parts() {
        (Some((first, last)), number) => {
            let (first, last) = (day_number(first), day_number(last));
            format!(
                "first < {first} or (first == {first} and (last < {last} or (last == {last} and number < {number})))"
            )
        }
        (None, number) => format!("first == 0 and number < {number}"),
    }
}
