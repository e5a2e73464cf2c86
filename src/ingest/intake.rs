//! What takes papers in: a data folder here, an engine elsewhere.
//!
//! Its own file because it is all that a command, or a server's writer, asks of whatever the papers go into.

use super::{Counts, Writer};
use crate::error::Result;
use crate::ingest::fill::Encode;
use likewise_encoder::Encoder;
use likewise_index::IndexStats;
use likewise_papers::PaperId;
use likewise_papers::dump::{BytesRead, Entry, Refused};
use std::path::Path;
use std::sync::Arc;

/// Opens papers for writing; gives `None` if another process writes, and only one may.
pub type OpenIntake = Box<dyn Fn(&Arc<Encoder>) -> Result<Option<Box<dyn Intake>>> + Send + Sync>;

/// Takes papers in. What [`Intake::add`] and [`Intake::delete`] return from is kept, whatever happens next.
pub trait Intake: Send {
    /// Papers without an abstract are taken, by their titles, or are not.
    fn set_title_only(&mut self, title_only: bool);

    /// Takes a chunk of a dump's entries, and gives what became of it; see [`Writer::add`].
    fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts>;

    /// The papers of what was added last that got no vector, each with the reason.
    fn take_unreadable(&mut self) -> Vec<String>;

    /// Says to others that it gives way to them when they wait.
    fn offer_turns(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether another process waits to write.
    fn is_wanted(&self) -> bool {
        false
    }

    /// Deletes papers, by any of their ids; gives which of them were here.
    fn delete(&mut self, ids: &[PaperId]) -> Result<Vec<bool>>;

    /// Encodes papers that are here and have no vector. Calls `progress` with how many are done and how many there are.
    fn catch_up(&mut self, progress: &mut dyn FnMut(usize, usize)) -> Result<u64>;

    /// Encodes by somebody else from now on, who has the same encoder, and others who wait for it.
    fn encode_by(&mut self, encode: Encode);

    /// Entries that [`Intake::add`] is best given at once.
    fn chunk(&self) -> usize;

    /// Says where the entries that follow come from, for whoever looks on.
    fn reads(&mut self, source: &Path, bytes: BytesRead);

    /// What became of all entries so far.
    fn counts(&self) -> &Counts;

    /// Brings the index up to the papers.
    fn finish(self: Box<Self>) -> Result<IndexStats>;
}

/// Opens a data folder for writing.
pub fn open_folder(data: &Path) -> OpenIntake {
    let data = data.to_owned();
    Box::new(move |encoder| {
        let writer = Writer::try_open(&data, encoder)?;
        Ok(writer.map(|writer| Box::new(writer) as Box<dyn Intake>))
    })
}

impl Intake for Writer {
    fn set_title_only(&mut self, title_only: bool) {
        self.title_only = title_only;
    }

    fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts> {
        Writer::add(self, entries)
    }

    fn take_unreadable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.space.unreadable)
    }

    fn delete(&mut self, ids: &[PaperId]) -> Result<Vec<bool>> {
        self.catalog.delete(ids)
    }

    fn catch_up(&mut self, progress: &mut dyn FnMut(usize, usize)) -> Result<u64> {
        Writer::catch_up(self, progress)
    }

    fn offer_turns(&mut self) -> Result<()> {
        Writer::offer_turns(self)
    }

    fn is_wanted(&self) -> bool {
        Writer::is_wanted(self)
    }

    fn encode_by(&mut self, encode: Encode) {
        Writer::encode_by(self, encode);
    }

    fn chunk(&self) -> usize {
        Writer::chunk(self)
    }

    fn reads(&mut self, source: &Path, bytes: BytesRead) {
        Writer::reads(self, source, bytes);
    }

    fn counts(&self) -> &Counts {
        Writer::counts(self)
    }

    fn finish(self: Box<Self>) -> Result<IndexStats> {
        Writer::finish(*self).map(|index| index.stats())
    }
}
