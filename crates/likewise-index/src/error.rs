//! The crate's error type.

use likewise_base::FileError;
use std::path::Path;

/// A result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an index on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is damaged or of another version. The message says what to do.
    #[error("{0}")]
    Damaged(String),
    /// The operating system returned an error for a path.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl Error {
    /// Adds the path to an I/O error; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}
