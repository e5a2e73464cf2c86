//! The library's one error type.
//!
//! Its own file because every module speaks it. A message says what was got, what was wanted and
//! what to do; the variant says whose mistake it was, which is all that the server needs to choose
//! a status and the command line to choose an exit code.

use likewise_base::FileError;
use likewise_encoder::UnreadableText;
use std::io::ErrorKind;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by whose mistake it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: the message says how to ask instead.
    #[error("{0}")]
    Invalid(String),
    /// Texts that the model cannot read.
    #[error("{}", likewise_encoder::Error::Texts(.0.clone()))]
    Texts(Vec<UnreadableText>),
    /// The caller named something that is not here.
    #[error("{0}")]
    NotFound(String),
    /// A model folder is missing, incomplete, damaged or of an unknown kind.
    #[error("{0}")]
    Model(String),
    /// A data folder is missing, of another model, damaged, or in use.
    #[error("{0}")]
    Data(String),
    /// An engine elsewhere cannot be reached, or refuses.
    #[error("{0}")]
    Engine(String),
    /// The operating system refused something about a path.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The catalog's database refused something.
    #[error("catalog: {0}{advice}", advice = FileError::advice(.0.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)))]
    Catalog(rusqlite::Error),
    /// The encoder failed while it computed.
    #[error("{0}")]
    Encoder(likewise_encoder::Error),
    /// What dumps are read with failed.
    #[error("{0}")]
    Dump(likewise_papers::Error),
}

impl Error {
    /// Whether the disk has no room for what was to be written.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Error::Io(error) => {
                [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&error.cause.kind())
            }
            Error::Catalog(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// An I/O error with the path it happened on; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

// Messages hold their causes, so causes are not given a second time as sources.
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
