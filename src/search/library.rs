//! A library: papers opened for search, with the model that encodes queries.
//!
//! The commands, the routes, the web pages and the agents' tools all use this type, for data folders and collections
//! alike.

use super::checked_query::{self, CheckedQuery};
use super::folder::FolderStore;
use super::paper_store::{PaperStore, StoredPaper};
use super::pipeline::{RerankInput, Retrieved};
use super::resolve::{self, resolve};
use super::resources::{Resources, not_found, parse};
use super::{Above, AboveQuery, Answer, Examples, Hit, Mode, Query, QueryKind, Stats, explain, pipeline};
use crate::error::{Error, Result};
use crate::ingest::{self, OpenPaperWriter, PaperWriter};
use crate::store::catalog::{Cursor, Filter, PaperNumber, PaperPage};
use crate::store::text::text_of_query;
use likewise_encoder::model::Curve;
use likewise_encoder::{Embedding, Encoder, InputType, Reranker};
use likewise_papers::{Paper, PaperId};
use std::path::Path;
use std::sync::Arc;

/// Papers opened for search.
pub struct Library {
    resources: Resources,
    open_paper_writer: OpenPaperWriter,
}

impl Library {
    /// Opens a data folder. Each query sees everything that any process wrote to the folder before the query.
    ///
    /// If an ingest was interrupted, its work is finished first. If another process is writing at that time, or if the
    /// work fails, for example because the disk is full, the folder is opened without this work.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if the folder has no catalog, or if another model computed its vectors.
    pub fn open(data: &Path, encoder: Arc<Encoder>) -> Result<Library> {
        let folder = FolderStore::open(data, Arc::clone(&encoder))?;
        Ok(Library::over(Box::new(folder), ingest::open_folder(data), encoder))
    }

    /// Makes a library of a store whose vectors were computed by the model of `encoder`. `open_paper_writer` opens the
    /// store for writing.
    pub fn over(
        store: Box<dyn PaperStore>,
        open_paper_writer: OpenPaperWriter,
        encoder: Arc<Encoder>,
    ) -> Library {
        Library { resources: Resources { store, encoder, reranker: None }, open_paper_writer }
    }

    /// Returns this library with a cross-encoder, which reranks the answers to queries that set [`Query::rerank`].
    pub fn with_reranker(mut self, reranker: Option<Arc<Reranker>>) -> Library {
        self.resources.reranker = reranker;
        self
    }

    /// The cross-encoder that reranks, if there is one.
    pub fn reranker(&self) -> Option<&Arc<Reranker>> {
        self.resources.reranker.as_ref()
    }

    /// Opens the library for writing; `None` if the library allows only one writer and another process is writing.
    ///
    /// # Errors
    /// Returns the errors of [`crate::ingest::FolderWriter::try_open`].
    pub fn paper_writer(&self) -> Result<Option<Box<dyn PaperWriter>>> {
        (self.open_paper_writer)(&self.resources.encoder)
    }

    /// Checks that the engine of a collection answers queries, and that the collection was not replaced by one with
    /// vectors of another model. Does nothing for a data folder.
    ///
    /// # Errors
    /// Returns [`Error::Engine`] if the check fails.
    pub fn check(&self) -> Result<()> {
        self.resources.store.check()
    }

