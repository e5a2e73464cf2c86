//! What can go wrong with a model, or with what is asked of it.

use likewise_base::FileError;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by whose mistake it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: the message says how to ask instead.
    #[error("{0}")]
    Invalid(String),
    /// A model folder is missing, incomplete, damaged or of an unknown kind.
    #[error("{0}")]
    Model(String),
    /// The operating system refused something about a path.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The tensor library refused something.
    #[error("encoder: {0}")]
    Tensor(candle_core::Error),
}

impl Error {
    /// An I/O error with the path it happened on; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

// The message holds its cause, so the cause is not given a second time as a source.
impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Error {
        Error::Tensor(cause)
    }
}

/// A file of a model folder that is not as it was written.
pub(crate) fn damaged(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
}
