//! The library's one error type.
//!
//! Its own file because every module speaks it. A message says what was got, what was wanted and
//! what to do; the variant says whose mistake it was, which is all that the server needs to choose
//! a status and the command line to choose an exit code.

use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by whose mistake it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: the message says how to ask instead.
    #[error("{0}")]
    Invalid(String),
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
    /// The operating system refused something about this path.
    #[error("{path}: {cause}{advice}", path = .path.display(), advice = advice(.cause.kind() == std::io::ErrorKind::StorageFull))]
    Io {
        /// The file or folder that was being used.
        path: PathBuf,
        /// The system's own word.
        cause: std::io::Error,
    },
    /// The catalog's database refused something.
    #[error("catalog: {0}{advice}", advice = advice(.0.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)))]
    Catalog(rusqlite::Error),
    /// The tensor library refused something.
    #[error("encoder: {0}")]
    Tensor(candle_core::Error),
}

/// What to do about a full disk.
fn advice(is_full: bool) -> &'static str {
    if is_full { "; make room and run the same command again: it goes on where it was" } else { "" }
}

impl Error {
    /// An I/O error, told with the path it happened on; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| Error::Io { path: path.as_ref().to_path_buf(), cause }
    }
}

// Messages hold their causes, so causes are not given a second time as sources.
impl From<rusqlite::Error> for Error {
    fn from(cause: rusqlite::Error) -> Error {
        Error::Catalog(cause)
    }
}

impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Error {
        Error::Tensor(cause)
    }
}
