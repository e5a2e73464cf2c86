//! A transaction that writes papers, and the changes that are written at the end of the transaction.

use super::full_text::FullTextRows;
use super::prepared::PreparedRecords;
use crate::error::Result;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::HashMap;

/// Changes of document frequencies, by term: the number of papers that gain the term minus the number that lose it.
pub type DocFreqDeltas = HashMap<String, i64>;

/// The state of a transaction that writes papers.
#[derive(Default)]
pub struct WriteContext {
    /// The number of the transaction.
    pub transaction: i64,
    /// The changes of document frequencies, which are written at the end of the transaction.
    pub doc_freqs: DocFreqDeltas,
    /// The changed rows of the table of terms.
    pub words: FullTextRows,
    /// The changed rows of the table of authors.
    pub authors: FullTextRows,
    /// The terms and blocking keys of the new records.
    pub prepared: PreparedRecords,
    /// Whether a paper that could not be read was replaced or deleted. The terms of such a paper are unknown, so all
    /// document frequencies must be counted again.
    pub recount: bool,
}

/// Begins a transaction that will write. The transaction takes SQLite's write lock at once. If it began by reading and
/// another process wrote meanwhile, its first write would fail.
pub fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}
