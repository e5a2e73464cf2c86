//! What a collection keeps of a paper: a row, as plain data.
//!
//! Its own file because two sides must agree on it: whoever makes rows of papers, and whoever brings them to the engine.

/// What filters, folding and answers need of a paper, in the fields of a collection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// What the paper is called: the key.
    pub id: String,
    /// Its vector, of length 1.
    pub vector: Vec<f32>,
    /// The hash of the text that the vector is of, in hexadecimal digits.
    pub text: String,
    /// The paper and its records, of at most [`super::MAX_BYTES`].
    pub document: String,
    /// Its other ids.
    pub also: Vec<String>,
    /// What else it is found by; see [`crate::store::catalog::marks`].
    pub marks: Vec<i64>,
    /// First and last day that it may be of, as `yyyymmdd`; 0, if that is not known.
    pub days: (i32, i32),
    /// When it came: later ones have larger numbers.
    pub number: i64,
    /// Its categories, in lower case, and what they are a part of: `cs.lg` is in `cs`.
    pub categories: Vec<String>,
    /// Its conferences or journals, in lower case.
    pub venues: Vec<String>,
    /// The dumps it is from, in lower case.
    pub sources: Vec<String>,
    /// The words of its authors' names; of more than 4,096, the first, as of every list.
    pub names: Vec<String>,
    /// Two words of one name that stand together, sorted; see [`crate::store::catalog::Words::pairs`].
    pub pairs: Vec<String>,
    /// Whether it was taken back.
    pub withdrawn: bool,
}

/// A row without its vector, and without what it is only found by.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// See [`Row::id`].
    pub id: String,
    /// See [`Row::text`].
    pub text: String,
    /// See [`Row::document`].
    pub document: String,
    /// See [`Row::number`].
    pub number: i64,
}

/// Where a row is among all by date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// See [`Row::days`].
    pub days: (i32, i32),
    /// See [`Row::number`].
    pub number: i64,
    /// See [`Row::id`].
    pub id: String,
}
