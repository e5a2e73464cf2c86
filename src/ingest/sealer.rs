//! Builds index segments in the background, while more papers are written.
//!
//! Writing papers keeps one core busy, and building a segment all cores. A thread with its own pool builds the segment,
//! because tasks that the writer starts in the global pool would wait until the segment is complete.

use crate::error::{Error, Result};
use crate::store::vector_store::VectorStore;
use likewise_index::Segments;
use likewise_index::build::HnswParams;
use std::thread::JoinHandle;

/// Number of new vectors from which on a segment is built, even in the middle of a run. Until a segment is built, a
/// server on the folder scans the new vectors one by one.
const SEAL_INTERVAL: usize = 32_768;

/// Builds segments of one vector store, at most one at a time.
pub struct Sealer {
    interval: usize,
    /// Number of vectors that are in segments, or in the segment that is being built.
    sealed: usize,
    running: Option<JoinHandle<Result<()>>>,
}

impl Sealer {
    /// Creates the sealer of a store whose first `sealed` vectors are in segments.
    pub fn new(sealed: usize) -> Sealer {
        Sealer::with_interval(sealed, SEAL_INTERVAL)
    }

    fn with_interval(sealed: usize, interval: usize) -> Sealer {
        Sealer { interval, sealed, running: None }
    }

    /// Starts to build a segment if enough of the store's `count` vectors are in no segment and no segment is being
    /// built. Returns whether an earlier segment is now complete.
    ///
    /// # Errors
    /// Returns the error of opening the store or of building the earlier segment.
    pub fn start_if_due(
        &mut self,
        count: usize,
        open_store: impl FnOnce() -> Result<VectorStore>,
    ) -> Result<bool> {
        let is_running = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if count < self.sealed + self.interval || is_running {
            return Ok(false);
        }
        let completed = self.wait()?;
        let store = open_store()?;
        self.sealed = count;
        self.running = Some(std::thread::spawn(move || seal_in_own_pool(&store)));
        Ok(completed)
    }

    /// Waits until no segment is being built. Returns whether one was.
    ///
    /// # Errors
    /// Returns the error of building the segment.
    pub fn wait(&mut self) -> Result<bool> {
        let Some(running) = self.running.take() else { return Ok(false) };
        let stopped = |_| {
            Err(Error::Data("the thread that builds the index has stopped; run the command again".into()))
        };
        running.join().unwrap_or_else(stopped).map(|()| true)
    }
}

impl Drop for Sealer {
    /// Waits, because the lock of the store is released next.
    fn drop(&mut self) {
        if let Err(error) = self.wait() {
            tracing::warn!("cannot build an index segment; the next ingest tries again: {error}");
        }
    }
}

fn seal_in_own_pool(store: &VectorStore) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().build();
    let pool =
        pool.map_err(|error| Error::Data(format!("cannot start the threads that build the index: {error}")))?;
    pool.install(|| seal(store)).map(drop)
}

/// Builds a segment of the store's vectors that are in no segment.
pub fn seal(store: &VectorStore) -> Result<Segments> {
    let mut index = Segments::open(store.path(), store.vectors().clone())?;
    index.seal(store.path(), HnswParams::default())?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::text::TextHash;
    use crate::store::vector_store::VectorStoreWriter;
    use likewise_encoder::model::{ModelFolder, Precision};
    use std::path::Path;

    #[test]
    fn segments_are_built_while_vectors_are_appended() {
        let (data, models) = (tempfile::tempdir().unwrap(), Path::new("tests/golden"));
        let model = ModelFolder::open("small-bert", models, Precision::F32).unwrap();
        let (fingerprint, dimension) = (&model.fingerprint, model.fingerprint.dimension);
        VectorStore::create(data.path(), &model).unwrap();
        let mut writer = VectorStoreWriter::open(data.path(), fingerprint, |_| Ok(())).unwrap();
        let mut append = |count: usize| {
            for slot in writer.count()..count {
                let angle = slot as f32;
                let mut vector = vec![0.0; dimension];
                (vector[slot % dimension], vector[(slot + 1) % dimension]) = (angle.cos(), angle.sin());
                writer.append(&[(TextHash::of(&slot.to_string()), &vector)]).unwrap();
            }
            count
        };
        let open = || VectorStore::open(data.path(), fingerprint);
        let sealed = |count| Segments::sealed_in(open().unwrap().path(), count).unwrap();
        let mut sealer = Sealer::with_interval(0, 1000);
        assert!(!sealer.start_if_due(append(900), open).unwrap() && !sealer.wait().unwrap());
        assert!(!sealer.start_if_due(append(1100), open).unwrap());
        append(1900);
        assert!(sealer.wait().unwrap());
        assert_eq!(sealed(1900), 1100);
        assert!(!sealer.start_if_due(1900, open).unwrap() && !sealer.wait().unwrap());
        assert!(!sealer.start_if_due(append(2200), open).unwrap());
        drop(sealer);
        assert_eq!(sealed(2200), 2200);
    }
}
