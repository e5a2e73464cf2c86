//! Locks of folders. A process that writes papers, or vectors of the model in use, to a data folder takes the folder's
//! write lock first, so only one process does so at a time. The vectors of the next model have a lock of their own, and
//! so does the folder of parts that `likewise embed` writes.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Number of pauses of [`RETRY_INTERVAL`] after which [`WriteLock::take`] gives up, 2 s in all, unless the holder
/// yields the lock. A process that only checks the lock holds it for a moment, and a server holds it for half a second
/// after each write.
const MAX_PAUSES: usize = 80;

/// Number of attempts if the holder of the lock yields it; they take 1 min in all. Such a holder is a server, which
/// finishes its current work first.
const MAX_ATTEMPTS_IF_YIELDING: usize = 2400;

/// Text after the process id in the lock's file: this process releases the lock when another process waits for it.
const YIELDING: &str = "gives way";

const RETRY_INTERVAL: Duration = Duration::from_millis(25);

/// Number of attempts of [`WriteLock::try_take`] before the last one, 1 ms apart. One attempt is not enough, because
/// another process might hold the lock only for the moment of a check.
const QUICK_RETRIES: usize = 5;

/// A lock that a process holds while it writes to a folder. Only one process at a time can hold it. The operating
/// system releases the lock when the process ends, even if the process is killed.
#[derive(Debug)]
pub struct WriteLock {
    file: File,
    path: PathBuf,
}

impl WriteLock {
    /// Whether a process holds the lock at `path`. `None` if the file cannot be opened or locked. The check itself
    /// holds a shared lock for a microsecond; a process that cannot take the write lock because of the check tries
    /// again.
    pub fn is_held(path: &Path) -> Option<bool> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }

    /// Announces to other processes that this process releases the lock when another process waits for it. The caller
    /// must then release the lock soon after [`WriteLock::has_waiters`] becomes true.
    pub fn announce_yielding(&mut self) -> Result<()> {
        let content = format!("{} {YIELDING}\n", std::process::id());
        let mut file = &self.file;
        file.rewind().and_then(|()| file.write_all(content.as_bytes())).map_err(Error::io(&self.path))
    }

    /// Whether a process waits for the lock at `path` in [`WriteLock::take`].
    pub fn has_waiters(path: &Path) -> bool {
        let waiting = File::open(waiting_path(path));
        waiting.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock at `path`. Returns `None` if another process waits for the lock, or still holds it after a few
    /// milliseconds.
    pub fn try_take(path: &Path) -> Result<Option<WriteLock>> {
        if WriteLock::has_waiters(path) {
            return Ok(None);
        }
        for _ in 0..QUICK_RETRIES {
            if let Some(lock) = WriteLock::take_now(path)? {
                return Ok(Some(lock));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        WriteLock::take_now(path)
    }

    fn take_now(path: &Path) -> Result<Option<WriteLock>> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
        }
        let content = format!("{}\n", std::process::id());
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(content.as_bytes()))
            .map_err(Error::io(path))?;
        Ok(Some(WriteLock { file, path: path.into() }))
    }

    /// Takes the lock at `path`. Waits up to 2 s for the lock, or up to 1 min if the holder yields it.
    ///
    /// # Errors
    /// Returns [`Error::Data`] if another process still holds the lock after this time. The message has the id of that
    /// process if the lock's file has it.
    pub fn take(path: &Path) -> Result<WriteLock> {
        let mut waiting: Option<File> = None;
        for attempt in 0..MAX_ATTEMPTS_IF_YIELDING {
            if let Some(lock) = WriteLock::take_now(path)? {
                return Ok(lock);
            }
            if waiting.is_none() {
                waiting = Some(announce_waiting(path)?);
            }
            if attempt >= MAX_PAUSES && !WriteLock::is_yielding(path) {
                break;
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
        Err(Error::Data(format!(
            "{}; wait until that process is done, or stop it",
            WriteLock::describe_holder(path)
        )))
    }

    /// The id of the process that took the lock at `path` last. `None` if the file cannot be read or has no process id.
    pub fn holder(path: &Path) -> Option<u32> {
        std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
    }

    fn is_yielding(path: &Path) -> bool {
        std::fs::read_to_string(path).is_ok_and(|content| content.trim_end().ends_with(YIELDING))
    }

    /// A clause for messages: names the lock's file at `path`, and the process that holds the lock.
    pub fn describe_holder(path: &Path) -> String {
        let id = WriteLock::holder(path);
        let holder = id.map_or("another process".into(), |id| format!("process {id}"));
        format!("{}: {holder} holds this lock and is writing to the folder", path.display())
    }
}

/// The path of a second file beside the lock's file. All processes that wait for the lock at `path` hold a shared lock
/// on this second file.
fn waiting_path(path: &Path) -> PathBuf {
    path.with_extension("waiting")
}

/// Shows other processes that this process waits for the lock at `path`, until the returned file is dropped.
fn announce_waiting(path: &Path) -> Result<File> {
    let path = waiting_path(path);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::io(&path))?;
    // This blocks for a microsecond at most: only `has_waiters`, in another process, takes an exclusive lock on this
    // file, and releases it at once.
    file.lock_shared().map_err(Error::io(&path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_second_writer_gets_an_error_with_the_id_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = WriteLock::take(&path).unwrap();
        let message = WriteLock::take(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        assert_eq!(WriteLock::is_held(&path), Some(true));
        drop(first);
        assert_eq!(WriteLock::is_held(&path), Some(false));
        assert_eq!(WriteLock::is_held(Path::new("/no/such/lock")), None);
        assert!(WriteLock::take(&path).is_ok());
    }

    #[test]
    fn a_waiting_process_gets_the_lock_from_one_that_yields_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut held = WriteLock::take(&path).unwrap();
        held.announce_yielding().unwrap();
        assert_eq!(WriteLock::holder(&path), Some(std::process::id()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| WriteLock::take(&path).unwrap());
            while !WriteLock::has_waiters(&path) {
                std::thread::sleep(Duration::from_millis(1));
            }
            // The holder keeps the lock longer than `take` waits for a holder that does not yield.
            std::thread::sleep(MAX_PAUSES as u32 * RETRY_INTERVAL + Duration::from_millis(500));
            drop(held);
            assert!(WriteLock::try_take(&path).unwrap().is_none(), "the waiting process comes first");
            let taken = waiting.join().unwrap();
            assert!(!WriteLock::has_waiters(&path));
            drop(taken);
        });
        assert!(WriteLock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn checking_the_lock_does_not_block_writers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(WriteLock::take(&path).unwrap());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        WriteLock::is_held(&path);
                    }
                });
            }
            let refused = (0..200).filter(|_| WriteLock::try_take(&path).unwrap().is_none()).count();
            is_done.store(true, Ordering::Relaxed);
            assert!(refused < 20, "{refused} of 200");
        });
    }
}
