//! A paper's rows: itself, what it is found by, and its records.
//!
//! Its own file because these are several tables that must fit each other, and whoever decides what a paper is
//! (`write.rs`) need not know which.

use super::fold::{marks, paper_of};
use super::transaction::Change;
use super::{PaperNumber, SELECT, labels, paper, words};
use crate::error::{Error, Result};
use crate::store::text::{TextHash, text_of};
use likewise_papers::paper::{Paper, PaperId, parse_date};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeSet, HashSet};
use unicode_normalization::UnicodeNormalization;

/// The numbers of the papers with this id, as the one they are called by or another one.
pub fn numbers_of(connection: &Connection, id: &PaperId) -> Result<BTreeSet<PaperNumber>> {
    let mut numbers = numbers_called(connection, id)?;
    if let Some(older) = as_before(id) {
        numbers.extend(numbers_called(connection, &older)?);
    }
    Ok(numbers)
}

/// An id in Unicode's decomposed form (NFD), as older versions kept it if it came so; none, if that is the same.
fn as_before(id: &PaperId) -> Option<PaperId> {
    let decomposed = || id.as_str().nfd().collect::<String>();
    let other = (!id.as_str().is_ascii()).then(decomposed)?;
    (other != id.as_str()).then(|| PaperId::stored(other))
}

fn numbers_called(connection: &Connection, id: &PaperId) -> Result<BTreeSet<PaperNumber>> {
    let sql = "SELECT number FROM papers WHERE id = ?1 UNION SELECT number FROM names WHERE name = ?1";
    let mut find = connection.prepare_cached(sql)?;
    let numbers = find.query_map([id.as_str()], |row| row.get(0))?;
    Ok(numbers.collect::<rusqlite::Result<_>>()?)
}

/// The number of the paper with this id: the one that is called so or, if none is, one that has it as another.
pub fn number_of(connection: &Connection, id: &PaperId) -> Result<Option<PaperNumber>> {
    match (number_called(connection, id)?, as_before(id)) {
        (None, Some(older)) => number_called(connection, &older),
        (number, _) => Ok(number),
    }
}

fn number_called(connection: &Connection, id: &PaperId) -> Result<Option<PaperNumber>> {
    let sql = "SELECT number, 0 AS other FROM papers WHERE id = ?1 \
               UNION ALL SELECT number, 1 FROM names WHERE name = ?1 ORDER BY other, number LIMIT 1";
    Ok(connection.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// The records of a paper: those that are kept beside it or, where there is one only, the paper itself. What cannot be
/// read is left out, and replaced.
pub fn records_of(connection: &Connection, number: PaperNumber) -> Result<Vec<Paper>> {
    let mut several =
        connection.prepare_cached("SELECT record FROM records WHERE number = ?1 ORDER BY place")?;
    let rows = several.query_map([number], |row| row.get::<_, String>(0))?;
    let records = rows.collect::<rusqlite::Result<Vec<String>>>()?;
    if !records.is_empty() {
        return Ok(records.iter().filter_map(|json| serde_json::from_str(json).ok()).collect());
    }
    let mut one = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
    let record = one.query_row([number], |row| Ok(paper(row).ok())).optional()?;
    Ok(record.flatten().into_iter().collect())
}

/// How many records a paper has, counted up to so many.
pub fn records_up_to(connection: &Connection, number: PaperNumber, most: usize) -> Result<usize> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM records WHERE number = ?1 LIMIT ?2)";
    let several: i64 = connection.prepare_cached(sql)?.query_row((number, most as i64), |row| row.get(0))?;
    Ok(usize::try_from(several).unwrap_or_default().max(1))
}

