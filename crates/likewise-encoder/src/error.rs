//! The errors of this crate.

use likewise_base::FileError;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate, classified by cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument of the caller is not allowed, or the tokenizer fails on a text of the caller. For an argument, the
    /// message says which values are allowed.
    #[error("{0}")]
    Invalid(String),
    /// A model cannot be used: the model folder is missing, incomplete, damaged or of an unsupported kind; no source
    /// provides the model; a device cannot be used or is out of memory; or an encoder thread cannot be started.
    #[error("{0}")]
    Model(String),
    /// The model cannot read these texts of a call. The call returns no embeddings, not even for the other texts. See
    /// the function for whether the list is complete.
    #[error("{}", summary(.0))]
    Texts(Vec<UnreadableText>),
    /// An operating system error on a path.
    #[error(transparent)]
    Io(#[from] FileError),
    /// An error of the tensor library.
    #[error("encoder: {0}")]
    Tensor(candle_core::Error),
}

/// A text that a model cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableText {
    /// Index of the text in the caller's list of texts.
    pub index: usize,
    /// The reason why the model cannot read the text.
    pub reason: String,
}

/// Maximum number of unreadable texts listed in one error message.
const MAX_LISTED_TEXTS: usize = 3;

/// Returns one line that lists the first unreadable texts, and says how many more there are.
fn summary(texts: &[UnreadableText]) -> String {
    let listed =
        texts.iter().take(MAX_LISTED_TEXTS).map(|text| format!("text {}: {}", text.index, text.reason));
    let listed = listed.collect::<Vec<_>>().join("; ");
    match texts.len().saturating_sub(MAX_LISTED_TEXTS) {
        0 => listed,
        more => format!("{listed}; and {more} more"),
    }
}

impl Error {
    /// For `map_err`: turns an I/O error into an [`Error::Io`] that names `path`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| FileError::at(path)(cause).into()
    }
}

// This is not `#[from]`, which would also return the cause as `source()`: the message already contains the cause, and
// an error report would print it twice.
impl From<candle_core::Error> for Error {
    fn from(cause: candle_core::Error) -> Error {
        Error::Tensor(cause)
    }
}

/// Returns the error for a file of a model folder that cannot be parsed, or whose content does not fit the other files.
pub(crate) fn damaged(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
}
