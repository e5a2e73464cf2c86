//! Is a catalog what was written to it?
//!
//! Its own file because nothing else reads all of it: SQLite's own check of its pages, and every paper against the
//! hash of its text.

use super::{Catalog, PaperNumber, SELECT, paper};
use crate::error::{Error, Result};
use crate::store::text::{TextHash, text_of};
use rusqlite::OptionalExtension;

impl Catalog {
    /// Reads the whole file.
    ///
    /// # Errors
    /// [`Error::Data`] with the first thing that is damaged.
    pub fn check(&self) -> Result<()> {
        let said: String = self.lock().query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said == "ok" {
            return Ok(());
        }
        Err(Error::Data(format!(
            "{}: {said}; wanted an undamaged file: put a copy of it back, or ingest the dumps into a new --data folder",
            self.path.display()
        )))
    }

    /// What is wrong with papers: fields that cannot be read, texts that do not give their hashes. It reads them all.
    pub fn damaged(&self) -> Result<Vec<String>> {
        let mut damaged = Vec::new();
        for (number, hash) in self.texts()? {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
            match statement.query_row([number], |row| Ok(paper(row))).optional()? {
                Some(Ok(paper)) if TextHash::of(&text_of(&paper)) != hash => {
                    damaged.push(self.unreadable(number, &"its text does not give its hash"));
                }
                Some(Err(error)) => damaged.push(self.unreadable(number, &error)),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(damaged)
    }

    /// Says what to do about a paper.
    pub(super) fn unreadable(&self, number: PaperNumber, what: &dyn std::fmt::Display) -> String {
        format!(
            "{}: paper number {number} is damaged: {what}; ingest the dump that it came from again",
            self.path.display()
        )
    }
}
