//! The errors of this crate.

use likewise_base::FileError;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate, classified by cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument of the caller is not allowed. The message says which values are allowed.
    #[error("{0}")]
    Invalid(String),
    /// A model folder is missing, incomplete, damaged or of an unsupported kind.
    #[error("{0}")]
    Model(String),
    /// The model cannot read these texts of a call. No text of that call was encoded.
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

/// Returns the error for a file of a model folder that cannot be parsed.
pub(crate) fn damaged(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
}
