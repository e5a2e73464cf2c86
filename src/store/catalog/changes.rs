//! The changes to a catalog since a given transaction.
//!
//! The slot maps are updated from these changes. Every transaction that changes papers has a number, and every paper
//! has the number of the transaction that wrote it last. Papers that version 1 of the schema stored have the number 0.

use super::{Catalog, PaperNumber, text_hash};
use crate::error::Result;
use crate::store::text::TextHash;
use rusqlite::{Connection, OptionalExtension};

/// The papers that were written or deleted since a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogChanges {
    /// The number of the last transaction that changed papers; see [`Catalog::last_change`].
    pub last: i64,
    /// Papers that were added or replaced, each with the hash of its text.
    pub written: Vec<(PaperNumber, TextHash)>,
    /// Papers that were deleted.
    pub deleted: Vec<PaperNumber>,
}

impl Catalog {
    /// The papers that were written or deleted after the transaction with the number `after`. If `after` is 0: every
    /// paper in the catalog, and all deleted papers.
    pub fn changes(&self, after: i64) -> Result<CatalogChanges> {
        let mut connection = self.lock();
        // One transaction, so that the three queries see the same state.
        let transaction = connection.transaction()?;
        let last = last_change(&transaction)?;
        // Papers that version 1 of the schema stored have the transaction number 0.
        let from = if after == 0 { 0 } else { after + 1 };
        let mut written =
            transaction.prepare_cached("SELECT number, text_hash FROM papers WHERE changed >= ?1")?;
        let written = written.query_map([from], |row| Ok((row.get(0)?, text_hash(row, 1)?)))?;
        let written = written.collect::<rusqlite::Result<_>>()?;
        let mut deleted = transaction.prepare_cached("SELECT number FROM deleted WHERE changed > ?1")?;
        let deleted = deleted.query_map([after], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(CatalogChanges { last, written, deleted })
    }

    /// The number of the last transaction that changed papers. [`Catalog::touch`] raises this number too.
    pub fn last_change(&self) -> Result<i64> {
        last_change(&self.lock())
    }

    /// A number that changes whenever another connection writes to the catalog (SQLite's `data_version`).
    pub fn data_version(&self) -> Result<i64> {
        let connection = self.lock();
        Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// Notifies readers, through [`Catalog::data_version`], of a change to other files of the data folder.
    pub fn touch(&self) -> Result<()> {
        // The number is raised in one statement, so that two processes can do this at the same time.
        let sql = "INSERT INTO meta (key, value) VALUES ('changes', '1') \
                   ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1";
        self.lock().prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// See [`Catalog::last_change`].
pub fn last_change(connection: &Connection) -> Result<i64> {
    let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'changes'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// Sets the number of the last transaction that changed papers. Must be called within that transaction.
pub fn set_last_change(connection: &Connection, change: i64) -> Result<()> {
    let sql =
        "INSERT INTO meta (key, value) VALUES ('changes', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1";
    connection.prepare_cached(sql)?.execute([change.to_string()])?;
    Ok(())
}
