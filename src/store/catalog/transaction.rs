//! A transaction that writes papers, and the changes that are written at its end.

use crate::error::Result;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::HashMap;

/// Changes of document frequencies, by term: how many more papers have the term, or, if negative, how many fewer.
pub type DocFreqDeltas = HashMap<String, i64>;

/// The state of a transaction that writes papers.
#[derive(Default)]
pub struct WriteContext {
    /// The number of the transaction.
    pub transaction: i64,
    /// The changes of document frequencies, which are written at the end of the transaction.
    pub doc_freqs: DocFreqDeltas,
    /// Whether a paper that could not be read was overwritten, so that all document frequencies must be counted again.
    pub recount: bool,
}

/// Begins a transaction that will write. It takes the write lock at once: a transaction that starts as a reading one
/// fails when it first writes if another process has written meanwhile.
pub fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}
