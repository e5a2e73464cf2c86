//! The files of a watched folder that have been ingested or could not be read. They are recorded so that a file is not
//! read again until it changes, even after a restart.

use super::Catalog;
use crate::error::Result;
use std::collections::HashMap;

impl Catalog {
    /// The recorded files, by path, each with the state (size and modification time) that it had when it was read.
    pub fn ingested_files(&self) -> Result<HashMap<String, String>> {
        let connection = self.lock();
        let mut all = connection.prepare_cached("SELECT path, state FROM files")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Records that a file has been ingested in this state (size and modification time).
    pub fn set_ingested_file(&self, path: &str, state: &str) -> Result<()> {
        let sql =
            "INSERT INTO files (path, state) VALUES (?1, ?2) ON CONFLICT (path) DO UPDATE SET state = ?2";
        self.lock().execute(sql, [path, state])?;
        Ok(())
    }
}
