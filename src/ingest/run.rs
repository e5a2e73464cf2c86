//! Records the progress of the current or last ingest in the data folder (`ingest.json`).
//!
//! The status page of a server shows this progress, even if another process ingests. The file is for display only: no
//! code depends on it, and it can be missing.

use super::{Counts, writing_process};
use likewise_base::disk::write_atomically;
use likewise_papers::dump::BytesRead;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Maximum remaining time that is displayed, in seconds: one year. Longer estimates are meaningless.
const MAX_SECONDS_LEFT: f64 = 31_536_000.0;

/// Minimum time between a write of the file and the next write by [`RunRecorder::add`]. The start of a dump and the end
/// of the run are always written.
const MIN_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// A run of `ingest`, as it was last recorded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestRun {
    /// Name of the file that is being read, or was read last, without its folder. Empty if the papers come over HTTP.
    pub source: String,
    /// The fraction of the file that has been read, from 0 to 1. `None` if neither the size of the file nor its number
    /// of entries is known.
    pub share: Option<f64>,
    /// Counts of the entries of all files of this run.
    pub counts: Counts,
    /// Seconds from the start of the run to the time of this record.
    pub seconds: f64,
    /// Seconds from the start of this file to the time of this record.
    pub source_seconds: f64,
    /// Unix time of this record, in seconds.
    pub noted: i64,
    /// Id of the process that ingests.
    pub process: u32,
    /// Whether the run is complete.
    pub is_done: bool,
}

/// The state of a run, derived from its record and the write lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestState {
    /// The run is in progress.
    Running,
    /// The run is complete.
    Done,
    /// The run ended with an error, its process was killed, or its dumps had no entries.
    Interrupted,
}

impl IngestRun {
    /// The current or last run of a data folder. `None` if there is no record that this version can read.
    pub fn last(data: &Path) -> Option<(IngestRun, IngestState)> {
        let path = path(data);
        // Only a regular file is read, because reading a pipe or a device might never end.
        let text = path.is_file().then(|| std::fs::read(&path).ok())??;
        let mut run: IngestRun = serde_json::from_slice(&text).ok()?;
        run.share = run.share.map(|share| share.clamp(0.0, 1.0));
        let state = match run.is_done {
            true => IngestState::Done,
            // The lock can be held by another process that compacts the folder or deletes papers.
            false if writing_process(data) == Some(run.process) => IngestState::Running,
            false => IngestState::Interrupted,
        };
        Some((run, state))
    }

    /// Estimated seconds until the end of this file is reached, at the average rate so far. `None` if the time is
    /// unknown, or a year or more.
    pub fn seconds_left(&self) -> Option<f64> {
        let share = self.share.filter(|share| *share > 0.0)?;
        Some(self.source_seconds * (1.0 - share) / share).filter(|seconds| *seconds < MAX_SECONDS_LEFT)
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("ingest.json")
}

/// Records a run while it is in progress.
pub(super) struct RunRecorder {
    path: PathBuf,
    run: IngestRun,
    bytes: Option<BytesRead>,
    /// Entries that were read before the current file.
    read_before: u64,
    started: Instant,
    source_started: Instant,
    saved: Instant,
}

impl RunRecorder {
    /// Starts a run.
    pub fn new(data: &Path) -> RunRecorder {
        let now = Instant::now();
        let run = IngestRun { process: std::process::id(), ..IngestRun::default() };
        RunRecorder {
            path: path(data),
            run,
            bytes: None,
            read_before: 0,
            started: now,
            source_started: now,
            saved: now,
        }
    }

    /// Records that the next entries come from the file at `path`.
    pub fn start_source(&mut self, path: &Path, bytes: BytesRead) {
        let name = path.file_name().unwrap_or(path.as_os_str());
        self.run.source = name.to_string_lossy().into_owned();
        self.bytes = Some(bytes);
        self.read_before = self.run.counts.read;
        self.source_started = Instant::now();
        self.save();
    }

    /// Adds counts. Saves nothing before the run has read an entry, because a run that only completes the work of an
    /// interrupted run is not a new run.
    pub fn add(&mut self, counts: Counts) {
        self.run.counts += counts;
        if self.run.counts.read > 0 && self.saved.elapsed() >= MIN_SAVE_INTERVAL {
            self.save();
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> &Counts {
        &self.run.counts
    }

    /// Records that the run is complete. Does nothing if the run read no entries.
    pub fn finish(mut self) {
        if self.run.counts.read > 0 {
            self.run.is_done = true;
            self.save();
        }
    }

    fn save(&mut self) {
        let entries = self.run.counts.read - self.read_before;
        self.run.share = self.bytes.as_ref().and_then(|bytes| bytes.fraction(entries));
        self.run.seconds = self.started.elapsed().as_secs_f64();
        self.run.source_seconds = self.source_started.elapsed().as_secs_f64();
        self.run.noted = OffsetDateTime::now_utc().unix_timestamp();
        self.saved = Instant::now();
        let json = serde_json::to_vec_pretty(&self.run).map_err(|error| error.to_string());
        let written =
            json.and_then(|json| write_atomically(&self.path, &json).map_err(|error| error.to_string()));
        if let Err(error) = written {
            // The papers are stored, so the ingest continues.
            tracing::warn!(
                "{}: the progress of the ingest could not be recorded: {error}; the ingest continues",
                self.path.display()
            );
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
    fn the_last_run_is_running_interrupted_or_done() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(IngestRun::last(data), None);
        let lock = WriteLock::take(&lock_path(data)).unwrap();
        let mut recorder = RunRecorder::new(data);
        let file = data.join("dump.jsonl");
        std::fs::write(&file, r#"{"id": "2101.00001", "title": "Bees", "abstract": "They count."}"#).unwrap();
        let dump = dump::read(&file, None).unwrap();
        let bytes = dump.bytes_read.clone();
        assert_eq!(dump.entries.count(), 1);
        recorder.start_source(&file, bytes);
        recorder.add(Counts { read: 7, ..Counts::default() });
        let (run, state) = IngestRun::last(data).unwrap();
        assert_eq!((run.source.as_str(), run.share, state), ("dump.jsonl", Some(1.0), IngestState::Running));
        assert_eq!(run.seconds_left(), Some(0.0));
        drop(lock);
        assert_eq!(IngestRun::last(data).unwrap().1, IngestState::Interrupted);
        recorder.finish();
        let (run, state) = IngestRun::last(data).unwrap();
        assert_eq!((run.counts.read, state), (7, IngestState::Done));
        let mut recorder = RunRecorder::new(data);
        recorder.saved -= MIN_SAVE_INTERVAL;
        recorder.add(Counts { encoded: 7, ..Counts::default() });
        recorder.finish();
        assert_eq!(
            IngestRun::last(data).unwrap().0.counts.read,
            7,
            "a run that read no entries is not recorded"
        );
        std::fs::write(path(data), "{").unwrap();
        assert_eq!(IngestRun::last(data), None);
    }
}
