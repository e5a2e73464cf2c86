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
    /// Texts that the model cannot read; the others of the list were not encoded.
    #[error("{}", in_a_line(.0))]
    Texts(Vec<UnreadableText>),
    /// The operating system refused something about a path.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The tensor library refused something.
    #[error("encoder: {0}")]
    Tensor(candle_core::Error),
}

/// A text that a model cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableText {
    /// Its index in the list that was given.
    pub index: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Texts that are named in an error.
const MOST_NAMED: usize = 3;

fn in_a_line(texts: &[UnreadableText]) -> String {
    let named = texts.iter().take(MOST_NAMED).map(|text| format!("text {}: {}", text.index, text.reason));
    let named = named.collect::<Vec<_>>().join("; ");
    match texts.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
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
