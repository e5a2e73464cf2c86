//! The lock of the one writer.
//!
//! Its own file because every way to write into a folder takes the same one.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock is asked for. Somebody may only look whether it is taken, or be a server that keeps it for half a second
/// after somebody wrote.
const TRIES: usize = 80;

/// The same, of a process that gives way when it has done what it is at: a server, to whom others write all the time.
const TRIES_OF_OFFERED: usize = 2400;

/// What the lock's file has behind the process's number, if that gives way.
const OFFERED: &str = "gives way";

const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// How often somebody who does not wait for a lock tries again, a millisecond later: others may only look at it.
const LOOKED_AT: usize = 5;

/// Held by the one process that writes to a data folder; the system lets go of it when that process
/// ends, however it ends.
#[derive(Debug)]
pub struct WriteLock {
    file: File,
    path: PathBuf,
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

    /// Says that this process gives way: it lets go of the lock soon after [`WriteLock::is_wanted`].
    pub fn offer(&mut self) -> Result<()> {
        let said = format!("{} {OFFERED}\n", std::process::id());
        let mut file = &self.file;
        file.rewind().and_then(|()| file.write_all(said.as_bytes())).map_err(Error::io(&self.path))
    }

    /// Whether a process waits for the lock at `path`.
    pub fn is_wanted(path: &Path) -> bool {
        let waiting = File::open(waiting_path(path));
        waiting.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock at `path`; `None` if another process has it, or waits for it.
    pub fn try_take(path: &Path) -> Result<Option<WriteLock>> {
        if WriteLock::is_wanted(path) {
            return Ok(None);
        }
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
        Ok(Some(WriteLock { file, path: path.into() }))
    }

    /// Takes the lock, or says who has it. A process that gives way is waited for, whatever it is at.
    ///
    /// # Errors
    /// [`Error::Data`] with the other process's number.
    pub fn take(path: &Path) -> Result<WriteLock> {
        let mut waiting: Option<File> = None;
        for tried in 0..TRIES_OF_OFFERED {
            if let Some(lock) = WriteLock::take_now(path)? {
                return Ok(lock);
            }
            if waiting.is_none() {
                waiting = Some(wait_visibly(path)?);
            }
            if tried >= TRIES && !WriteLock::is_offered(path) {
                break;
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        Err(Error::Data(format!("{}; wait for it or stop it", WriteLock::owner(path))))
    }

    /// The number of the process that took the lock at `path` last.
    pub fn holder(path: &Path) -> Option<u32> {
        std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
    }

    fn is_offered(path: &Path) -> bool {
        std::fs::read_to_string(path).is_ok_and(|said| said.trim_end().ends_with(OFFERED))
    }

    /// Says who has the lock at `path`.
    pub fn owner(path: &Path) -> String {
        let number = WriteLock::holder(path);
        let owner = number.map_or("another process".into(), |number| format!("process {number}"));
        format!("{}: {owner} is writing here", path.display())
    }
}

/// The file whose lock all that wait for the one at `path` share.
fn waiting_path(path: &Path) -> PathBuf {
    path.with_extension("waiting")
}

/// Lets others see that somebody waits, until what it gives is dropped.
fn wait_visibly(path: &Path) -> Result<File> {
    let path = waiting_path(path);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::io(&path))?;
    // Others take it for a microsecond only, to look.
    file.lock_shared().map_err(Error::io(&path))?;
    Ok(file)
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
    fn a_process_that_waits_gets_its_turn_from_one_that_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut held = WriteLock::take(&path).unwrap();
        held.offer().unwrap();
        assert_eq!(WriteLock::holder(&path), Some(std::process::id()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| WriteLock::take(&path).unwrap());
            while !WriteLock::is_wanted(&path) {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Longer than one that does not give way is waited for.
            std::thread::sleep(TRIES as u32 * BETWEEN_TRIES + Duration::from_millis(500));
            drop(held);
            assert!(WriteLock::try_take(&path).unwrap().is_none(), "it is the turn of the one that waits");
            let taken = waiting.join().unwrap();
            assert!(!WriteLock::is_wanted(&path));
            drop(taken);
        });
        assert!(WriteLock::try_take(&path).unwrap().is_some());
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
