//! Integrity checks that read the whole catalog: SQLite's check of its pages, and the text of every paper against its
//! hash.

use super::{Catalog, PaperNumber, SELECT, paper};
use crate::error::{Error, Result};
use crate::store::text::{TextHash, text_of};
use rusqlite::OptionalExtension;

impl Catalog {
    /// Runs SQLite's check of the whole file.
    ///
    /// # Errors
    /// Returns [`Error::Data`] with the first problem that SQLite finds.
    pub fn check(&self) -> Result<()> {
        let report: String = self.lock().query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if report == "ok" {
            return Ok(());
        }
        Err(Error::Data(format!(
            "{}: the file is damaged: {report}; restore a copy of it, or ingest the dumps into a new --data folder",
            self.path.display()
        )))
    }

    /// Reads all papers. Returns a message for each one with a field that cannot be read, or with a text that does not
    /// match its hash.
    pub fn damaged(&self) -> Result<Vec<String>> {
        let mut damaged = Vec::new();
        for (number, hash) in self.texts()? {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
            match statement.query_row([number], |row| Ok(paper(row))).optional()? {
                Some(Ok(paper)) if TextHash::of(&text_of(&paper)) != hash => {
                    damaged.push(self.unreadable(number, &"its text does not match its hash"));
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
            "{}: paper number {number} is damaged: {problem}; ingest the dump that it came from again",
            self.path.display()
        )
    }
}
