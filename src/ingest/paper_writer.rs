//! The interface for writing papers, to a data folder or to a collection of an external engine.
//!
//! Commands and the server add papers only through this trait. The command `likewise delete` does not use it.

use super::{Counts, FolderWriter};
use crate::error::Result;
use crate::ingest::vector_writer::{EncodeFn, EncodeProgress};
use likewise_encoder::Encoder;
use likewise_index::IndexStats;
use likewise_papers::PaperId;
use likewise_papers::dump::{BytesRead, Entry, Refused};
use std::path::Path;
use std::sync::Arc;

/// Opens a writer. Returns `None` if only one process at a time is allowed to write, and another process is writing or
/// waiting to write.
pub type OpenPaperWriter = Box<dyn Fn(&Arc<Encoder>) -> Result<Option<Box<dyn PaperWriter>>> + Send + Sync>;

/// Writes papers. When [`PaperWriter::add`] or [`PaperWriter::delete`] returns, the changes of that call are durable.
pub trait PaperWriter: Send {
    /// Sets whether new papers without an abstract are accepted. Only the title of such a paper is encoded. The default
    /// is `false`.
    fn set_title_only(&mut self, title_only: bool);

    /// Writes a chunk of a dump's entries; returns the counts of this chunk. See [`FolderWriter::add`].
    fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts>;

    /// Removes and returns the papers that got no vector in the last [`PaperWriter::add`], each with the reason.
    fn take_unreadable(&mut self) -> Vec<String>;

    /// Announces to other processes that this process releases the write lock soon after another process waits for the
    /// lock. Does nothing if the writer has no lock.
    fn announce_yielding(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether another process is waiting for the write lock. `false` if the writer has no lock.
    fn has_waiters(&self) -> bool {
        false
    }

    /// Deletes papers. Each id can be the id or an alternate id of a paper. Returns for each id whether its paper was
    /// present.
    fn delete(&mut self, ids: &[PaperId]) -> Result<Vec<bool>>;

    /// Encodes the stored papers that have no vector; returns how many texts were encoded.
    fn catch_up(&mut self, progress: &mut dyn FnMut(EncodeProgress)) -> Result<u64>;

    /// Sets the function that encodes texts, for example a function that submits them to a queue which several callers
    /// share. The function must use the encoder of this writer.
    fn set_encode_fn(&mut self, encode_fn: EncodeFn);

    /// Recommended number of entries per call of [`PaperWriter::add`].
    fn chunk_size(&self) -> usize;

    /// Writes down that the next entries come from the file at `path`; the status page of a data folder shows it. Does
    /// nothing for a collection of an external engine.
    fn start_source(&mut self, path: &Path, bytes_read: BytesRead);

    /// The counts of all entries since the writer was opened, and of the texts that [`PaperWriter::catch_up`] encoded.
    fn counts(&self) -> &Counts;

    /// Updates the index to include all papers, and closes the writer.
    fn finish(self: Box<Self>) -> Result<IndexStats>;
}

/// Returns a function that opens a data folder for writing.
pub fn open_folder(data: &Path) -> OpenPaperWriter {
    let data = data.to_owned();
    Box::new(move |encoder| {
        let writer = FolderWriter::try_open(&data, encoder)?;
        Ok(writer.map(|writer| Box::new(writer) as Box<dyn PaperWriter>))
    })
}

impl PaperWriter for FolderWriter {
    fn set_title_only(&mut self, title_only: bool) {
        self.title_only = title_only;
    }

    fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts> {
        FolderWriter::add(self, entries)
    }

    fn take_unreadable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.vectors.unreadable_papers)
    }

    fn delete(&mut self, ids: &[PaperId]) -> Result<Vec<bool>> {
        self.catalog.delete(ids)
    }

    fn catch_up(&mut self, progress: &mut dyn FnMut(EncodeProgress)) -> Result<u64> {
        FolderWriter::catch_up(self, progress)
    }

    fn announce_yielding(&mut self) -> Result<()> {
        FolderWriter::announce_yielding(self)
    }

    fn has_waiters(&self) -> bool {
        FolderWriter::has_waiters(self)
    }

    fn set_encode_fn(&mut self, encode_fn: EncodeFn) {
        FolderWriter::set_encode_fn(self, encode_fn);
    }

    fn chunk_size(&self) -> usize {
        FolderWriter::chunk_size(self)
    }

    fn start_source(&mut self, path: &Path, bytes_read: BytesRead) {
        FolderWriter::start_source(self, path, bytes_read);
    }

    fn counts(&self) -> &Counts {
        FolderWriter::counts(self)
    }

    fn finish(self: Box<Self>) -> Result<IndexStats> {
        FolderWriter::finish(*self).map(|index| index.stats())
    }
}
