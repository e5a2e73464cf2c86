//! A chunk of a dump's entries that is written in one step, to a data folder or to a collection of an external engine.

use super::Counts;
use crate::error::Result;
use crate::ingest::vector_writer::Precomputed;
use crate::store::catalog::Mutation;
use crate::store::text::{TextHash, text_of};
use likewise_papers::dump::{Entry, Refused};

/// A chunk of a dump's entries.
pub struct Chunk {
    /// The entries that could be read: papers and deletions.
    pub entries: Vec<Entry>,
    /// The vectors that the entries contained, by the hash of the text. The vectors have not been checked.
    pub precomputed: Precomputed,
    /// The counts of read and of refused entries. All other counts are 0.
    pub counts: Counts,
}

impl Chunk {
    /// Separates the vectors of entries from their papers. Refused entries are only counted; the caller reports them.
    pub fn of(read: Vec<Result<Entry, Refused>>) -> Chunk {
        let refused = read.iter().filter(|entry| entry.is_err()).count() as u64;
        let counts = Counts { read: read.len() as u64, refused, ..Counts::default() };
        let mut precomputed = Precomputed::new();
        let mut entries: Vec<Entry> = read.into_iter().filter_map(Result::ok).collect();
        for entry in &mut entries {
            if let Entry::Encoded(paper, vector) = entry {
                precomputed.insert(TextHash::of(&text_of(paper)), std::mem::take(vector));
            }
        }
        Chunk { entries, precomputed, counts }
    }

    /// Converts entries to mutations of the catalog.
    pub fn mutations(entries: &[Entry]) -> Vec<Mutation<'_>> {
        let mutations = entries.iter().map(|entry| match entry {
            Entry::Paper(paper) | Entry::Encoded(paper, _) => Mutation::Put(paper),
            Entry::Deleted(gone) => Mutation::Retract(gone),
        });
        mutations.collect()
    }
}
