//! Errors that concern a dump as a whole. A single entry that cannot be read is a [`crate::dump::Refused`] instead.

use likewise_base::{DISK_FULL_ADVICE, FileError};
use std::path::Path;

/// A `Result` with this crate's error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that concerns a dump as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An invalid argument or an unreadable dump. The message says what is wrong and what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// An I/O error, with its path.
    #[error(transparent)]
    Io(#[from] FileError),
    /// An error of the temporary SQLite database that stores Semantic Scholar's abstracts until they are joined with
    /// their papers.
    #[error(
        "the temporary database of abstracts failed: {0}{advice}",
        advice = if is_full(.0) { DISK_FULL_ADVICE } else { "" }
    )]
    Join(rusqlite::Error),
}

impl Error {
    /// Returns a function that adds `path` to an I/O error, for use in `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

/// Whether SQLite reports a full disk.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

// Written by hand, because `#[from]` would make `source()` return the cause, which the message already contains.
impl From<rusqlite::Error> for Error {
    fn from(cause: rusqlite::Error) -> Error {
        Error::Join(cause)
    }
}
