//! An I/O error with the path it happened on.

use std::path::{Path, PathBuf};

/// An I/O error and the path it happened on.
#[derive(Debug)]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// The operating system's error.
    pub cause: std::io::Error,
}

impl FileError {
    /// Adds the path to an I/O error; for `map_err`.
    pub fn at(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> FileError {
        move |cause| FileError { path: path.as_ref().to_path_buf(), cause }
    }

    /// Whether it happened because the disk is full.
    fn is_disk_full(&self) -> bool {
        self.cause.kind() == std::io::ErrorKind::StorageFull
    }
}

/// What to append to the message of an error that a full disk caused.
pub const DISK_FULL_ADVICE: &str =
    "; free some disk space and run the same command again: it continues where it stopped";

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let advice = if self.is_disk_full() { DISK_FULL_ADVICE } else { "" };
        write!(f, "{}: {}{advice}", self.path.display(), self.cause)
    }
}

// `source()` stays `None`: the message already contains the cause.
impl std::error::Error for FileError {}
