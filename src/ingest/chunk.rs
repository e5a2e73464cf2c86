//! Entries of a dump that are taken in at once: what they do to the papers, and the vectors that come along.
//!
//! Its own file because it is read in the same way whatever the papers go into.

use super::Counts;
use crate::error::Result;
use crate::ingest::fill::Known;
use crate::store::catalog::Act;
use crate::store::text::{TextHash, text_of};
use likewise_papers::dump::{Entry, Refused};

/// Entries of a dump that are taken in at once.
pub struct Chunk {
    /// Those that are papers, or say that one is gone.
    pub entries: Vec<Entry>,
    /// The vectors that came with them, whatever they are worth.
    pub known: Known,
    /// How many were read, and how many refused.
    pub counts: Counts,
}

impl Chunk {
    /// Reads them. Refused entries are only counted; telling of them is the caller's.
    pub fn of(entries: Vec<Result<Entry, Refused>>) -> Chunk {
        let refused = entries.iter().filter(|entry| entry.is_err()).count() as u64;
        let counts = Counts { read: entries.len() as u64, refused, ..Counts::default() };
        let mut known = Known::new();
        let mut entries: Vec<Entry> = entries.into_iter().filter_map(Result::ok).collect();
        for entry in &mut entries {
            if let Entry::Encoded(paper, vector) = entry {
                known.insert(TextHash::of(&text_of(paper)), std::mem::take(vector));
            }
        }
        Chunk { entries, known, counts }
    }

    /// What entries do to the papers.
    pub fn acts(entries: &[Entry]) -> Vec<Act<'_>> {
        let acts = entries.iter().map(|entry| match entry {
            Entry::Paper(paper) | Entry::Encoded(paper, _) => Act::Put(paper),
            Entry::Deleted(gone) => Act::Retract(gone),
        });
        acts.collect()
    }
}
