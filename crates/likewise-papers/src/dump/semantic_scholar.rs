//! Semantic Scholar's datasets: `papers` and `abstracts`, JSON Lines, to be joined.
//!
//! Its own file because of the join: either dataset is larger than memory, so abstracts wait on the disk, in a
//! database of SQLite's that is gone with the process, until their papers come.

use super::fields::{Fields, build, date_if_readable, deleted};
use super::json::records;
use super::{Entries, Entry, Refused};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What this dump's papers are from.
const SOURCE: &str = "semantic-scholar";

/// Abstracts put in at once.
const AT_ONCE: usize = 10_000;

/// Whether a first line has the key that only these datasets have.
pub fn looks_like(line: &str) -> bool {
    line.contains("\"corpusid\"")
}

/// Whether that line is one of the abstracts' dataset.
pub fn has_abstracts(line: &str) -> bool {
    looks_like(line) && line.contains("\"abstract\"") && !line.contains("\"title\"")
}

/// Abstracts by the number of their paper, on the disk.
#[derive(Clone)]
pub struct Abstracts(Arc<Mutex<Connection>>);

impl Abstracts {
    /// None yet. Where they are kept, SQLite says: `SQLITE_TMPDIR`, `TMPDIR`, or the system's own folder.
    ///
    /// # Errors
    /// [`Error::Join`] if there is no such place.
    pub fn new() -> Result<Abstracts> {
        let connection = Connection::open("")?;
        connection.execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -65536;
             CREATE TABLE abstracts (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
        )?;
        Ok(Abstracts(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a file of the abstracts' dataset; gives what was refused in it. Of a paper that comes twice, the last
    /// counts.
    ///
    /// # Errors
    /// [`Error::Join`] if the disk is full.
    pub fn take(&self, reader: Box<dyn BufRead + Send>) -> Result<Vec<Refused>> {
        let (mut refused, mut chunk) = (Vec::new(), Vec::new());
        let mut read = super::lines::lines(reader);
        loop {
            let line = read.next();
            let is_last = line.is_none();
            match line {
                Some(Ok((line, text))) => match serde_json::from_str::<Abstract>(&text) {
                    Ok(Abstract { number, text: Some(text) }) => chunk.push((number, text)),
                    Ok(_) => {}
                    Err(error) => refused
                        .push(Refused { line, reason: format!("{error}; wanted corpusid and abstract") }),
                },
                Some(Err(error)) => refused.push(error),
                None => {}
            }
            if is_last || chunk.len() == AT_ONCE {
                self.put(&std::mem::take(&mut chunk))?;
            }
            if is_last {
                return Ok(refused);
            }
        }
    }

    fn put(&self, chunk: &[(i64, String)]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut put =
            transaction.prepare_cached("INSERT OR REPLACE INTO abstracts (number, text) VALUES (?1, ?2)")?;
        for (number, text) in chunk {
            put.execute((number, text))?;
        }
        drop(put);
        Ok(transaction.commit()?)
    }

    fn of(&self, number: i64) -> Result<Option<String>, Error> {
        let connection = self.lock();
        let mut find = connection.prepare_cached("SELECT text FROM abstracts WHERE number = ?1")?;
        Ok(find.query_row([number], |row| row.get(0)).optional()?)
    }
}

#[derive(Deserialize)]
struct Abstract {
    #[serde(rename = "corpusid")]
    number: i64,
    #[serde(rename = "abstract")]
    text: Option<String>,
}

/// The papers of the papers' dataset, with the abstracts that were taken in before.
pub fn entries(reader: Box<dyn BufRead + Send>, abstracts: Option<Abstracts>) -> Entries {
    records(reader, move |record: Record| record.into_entry(abstracts.as_ref()))
}

#[derive(Deserialize)]
struct Record {
    corpusid: i64,
    externalids: Option<BTreeMap<String, Value>>,
    title: Option<String>,
    r#abstract: Option<String>,
    authors: Option<Vec<Named>>,
    venue: Option<String>,
    journal: Option<Journal>,
    year: Option<u16>,
    publicationdate: Option<String>,
    s2fieldsofstudy: Option<Vec<Field>>,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Journal {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Field {
    category: Option<String>,
}

impl Record {
    fn into_entry(self, abstracts: Option<&Abstracts>) -> Result<Entry, String> {
        let number = self.corpusid;
        if self.deleted {
            return deleted(&format!("corpusid:{number}"), Some(SOURCE)).map(Entry::Deleted);
        }
        let external = |name: &str, before: &str| {
            let id = match self.externalids.as_ref()?.get(name)? {
                Value::String(id) => id.clone(),
                Value::Number(id) => id.to_string(),
                _ => return None,
            };
            Some(format!("{before}{id}"))
        };
        let others =
            [("ArXiv", ""), ("ACL", "acl:"), ("DOI", ""), ("PubMed", "pmid:"), ("PubMedCentral", "pmcid:")];
        let mut ids: Vec<String> =
            others.iter().filter_map(|(name, before)| external(name, before)).collect();
        ids.push(format!("corpusid:{number}"));
        let waiting = || abstracts.map(|abstracts| abstracts.of(number)).transpose().map(Option::flatten);
        let r#abstract = match self.r#abstract {
            Some(text) => Some(text),
            None => waiting().map_err(|error| error.to_string())?,
        };
        let mut categories: Vec<String> =
            self.s2fieldsofstudy.into_iter().flatten().filter_map(|field| field.category).collect();
        categories.dedup();
        let date = self.publicationdate.as_deref().and_then(date_if_readable);
        build(Fields {
            ids,
            title: self.title,
            r#abstract,
            authors: self.authors.into_iter().flatten().filter_map(|author| author.name).collect(),
            published: date.or_else(|| date_if_readable(&self.year?.to_string())),
            categories,
            venue: self.venue.filter(|venue| !venue.trim().is_empty()).or_else(|| self.journal?.name),
            source: Some(SOURCE.into()),
            url: None,
            withdrawn: false,
            also: Vec::new(),
        })
        .map(Entry::Paper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn reader(text: &str) -> Box<dyn BufRead + Send> {
        Box::new(Cursor::new(text.to_string().into_bytes()))
    }

    #[test]
    fn abstracts_find_their_papers_whatever_the_order() {
        let abstracts = Abstracts::new().unwrap();
        let text = "{\"corpusid\":2,\"abstract\":\"old\"}\n{\"corpusid\":1,\"abstract\":null}\n{\"corpusid\":2,\"abstract\":\"B.\"}\n{\"abstract\":\"x\"}\n";
        assert_eq!(
            abstracts.take(reader(text)).unwrap().iter().map(|refused| refused.line).collect::<Vec<_>>(),
            [4]
        );
        let papers = r#"{"corpusid":1,"title":"One","externalids":{"DOI":null}}
            {"corpusid":2,"title":"Two","externalids":{"ArXiv":"2101.00002","PubMed":7,"DOI":"10.1000/X"},"year":2021,"journal":{"name":"J"},"venue":""}
            {"corpusid":3,"deleted":true}"#;
        let got: Vec<_> = entries(reader(papers), Some(abstracts)).map(Result::unwrap).collect();
        let [Entry::Paper(one), Entry::Paper(two), Entry::Deleted(gone)] = &got[..] else {
            panic!("{got:?}")
        };
        assert_eq!((one.id.as_str(), one.r#abstract.as_str()), ("corpusid:1", ""));
        assert_eq!(
            (two.id.as_str(), two.r#abstract.as_str(), two.venue.as_deref()),
            ("2101.00002", "B.", Some("J"))
        );
        assert_eq!(
            two.also.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            ["10.1000/x", "pmid:7", "corpusid:2"]
        );
        assert_eq!(gone.id.as_str(), "corpusid:3");
    }
}
