//! The error type of the whole crate.
//!
//! The message of an error says what is wrong with which value, what is allowed and what to do. The variant says who
//! can correct the error. The server needs only the variant, and [`Error::is_disk_full`], to choose a status code.

use likewise_base::{DISK_FULL_ADVICE, FileError};
use likewise_encoder::UnreadableText;
use std::io::ErrorKind;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. The variants differ in who can correct the error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller passed an invalid argument, or a dump that has no known format; the message says what is allowed.
    #[error("{0}")]
    Invalid(String),
    /// The model cannot read some texts.
    #[error("{}", likewise_encoder::Error::Texts(.0.clone()))]
    Texts(Vec<UnreadableText>),
    /// The caller named something that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A model folder is missing, incomplete, damaged or of an unsupported architecture.
    #[error("{0}")]
    Model(String),
    /// A data folder or a Milvus collection is missing, damaged, or was filled with another model, or another process
    /// has locked the data folder.
    #[error("{0}")]
    Data(String),
    /// An external engine (Milvus) cannot be reached, or refused a request.
    #[error("{0}")]
    Engine(String),
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The catalog's SQLite database returned an error.
    #[error("catalog: {0}{advice}", advice = if is_full(.0) { DISK_FULL_ADVICE } else { "" })]
    Catalog(rusqlite::Error),
    /// The encoder failed while computing.
    #[error("{0}")]
    Encoder(likewise_encoder::Error),
    /// Reading a dump failed because of the temporary database of abstracts, and not because of the dump itself.
    #[error("{0}")]
    Dump(likewise_papers::Error),
}

impl Error {
    /// Whether a file operation or the catalog failed because the disk is full or a quota is used up. False for
    /// [`Error::Dump`], even if the disk with the temporary database is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::Io(error) => {
                [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.cause.kind())
            }
            Error::Catalog(error) => is_full(error),
            _ => false,
        }
    }

    /// Returns a function that adds the path to an I/O error; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

/// Whether SQLite reports a full disk.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

// The messages contain the causes, so `source()` returns `None`: otherwise a printed error chain would repeat the
// causes.
impl From<rusqlite::Error> for Error {
    fn from(cause: rusqlite::Error) -> Error {
        Error::Catalog(cause)
    }
}

impl From<likewise_encoder::Error> for Error {
    fn from(cause: likewise_encoder::Error) -> Error {
        match cause {
            likewise_encoder::Error::Invalid(message) => Error::Invalid(message),
            likewise_encoder::Error::Texts(texts) => Error::Texts(texts),
            likewise_encoder::Error::Model(message) => Error::Model(message),
            likewise_encoder::Error::Io(cause) => Error::Io(cause),
            tensor @ likewise_encoder::Error::Tensor(_) => Error::Encoder(tensor),
        }
    }
}

impl From<likewise_papers::Error> for Error {
    fn from(cause: likewise_papers::Error) -> Error {
        match cause {
            likewise_papers::Error::Invalid(message) => Error::Invalid(message),
            likewise_papers::Error::Io(cause) => Error::Io(cause),
            join @ likewise_papers::Error::Join(_) => Error::Dump(join),
        }
    }
}

impl From<likewise_index::Error> for Error {
    fn from(cause: likewise_index::Error) -> Error {
        match cause {
            likewise_index::Error::Damaged(message) => Error::Data(message),
            likewise_index::Error::Io(cause) => Error::Io(cause),
        }
    }
}
