//! What holds papers with their vectors, and finds those near to one: a data folder here, an engine elsewhere.
//!
//! Its own file because it is all that a [`super::Library`] asks of whatever it stands on. Every implementation gives the
//! same answers; the contract's tests are written once, over this.

use super::{QueryTerms, Stats};
use crate::error::Result;
use crate::store::catalog::{Filter, Listed, PaperNumber, Place};
use likewise_papers::{Paper, PaperId};
use std::path::Path;

/// A paper and its cosine to what was asked, -1 to 1.
pub type Scored = (f32, Paper);

/// A paper, all that its sources say of it, and its vector, if it has one yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The paper.
    pub paper: Paper,
    /// What each source says; if that is one only, the paper itself.
    pub records: Vec<Paper>,
    /// Its vector.
    pub vector: Option<Vec<f32>>,
}

/// What a paper should be like to be found.
pub struct Wanted<'a> {
    /// A unit vector that it should be near to.
    pub vector: &'a [f32],
    /// How many, at least 1.
    pub k: usize,
    /// Which papers may be found.
    pub filter: &'a Filter,
    /// Compare with every paper, and miss none.
    pub exact: bool,
}

/// What terms a paper should have to be found.
pub struct WantedTerms<'a> {
    /// What the question's terms tell.
    pub terms: &'a QueryTerms,
    /// A unit vector, for the papers' cosines.
    pub vector: &'a [f32],
    /// How many, at least 1.
    pub k: usize,
    /// Entries of terms' lists that may be gone through, the shortest lists first.
    pub entries: usize,
    /// Lists of fewer papers are passed over.
    pub least: usize,
    /// Whether papers are found by nothing else: then longer lists are begun, until there are `k`.
    pub alone: bool,
    /// Which papers may be found.
    pub filter: &'a Filter,
}

/// In how many papers terms are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermCounts {
    /// Papers in all.
    pub papers: usize,
    /// Those that have each of the terms, in their order.
    pub with: Vec<usize>,
}

/// Papers with their vectors.
pub trait Holdings: Send + Sync {
    /// The `k` nearest papers that pass the filter, in no order; more, if several have one vector.
    ///
    /// # Errors
    /// What the filter or the engine says.
    fn near(&self, wanted: &Wanted) -> Result<Vec<Scored>>;

    /// In how many papers terms are; `None` where terms are not kept.
    fn counts_of_terms(&self, terms: &[&str]) -> Result<Option<TermCounts>>;

    /// Papers that have some of the rarest terms of a question and pass the filter, with their cosines, 0 where there is no
    /// vector yet; in no order.
    fn with_terms(&self, wanted: &WantedTerms) -> Result<Vec<Scored>>;

    /// The paper with this id, whichever of its ids it is; and its vector, `None` if it has none yet.
    fn find(&self, id: &PaperId) -> Result<Option<(Paper, Option<Vec<f32>>)>>;

    /// The vectors of papers, in their order; `None` for one that is not here, or has none yet.
    fn vectors(&self, ids: &[PaperId]) -> Result<Vec<Option<Vec<f32>>>>;

    /// The paper alone.
    fn paper(&self, id: &PaperId) -> Result<Option<Paper>>;

    /// What each source says of the paper with this id; nothing, if it is not here.
    fn records(&self, id: &PaperId) -> Result<Vec<Paper>>;

    /// The newest papers that pass a filter and come after a place, at most so many.
    fn list(&self, filter: &Filter, after: Option<&Place>, limit: usize) -> Result<Listed>;

    /// The papers whose day of publication is known to be one of these, newest first, with so many passed over.
    fn published_within(
        &self,
        days: (&str, &str),
        offset: usize,
        limit: usize,
    ) -> Result<Vec<(PaperNumber, Paper)>>;

    /// The last day before a day, and the first after it, that a paper is known to be of.
    fn days_around(&self, day: &str) -> Result<(Option<String>, Option<String>)>;

    /// The largest number of a paper: those that come have larger ones.
    fn last_number(&self) -> Result<PaperNumber>;

    /// Whether papers have no vector yet, as far as is known: asking about one of them takes the encoder.
    fn lacks_vectors(&self) -> bool;

    /// recall@10 against the exact scan, over stored vectors that are asked for; 1 where there is nothing.
    fn probe_recall(&self) -> f64;

    /// All papers, some at a time.
    fn walk(&self, take: &mut dyn FnMut(Vec<Whole>) -> Result<()>) -> Result<()>;

    /// What there is.
    fn stats(&self) -> Stats;

    /// Whether another model has taken the place of the one that this was opened with.
    fn is_superseded(&self) -> Result<bool>;

    /// Whether it can be asked now.
    ///
    /// # Errors
    /// Says why not.
    fn check(&self) -> Result<()>;

    /// Where it is, if that is a data folder. Asking one of those is quick; anything else may keep one waiting.
    fn folder(&self) -> Option<&Path>;
}
