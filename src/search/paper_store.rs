//! The interface to the papers and their vectors; implemented by a data folder and by a Milvus collection.
//!
//! A [`super::Library`] uses a data folder or a collection only through this interface. Both implementations pass the
//! same tests (`tests/paper_store.rs`).

use super::{QueryTerms, Stats};
use crate::error::Result;
use crate::store::catalog::{Cursor, Filter, PaperNumber, PaperPage};
use likewise_papers::{Paper, PaperId};
use std::path::Path;

/// A paper and its cosine to the query vector, -1 to 1.
pub type ScoredPaper = (f32, Paper);

/// A paper with its records and its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPaper {
    /// The paper, merged from its records.
    pub paper: Paper,
    /// The records that the paper was merged from. If there is only one record, it equals the paper.
    pub records: Vec<Paper>,
    /// The paper's vector; `None` if the paper has no vector.
    pub vector: Option<Vec<f32>>,
}

/// A search for the papers nearest to a vector.
pub struct VectorQuery<'a> {
    /// The unit vector.
    pub vector: &'a [f32],
    /// Number of papers to find, at least 1.
    pub k: usize,
    /// Filter that the papers must pass.
    pub filter: &'a Filter,
    /// Whether to compare the vector with every paper that passes the filter, so that none of the nearest papers is
    /// missed.
    pub exact: bool,
}

/// A search for all papers whose cosine to a vector is at least a given score.
pub struct AboveVectorQuery<'a> {
    /// The unit vector.
    pub vector: &'a [f32],
    /// The lowest cosine, -1 to 1.
    pub above: f32,
    /// Filter that the papers must pass.
    pub filter: &'a Filter,
}

/// A search for the papers with the rarest terms of a query.
pub struct TermQuery<'a> {
    /// The query's terms with their weights.
    pub terms: &'a QueryTerms,
    /// Unit vector that the cosines of the found papers are computed with.
    pub vector: &'a [f32],
    /// Number of papers to find, at least 1.
    pub k: usize,
    /// Maximum number of postings to read; the shortest posting lists are read first.
    pub max_postings: usize,
    /// Minimum document frequency of a term; terms with a document frequency below it are skipped.
    pub min_doc_freq: usize,
    /// Whether to read more than `max_postings` postings if fewer than `k` papers are found; true if no other search
    /// adds candidates.
    pub fill_to_k: bool,
    /// Filter that the papers must pass.
    pub filter: &'a Filter,
}

/// Document frequencies of some terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocFreqs {
    /// Number of papers in the store.
    pub papers: usize,
    /// For each term, in the given order, the number of papers that have the term.
    pub counts: Vec<usize>,
}

/// Papers with their vectors.
pub trait PaperStore: Send + Sync {
    /// Returns the `k` nearest papers that pass the filter, in no particular order; more than `k` if several papers
    /// share a vector, fewer if fewer papers with vectors pass. A query that is not exact can miss a few of them.
    ///
    /// # Errors
    /// Returns [`crate::Error::Invalid`] if the filter is invalid or if an exact query of a collection would compare
    /// too many papers, and [`crate::Error::Engine`] if the engine of a collection cannot be reached.
    fn nearest(&self, query: &VectorQuery) -> Result<Vec<ScoredPaper>>;

    /// Returns the numbers of all papers that pass the filter and whose cosine is at least `above`, with their cosines,
    /// best first. Compares the vector with every paper that passes the filter.
    ///
    /// # Errors
    /// Returns [`crate::Error::Invalid`] if the filter is invalid, or if the store is a collection, which cannot list
    /// all papers above a score.
    fn above(&self, query: &AboveVectorQuery) -> Result<Vec<(f32, PaperNumber)>>;

    /// Returns the papers with these numbers, in order. Leaves out numbers that no paper has, because it was deleted.
    fn papers(&self, numbers: &[PaperNumber]) -> Result<Vec<(PaperNumber, Paper)>>;

    /// The document frequencies of terms; `None` if the store does not index terms.
    fn doc_freqs(&self, terms: &[&str]) -> Result<Option<DocFreqs>>;

    /// Returns at most `k` papers that pass the filter and have the largest weight of the query's terms, among the
    /// terms whose posting lists were read; in no particular order. If a filter allows at most `k` papers, returns all
    /// of them, even those without a term. The cosine of a paper without a vector is 0. Empty if the store does not
    /// index terms.
    fn search_terms(&self, query: &TermQuery) -> Result<Vec<ScoredPaper>>;

    /// The paper with this id or alternate id, and the paper's vector; `None` in place of the vector if there is none.
    fn find(&self, id: &PaperId) -> Result<Option<(Paper, Option<Vec<f32>>)>>;

    /// The vectors of papers, in the given order; `None` for a paper that is missing or has no vector. The ids must be
    /// the main ids of the papers: a collection does not look up alternate ids here.
    fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>>;

    /// The paper with this id or alternate id, without its vector.
    fn paper(&self, id: &PaperId) -> Result<Option<Paper>>;

    /// The records of the paper with this id or alternate id; empty if there is no such paper.
    fn records(&self, id: &PaperId) -> Result<Vec<Paper>>;

    /// Returns a page of at most `limit` papers that pass a filter, newest first. The page begins after the cursor
    /// `after` or, if `after` is `None`, with the newest paper.
    fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<PaperPage>;

    /// Returns at most `limit` papers that were certainly published between two days, both days included; newest first,
    /// after skipping the first `offset` papers. A paper with an inexact date, such as a month, is returned only if all
    /// days of the month are in the range. Withdrawn papers are left out. A collection returns
    /// [`crate::Error::Invalid`] if `offset + limit` is over 16,384.
    fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>>;

    /// The last day before `day` and the first day after `day` on which a paper was published; `None` in place of a day
    /// if there is no such day. Withdrawn papers, and papers whose date is only a month or a year, are ignored.
    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)>;

    /// A number that no paper's number exceeds; papers that are added later get larger numbers. In a data folder the
    /// largest paper number, in a collection a number made of the current time.
    fn last_number(&self) -> Result<PaperNumber>;

    /// Whether there are papers that the model can encode and that have no vector so far. A query with such a paper as
    /// an example has to encode the paper. The result can be slightly out of date.
    fn lacks_vectors(&self) -> bool;

    /// recall@10 of the index for a sample of stored vectors, 0 to 1; 1 for an empty store, NaN if it cannot be
    /// measured.
    fn probe_recall(&self) -> f64;

    /// Calls `take` with all papers, a chunk at a time.
    fn for_each_chunk(&self, take: &mut dyn FnMut(Vec<StoredPaper>) -> Result<()>) -> Result<()>;

    /// The counts of papers and vectors, and the state of the index.
    fn stats(&self) -> Stats;

    /// Whether the data folder has switched to another model since it was opened. Always false for a collection.
    fn is_superseded(&self) -> Result<bool>;

    /// Checks that the engine of a collection answers queries and that the collection has not been replaced by one with
    /// vectors of another model. Does nothing for a data folder.
    ///
    /// # Errors
    /// Returns [`crate::Error::Engine`] if the check fails.
    fn check(&self) -> Result<()>;

    /// The path of the data folder; `None` for a collection, which is slower because it answers over the network.
    fn folder(&self) -> Option<&Path>;
}
