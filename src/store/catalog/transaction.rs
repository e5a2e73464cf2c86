//! A transaction that writes papers, and what is written at its end.
//!
//! Its own file because a paper's rows and its terms are both written in one.

use crate::error::Result;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::HashMap;

/// By how much the counts of terms change: how many papers more, or fewer, have each.
pub type Counts = HashMap<String, i64>;

/// A transaction that writes papers.
#[derive(Default)]
pub struct Change {
    /// Its number.
    pub number: i64,
    /// By how much the counts of terms change, which is written at its end.
    pub words: Counts,
    /// Whether a paper was written over that could not be read, so that all terms must be counted again.
    pub recount: bool,
}

/// Begins a transaction that will write. Begun as one that reads, it would fail where it goes on to write, if another
/// process has written meanwhile.
pub fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}
