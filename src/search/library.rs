//! Papers that can be asked about: what holds them, and the model that reads questions.
//!
//! Its own file because every way in, a command, a route, a page, an agent's tool, asks this, wherever the papers are.

use super::folder::Folder;
use super::holdings::{Holdings, Wanted, Whole};
use super::recency::{recency, today};
use super::target::Target;
use super::{Answer, Diversity, Hit, MAX_K, Mode, Parts, Query, Ranked, Stats, diverse};
use crate::catalog::{Filter, Listed, PaperNumber, Place};
use crate::encoder::{Embedding, Encoder};
use crate::error::{Error, Result};
use crate::ingest::Intake;
use crate::model::Side;
use crate::paper::{Paper, PaperId};
use crate::text::text_of_query;
use std::path::Path;
use std::sync::Arc;

/// Papers, opened for answering.
pub struct Library {
    holdings: Box<dyn Holdings>,
    encoder: Arc<Encoder>,
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
        let folder = Folder::open(data, Arc::clone(&encoder))?;
        Ok(Library::over(Box::new(folder), encoder))
    }

    /// Over whatever holds papers whose vectors are this encoder's.
    pub fn over(holdings: Box<dyn Holdings>, encoder: Arc<Encoder>) -> Library {
        Library { holdings, encoder }
    }

    /// Opens it for writing; `None` if somebody else writes, and only one may.
    ///
    /// # Errors
    /// As [`crate::ingest::Writer::try_open`].
    pub fn intake(&self) -> Result<Option<Box<dyn Intake>>> {
        self.holdings.intake(&self.encoder)
    }

    /// Whether it can be asked now.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<()> {
        self.holdings.check()
    }

    /// The model it encodes queries with.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// Where it is, if that is a data folder.
    pub fn folder(&self) -> Option<&Path> {
        self.holdings.folder()
    }

    /// The newest papers that pass a filter, a page at a time.
    ///
    /// # Errors
    /// What is wrong with the filter.
    pub fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        self.holdings.list(filter, after, limit)
    }

    /// The papers whose day of publication is known to be one of these, newest first, with so many passed over.
    pub fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        self.holdings.published_within(days, offset, limit)
    }

    /// The last day before a day, and the first after it, that a paper is known to be of.
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        self.holdings.days_around(day)
    }

    /// What each source says of the paper with this id.
    ///
    /// # Errors
    /// As [`Library::paper`].
    pub fn records(&self, id: &str) -> Result<Vec<Paper>> {
        let id = parse(id)?;
        let records = self.holdings.records(&id)?;
        if records.is_empty() { Err(not_here(&id)) } else { Ok(records) }
    }

    /// The largest number of a paper: those that come have larger ones.
    pub fn last_number(&self) -> Result<PaperNumber> {
        self.holdings.last_number()
    }

    /// The vector of the paper with this id; `None` if it is not here, or has none yet.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn vector(&self, id: &PaperId) -> Result<Option<Vec<f32>>> {
        Ok(self.holdings.find(id)?.and_then(|(_, vector)| vector))
    }

    /// The same of many papers, in their order.
    ///
    /// # Errors
    /// As [`Library::vector`].
    pub fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        self.holdings.vectors(ids)
    }

    /// Whether papers have no vector yet, as far as is known: asking about one of them takes the encoder.
    pub fn lacks_vectors(&self) -> bool {
        self.holdings.lacks_vectors()
    }

    /// recall@10 of walks against the exact scan, over stored vectors that are asked for: whether the index still finds
    /// what it should. 1 where there is nothing.
    pub fn probe_recall(&self) -> f64 {
        self.holdings.probe_recall()
    }

    /// All papers, some at a time.
    pub fn walk(&self, take: &mut dyn FnMut(Vec<Whole>) -> Result<()>) -> Result<()> {
        self.holdings.walk(take)
    }

    /// What it holds.
    pub fn stats(&self) -> Stats {
        self.holdings.stats()
    }

    /// Whether another model has taken the place of the one that this was opened with: it goes on to answer, but new
    /// papers do not reach it any more.
    pub fn is_superseded(&self) -> Result<bool> {
        self.holdings.is_superseded()
    }

    /// The paper with this id, however it is written.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not here, [`Error::Invalid`] if that cannot be an id.
    pub fn paper(&self, id: &str) -> Result<Paper> {
        let id = parse(id)?;
        self.holdings.paper(&id)?.ok_or_else(|| not_here(&id))
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

    /// The paper with this id, and its vector, if it has one yet.
    pub(super) fn find(&self, id: &str) -> Result<(Paper, Option<Vec<f32>>)> {
        let id = parse(id)?;
        self.holdings.find(&id)?.ok_or_else(|| not_here(&id))
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
        let (hits, diversity) = self.nearest_papers(&target, query)?;
        Ok(Answer { hits, diversity, texts: target.texts, target: target.vector })
    }

    pub(super) fn holdings(&self) -> &dyn Holdings {
        &*self.holdings
    }

    fn nearest_papers(&self, target: &Target, query: &Query) -> Result<(Vec<Hit>, Option<Diversity>)> {
        let Query { k, offset, min_score, diversity, .. } = *query;
        let depth = depth(query);
        let mut pool = self.pool(target, query, depth)?;
        pool.retain(|(.., paper)| !target.excluded.contains(&paper.id));
        sort(&mut pool);
        pool.truncate(depth);
        if let Some(half_life) = query.half_life {
            let today = today();
            pool.iter_mut().for_each(|ranked| fade(ranked, half_life, today));
            sort(&mut pool);
        }
        pool.retain(|(score, ..)| min_score.is_none_or(|least| *score >= least));
        let (mut list, mut spread) = (Vec::new(), None);
        if diversity > 0.0 {
            let rest = pool.split_off(pool.len().min(MAX_K));
            let (first, of_first) = self.diversified(pool, offset + k, diversity)?;
            (list, spread, pool) = (first, Some(of_first), rest);
        }
        list.extend(pool.into_iter().map(|ranked| (ranked, Vec::new())));
        list.truncate(offset + k);
        let hit = |(place, ((score, parts, paper), nearly_the_same))| Hit {
            rank: place + 1,
            score,
            parts,
            nearly_the_same,
            paper,
        };
        Ok((list.into_iter().enumerate().skip(offset).map(hit).collect(), spread))
    }

    /// The papers that a list is made of, at least `depth` if there are as many; in no order.
    fn pool(&self, target: &Target, query: &Query, depth: usize) -> Result<Vec<Ranked>> {
        let Query { filter, exact, mode, .. } = query;
        // The queried papers may be among the nearest, and are then taken out again.
        let depth = depth + target.excluded.len();
        match mode {
            Mode::Semantic => {
                let wanted = Wanted { vector: &target.vector, k: depth, filter, exact: *exact };
                let found = self.holdings.near(&wanted)?.into_iter();
                Ok(found.map(|(score, paper)| (score, None, paper)).collect())
            }
            Mode::Lexical | Mode::Hybrid => self.by_words(target, query, depth),
        }
    }
}

/// Best first; of equal scores, by id.
fn sort(pool: &mut [Ranked]) {
    pool.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.2.id.cmp(&b.2.id)));
}

/// How many of the nearest are looked at: more than are wanted, where they are put in another order.
fn depth(Query { k, offset, diversity, half_life, .. }: &Query) -> usize {
    let wanted = offset + k;
    match *diversity > 0.0 || half_life.is_some() {
        true if wanted <= diverse::POOL / 2 => diverse::POOL,
        true => wanted.max(MAX_K),
        false => wanted,
    }
}

/// Makes a paper count less by its age.
fn fade((score, parts, paper): &mut Ranked, half_life: f32, today: f32) {
    let recency = recency(paper.published.as_deref(), half_life, today);
    let before = parts.unwrap_or(Parts { semantic: *score, lexical: None, recency: None });
    *parts = Some(Parts { recency: Some(recency), ..before });
    if *score > 0.0 {
        *score *= recency;
    }
}

fn parse(id: &str) -> Result<PaperId> {
    PaperId::parse(id).map_err(Error::Invalid)
}

fn not_here(id: &PaperId) -> Error {
    Error::NotFound(format!("no paper {:?} here; ask by text instead, or ingest it", id.as_str()))
}
