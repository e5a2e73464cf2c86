//! What was written to a catalog, and when.
//!
//! Its own file because it is what everything that is derived follows: every transaction has a number, and every
//! paper the number of the one that wrote it last.

use super::{Catalog, PaperNumber, text_hash};
use crate::error::Result;
use crate::store::text::TextHash;
use rusqlite::{Connection, OptionalExtension};

/// What was written after a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The last transaction.
    pub last: i64,
    /// Papers that were added or replaced, and their texts.
    pub written: Vec<(PaperNumber, TextHash)>,
    /// Papers that were deleted.
    pub deleted: Vec<PaperNumber>,
}

impl Catalog {
    /// What was written after the transaction `after`; after 0, everything that is here.
    pub fn changes(&self, after: i64) -> Result<Changes> {
        let mut connection = self.lock();
        // One transaction, so that all three are of one state.
        let transaction = connection.transaction()?;
        let last = last_change(&transaction)?;
        // What an older version wrote has no number.
        let least = if after == 0 { 0 } else { after + 1 };
        let mut written =
            transaction.prepare_cached("SELECT number, text_hash FROM papers WHERE changed >= ?1")?;
        let written = written.query_map([least], |row| Ok((row.get(0)?, text_hash(row, 1)?)))?;
        let written = written.collect::<rusqlite::Result<_>>()?;
        let mut deleted = transaction.prepare_cached("SELECT number FROM deleted WHERE changed > ?1")?;
        let deleted = deleted.query_map([after], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Changes { last, written, deleted })
    }

    /// The number of the last transaction.
    pub fn last_change(&self) -> Result<i64> {
        last_change(&self.lock())
    }

    /// Differs from what it was when somebody else has written since.
    pub fn version(&self) -> Result<i64> {
        let connection = self.lock();
        Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// Tells readers, by [`Catalog::version`], of what changed beside the catalog.
    pub fn touch(&self) -> Result<()> {
        // One statement: two processes may do it at the same time.
        let sql = "INSERT INTO meta (key, value) VALUES ('changes', '1') \
                   ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1";
        self.lock().prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// The number of the last transaction that changed papers.
pub fn last_change(connection: &Connection) -> Result<i64> {
    let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'changes'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// Sets it, as part of that transaction.
pub fn set_last_change(connection: &Connection, change: i64) -> Result<()> {
    let sql =
        "INSERT INTO meta (key, value) VALUES ('changes', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1";
    connection.prepare_cached(sql)?.execute([change.to_string()])?;
    Ok(())
}
