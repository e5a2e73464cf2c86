//! Papers that can be asked about: what holds them, and the model that reads questions.
//!
//! Its own file because every way in, a command, a route, a page, an agent's tool, asks this, wherever the papers are.

use super::checked::{self, Checked};
use super::folder::Folder;
use super::holdings::{Holdings, Whole};
use super::pipeline::Retrieved;
use super::resources::{Resources, not_here, parse};
use super::target::{self, resolve};
use super::{Answer, Hit, Like, Mode, Query, Stats, explain, pipeline};
use crate::error::{Error, Result};
use crate::ingest::{self, Intake, OpenIntake};
use crate::store::catalog::{Filter, Listed, PaperNumber, Place};
use crate::store::text::text_of_query;
use likewise_encoder::model::Curve;
use likewise_encoder::{Embedding, Encoder, Side};
use likewise_papers::{Paper, PaperId};
use std::path::Path;
use std::sync::Arc;

/// Papers, opened for answering.
pub struct Library {
    resources: Resources,
    open_intake: OpenIntake,
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
        Ok(Library::over(Box::new(folder), ingest::open_folder(data), encoder))
    }

    /// Over whatever holds papers whose vectors are this encoder's, and what opens it for writing.
    pub fn over(holdings: Box<dyn Holdings>, open_intake: OpenIntake, encoder: Arc<Encoder>) -> Library {
        Library { resources: Resources { holdings, encoder }, open_intake }
    }

    /// Opens it for writing; `None` if somebody else writes, and only one may.
    ///
    /// # Errors
    /// As [`crate::ingest::Writer::try_open`].
    pub fn intake(&self) -> Result<Option<Box<dyn Intake>>> {
        (self.open_intake)(&self.resources.encoder)
    }

    /// Whether it can be asked now.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<()> {
        self.resources.holdings.check()
    }

    /// The model it encodes queries with.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.resources.encoder
    }

    /// Where it is, if that is a data folder.
    pub fn folder(&self) -> Option<&Path> {
        self.resources.holdings.folder()
    }

    /// The newest papers that pass a filter, a page at a time.
    ///
    /// # Errors
    /// What is wrong with the filter.
    pub fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed> {
        self.resources.holdings.list(filter, after, limit)
    }

    /// The papers whose day of publication is known to be one of these, newest first, with so many passed over.
    pub fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        self.resources.holdings.published_within(days, offset, limit)
    }

    /// The last day before a day, and the first after it, that a paper is known to be of.
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        self.resources.holdings.days_around(day)
    }

    /// What each source says of the paper with this id.
    ///
    /// # Errors
    /// As [`Library::paper`].
    pub fn records(&self, id: &str) -> Result<Vec<Paper>> {
        let id = parse(id)?;
        let records = self.resources.holdings.records(&id)?;
        if records.is_empty() { Err(not_here(&id)) } else { Ok(records) }
    }

    /// The largest number of a paper: those that come have larger ones.
    pub fn last_number(&self) -> Result<PaperNumber> {
        self.resources.holdings.last_number()
    }

    /// The vector of the paper with this id; `None` if it is not here, or has none yet.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn vector(&self, id: &PaperId) -> Result<Option<Vec<f32>>> {
        Ok(self.resources.holdings.find(id)?.and_then(|(_, vector)| vector))
    }

    /// The same of many papers, in their order.
    ///
    /// # Errors
    /// As [`Library::vector`].
    pub fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        self.resources.holdings.vectors(ids)
    }

    /// Whether papers have no vector yet, as far as is known: asking about one of them takes the encoder.
    pub fn lacks_vectors(&self) -> bool {
        self.resources.holdings.lacks_vectors()
    }

    /// recall@10 of walks against the exact scan, over stored vectors that are asked for: whether the index still finds
    /// what it should. 1 where there is nothing.
    pub fn probe_recall(&self) -> f64 {
        self.resources.holdings.probe_recall()
    }

    /// All papers, some at a time.
    pub fn walk(&self, take: &mut dyn FnMut(Vec<Whole>) -> Result<()>) -> Result<()> {
        self.resources.holdings.walk(take)
    }

    /// What it holds.
    pub fn stats(&self) -> Stats {
        self.resources.holdings.stats()
    }

    /// Whether another model has taken the place of the one that this was opened with: it goes on to answer, but new
    /// papers do not reach it any more.
    pub fn is_superseded(&self) -> Result<bool> {
        self.resources.holdings.is_superseded()
    }

    /// The paper with this id, however it is written.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not here, [`Error::Invalid`] if that cannot be an id.
    pub fn paper(&self, id: &str) -> Result<Paper> {
        let id = parse(id)?;
        self.resources.holdings.paper(&id)?.ok_or_else(|| not_here(&id))
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

    /// Answers a query.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::NotFound`] say what is wrong with the query.
    pub fn search(&self, query: &Query) -> Result<Answer> {
        let query = Checked::of(query, &self.resources)?;
        let texts: Vec<_> = query.texts().map(|text| text_of_query(text)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let embeddings = self.resources.encoder.encode(&texts, Side::Query)?;
        pipeline::answer(&self.resources, &query, embeddings)
    }

    /// Answers a query whose texts were encoded already: the server encodes the texts of many queries together.
    ///
    /// # Errors
    /// As [`Library::search`]; also if texts come without their embeddings.
    pub fn search_encoded(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Answer> {
        pipeline::answer(&self.resources, &Checked::of(query, &self.resources)?, embeddings)
    }

    /// The first half of an answer to a query that is rescored: a server encodes the sentences of what it gives with other
    /// texts that wait.
    ///
    /// # Errors
    /// As [`Library::search_encoded`].
    pub fn retrieve(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Retrieved> {
        pipeline::retrieved(&self.resources, &Checked::of(query, &self.resources)?, embeddings)
    }

    /// The second half, with the vectors of [`Retrieved::sentences`]; those that the model cannot read have none.
    ///
    /// # Errors
    /// As [`Library::search_encoded`].
    pub fn finish(
        &self,
        query: &Query,
        retrieved: Retrieved,
        sentences: Vec<Option<Vec<f32>>>,
    ) -> Result<Answer> {
        pipeline::finished(&self.resources, &Checked::of(query, &self.resources)?, retrieved, sentences)
    }

    /// The unit vector that a query is answered by; the first, of several.
    ///
    /// # Errors
    /// As [`Library::search_encoded`].
    pub fn target_of(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Vec<f32>> {
        Ok(resolve(&self.resources, &Checked::of(query, &self.resources)?, embeddings)?.vector())
    }

    /// Says of the first [`MOST_EXPLAINED`](super::MOST_EXPLAINED) of a query's hits why they are.
    ///
    /// # Errors
    /// As [`Library::search_encoded`].
    pub fn explain(&self, query: &Query, embeddings: Vec<Embedding>, hits: &mut [Hit]) -> Result<()> {
        let query = Query { explain: true, ..query.clone() };
        let query = Checked::of(&query, &self.resources)?;
        let target = resolve(&self.resources, &query, embeddings)?;
        explain::explain(&self.resources, &target.aims, query.mode, hits)
    }

    /// Whether something is short texts and nothing else: what scores mean is another thing then.
    ///
    /// # Errors
    /// As [`Encoder::tokenize`].
    pub fn is_short(&self, like: &Like) -> Result<bool> {
        target::is_short(&self.resources.encoder, like)
    }

    /// Whether papers can be compared by their words, too.
    ///
    /// # Errors
    /// What holds the papers says.
    pub fn keeps_words(&self) -> Result<bool> {
        self.resources.keeps_words()
    }

    /// By what a query's papers are alike, if it does not say so itself.
    ///
    /// # Errors
    /// What holds the papers says.
    pub fn mode(&self, query: &Query) -> Result<Mode> {
        checked::mode(query, &self.resources)
    }

    /// What scores of a mode mean, if that is known: by a short text, or by what is longer and by papers.
    pub fn curve(&self, mode: Mode, is_short: bool) -> Option<Curve> {
        self.resources.curve(mode, is_short)
    }
}
