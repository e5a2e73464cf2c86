//! Which files of a watched folder were taken in, and how they were then.
//!
//! Its own file because it is not about papers: it saves reading a file again after a start.

use super::Catalog;
use crate::error::Result;
use std::collections::HashMap;

impl Catalog {
    /// The files that were taken in, by name, and the states they were in.
    pub fn files_taken(&self) -> Result<HashMap<String, String>> {
        let connection = self.lock();
        let mut all = connection.prepare_cached("SELECT path, state FROM files")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes that a file was.
    pub fn set_file_taken(&self, path: &str, state: &str) -> Result<()> {
        let sql =
            "INSERT INTO files (path, state) VALUES (?1, ?2) ON CONFLICT (path) DO UPDATE SET state = ?2";
        self.lock().execute(sql, [path, state])?;
        Ok(())
    }
}
