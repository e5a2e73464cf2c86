//! The interface to the papers and their vectors; implemented by a data folder and by a Milvus collection.
//!
//! It is all that a [`super::Library`] needs of either. Both implementations pass the same tests
//! (`tests/paper_store.rs`).

use super::{QueryTerms, Stats};
use crate::error::Result;
use crate::store::catalog::{Cursor, Filter, PaperNumber, PaperPage};
use likewise_papers::{Paper, PaperId};
use std::path::Path;

/// A paper and its cosine to the query vector, -1 to 1.
pub type ScoredPaper = (f32, Paper);

/// A paper with everything that the store has of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPaper {
    /// The paper, merged from its records.
    pub paper: Paper,
    /// One record for each source; a paper with a single record is that record.
    pub records: Vec<Paper>,
    /// Its vector; `None` if it has none.
    pub vector: Option<Vec<f32>>,
}

/// A search for the papers nearest to a vector.
pub struct VectorQuery<'a> {
    /// The unit vector.
    pub vector: &'a [f32],
    /// Number of papers, at least 1.
    pub k: usize,
    /// Which papers may be found.
    pub filter: &'a Filter,
    /// Compare with every paper, so that none is missed.
    pub exact: bool,
}

/// A search for the papers with the rarest terms of a query.
pub struct TermQuery<'a> {
    /// The query's terms with their weights.
    pub terms: &'a QueryTerms,
    /// Unit vector for the cosines of the papers that are found.
    pub vector: &'a [f32],
    /// Number of papers, at least 1.
    pub k: usize,
    /// Maximum number of postings to read; the shortest posting lists are read first.
    pub max_postings: usize,
    /// Terms with a lower document frequency are skipped.
    pub min_doc_freq: usize,
    /// Read on beyond `max_postings` until `k` papers are found: set where no other search adds candidates.
    pub fill_to_k: bool,
    /// Which papers may be found.
    pub filter: &'a Filter,
}

/// Document frequencies of some terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocFreqs {
    /// Number of papers in the store.
    pub papers: usize,
    /// For each term, in the given order, the number of papers that have it.
    pub counts: Vec<usize>,
}

/// Papers with their vectors.
pub trait PaperStore: Send + Sync {
    /// The `k` nearest papers that pass the filter, in no order; more if several papers share a vector.
    ///
    /// # Errors
    /// Returns [`crate::Error::Invalid`] if the filter is invalid or the query compares too many papers, and
    /// [`crate::Error::Engine`] if the engine cannot be reached.
    fn nearest(&self, query: &VectorQuery) -> Result<Vec<ScoredPaper>>;

    /// The document frequencies of terms; `None` if the store does not index terms.
    fn doc_freqs(&self, terms: &[&str]) -> Result<Option<DocFreqs>>;

    /// The papers that pass the filter and have most of the weight of the terms read, in no order. Their cosine is 0 if
    /// they have no vector.
    fn search_terms(&self, query: &TermQuery) -> Result<Vec<ScoredPaper>>;

    /// The paper with this id or alternate id, and its vector; the vector is `None` if it has none.
    fn find(&self, id: &PaperId) -> Result<Option<(Paper, Option<Vec<f32>>)>>;

    /// The vectors of papers, in the given order; `None` for a paper that is missing or has no vector.
    fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>>;

    /// The paper with this id or alternate id, without its vector.
    fn paper(&self, id: &PaperId) -> Result<Option<Paper>>;

    /// The records of the paper with this id or alternate id, one for each source; empty if there is no such paper.
    fn records(&self, id: &PaperId) -> Result<Vec<Paper>>;

    /// A page of the papers that pass a filter, newest first: those after `after`, at most `limit`.
    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<PaperPage>;

    /// The papers that were certainly published between two days, both included; newest first, after skipping `offset`.
    /// Withdrawn papers are left out.
    fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>>;

    /// The last day before `day` and the first day after it on which a paper was published; `None` if there is none.
    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)>;

    /// The largest paper number; papers added later have larger ones.
    fn last_number(&self) -> Result<PaperNumber>;

    /// Whether some papers that could have a vector have none yet; a query by such a paper has to encode it. May lag
    /// behind.
    fn lacks_vectors(&self) -> bool;

    /// recall@10 of the index for a sample of stored vectors, 0 to 1; 1 for an empty store, NaN if it cannot be
    /// measured.
    fn probe_recall(&self) -> f64;

    /// Passes all papers to `take`, a chunk at a time.
    fn for_each_chunk(&self, take: &mut dyn FnMut(Vec<StoredPaper>) -> Result<()>) -> Result<()>;

    /// The numbers of papers and vectors, and the state of the index.
    fn stats(&self) -> Stats;

    /// Whether the store has switched to another model since it was opened.
    fn is_superseded(&self) -> Result<bool>;

    /// Checks that the store can answer queries.
    ///
    /// # Errors
    /// Returns [`crate::Error::Engine`] if it cannot.
    fn check(&self) -> Result<()>;

    /// The data folder; `None` for a collection, which answers over the network and so less quickly.
    fn folder(&self) -> Option<&Path>;
}