/// Writes a paper and all that it is found by.
pub fn write(
    connection: &Connection,
    number: Option<PaperNumber>,
    records: &[&Paper],
    change: &mut Change,
) -> Result<Paper> {
    let paper = paper_of(records);
    let terms = match number {
        Some(number) => words::stored(connection, number, change)?,
        None => HashSet::new(),
    };
    let number = write_row(connection, number, &paper, change.number)?;
    forget(connection, number)?;
    words::replace(connection, number, &terms, &words::of(&paper.title, &paper.r#abstract), change)?;
    labels::add(connection, number, &paper, records)?;
    let mut add = connection.prepare_cached("INSERT OR IGNORE INTO names (name, number) VALUES (?1, ?2)")?;
    for id in &paper.also {
        add.execute(params![id.as_str(), number])?;
    }
    for mark in records.iter().flat_map(|record| marks(record)) {
        add.execute([mark, number])?;
    }
    if records.len() > 1 {
        let mut add =
            connection.prepare_cached("INSERT INTO records (number, place, record) VALUES (?1, ?2, ?3)")?;
        for (place, record) in records.iter().enumerate() {
            add.execute(params![number, place as i64, serde_json::json!(record).to_string()])?;
        }
    }
    Ok(paper)
}

fn write_row(
    connection: &Connection,
    number: Option<PaperNumber>,
    paper: &Paper,
    change: i64,
) -> Result<PaperNumber> {
    let days = paper.published.as_deref().map(parse_date).transpose().map_err(Error::Invalid)?;
    let json = |list: &[String]| serde_json::Value::from(list.to_vec()).to_string();
    // Not one statement for both: an insertion that becomes an update uses up a number.
    let sql = if number.is_some() {
        "UPDATE papers SET id = ?2, title = ?3, abstract = ?4, authors = ?5, published = ?6, published_first = ?7, \
         published_last = ?8, categories = ?9, url = ?10, text_hash = ?11, changed = ?12, venue = ?13, source = ?14, \
         also = ?15, withdrawn = ?16 WHERE number = ?1 RETURNING number"
    } else {
        "INSERT INTO papers (number, id, title, abstract, authors, published, published_first, published_last, \
         categories, url, text_hash, changed, venue, source, also, withdrawn) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING number"
    };
    let also: Vec<String> = paper.also.iter().map(PaperId::to_string).collect();
    let mut write = connection.prepare_cached(sql)?;
    Ok(write.query_row(
        params![
            number,
            paper.id.as_str(),
            paper.title,
            paper.r#abstract,
            json(&paper.authors),
            paper.published,
            days.as_ref().map(|days| &days.first),
            days.as_ref().map(|days| &days.last),
            json(&paper.categories),
            paper.url,
            TextHash::of(&text_of(paper)).0,
            change,
            paper.venue,
            paper.source,
            json(&also),
            paper.withdrawn,
        ],
        |row| row.get(0),
    )?)
}

/// Removes what a paper is found by, and its records.
fn forget(connection: &Connection, number: PaperNumber) -> Result<()> {
    labels::remove(connection, number)?;
    for sql in ["DELETE FROM names WHERE number = ?1", "DELETE FROM records WHERE number = ?1"] {
        connection.prepare_cached(sql)?.execute([number])?;
    }
    Ok(())
}

/// Deletes a paper, and notes that it was here.
pub fn delete(connection: &Connection, number: PaperNumber, change: &mut Change) -> Result<()> {
    let terms = words::stored(connection, number, change)?;
    words::replace(connection, number, &terms, &HashSet::new(), change)?;
    connection.prepare_cached("DELETE FROM papers WHERE number = ?1")?.execute([number])?;
    forget(connection, number)?;
    let mut note = connection.prepare_cached("INSERT INTO deleted (number, changed) VALUES (?1, ?2)")?;
    note.execute([number, change.number])?;
    Ok(())
}

/// Notes what the papers that are here are found by, as an older version did not.
pub fn name_all(connection: &Connection) -> Result<()> {
    let mut all = connection.prepare(SELECT)?;
    let mut add = connection.prepare("INSERT OR IGNORE INTO names (name, number) VALUES (?1, ?2)")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let number: PaperNumber = row.get(0)?;
        let Ok(paper) = paper(row) else { continue };
        for mark in marks(&paper) {
            add.execute([mark, number])?;
        }
    }
    Ok(())
}
