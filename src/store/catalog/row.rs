//! Reads and writes the rows of a paper in several tables: the paper, its records, and the ids, labels and terms by
//! which the paper is found.

use super::dedup::{blocking_keys, merge_records};
use super::transaction::WriteContext;
use super::{PaperNumber, SELECT, labels, paper, postings};
use crate::error::{Error, Result};
use crate::store::text::{TextHash, text_of};
use likewise_papers::paper::{Paper, PaperId, parse_date};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeSet, HashSet};
use unicode_normalization::UnicodeNormalization;

/// The numbers of the papers that have this id or alternate id.
pub fn numbers_of(connection: &Connection, id: &PaperId) -> Result<BTreeSet<PaperNumber>> {
    let mut numbers = numbers_by_exact_id(connection, id)?;
    if let Some(decomposed) = decomposed(id) {
        numbers.extend(numbers_by_exact_id(connection, &decomposed)?);
    }
    Ok(numbers)
}

/// The id in Unicode's decomposed form (NFD). Older versions of likewise stored an id in this form if it had this form
/// in the dump. `None` if the decomposed form equals the id.
fn decomposed(id: &PaperId) -> Option<PaperId> {
    let nfd = || id.as_str().nfd().collect::<String>();
    let decomposed = (!id.as_str().is_ascii()).then(nfd)?;
    (decomposed != id.as_str()).then(|| PaperId::stored(decomposed))
}

fn numbers_by_exact_id(connection: &Connection, id: &PaperId) -> Result<BTreeSet<PaperNumber>> {
    let mut numbers = BTreeSet::new();
    // Two statements take a fraction of the time of their UNION.
    for sql in ["SELECT number FROM papers WHERE id = ?1", "SELECT number FROM names WHERE name = ?1"] {
        let mut find = connection.prepare_cached(sql)?;
        for number in find.query_map([id.as_str()], |row| row.get(0))? {
            numbers.insert(number?);
        }
    }
    Ok(numbers)
}

/// The number of the paper with this id. If there is no such paper: the number of a paper that has it as an alternate
/// id.
pub fn number_of(connection: &Connection, id: &PaperId) -> Result<Option<PaperNumber>> {
    match (number_by_exact_id(connection, id)?, decomposed(id)) {
        (None, Some(decomposed)) => number_by_exact_id(connection, &decomposed),
        (number, _) => Ok(number),
    }
}

fn number_by_exact_id(connection: &Connection, id: &PaperId) -> Result<Option<PaperNumber>> {
    let sql = "SELECT number, 0 AS other FROM papers WHERE id = ?1 \
               UNION ALL SELECT number, 1 FROM names WHERE name = ?1 ORDER BY other, number LIMIT 1";
    Ok(connection.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// The records of a paper. A paper with a single record has no rows in the table of records, because the paper itself
/// is the record. Skips records that cannot be read, so that new records replace them.
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

/// The number of records of a paper, or `max` if the paper has more.
pub fn record_count(connection: &Connection, number: PaperNumber, max: usize) -> Result<usize> {
    // SQLite parses a statement again whenever a parameter of its LIMIT is set, so the limit is no parameter.
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM records WHERE number = ?1 LIMIT {max})");
    let several: i64 = connection.prepare_cached(&sql)?.query_row([number], |row| row.get(0))?;
    Ok(usize::try_from(several).unwrap_or_default().max(1))
}

/// Writes the paper that `records` describe, with its records, ids, labels and terms. Replaces the paper with the
/// number `number`, or adds a new paper if `number` is `None`. Returns the written paper.
pub fn write(
    connection: &Connection,
    number: Option<PaperNumber>,
    records: &[&Paper],
    context: &mut WriteContext,
) -> Result<Paper> {
    let paper = merge_records(records);
    let is_new = number.is_none();
    let old_terms = number.map(|number| postings::stored_terms(connection, number, context)).transpose()?;
    let number = write_row(connection, number, &paper, context.transaction)?;
    if !is_new {
        delete_derived(connection, number)?;
    }
    let terms = context.prepared.take_terms(&paper);
    postings::replace(number, old_terms.as_ref(), terms, context);
    context.authors.set(number, labels::authors_text(&paper, records), is_new);
    labels::add(connection, number, &paper, records)?;
    let mut add = connection.prepare_cached("INSERT OR IGNORE INTO names (name, number) VALUES (?1, ?2)")?;
    for id in &paper.alternate_ids {
        add.execute(params![id.as_str(), number])?;
    }
    for record in records {
        for key in context.prepared.blocking_keys(record).iter() {
            add.execute([*key, number])?;
        }
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
    transaction: i64,
) -> Result<PaperNumber> {
    let days = paper.published.as_deref().map(parse_date).transpose().map_err(Error::Invalid)?;
    let json = |list: &[String]| serde_json::Value::from(list.to_vec()).to_string();
    // Two statements instead of one upsert, because an upsert that updates a row uses up a number of the AUTOINCREMENT
    // column.
    let sql = if number.is_some() {
        "UPDATE papers SET id = ?2, title = ?3, abstract = ?4, authors = ?5, published = ?6, published_first = ?7, \
         published_last = ?8, categories = ?9, url = ?10, text_hash = ?11, changed = ?12, venue = ?13, source = ?14, \
         also = ?15, withdrawn = ?16 WHERE number = ?1 RETURNING number"
    } else {
        "INSERT INTO papers (number, id, title, abstract, authors, published, published_first, published_last, \
         categories, url, text_hash, changed, venue, source, also, withdrawn) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) RETURNING number"
    };
    let also: Vec<String> = paper.alternate_ids.iter().map(PaperId::to_string).collect();
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
            transaction,
            paper.venue,
            paper.source,
            json(&also),
            paper.withdrawn,
        ],
        |row| row.get(0),
    )?)
}

/// Deletes the records, labels, alternate ids and blocking keys of a paper. Does not delete its terms and authors.
fn delete_derived(connection: &Connection, number: PaperNumber) -> Result<()> {
    for sql in [
        "DELETE FROM labels WHERE number = ?1",
        "DELETE FROM names WHERE number = ?1",
        "DELETE FROM records WHERE number = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([number])?;
    }
    Ok(())
}

/// Deletes a paper, and records the deletion in the table `deleted`.
pub fn delete(connection: &Connection, number: PaperNumber, context: &mut WriteContext) -> Result<()> {
    let terms = postings::stored_terms(connection, number, context)?;
    postings::replace(number, Some(&terms), HashSet::new(), context);
    context.authors.set(number, String::new(), false);
    connection.prepare_cached("DELETE FROM papers WHERE number = ?1")?.execute([number])?;
    delete_derived(connection, number)?;
    let mut record = connection.prepare_cached("INSERT INTO deleted (number, changed) VALUES (?1, ?2)")?;
    record.execute([number, context.transaction])?;
    Ok(())
}

/// Adds the blocking keys of all papers that can be read. For catalogs of older versions, which had no blocking keys.
pub fn add_blocking_keys(connection: &Connection) -> Result<()> {
    let mut all = connection.prepare(SELECT)?;
    let mut add = connection.prepare("INSERT OR IGNORE INTO names (name, number) VALUES (?1, ?2)")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let number: PaperNumber = row.get(0)?;
        let Ok(paper) = paper(row) else { continue };
        for key in blocking_keys(&paper) {
            add.execute([key, number])?;
        }
    }
    Ok(())
}
