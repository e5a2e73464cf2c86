//! The counts that writers, commands, the server and the status page report about an ingest.

use crate::store::catalog::MutationOutcome;
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// How many entries of an ingest were read, added, refused and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Entries read from the dumps, including the entries that are counted in `refused`.
    pub read: u64,
    /// Papers that were not in the catalog.
    pub added: u64,
    /// Records that replaced an older version of themselves.
    pub replaced: u64,
    /// Records that were merged into a paper that another record had added.
    /// (The field is called `folded` in files of version 0.1.)
    #[serde(alias = "folded")]
    pub merged: u64,
    /// Records and deletions that changed nothing: the catalog already had the record, or had no such record from the
    /// deletion's source.
    pub unchanged: u64,
    /// Records that were deleted because a dump says so.
    pub deleted: u64,
    /// Records that were skipped because they have no abstract. A record of a paper in the catalog is not skipped.
    pub without_abstract: u64,
    /// Entries that could not be read. For `likewise embed` and for a collection of an external engine, also papers
    /// whose text the model cannot read.
    pub refused: u64,
    /// Texts encoded.
    pub encoded: u64,
    /// Tokens of the encoded texts.
    pub tokens: u64,
    /// Texts whose vectors came with the dump.
    pub taken: u64,
    /// Texts without a vector, because the model cannot read them or its vector is invalid. Only lexical search finds
    /// the papers of these texts.
    pub without_vector: u64,
}

impl Counts {
    /// All counts except `tokens`, each with its name for display. The first [`Counts::ALWAYS_SHOWN`] counts are always
    /// displayed, all later counts only if they are not 0.
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("read", self.read),
            ("added", self.added),
            ("replaced", self.replaced),
            ("unchanged", self.unchanged),
            ("refused", self.refused),
            ("encoded", self.encoded),
            ("merged", self.merged),
            ("deleted", self.deleted),
            ("without abstract", self.without_abstract),
            ("vectors taken", self.taken),
            ("without vector", self.without_vector),
        ]
    }

    /// Number of counts, from the start of [`Counts::named`], that are displayed even if they are 0.
    pub const ALWAYS_SHOWN: usize = 6;

    /// Counts the outcome of one entry.
    pub fn count(&mut self, outcome: MutationOutcome) {
        *match outcome {
            MutationOutcome::Added => &mut self.added,
            MutationOutcome::Replaced => &mut self.replaced,
            MutationOutcome::Merged => &mut self.merged,
            MutationOutcome::Unchanged | MutationOutcome::NotFound => &mut self.unchanged,
            MutationOutcome::WithoutAbstract => &mut self.without_abstract,
            MutationOutcome::Retracted => &mut self.deleted,
        } += 1;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        let Counts {
            read,
            added,
            replaced,
            merged,
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
        self.merged += merged;
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
