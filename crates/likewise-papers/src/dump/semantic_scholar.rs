//! Reads Semantic Scholar's datasets `papers` and `abstracts` (JSON Lines) and joins them.
//!
//! Both datasets are larger than memory, so the abstracts are first loaded into a temporary SQLite database on disk.
//! SQLite deletes the database when the connection is closed.

use super::fields::{RawFields, build, deletion};
use super::json::records;
use super::lenient::{JsonObject, Lenient, LenientList, LenientText, RawId};
use super::warnings::Warnings;
use super::{Entries, Entry, Refused};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Source name of the papers in this format.
const SOURCE: &str = "semantic-scholar";

/// Number of abstracts inserted per transaction.
const INSERT_BATCH: usize = 10_000;

/// Whether an object has a key that only the datasets and the API responses of Semantic Scholar have.
pub fn looks_like(object: &str) -> bool {
    ["\"corpusid\"", "\"corpusId\"", "\"paperId\"", "\"externalIds\""].iter().any(|key| object.contains(key))
}

/// Whether a line is a record of the `abstracts` dataset.
pub fn has_abstracts(line: &str) -> bool {
    line.contains("\"corpusid\"") && line.contains("\"abstract\"") && !line.contains("\"title\"")
}

/// Abstracts by corpus id, in a temporary database on disk.
#[derive(Clone)]
pub struct AbstractStore(Arc<Mutex<Connection>>);

