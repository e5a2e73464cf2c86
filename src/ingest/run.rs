//! What is being taken in, and what was last: noted in the data folder, beside the papers.
//!
//! Its own file because others read it meanwhile: a server's status page tells how far an ingest is that is another
//! process. It is for people; nothing is decided by it, and a folder without it is whole.

use super::{Counts, writer};
use likewise_base::disk::write_atomically;
use likewise_papers::dump::BytesRead;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Longest time that is told, in seconds: what is a year from now is known to nobody.
const MOST_TOLD: f64 = 31_536_000.0;

/// Least time between two notes of one run.
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// A run of ingest, as far as it was noted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Where papers come from: a file's name; empty for those that came over HTTP.
    pub source: String,
    /// How much of it has been read, 0 to 1; `None` where its size is not known.
    pub share: Option<f64>,
    /// What became of its entries, and those of the sources before it.
    pub counts: Counts,
    /// Seconds from the start of the run to this note.
    pub seconds: f64,
    /// Seconds from the start of this source to this note.
    pub source_seconds: f64,
    /// When this was noted, in seconds since 1970.
    pub noted: i64,
    /// The number of the process.
    pub process: u32,
    /// Whether it came to its end.
    pub is_done: bool,
}

/// How a run is, by its note and by whether somebody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// It came to its end.
    Done,
    /// It was killed, or ended by an error.
    Interrupted,
}

impl Run {
    /// The last run of a data folder, or the one that goes on; `None` if none was noted, or not in a way that this
    /// version reads.
    pub fn last(data: &Path) -> Option<(Run, State)> {
        let path = path(data);
        // What is no file may never end.
        let text = path.is_file().then(|| std::fs::read(&path).ok())??;
        let mut run: Run = serde_json::from_slice(&text).ok()?;
        run.share = run.share.map(|share| share.clamp(0.0, 1.0));
        let state = match run.is_done {
            true => State::Done,
            // Somebody else may have the lock: to compact, to delete.
            false if writer(data) == Some(run.process) => State::Running,
            false => State::Interrupted,
        };
        Some((run, state))
    }

    /// Seconds that the rest of this source takes, if it goes on as it did.
    pub fn seconds_left(&self) -> Option<f64> {
        let share = self.share.filter(|share| *share > 0.0)?;
        Some(self.source_seconds * (1.0 - share) / share).filter(|seconds| *seconds < MOST_TOLD)
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("ingest.json")
}

/// Notes a run while it goes on.
pub(super) struct Notes {
    path: PathBuf,
    run: Run,
    bytes: Option<BytesRead>,
    /// Entries that were read before this source.
    read_before: u64,
    started: Instant,
    source_started: Instant,
    noted: Instant,
}

impl Notes {
    /// Of a run that begins now.
    pub fn new(data: &Path) -> Notes {
        let now = Instant::now();
        let run = Run { process: std::process::id(), ..Run::default() };
        Notes {
            path: path(data),
            run,
            bytes: None,
            read_before: 0,
            started: now,
            source_started: now,
            noted: now,
        }
    }

    /// From here on, entries come from a file.
    pub fn reads(&mut self, source: &Path, bytes: BytesRead) {
        let name = source.file_name().unwrap_or(source.as_os_str());
        self.run.source = name.to_string_lossy().into_owned();
        self.bytes = Some(bytes);
        self.read_before = self.run.counts.read;
        self.source_started = Instant::now();
        self.note();
    }

    /// More entries were taken; what an earlier run left to do is none of this one's, and its note stays until then.
    pub fn took(&mut self, counts: Counts) {
        self.run.counts += counts;
        if self.run.counts.read > 0 && self.noted.elapsed() >= NOTED_EVERY {
            self.note();
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.run.counts
    }

    /// The run is at its end; one that took nothing in is none.
    pub fn end(mut self) {
        if self.run.counts.read > 0 {
            self.run.is_done = true;
            self.note();
        }
    }

    fn note(&mut self) {
        let entries = self.run.counts.read - self.read_before;
        self.run.share = self.bytes.as_ref().and_then(|bytes| bytes.share(entries));
        self.run.seconds = self.started.elapsed().as_secs_f64();
        self.run.source_seconds = self.source_started.elapsed().as_secs_f64();
        self.run.noted = OffsetDateTime::now_utc().unix_timestamp();
        self.noted = Instant::now();
        let noted = serde_json::to_vec_pretty(&self.run).map_err(|error| error.to_string());
        let noted =
            noted.and_then(|text| write_atomically(&self.path, &text).map_err(|error| error.to_string()));
        if let Err(error) = noted {
            // The papers are what counts.
            tracing::warn!("{}: how far the ingest is could not be noted: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::lock_path;
    use crate::store::lock::WriteLock;
    use likewise_papers::dump;

    #[test]
    fn a_run_is_told_while_it_goes_on_and_when_it_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(Run::last(data), None);
        let lock = WriteLock::take(&lock_path(data)).unwrap();
        let mut notes = Notes::new(data);
        let file = data.join("dump.jsonl");
        std::fs::write(&file, r#"{"id": "2101.00001", "title": "Bees", "abstract": "They count."}"#).unwrap();
        let dump = dump::read(&file, None).unwrap();
        let bytes = dump.bytes_read.clone();
        assert_eq!(dump.entries.count(), 1);
        notes.reads(&file, bytes);
        notes.took(Counts { read: 7, ..Counts::default() });
        let (run, state) = Run::last(data).unwrap();
        assert_eq!((run.source.as_str(), run.share, state), ("dump.jsonl", Some(1.0), State::Running));
        assert_eq!(run.seconds_left(), Some(0.0));
        drop(lock);
        assert_eq!(Run::last(data).unwrap().1, State::Interrupted);
        notes.end();
        let (run, state) = Run::last(data).unwrap();
        assert_eq!((run.counts.read, state), (7, State::Done));
        let mut notes = Notes::new(data);
        notes.noted -= NOTED_EVERY;
        notes.took(Counts { encoded: 7, ..Counts::default() });
        notes.end();
        assert_eq!(Run::last(data).unwrap().0.counts.read, 7, "one that took nothing in is none");
        std::fs::write(path(data), "{").unwrap();
        assert_eq!(Run::last(data), None);
    }
}
