//! The rows of a collection, as plain data.
//!
//! Shared by the code that makes rows from papers and the code that sends them to the engine.

/// A row: one paper, with the columns that filters and deduplication need.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PaperRow {
    /// Id of the paper: the primary key.
    pub id: String,
    /// Vector of the paper, of length 1.
    pub vector: Vec<f32>,
    /// Hash of the text that the vector encodes, in hexadecimal digits.
    pub text: String,
    /// The paper and its records, as JSON that is compressed if it is too long. A row whose document still has more
    /// than [`super::MAX_DOCUMENT_BYTES`] bytes is not written.
    pub document: String,
    /// Alternate ids of the paper; column `also`.
    pub alternate_ids: Vec<String>,
    /// Keys for deduplication, see [`crate::store::catalog::blocking_keys`]; column `marks`.
    pub blocking_keys: Vec<i64>,
    /// The days between which the paper was published; columns `first` and `last`.
    pub days: DayRange,
    /// Number of the row; larger for papers that were added later. A paper keeps its number when it changes.
    pub number: i64,
    /// Categories of the paper in lower case, each with the categories that contain it, such as `cs.lg` and `cs`.
    pub categories: Vec<String>,
    /// Conferences and journals of the paper, in lower case.
    pub venues: Vec<String>,
    /// Sources of the paper's records, in lower case.
    pub sources: Vec<String>,
    /// Words of the authors' names. Like for every list in this row, only the first 4,096 elements are stored.
    pub names: Vec<String>,
    /// Pairs of words of a name, see [`crate::store::catalog::AuthorName::word_pairs`].
    pub pairs: Vec<String>,
    /// Whether the paper is withdrawn.
    pub withdrawn: bool,
}

/// The days between which a paper was published, as `yyyymmdd`; both days are 0 if the date of the paper is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayRange {
    /// The first possible day.
    pub first: i32,
    /// The last possible day.
    pub last: i32,
}

/// The id, text hash, document and number of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// See [`PaperRow::id`].
    pub id: String,
    /// See [`PaperRow::text`].
    pub text: String,
    /// See [`PaperRow::document`].
    pub document: String,
    /// See [`PaperRow::number`].
    pub number: i64,
}

/// The id of a row with the values that rows are sorted by; the newest row has the largest key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// See [`PaperRow::days`].
    pub days: DayRange,
    /// See [`PaperRow::number`].
    pub number: i64,
    /// See [`PaperRow::id`].
    pub id: String,
}
