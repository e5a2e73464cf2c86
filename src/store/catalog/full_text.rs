//! The rows of full-text tables that a transaction changes. They are written at the end of the transaction.
//!
//! FTS5 collects new rows in memory, and writes them as one sorted segment. But it also writes a segment whenever SQLite
//! opens a savepoint, which SQLite does for every statement that changes several rows. If each row were written together
//! with its paper, each would become a segment of its own, and FTS5 would merge these segments again and again.

use super::PaperNumber;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// A full-text table: the statements that delete and add a row.
pub struct FullTextTable {
    delete: &'static str,
    insert: &'static str,
}

/// The terms of papers.
pub const WORDS: FullTextTable = FullTextTable {
    delete: "DELETE FROM words WHERE rowid = ?1",
    insert: "INSERT INTO words (rowid, terms) VALUES (?1, ?2)",
};

/// The authors of papers.
pub const AUTHORS: FullTextTable = FullTextTable {
    delete: "DELETE FROM authors WHERE rowid = ?1",
    insert: "INSERT INTO authors (rowid, names) VALUES (?1, ?2)",
};

/// The changed rows of a full-text table.
#[derive(Default)]
pub struct FullTextRows(BTreeMap<PaperNumber, Row>);

struct Row {
    /// Empty: the paper has no row.
    text: String,
    /// Whether the table can have a row of this paper.
    replaces: bool,
}

impl FullTextRows {
    /// Sets the text of a paper; empty if the paper has none. `is_new` says whether this transaction adds the paper.
    pub fn set(&mut self, number: PaperNumber, text: String, is_new: bool) {
        let row = self.0.entry(number).or_insert(Row { text: String::new(), replaces: !is_new });
        row.text = text;
    }

    /// Writes the rows in ascending order, which FTS5 needs to collect them, and forgets them.
    pub fn write(&mut self, connection: &Connection, table: &FullTextTable) -> rusqlite::Result<()> {
        let (mut delete, mut insert) =
            (connection.prepare_cached(table.delete)?, connection.prepare_cached(table.insert)?);
        for (number, Row { text, replaces }) in std::mem::take(&mut self.0) {
            if replaces {
                delete.execute([number])?;
            }
            if !text.is_empty() {
                insert.execute(params![number, text])?;
            }
        }
        Ok(())
    }
}
