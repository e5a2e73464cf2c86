//! Which papers have a term: an inverted index, and in how many each is.
//!
//! Its own file because lexical search stands on it. It is written in the transaction that writes the papers, so what
//! was written is found, whatever kills the process.

use super::transaction::{Change, Counts, begin};
use super::{Catalog, PaperNumber};
use crate::error::Result;
use likewise_papers::terms::terms;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;

/// The tables: the index has a paper's terms, each once, with a space between; whatever is no space is of a term.
pub const TABLES: &str = "
CREATE VIRTUAL TABLE words USING fts5 (
    terms, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

CREATE TABLE word_counts (
    term   TEXT PRIMARY KEY,
    papers INTEGER NOT NULL         -- that have it
) STRICT, WITHOUT ROWID;
";

/// Terms whose counts are held at once where every paper is gone through.
const COUNTED: usize = 500_000;

/// Terms of a paper as it is stored, none if there is no paper of this number. Of one that cannot be read nobody knows
/// them: then all are counted anew at the end of the change.
pub fn stored(connection: &Connection, number: PaperNumber, change: &mut Change) -> Result<HashSet<String>> {
    let mut find = connection.prepare_cached("SELECT title, abstract FROM papers WHERE number = ?1")?;
    let texts =
        |row: &Row| Ok(row.get::<_, String>(0).and_then(|title| Ok((title, row.get::<_, String>(1)?))).ok());
    let found = find.query_row([number], texts).optional()?;
    change.recount |= matches!(found, Some(None));
    Ok(found.flatten().map(|(title, r#abstract)| of(&title, &r#abstract)).unwrap_or_default())
}

/// The terms of a paper.
pub fn of(title: &str, r#abstract: &str) -> HashSet<String> {
    terms(&format!("{title} {abstract}"))
}

/// Puts a paper's terms in the place of those it had.
pub fn replace(
    connection: &Connection,
    number: PaperNumber,
    old: &HashSet<String>,
    new: &HashSet<String>,
    change: &mut Change,
) -> Result<()> {
    if old == new {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([number])?;
    if !new.is_empty() {
        let text = new.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let mut add = connection.prepare_cached("INSERT INTO words (rowid, terms) VALUES (?1, ?2)")?;
        add.execute(params![number, text])?;
    }
    for (terms, by) in [(old, -1), (new, 1)] {
        for term in terms {
            match change.words.get_mut(term) {
                Some(count) => *count += by,
                None => drop(change.words.insert(term.clone(), by)),
            }
        }
    }
    Ok(())
}

/// Writes down by how much counts have changed: once a transaction, since its papers share most terms.
pub fn count(connection: &Connection, counts: &Counts) -> Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO word_counts (term, papers) VALUES (?1, max(?2, 0)) \
         ON CONFLICT (term) DO UPDATE SET papers = max(papers + ?2, 0)",
    )?;
    let mut changed: Vec<_> = counts.iter().filter(|(_, by)| **by != 0).collect();
    // In the order of the table, each page is changed once.
    changed.sort_unstable();
    for (term, by) in changed {
        add.execute(params![term, by])?;
    }
    Ok(())
}

/// Makes both tables anew.
pub fn rebuild(connection: &Connection) -> Result<()> {
    connection.execute_batch("DROP TABLE words; DROP TABLE word_counts;")?;
    connection.execute_batch(TABLES)?;
    add_all(connection)
}

/// Indexes the papers that are here, as an older version did not.
pub fn add_all(connection: &Connection) -> Result<()> {
    let mut change = Change::default();
    for_each_paper(connection, |number, terms| {
        replace(connection, number, &HashSet::new(), &terms, &mut change)?;
        if change.words.len() >= COUNTED {
            count(connection, &std::mem::take(&mut change.words))?;
        }
        Ok(())
    })?;
    count(connection, &change.words)
}

fn for_each_paper(
    connection: &Connection,
    mut take: impl FnMut(PaperNumber, HashSet<String>) -> Result<()>,
) -> Result<()> {
    let mut all = connection.prepare("SELECT number, title, abstract FROM papers")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let (Ok(title), Ok(r#abstract)) = (row.get::<_, String>(1), row.get::<_, String>(2)) else {
            continue;
        };
        take(row.get(0)?, of(&title, &r#abstract))?;
    }
    Ok(())
}

impl Catalog {
    /// Whether terms are counted as the papers have them. It reads them all.
    pub fn counts_are_right(&self) -> Result<bool> {
        let connection = self.lock();
        let mut wanted = Counts::new();
        for_each_paper(&connection, |_, terms| {
            terms.into_iter().for_each(|term| *wanted.entry(term).or_default() += 1);
            Ok(())
        })?;
        let mut all = connection.prepare("SELECT term, papers FROM word_counts WHERE papers > 0")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<Counts>>()? == wanted)
    }

    /// Indexes every paper's terms anew.
    pub fn index_words(&self) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        rebuild(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// In how many papers each of some terms is.
    pub fn counts_of_terms(&self, terms: &[&str]) -> Result<Vec<usize>> {
        let connection = self.reader();
        let mut find = connection.prepare_cached("SELECT papers FROM word_counts WHERE term = ?1")?;
        let count = |term: &&str| -> Result<usize> {
            let count: Option<i64> = find.query_row([term], |row| row.get(0)).optional()?;
            Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
        };
        terms.iter().map(count).collect()
    }

    /// The papers that have a term, as [`likewise_papers::terms`] gives it, the newest first, at most so many.
    pub fn having_term(&self, term: &str, most: usize) -> Result<Vec<PaperNumber>> {
        let connection = self.reader();
        let sql = "SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT ?2";
        let mut find = connection.prepare_cached(sql)?;
        let found = find.query_map(params![format!("\"{term}\""), most as i64], |row| row.get(0))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
