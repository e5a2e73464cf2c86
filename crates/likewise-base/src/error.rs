//! An I/O error with the path it happened on.

use std::path::{Path, PathBuf};

/// The operating system refused something about a path.
#[derive(Debug)]
pub struct FileError {
    /// The file or folder that was being used.
    pub path: PathBuf,
    /// The system's own error.
    pub cause: std::io::Error,
}

impl FileError {
    /// Adds the path to an I/O error; for `map_err`.
    pub fn at(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> FileError {
        move |cause| FileError { path: path.as_ref().to_path_buf(), cause }
    }

    /// What to do about a full disk; nothing, if the error is another one.
    pub fn advice(is_full: bool) -> &'static str {
        if is_full { "; make room and run the same command again: it goes on where it was" } else { "" }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let advice = FileError::advice(self.cause.kind() == std::io::ErrorKind::StorageFull);
        write!(f, "{}: {}{advice}", self.path.display(), self.cause)
    }
}

// The message holds its cause, so the cause is not given a second time as a source.
impl std::error::Error for FileError {}
