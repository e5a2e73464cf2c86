//! The rows of a collection, as plain data.
//!
//! Shared by the code that makes rows from papers and the code that sends them to the engine.

/// A row: one paper, with the columns that filters and deduplication need.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PaperRow {
    /// Id of the paper: the primary key.
    pub id: String,
    /// Its vector, of length 1.
    pub vector: Vec<f32>,
    /// Hash of the text that the vector encodes, in hexadecimal digits.
    pub text: String,
    /// The paper and its records, at most [`super::MAX_DOCUMENT_BYTES`].
    pub document: String,
    /// Its alternate ids; column `also`.
    pub alternate_ids: Vec<String>,
    /// Keys for deduplication, see [`crate::store::catalog::blocking_keys`]; column `marks`.
    pub blocking_keys: Vec<i64>,
    /// The days between which it was published; columns `first` and `last`.
    pub days: DayRange,
    /// Grows with the time at which the paper was added.
    pub number: i64,
    /// Its categories in lower case, each with those that contain it: `cs.lg` and `cs`.
    pub categories: Vec<String>,
    /// Its conferences and journals, in lower case.
    pub venues: Vec<String>,
    /// The sources of its records, in lower case.
    pub sources: Vec<String>,
    /// The words of its authors' names. As of every list, only the first 4,096 are stored.
    pub names: Vec<String>,
    /// Pairs of words of a name, see [`crate::store::catalog::AuthorName::word_pairs`].
    pub pairs: Vec<String>,
    /// Whether the paper is withdrawn.
    pub withdrawn: bool,
}

/// The days between which a paper was published, as `yyyymmdd`; both 0 if its date is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayRange {
    /// The first possible day.
    pub first: i32,
    /// The last possible day.
    pub last: i32,
}

/// A row without its vector and without the columns that only filters use.
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

/// A row's id with the values that it is sorted by; the newest row has the largest key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// See [`PaperRow::days`].
    pub days: DayRange,
    /// See [`PaperRow::number`].
    pub number: i64,
    /// See [`PaperRow::id`].
    pub id: String,
}
