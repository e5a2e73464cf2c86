//! What can go wrong with an index on disk.

use likewise_base::FileError;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is damaged, or of another version: the message says what to do.
    #[error("{0}")]
    Damaged(String),
    /// The operating system refused something about a path.
    #[error(transparent)]
    Io(#[from] FileError),
}

impl Error {
    /// An I/O error with the path it happened on; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}
