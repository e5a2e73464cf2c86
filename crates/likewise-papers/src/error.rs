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
    /// The temporary SQLite database in which abstracts wait for their papers failed.
    #[error("temporary database of abstracts: {0}{advice}", advice = if is_full(.0) { DISK_FULL_ADVICE } else { "" })]
    Join(rusqlite::Error),
}

impl Error {
    /// Adds the path to an I/O error; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

/// Whether SQLite reports a full disk.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

// Without `#[from]`, so that `source()` stays `None`: the message already contains the cause.
impl From<rusqlite::Error> for Error {
    fn from(cause: rusqlite::Error) -> Error {
        Error::Join(cause)
    }
}
