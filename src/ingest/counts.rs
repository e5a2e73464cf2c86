//! What became of the entries of a run.
//!
//! Its own file because whoever takes papers in, and whoever tells of it, count the same.

use crate::store::catalog::Outcome;
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// What became of the entries of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Entries read from the dumps.
    pub read: u64,
    /// Papers that were not here.
    pub added: u64,
    /// Records that were here with something changed.
    pub replaced: u64,
    /// Records whose papers were here by another.
    pub folded: u64,
    /// Records that were here with nothing changed.
    pub unchanged: u64,
    /// Records that the dumps took out.
    pub deleted: u64,
    /// Records left out because they have no abstract.
    pub without_abstract: u64,
    /// Entries that are no papers.
    pub refused: u64,
    /// Texts encoded.
    pub encoded: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Texts whose vectors came with them.
    pub taken: u64,
    /// Texts that the model cannot read: their papers are found by their words only.
    pub without_vector: u64,
}

impl Counts {
    /// What was counted, by what it is called: first what there always is, then from [`Counts::OFTEN`] on what there
    /// seldom is.
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("read", self.read),
            ("added", self.added),
            ("replaced", self.replaced),
            ("unchanged", self.unchanged),
            ("refused", self.refused),
            ("encoded", self.encoded),
            ("folded", self.folded),
            ("deleted", self.deleted),
            ("without abstract", self.without_abstract),
            ("vectors taken", self.taken),
            ("without vector", self.without_vector),
        ]
    }

    /// See [`Counts::named`].
    pub const OFTEN: usize = 6;

    /// Counts what became of one.
    pub fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Added => &mut self.added,
            Outcome::Replaced => &mut self.replaced,
            Outcome::Folded => &mut self.folded,
            Outcome::Unchanged | Outcome::NotHere => &mut self.unchanged,
            Outcome::WithoutAbstract => &mut self.without_abstract,
            Outcome::Retracted => &mut self.deleted,
        } += 1;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        let Counts {
            read,
            added,
            replaced,
            folded,
            unchanged,
            deleted,
            without_abstract,
            refused,
            encoded,
            tokens,
            taken,
            without_vector,
        } = other;
        self.read += read;
        self.added += added;
        self.replaced += replaced;
        self.folded += folded;
        self.unchanged += unchanged;
        self.deleted += deleted;
        self.without_abstract += without_abstract;
        self.refused += refused;
        self.encoded += encoded;
        self.tokens += tokens;
        self.taken += taken;
        self.without_vector += without_vector;
    }
}