impl AbstractStore {
    /// Creates an empty store. SQLite puts the database into the folder named by `SQLITE_TMPDIR` or `TMPDIR`, or into
    /// the system's temporary folder.
    ///
    /// # Errors
    /// Returns [`Error::Join`] if the database cannot be created.
    pub fn new() -> Result<AbstractStore> {
        let connection = Connection::open("")?;
        connection.execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -65536;
             CREATE TABLE abstracts (number INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
        )?;
        Ok(AbstractStore(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a file of the `abstracts` dataset and returns its refused entries. If a paper has several abstracts, the
    /// last one is kept.
    ///
    /// # Errors
    /// Returns [`Error::Join`] if the database cannot be written, for example because the disk is full.
    pub fn load(&self, reader: Box<dyn BufRead + Send>) -> Result<Vec<Refused>> {
        let (mut refused, mut chunk) = (Vec::new(), Vec::new());
        let mut lines = super::lines::lines(reader);
        loop {
            let line = lines.next();
            let is_last = line.is_none();
            match line {
                Some(Ok((line, text))) => match serde_json::from_str::<AbstractRecord>(&text) {
                    Ok(AbstractRecord { number, text: Some(text) }) => chunk.push((number, text)),
                    Ok(_) => {}
                    Err(error) => refused.push(Refused {
                        line,
                        reason: format!("{error}; a record must have corpusid and abstract"),
                    }),
                },
                Some(Err(error)) => refused.push(error),
                None => {}
            }
            if is_last || chunk.len() == INSERT_BATCH {
                self.insert(&std::mem::take(&mut chunk))?;
            }
            if is_last {
                return Ok(refused);
            }
        }
    }

    fn insert(&self, chunk: &[(i64, String)]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut insert =
            transaction.prepare_cached("INSERT OR REPLACE INTO abstracts (number, text) VALUES (?1, ?2)")?;
        for (number, text) in chunk {
            insert.execute((number, text))?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn find(&self, number: i64) -> Result<Option<String>, Error> {
        let connection = self.lock();
        let mut find = connection.prepare_cached("SELECT text FROM abstracts WHERE number = ?1")?;
        Ok(find.query_row([number], |row| row.get(0)).optional()?)
    }
}

#[derive(Deserialize)]
struct AbstractRecord {
    #[serde(rename = "corpusid")]
    number: i64,
    #[serde(rename = "abstract")]
    text: Option<String>,
}

/// Returns the entries of the `papers` dataset or of API responses. A paper without an abstract gets the abstract that
/// `abstracts` holds for it.
pub fn entries(
    reader: Box<dyn BufRead + Send>,
    abstracts: Option<AbstractStore>,
    warnings: &Warnings,
) -> Entries {
    records(reader, warnings, move |record: Record, warnings| record.into_entry(abstracts.as_ref(), warnings))
}

/// Converts one paper to an entry.
pub fn entry(record: Record, warnings: &Warnings) -> Result<Entry, String> {
    record.into_entry(None, warnings)
}

/// A paper, with only the fields that are read. The names of the fields are in lower case in the datasets and in camel
/// case in the API.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Record {
    #[serde(alias = "corpusId")]
    corpusid: Lenient<RawId>,
    #[serde(rename = "paperId")]
    paper_id: LenientText,
    #[serde(alias = "externalIds")]
    externalids: Lenient<JsonObject<BTreeMap<String, LenientText>>>,
    title: LenientText,
    r#abstract: LenientText,
    authors: LenientList<JsonObject<NamedObject>>,
    venue: LenientText,
    #[serde(alias = "publicationVenue")]
    publicationvenue: Lenient<JsonObject<NamedObject>>,
    journal: Lenient<JsonObject<NamedObject>>,
    year: LenientText,
    #[serde(alias = "publicationDate")]
    publicationdate: LenientText,
    #[serde(alias = "s2FieldsOfStudy")]
    s2fieldsofstudy: LenientList<JsonObject<FieldOfStudy>>,
    #[serde(alias = "fieldsOfStudy")]
    fieldsofstudy: LenientList<String>,
    deleted: Lenient<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NamedObject {
    name: LenientText,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FieldOfStudy {
    category: LenientText,
}

/// Pairs of Semantic Scholar's name for a kind of external id, and the prefix that is put in front of ids of this kind.
const EXTERNAL_IDS: [(&str, &str); 6] = [
    ("ArXiv", ""),
    ("ACL", "acl:"),
    ("DOI", ""),
    ("PubMed", "pmid:"),
    ("PubMedCentral", "pmcid:"),
    ("CorpusId", "corpusid:"),
];

impl Record {
    fn into_entry(self, abstracts: Option<&AbstractStore>, warnings: &Warnings) -> Result<Entry, String> {
        let number = self.corpusid.read("corpusid", warnings).map(RawId::into_text).transpose()?;
        let corpus_id = number.as_ref().map(|number| format!("corpusid:{number}"));
        if self.deleted.read("deleted", warnings).unwrap_or_default() {
            let id =
                corpus_id.ok_or("an entry with \"deleted\" must have the paper's corpusid (got none)")?;
            return deletion(&id, Some(SOURCE)).map(Entry::Deleted);
        }
        let mut external =
            self.externalids.read("externalids", warnings).map_or_else(BTreeMap::new, |ids| ids.0);
        let mut ids: Vec<String> = EXTERNAL_IDS
            .iter()
            .filter_map(|(name, prefix)| {
                let id = external.remove(*name)?.read(&format!("externalids.{name}"), warnings)?;
                Some(format!("{prefix}{}", id.trim())).filter(|_| !id.trim().is_empty())
            })
            .collect();
        ids.extend(corpus_id);
        if ids.is_empty() {
            ids.extend(self.paper_id.read("paperId", warnings).filter(|id| !id.trim().is_empty()));
        }
        let stored_abstract = || {
            let number = number.as_ref()?.parse().ok()?;
            abstracts.map(|abstracts| abstracts.find(number)).transpose().map(Option::flatten).transpose()
        };
        let r#abstract = match self.r#abstract.read("abstract", warnings) {
            Some(text) => Some(text),
            None => stored_abstract().transpose().map_err(|error| error.to_string())?,
        };
        let fields = self.s2fieldsofstudy.items("s2fieldsofstudy", warnings).into_iter();
        let mut categories: Vec<String> =
            fields.filter_map(|field| field.0.category.read("s2fieldsofstudy.category", warnings)).collect();
        categories.extend(self.fieldsofstudy.items("fieldsofstudy", warnings));
        let dates =
            [self.publicationdate.read("publicationdate", warnings), self.year.read("year", warnings)];
        let name = |object: Lenient<JsonObject<NamedObject>>, field: &str| {
            object.read(field, warnings).and_then(|object| object.0.name.read(field, warnings))
        };
        let authors = self.authors.items("authors", warnings).into_iter();
        let venue = self.venue.read("venue", warnings).filter(|venue| !venue.trim().is_empty());
        let fields = RawFields {
            ids,
            title: self.title.read("title", warnings),
            r#abstract,
            authors: authors.filter_map(|author| author.0.name.read("authors.name", warnings)).collect(),
            published: dates.into_iter().flatten().collect(),
            categories,
            venue: venue
                .or_else(|| name(self.journal, "journal"))
                .or_else(|| name(self.publicationvenue, "publicationvenue")),
            source: Some(SOURCE.into()),
            url: None,
            withdrawn: false,
            alternate_ids: Vec::new(),
        };
        build(fields, warnings).map(Entry::Paper)
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
    fn abstracts_are_joined_with_papers_in_any_order() {
        let abstracts = AbstractStore::new().unwrap();
        let text = "{\"corpusid\":2,\"abstract\":\"old\"}\n{\"corpusid\":1,\"abstract\":null}\n{\"corpusid\":2,\"abstract\":\"B.\"}\n{\"abstract\":\"x\"}\n";
        assert_eq!(
            abstracts.load(reader(text)).unwrap().iter().map(|refused| refused.line).collect::<Vec<_>>(),
            [4]
        );
        let papers = r#"{"corpusid":1,"title":"One","externalids":{"DOI":null}}
            {"corpusid":2,"title":"Two","externalids":{"ArXiv":"2101.00002","PubMed":7,"DOI":"10.1000/X"},"year":2021,"journal":{"name":"J"},"venue":""}
            {"corpusid":3,"deleted":true}"#;
        let got: Vec<_> =
            entries(reader(papers), Some(abstracts), &Warnings::default()).map(Result::unwrap).collect();
        let [Entry::Paper(one), Entry::Paper(two), Entry::Deleted(deletion)] = &got[..] else {
            panic!("{got:?}")
        };
        assert_eq!((one.id.as_str(), one.r#abstract.as_str()), ("corpusid:1", ""));
        assert_eq!(
            (two.id.as_str(), two.r#abstract.as_str(), two.venue.as_deref()),
            ("2101.00002", "B.", Some("J"))
        );
        assert_eq!(
            two.alternate_ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            ["10.1000/x", "pmid:7", "corpusid:2"]
        );
        assert_eq!(deletion.id.as_str(), "corpusid:3");
    }
}
