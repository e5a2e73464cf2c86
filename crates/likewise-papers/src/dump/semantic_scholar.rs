//! Semantic Scholar's datasets: `papers` and `abstracts`, JSON Lines, to be joined.
//!
//! Its own file because of the join: either dataset is larger than memory, so abstracts wait on the disk, in a
//! database of SQLite's that is gone with the process, until their papers come.

use super::fields::{Fields, build, deleted};
use super::json::records;
use super::loose::{Id, List, Loose, Object, Text};
use super::unread::Unread;
use super::{Entries, Entry, Refused};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What this dump's papers are from.
const SOURCE: &str = "semantic-scholar";

/// Abstracts put in at once.
const AT_ONCE: usize = 10_000;

/// Whether an object has a key that only these datasets and the API's answers have.
pub fn looks_like(object: &str) -> bool {
    ["\"corpusid\"", "\"corpusId\"", "\"paperId\"", "\"externalIds\""].iter().any(|key| object.contains(key))
}

/// Whether that line is one of the abstracts' dataset.
pub fn has_abstracts(line: &str) -> bool {
    line.contains("\"corpusid\"") && line.contains("\"abstract\"") && !line.contains("\"title\"")
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

/// The papers of the papers' dataset, with the abstracts that were taken in before, or of the API's answers.
pub fn entries(reader: Box<dyn BufRead + Send>, abstracts: Option<Abstracts>, unread: &Unread) -> Entries {
    records(reader, unread, move |record: Record, unread| record.into_entry(abstracts.as_ref(), unread))
}

/// One paper.
pub fn entry(record: Record, unread: &Unread) -> Result<Entry, String> {
    record.into_entry(None, unread)
}

/// A paper, as far as it is read. Datasets write its fields in lower case, the API in camel case.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    #[serde(alias = "corpusId")]
    corpusid: Loose<Id>,
    #[serde(rename = "paperId")]
    paper_id: Text,
    #[serde(alias = "externalIds")]
    externalids: Loose<Object<BTreeMap<String, Text>>>,
    title: Text,
    r#abstract: Text,
    authors: List<Object<Named>>,
    venue: Text,
    #[serde(alias = "publicationVenue")]
    publicationvenue: Loose<Object<Named>>,
    journal: Loose<Object<Named>>,
    year: Text,
    #[serde(alias = "publicationDate")]
    publicationdate: Text,
    #[serde(alias = "s2FieldsOfStudy")]
    s2fieldsofstudy: List<Object<Field>>,
    #[serde(alias = "fieldsOfStudy")]
    fieldsofstudy: List<String>,
    deleted: Loose<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Field {
    category: Text,
}

/// Ids elsewhere by the names that Semantic Scholar gives them, and what is put before each.
const OTHERS: [(&str, &str); 6] = [
    ("ArXiv", ""),
    ("ACL", "acl:"),
    ("DOI", ""),
    ("PubMed", "pmid:"),
    ("PubMedCentral", "pmcid:"),
    ("CorpusId", "corpusid:"),
];

impl Record {
    fn into_entry(self, abstracts: Option<&Abstracts>, unread: &Unread) -> Result<Entry, String> {
        let number = self.corpusid.read("corpusid", unread).map(Id::text).transpose()?;
        let own = number.as_ref().map(|number| format!("corpusid:{number}"));
        if self.deleted.read("deleted", unread).unwrap_or_default() {
            let id = own.ok_or("got deleted without a corpusid, wanted the paper's")?;
            return deleted(&id, Some(SOURCE)).map(Entry::Deleted);
        }
        let mut external =
            self.externalids.read("externalids", unread).map_or_else(BTreeMap::new, |ids| ids.0);
        let mut ids: Vec<String> = OTHERS
            .iter()
            .filter_map(|(name, before)| {
                let id = external.remove(*name)?.read(&format!("externalids.{name}"), unread)?;
                Some(format!("{before}{}", id.trim())).filter(|_| !id.trim().is_empty())
            })
            .collect();
        ids.extend(own);
        if ids.is_empty() {
            ids.extend(self.paper_id.read("paperId", unread).filter(|id| !id.trim().is_empty()));
        }
        let waiting = || {
            let number = number.as_ref()?.parse().ok()?;
            abstracts.map(|abstracts| abstracts.of(number)).transpose().map(Option::flatten).transpose()
        };
        let r#abstract = match self.r#abstract.read("abstract", unread) {
            Some(text) => Some(text),
            None => waiting().transpose().map_err(|error| error.to_string())?,
        };
        let fields = self.s2fieldsofstudy.items("s2fieldsofstudy", unread).into_iter();
        let mut categories: Vec<String> =
            fields.filter_map(|field| field.0.category.read("s2fieldsofstudy.category", unread)).collect();
        categories.extend(self.fieldsofstudy.items("fieldsofstudy", unread));
        let dates = [self.publicationdate.read("publicationdate", unread), self.year.read("year", unread)];
        let name = |named: Loose<Object<Named>>, field: &str| {
            named.read(field, unread).and_then(|named| named.0.name.read(field, unread))
        };
        let authors = self.authors.items("authors", unread).into_iter();
        let venue = self.venue.read("venue", unread).filter(|venue| !venue.trim().is_empty());
        let fields = Fields {
            ids,
            title: self.title.read("title", unread),
            r#abstract,
            authors: authors.filter_map(|author| author.0.name.read("authors.name", unread)).collect(),
            published: dates.into_iter().flatten().collect(),
            categories,
            venue: venue
                .or_else(|| name(self.journal, "journal"))
                .or_else(|| name(self.publicationvenue, "publicationvenue")),
            source: Some(SOURCE.into()),
            url: None,
            withdrawn: false,
            also: Vec::new(),
        };
        build(fields, unread).map(Entry::Paper)
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
        let got: Vec<_> =
            entries(reader(papers), Some(abstracts), &Unread::default()).map(Result::unwrap).collect();
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
