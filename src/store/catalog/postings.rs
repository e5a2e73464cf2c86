//! The inverted index for lexical search: the posting list of every term, and its document frequency.
//!
//! The index is written in the same transaction as the papers, so index and papers always agree, even after a crash.

use super::full_text::WORDS;
use super::prepared::terms_of;
use super::transaction::{DocFreqDeltas, WriteContext, begin};
use super::{Catalog, PaperNumber};
use crate::error::Result;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::{HashMap, HashSet};

/// The tables of the index. `words` has the distinct terms of each paper, separated by spaces; a term contains no
/// space. `word_counts` has the document frequency of each term.
pub const TABLES: &str = "
CREATE VIRTUAL TABLE words USING fts5 (
    terms, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

CREATE TABLE word_counts (
    term   TEXT PRIMARY KEY,
    papers INTEGER NOT NULL         -- number of papers that have the term
) STRICT, WITHOUT ROWID;
";

/// [`index_all`] writes the terms of this many papers at a time.
const MAX_PENDING_PAPERS: usize = 10_000;

/// The terms of a stored paper. Empty if there is no paper with this number. If the paper cannot be read, its terms are
/// unknown. All document frequencies are then counted again at the end of the transaction.
pub fn stored_terms(
    connection: &Connection,
    number: PaperNumber,
    context: &mut WriteContext,
) -> Result<HashSet<String>> {
    let mut find = connection.prepare_cached("SELECT title, abstract FROM papers WHERE number = ?1")?;
    let texts =
        |row: &Row| Ok(row.get::<_, String>(0).and_then(|title| Ok((title, row.get::<_, String>(1)?))).ok());
    let found = find.query_row([number], texts).optional()?;
    context.recount |= matches!(found, Some(None));
    Ok(found.flatten().map(|(title, r#abstract)| terms_of(&title, &r#abstract)).unwrap_or_default())
}

/// Replaces the terms of a paper. `old` is `None` if this transaction adds the paper. [`write()`] writes the changes.
pub fn replace(
    number: PaperNumber,
    old: Option<&HashSet<String>>,
    new: HashSet<String>,
    context: &mut WriteContext,
) {
    if old == Some(&new) {
        return;
    }
    let text = new.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    context.words.set(number, text, old.is_none());
    for term in old.into_iter().flatten() {
        *context.doc_freqs.entry(term.clone()).or_default() -= 1;
    }
    for term in new {
        *context.doc_freqs.entry(term).or_default() += 1;
    }
}

/// Writes the terms and document frequencies that [`replace`] changed.
pub fn write(connection: &Connection, context: &mut WriteContext) -> Result<()> {
    context.words.write(connection, &WORDS)?;
    add_doc_freqs(connection, &std::mem::take(&mut context.doc_freqs))
}

/// Adds `deltas` to the stored document frequencies. This is done once per transaction, because the papers of a
/// transaction share most terms.
fn add_doc_freqs(connection: &Connection, deltas: &DocFreqDeltas) -> Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO word_counts (term, papers) VALUES (?1, max(?2, 0)) \
         ON CONFLICT (term) DO UPDATE SET papers = max(papers + ?2, 0)",
    )?;
    let mut changed: Vec<_> = deltas.iter().filter(|(_, delta)| **delta != 0).collect();
    // The terms are in the order of the table, so that each page of the table is changed once.
    changed.sort_unstable();
    for (term, delta) in changed {
        add.execute(params![term, delta])?;
    }
    Ok(())
}

/// Drops both tables of the index, and creates them again from all papers that can be read.
pub fn rebuild(connection: &Connection) -> Result<()> {
    connection.execute_batch("DROP TABLE words; DROP TABLE word_counts;")?;
    connection.execute_batch(TABLES)?;
    index_all(connection)
}

/// Adds all papers that can be read to the empty index. For catalogs of older versions, which had no inverted index,
/// and for [`rebuild`].
pub fn index_all(connection: &Connection) -> Result<()> {
    let (mut context, mut papers) = (WriteContext::default(), 0);
    for_each_paper(connection, |number, terms| {
        replace(number, None, terms, &mut context);
        papers += 1;
        if papers % MAX_PENDING_PAPERS == 0 { write(connection, &mut context) } else { Ok(()) }
    })?;
    write(connection, &mut context)
}

/// Calls `visit` with the number and the terms of every paper that can be read.
fn for_each_paper(
    connection: &Connection,
    mut visit: impl FnMut(PaperNumber, HashSet<String>) -> Result<()>,
) -> Result<()> {
    let mut all = connection.prepare("SELECT number, title, abstract FROM papers")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let (Ok(title), Ok(r#abstract)) = (row.get::<_, String>(1), row.get::<_, String>(2)) else {
            continue;
        };
        visit(row.get(0)?, terms_of(&title, &r#abstract))?;
    }
    Ok(())
}

impl Catalog {
    /// Whether the stored document frequencies match the papers that can be read. Reads all papers.
    pub fn doc_freqs_are_correct(&self) -> Result<bool> {
        let connection = self.lock();
        let mut expected = HashMap::<String, i64>::new();
        for_each_paper(&connection, |_, terms| {
            terms.into_iter().for_each(|term| *expected.entry(term).or_default() += 1);
            Ok(())
        })?;
        let mut all = connection.prepare("SELECT term, papers FROM word_counts WHERE papers > 0")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<HashMap<String, i64>>>()? == expected)
    }

    /// Builds the inverted index again from all papers that can be read.
    pub fn rebuild_postings(&self) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        rebuild(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// The document frequency of each term: the number of papers that have the term.
    pub fn doc_freqs(&self, terms: &[&str]) -> Result<Vec<usize>> {
        let connection = self.reader();
        let mut find = connection.prepare_cached("SELECT papers FROM word_counts WHERE term = ?1")?;
        let count = |term: &&str| -> Result<usize> {
            let count: Option<i64> = find.query_row([term], |row| row.get(0)).optional()?;
            Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
        };
        terms.iter().map(count).collect()
    }

    /// The numbers of the papers that have `term`, in descending order: the `limit` highest numbers. `term` must be in
    /// the form that [`likewise_papers::terms`] returns.
    pub fn papers_with_term(&self, term: &str, limit: usize) -> Result<Vec<PaperNumber>> {
        let connection = self.reader();
        let sql = "SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT ?2";
        let mut find = connection.prepare_cached(sql)?;
        let found = find.query_map(params![format!("\"{term}\""), limit as i64], |row| row.get(0))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
