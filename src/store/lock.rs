//! The lock of the one writer.
//!
//! Its own file because every way to write into a folder takes the same one.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

/// How often a lock is asked for. Somebody may only look whether it is taken, or be a server that keeps it for half a second
/// after somebody wrote.
const TRIES: usize = 80;

const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// How often somebody who does not wait for a lock tries again, a millisecond later: others may only look at it.
const LOOKED_AT: usize = 5;

/// Held by the one process that writes to a data folder; the system lets go of it when that process
/// ends, however it ends.
#[derive(Debug)]
pub struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Whether somebody has the lock at `path`; that cannot be told of a file that may not be read. Looking takes nothing
    /// from others who look, and a microsecond from who takes the lock, who tries again.
    pub fn is_taken(path: &Path) -> Option<bool> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }

    /// Takes the lock at `path`; `None` if another process has it.
    pub fn try_take(path: &Path) -> Result<Option<WriteLock>> {
        for _ in 0..LOOKED_AT {
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
        let owner = format!("{}\n", std::process::id());
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(owner.as_bytes()))
            .map_err(Error::io(path))?;
        Ok(Some(WriteLock { _file: file }))
    }

    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`Error::Data`] with the other process's number.
    pub fn take(path: &Path) -> Result<WriteLock> {
        for _ in 0..TRIES {
            if let Some(lock) = WriteLock::take_now(path)? {
                return Ok(lock);
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        Err(Error::Data(format!("{}; wait for it or stop it", WriteLock::owner(path))))
    }

    /// The number of the process that took the lock at `path` last.
    pub fn holder(path: &Path) -> Option<u32> {
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    /// Says who has the lock at `path`.
    pub fn owner(path: &Path) -> String {
        let number = WriteLock::holder(path);
        let owner = number.map_or("another process".into(), |number| format!("process {number}"));
        format!("{}: {owner} is writing here", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_second_writer_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = WriteLock::take(&path).unwrap();
        let message = WriteLock::take(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        assert_eq!(WriteLock::is_taken(&path), Some(true));
        drop(first);
        assert_eq!(WriteLock::is_taken(&path), Some(false));
        assert_eq!(WriteLock::is_taken(Path::new("/no/such/lock")), None);
        assert!(WriteLock::take(&path).is_ok());
    }

    #[test]
    fn who_looks_keeps_nobody_from_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(WriteLock::take(&path).unwrap());
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        WriteLock::is_taken(&path);
                    }
                });
            }
            let refused = (0..200).filter(|_| WriteLock::try_take(&path).unwrap().is_none()).count();
            is_done.store(true, Ordering::Relaxed);
            assert!(refused < 20, "{refused} of 200");
        });
    }
}
