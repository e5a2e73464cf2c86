//! What can go wrong with a dump as a whole; what is wrong with one entry is a [`crate::dump::Refused`].

use likewise_base::FileError;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: the message says how to ask instead.
    #[error("{0}")]
    Invalid(String),
    /// The operating system refused something about a path.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The temporary database, in which abstracts wait for their papers, refused something.
    #[error("abstracts on the disk: {0}{advice}", advice = FileError::advice(.0.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)))]
    Join(rusqlite::Error),
}

impl Error {
    /// An I/O error with the path it happened on; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

// The message holds its cause, so the cause is not given a second time as a source.
impl From<rusqlite::Error> for Error {
    fn from(cause: rusqlite::Error) -> Error {
        Error::Join(cause)
    }
}