    /// The model that encodes queries.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.resources.encoder
    }

    /// The data folder; `None` for a collection.
    pub fn folder(&self) -> Option<&Path> {
        self.resources.store.folder()
    }

    /// Returns a page of at most `limit` papers that pass a filter, newest first. The page begins after the cursor
    /// `after` or, if `after` is `None`, with the newest paper.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the filter is invalid.
    pub fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<PaperPage> {
        self.resources.store.list(filter, after, limit)
    }

    /// Returns at most `limit` papers that were certainly published between two days, both days included; newest first,
    /// after skipping the first `offset` papers. Withdrawn papers are left out; see [`PaperStore::published_within`].
    pub fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>> {
        self.resources.store.published_within(days, offset, limit)
    }

    /// The last day before `day` and the first day after `day` on which a paper was published; `None` in place of a day
    /// if there is no such day. Withdrawn papers, and papers whose date is only a month or a year, are ignored.
    pub fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)> {
        self.resources.store.days_around(day)
    }

    /// The records that a paper was merged from.
    ///
    /// # Errors
    /// Returns the errors of [`Library::paper`].
    pub fn records(&self, id: &str) -> Result<Vec<Paper>> {
        let id = parse(id)?;
        let records = self.resources.store.records(&id)?;
        if records.is_empty() { Err(not_found(&id)) } else { Ok(records) }
    }

    /// A number that no paper's number exceeds; papers that are added later get larger numbers. In a data folder the
    /// largest paper number, in a collection a number made of the current time.
    pub fn last_number(&self) -> Result<PaperNumber> {
        self.resources.store.last_number()
    }

    /// The vector of the paper with this id or alternate id; `None` if there is no such paper or the paper has no
    /// vector.
    ///
    /// # Errors
    /// Returns the store's error if the store cannot be read.
    pub fn vector(&self, id: &PaperId) -> Result<Option<Vec<f32>>> {
        Ok(self.resources.store.find(id)?.and_then(|(_, vector)| vector))
    }

    /// The vectors of several papers, in the given order; see [`Library::vector`]. The ids must be the main ids of the
    /// papers: a collection does not look up alternate ids here.
    ///
    /// # Errors
    /// Returns the errors of [`Library::vector`].
    pub fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>> {
        self.resources.store.vectors(ids)
    }

    /// Whether there are papers that the model can encode and that have no vector so far. A query with such a paper as
    /// an example has to encode the paper. The result can be slightly out of date.
    pub fn lacks_vectors(&self) -> bool {
        self.resources.store.lacks_vectors()
    }

    /// recall@10 of the index for a sample of stored vectors, 0 to 1; 1 for an empty library, NaN if it cannot be
    /// measured.
    pub fn probe_recall(&self) -> f64 {
        self.resources.store.probe_recall()
    }

    /// Calls `take` with all papers, a chunk at a time.
    pub fn for_each_chunk(&self, take: &mut dyn FnMut(Vec<StoredPaper>) -> Result<()>) -> Result<()> {
        self.resources.store.for_each_chunk(take)
    }

    /// The counts of papers and vectors, and the state of the index.
    pub fn stats(&self) -> Stats {
        self.resources.store.stats()
    }

    /// Whether the data folder has switched to another model. After the switch, this library still answers queries, but
    /// does not see new papers. Always false for a collection.
    pub fn is_superseded(&self) -> Result<bool> {
        self.resources.store.is_superseded()
    }

    /// The paper with this id or alternate id, in any notation.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if the library has no such paper, [`Error::Invalid`] if `id` is not a valid id.
    pub fn paper(&self, id: &str) -> Result<Paper> {
        let id = parse(id)?;
        self.resources.store.paper(&id)?.ok_or_else(|| not_found(&id))
    }

    /// Like [`Library::paper`], but returns `None` if the library has no such paper or `id` is not a valid id.
    ///
    /// # Errors
    /// Returns the store's error if the store cannot be read.
    pub fn find_paper(&self, id: &str) -> Result<Option<Paper>> {
        match self.paper(id) {
            Err(Error::NotFound(_) | Error::Invalid(_)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Answers a query.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the query is invalid or a paper of the query has neither a vector nor a text that
    /// the model can encode, [`Error::NotFound`] if the library lacks a paper of the query.
    pub fn search(&self, query: &Query) -> Result<Answer> {
        let query = CheckedQuery::of(query, &self.resources)?;
        let embeddings = self.embeddings(&query)?;
        pipeline::answer(&self.resources, &query, embeddings)
    }

    /// Encodes the texts of a query.
    fn embeddings(&self, query: &Query) -> Result<Vec<Embedding>> {
        let texts: Vec<_> = query.texts().map(|text| text_of_query(text)).collect();
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        Ok(self.resources.encoder.encode(&texts, InputType::Query)?)
    }

    /// Answers a query with the given embeddings of [`Query::texts`]. The server uses this function, because it encodes
    /// the texts of many queries in one batch.
    ///
    /// # Errors
    /// Returns the errors of [`Library::search`], and [`Error::Invalid`] if the number of embeddings is wrong.
    pub fn search_encoded(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Answer> {
        pipeline::answer(&self.resources, &CheckedQuery::of(query, &self.resources)?, embeddings)
    }

    /// Runs the first half of a search, for a query that is reranked: retrieves the candidates. The caller then encodes
    /// [`Retrieved::sentences`], or scores [`Retrieved::pairs`], and passes the result to [`Library::finish`]. This lets
    /// the server run the models on batches with other texts.
    ///
    /// # Errors
    /// Returns the errors of [`Library::search_encoded`].
    pub fn retrieve(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Retrieved> {
        pipeline::retrieve(&self.resources, &CheckedQuery::of(query, &self.resources)?, embeddings)
    }

    /// Completes the answer to a query with what a model has computed for its candidates.
    ///
    /// # Errors
    /// Returns the errors of [`Library::search_encoded`].
    pub fn finish(&self, query: &Query, retrieved: Retrieved, input: RerankInput) -> Result<Answer> {
        pipeline::finish(&self.resources, &CheckedQuery::of(query, &self.resources)?, retrieved, input)
    }

    /// Finds all papers above a score. [`Library::next_above`] reads the papers. `embeddings` are the embeddings of the
    /// query's texts.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the query is invalid or the library is a Milvus collection, and
    /// [`Error::NotFound`] if the library lacks a paper of the query.
    pub fn above_encoded(&self, query: &AboveQuery, embeddings: Vec<Embedding>) -> Result<Above> {
        Above::find(&self.resources, query, embeddings)
    }

    /// Like [`Library::above_encoded`], but encodes the query's texts.
    pub fn above(&self, query: &AboveQuery) -> Result<Above> {
        query.check()?;
        let embeddings = self.embeddings(query.as_query())?;
        self.above_encoded(query, embeddings)
    }

    /// Reads the next papers, best first: at most 64. Empty: there are no more.
    pub fn next_above(&self, above: &mut Above) -> Result<Vec<Hit>> {
        above.next_chunk(&self.resources)
    }

    /// The unit vector of a query's first sub-query.
    ///
    /// # Errors
    /// Returns the errors of [`Library::search_encoded`].
    pub fn query_vector(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Vec<f32>> {
        Ok(resolve(&self.resources, &CheckedQuery::of(query, &self.resources)?, embeddings)?.into_vector())
    }

    /// Explains the first [`MAX_EXPLAINED`](super::MAX_EXPLAINED) of the given hits, which are hits of the query.
    ///
    /// # Errors
    /// Returns the errors of [`Library::search_encoded`].
    pub fn explain(&self, query: &Query, embeddings: Vec<Embedding>, hits: &mut [Hit]) -> Result<()> {
        let query = Query { explain: true, ..query.clone() };
        let query = CheckedQuery::of(&query, &self.resources)?;
        let resolved = resolve(&self.resources, &query, embeddings)?;
        explain::explain(&self.resources, &resolved.sub_queries, query.mode, hits)
    }

    /// Returns the kind of a query with these examples; each kind has a calibration of its own.
    ///
    /// # Errors
    /// Returns the errors of [`Encoder::tokenize`].
    pub fn query_kind(&self, examples: &Examples) -> Result<QueryKind> {
        resolve::query_kind(&self.resources.encoder, examples)
    }

    /// Whether the store indexes terms, which lexical and hybrid search need.
    ///
    /// # Errors
    /// Returns the store's error if the store cannot be read.
    pub fn indexes_terms(&self) -> Result<bool> {
        self.resources.indexes_terms()
    }

    /// Returns the mode of a query, or the default mode if the query has none.
    ///
    /// # Errors
    /// Returns the store's error if the store cannot be read.
    pub fn mode(&self, query: &Query) -> Result<Mode> {
        checked_query::mode(query, &self.resources)
    }

    /// The curve that turns scores into probabilities; `None` if the model is not calibrated.
    pub fn curve(&self, mode: Mode, kind: QueryKind) -> Option<Curve> {
        self.resources.curve(mode, kind)
    }
}
