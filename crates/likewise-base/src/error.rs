//! An I/O error with the path of the file or folder where it happened.

use std::path::{Path, PathBuf};

/// An I/O error and the path of the file or folder where it happened.
#[derive(Debug)]
pub struct FileError {
    /// Path of the file or folder.
    pub path: PathBuf,
    /// The operating system's error.
    pub cause: std::io::Error,
}

impl FileError {
    /// Returns a function that adds `path` to an I/O error, for use in `map_err`.
    pub fn at(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> FileError {
        move |cause| FileError { path: path.as_ref().to_path_buf(), cause }
    }

    /// Whether the cause is a full disk.
    fn is_disk_full(&self) -> bool {
        self.cause.kind() == std::io::ErrorKind::StorageFull
    }
}

/// Text to append to the message of an error that a full disk caused.
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
