//! Integrity checks that read the whole catalog: SQLite's check of the file's pages, and a comparison of each paper's
//! text with its recorded hash.

use super::{Catalog, PaperNumber, SELECT, paper};
use crate::error::{Error, Result};
use crate::store::text::{TextHash, text_of};
use rusqlite::OptionalExtension;

impl Catalog {
    /// Runs SQLite's `quick_check`, which reads the whole file but does not compare indexes with their tables.
    ///
    /// # Errors
    /// Returns [`Error::Data`] with the first problem that SQLite finds.
    pub fn check(&self) -> Result<()> {
        let report: String = self.lock().query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if report == "ok" {
            return Ok(());
        }
        Err(Error::Data(format!(
            "{}: the file is damaged: {report}; restore it from a backup, or ingest the dumps into a new --data folder",
            self.path.display()
        )))
    }

    /// Reads all papers. Returns a message for each paper that has an unreadable field, or a text that does not match
    /// its hash.
    pub fn damaged(&self) -> Result<Vec<String>> {
        let mut damaged = Vec::new();
        for (number, hash) in self.texts()? {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
            match statement.query_row([number], |row| Ok(paper(row))).optional()? {
                Some(Ok(paper)) if TextHash::of(&text_of(&paper)) != hash => {
                    damaged.push(self.unreadable(number, &"the text does not match the recorded hash"));
                }
                Some(Err(error)) => damaged.push(self.unreadable(number, &error)),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(damaged)
    }

    /// The message about a damaged paper.
    pub(super) fn unreadable(&self, number: PaperNumber, problem: &dyn std::fmt::Display) -> String {
        format!(
            "{}: the paper with row number {number} is damaged: {problem}; ingest again the dump that contains it",
            self.path.display()
        )
    }
}
