//! Papers on disk, by id: SQLite, and the truth.
//!
//! A paper is acknowledged when [`Catalog::apply`] returns: its transaction is on the disk. Vectors
//! and index are derived from what is here and can be rebuilt from it.

mod changes;
mod check;
mod files;
mod filter;
mod fold;
mod labels;
mod list;
mod numbers;
mod row;
mod schema;
mod spaces;
mod transaction;
mod words;
mod write;

pub use changes::Changes;
pub use filter::{DateRange, Filter, Parts};
pub use fold::marks;
pub use labels::Words;
pub use list::{Listed, Place};
pub use numbers::Numbers;
pub use write::{Act, Outcome, Written};

use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use likewise_papers::{Paper, PaperId};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A paper's number in this catalog, from 1; never used again.
pub type PaperNumber = i64;

/// The papers on disk.
pub struct Catalog {
    connection: Mutex<Connection>,
    /// More connections that papers are read by, so that queries do not wait for each other. Empty where one process
    /// writes: it would not see what it has not committed.
    readers: Vec<Mutex<Connection>>,
    path: PathBuf,
    /// Whether it was opened for writing.
    writes: bool,
}

/// How long closing a catalog waits for others who read it; what stands in its write-ahead log is safe there.
const CLOSING: Duration = Duration::from_millis(500);

impl Drop for Catalog {
    /// Puts the write-ahead log into the file, so that a copy of that file alone has all papers. Others who have it open,
    /// a server for one, keep SQLite from doing so itself.
    fn drop(&mut self) {
        if self.writes {
            let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner);
            let done = connection
                .busy_timeout(CLOSING)
                .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
            if let Err(error) = done {
                tracing::debug!("{}: the write-ahead log stays: {error}", self.path.display());
            }
        }
    }
}

impl Catalog {
    /// Opens the catalog at `path` for writing, and makes it if there is none.
    pub fn create(path: &Path) -> Result<Catalog> {
        let connection = Connection::open(path)?;
        schema::prepare(&connection, path).map_err(|error| unusable(path, error))?;
        Ok(Catalog {
            connection: Mutex::new(connection),
            readers: Vec::new(),
            path: path.into(),
            writes: true,
        })
    }

    /// Whether an older version made the catalog at `path`: the first to open it brings it up to date.
    pub fn is_old(path: &Path) -> Result<bool> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|error| unusable(path, error.into()))?;
        schema::is_old(&connection).map_err(|error| unusable(path, error))
    }

    /// Opens the catalog at `path` for reading; a process that writes to it is not disturbed. One that an older
    /// version made is brought up to date first.
    pub fn open(path: &Path) -> Result<Catalog> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || Connection::open_with_flags(path, flags);
        let connection = open()?;
        if schema::is_old(&connection).map_err(|error| unusable(path, error))? {
            Catalog::create(path)?;
        }
        schema::check(&connection, path).map_err(|error| unusable(path, error))?;
        let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
        let reader = |_| -> Result<_> {
            let connection = open()?;
            schema::prepare_reader(&connection)?;
            Ok(Mutex::new(connection))
        };
        let readers = (0..cores).map(reader).collect::<Result<_>>()?;
        Ok(Catalog { connection: Mutex::new(connection), readers, path: path.into(), writes: false })
    }

    /// Whether a process was killed when it had made the file, and nothing in it.
    pub fn is_blank(path: &Path) -> bool {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags).is_ok_and(|connection| schema::is_blank(&connection))
    }

    /// Copies it, as it is at one moment, into a new file; others may write meanwhile.
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        let mut copy = Connection::open(path)?;
        let source = self.reader();
        let backup = Backup::new(&source, &mut copy)?;
        // All pages in one step: between two, what others write would let it begin again.
        match backup.step(-1)? {
            StepResult::Done => Ok(()),
            other => Err(Error::Data(format!("{}: it could not be copied: {other:?}", self.path.display()))),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name that no other catalog has.
    pub fn identity(&self) -> Result<String> {
        Ok(self.lock().query_row("SELECT value FROM meta WHERE key = 'identity'", [], |row| row.get(0))?)
    }

    /// How many papers there are.
    pub fn count(&self) -> Result<usize> {
        let count: i64 = self.lock().query_row("SELECT count(*) FROM papers", [], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Every paper's number and text, by number.
    pub fn texts(&self) -> Result<Vec<(PaperNumber, TextHash)>> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT number, text_hash FROM papers ORDER BY number")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, text_hash(row, 1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The text of the paper with this number.
    pub fn text(&self, number: PaperNumber) -> Result<Option<TextHash>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT text_hash FROM papers WHERE number = ?1")?;
        Ok(statement.query_row([number], |row| text_hash(row, 0)).optional()?)
    }

    /// The paper with this id, whichever of its ids it is, and its number.
    pub fn find(&self, id: &PaperId) -> Result<Option<(PaperNumber, Paper)>> {
        let reader = self.reader();
        // One transaction for all: each takes and gives back the file's locks.
        let connection = reader.unchecked_transaction()?;
        let Some(number) = row::number_of(&connection, id)? else { return Ok(None) };
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
        Ok(statement.query_row([number], |row| Ok((number, paper(row)?))).optional()?)
    }

    /// The largest number of a paper, 0 if there is none.
    pub fn last_number(&self) -> Result<PaperNumber> {
        let sql = "SELECT coalesce(max(number), 0) FROM papers";
        Ok(self.reader().query_row(sql, [], |row| row.get(0))?)
    }

    /// What each source says of a paper.
    pub fn records(&self, number: PaperNumber) -> Result<Vec<Paper>> {
        row::records_of(&self.reader(), number)
    }

    /// The papers that were taken back.
    pub fn withdrawn(&self) -> Result<Numbers> {
        Ok(filter::withdrawn(&self.lock())?)
    }

    /// The papers with these numbers, in their order; a number that is not here is left out.
    pub fn get(&self, numbers: &[PaperNumber]) -> Result<Vec<(PaperNumber, Paper)>> {
        let reader = self.reader();
        let connection = reader.unchecked_transaction()?;
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
        let mut papers = Vec::with_capacity(numbers.len());
        for number in numbers {
            match statement.query_row([number], |row| Ok(paper(row))).optional()? {
                Some(Ok(paper)) => papers.push((*number, paper)),
                // The others need not do without an answer.
                Some(Err(error)) => tracing::error!("{}", self.unreadable(*number, &error)),
                None => {}
            }
        }
        Ok(papers)
    }

    /// A connection that nobody uses, or else the first.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.readers.iter().find_map(|reader| reader.try_lock().ok()).unwrap_or_else(|| self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves the connection as it was: SQLite rolls an unfinished transaction back.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Names the file, where SQLite only says what is wrong with it.
fn unusable(path: &Path, error: Error) -> Error {
    match error {
        Error::Catalog(cause) if cause.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
            Error::Data(format!(
                "{}: this user cannot write to its folder, which SQLite must even to read it; give write permission, or a \
             copy",
                path.display()
            ))
        }
        Error::Catalog(cause) => Error::Data(format!(
            "{}: {cause}; wanted a catalog as `likewise ingest` makes it, give --data another folder",
            path.display()
        )),
        other => other,
    }
}

const SELECT: &str = "SELECT number, id, title, abstract, authors, published, categories, url, venue, source, also, withdrawn FROM papers";

/// A row of [`SELECT`].
fn paper(row: &Row) -> rusqlite::Result<Paper> {
    let id: String = row.get(1)?;
    let list = |column| -> rusqlite::Result<Vec<String>> {
        let json: String = row.get(column)?;
        serde_json::from_str(&json)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
    };
    Ok(Paper {
        id: PaperId::stored(id),
        title: row.get(2)?,
        r#abstract: row.get(3)?,
        authors: list(4)?,
        published: row.get(5)?,
        categories: list(6)?,
        url: row.get(7)?,
        venue: row.get(8)?,
        source: row.get(9)?,
        also: list(10)?.into_iter().map(PaperId::stored).collect(),
        withdrawn: row.get(11)?,
    })
}

fn text_hash(row: &Row, column: usize) -> rusqlite::Result<TextHash> {
    Ok(TextHash(row.get::<_, [u8; HASH_BYTES]>(column)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(id: &str, published: &str, categories: &[&str]) -> Paper {
        Paper {
            id: PaperId::parse(id).unwrap(),
            title: format!("Title {id}"),
            r#abstract: "Abstract.".into(),
            published: (!published.is_empty()).then(|| published.into()),
            categories: categories.iter().map(|category| category.to_string()).collect(),
            ..Paper::default()
        }
    }

    fn filled() -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
        let papers = [
            paper("a", "2020", &["cs.CL", "stat.ML"]),
            paper("b", "2021-06-15", &["cs.LG"]),
            paper("c", "", &["csx"]),
            paper("d", "2021-07", &["Graph Theory"]),
        ];
        assert_eq!(catalog.upsert(&papers).unwrap(), [Outcome::Added; 4]);
        (folder, catalog)
    }

    fn ids(catalog: &Catalog, filter: &Filter) -> String {
        let numbers: Vec<PaperNumber> = catalog.matching(filter).unwrap().iter().collect();
        let papers = catalog.get(&numbers).unwrap();
        papers.iter().map(|(_, paper)| paper.id.as_str()).collect()
    }

    #[test]
    fn the_same_id_replaces_and_the_same_paper_changes_nothing() {
        let (_folder, catalog) = filled();
        let changed = paper("a", "2020", &["cs.CL"]);
        assert_eq!(catalog.upsert(std::slice::from_ref(&changed)).unwrap(), [Outcome::Replaced]);
        assert_eq!(catalog.upsert(std::slice::from_ref(&changed)).unwrap(), [Outcome::Unchanged]);
        assert_eq!(catalog.count().unwrap(), 4);
        assert_eq!(catalog.find(&changed.id).unwrap().unwrap().1, changed);
        let filter = Filter { categories: Some(vec!["stat.ML".into()]), ..Filter::default() };
        assert_eq!(ids(&catalog, &filter), "", "a replaced paper loses its old categories");
    }

    #[test]
    fn changes_since_a_transaction_can_be_asked_for() {
        let (_folder, catalog) = filled();
        let all = catalog.changes(0).unwrap();
        assert_eq!((all.written.len(), all.deleted.len()), (4, 0));
        assert_eq!(catalog.changes(all.last).unwrap(), Changes { last: all.last, ..Changes::default() });
        catalog.upsert(&[paper("b", "2021", &[]), paper("c", "", &["csx"]), paper("e", "", &[])]).unwrap();
        let ids = ["d", "never here"].map(|id| PaperId::parse(id).unwrap());
        assert_eq!(catalog.delete(&ids).unwrap(), [true, false]);
        let numbers: Vec<PaperNumber> = all.written.iter().map(|(number, _)| *number).collect();
        let since = catalog.changes(all.last).unwrap();
        assert_eq!(since.written.iter().filter(|(number, _)| numbers.contains(number)).count(), 1);
        assert_eq!((since.written.len(), since.deleted.as_slice()), (2, &numbers[3..]));
        assert_eq!(catalog.count().unwrap(), 4);
        let filter = Filter { categories: Some(vec!["graph theory".into()]), ..Filter::default() };
        assert_eq!(self::ids(&catalog, &filter), "", "a deleted paper loses its categories");
        catalog.upsert(&[paper("d", "2021-07", &[])]).unwrap();
        assert!(
            !numbers.contains(&catalog.find(&ids[0]).unwrap().unwrap().0),
            "a number is never used again"
        );
    }

    #[test]
    fn two_processes_may_write_at_once() {
        let (folder, catalog) = filled();
        let other = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
        let (before, turns) = (catalog.last_change().unwrap(), 150);
        std::thread::scope(|scope| {
            let touching = scope.spawn(|| (0..turns).for_each(|_| other.touch().unwrap()));
            for turn in 0..turns {
                // The first of them is there already, and is only read.
                let papers =
                    [paper("a", "2020", &["cs.CL", "stat.ML"]), paper(&format!("new {turn}"), "", &[])];
                assert_eq!(catalog.upsert(&papers).unwrap(), [Outcome::Unchanged, Outcome::Added]);
            }
            touching.join().unwrap();
        });
        assert_eq!(
            catalog.last_change().unwrap(),
            before + 2 * turns,
            "every transaction has a number of its own"
        );
    }

    #[test]
    fn filters_by_id_date_and_category() {
        let (_folder, catalog) = filled();
        let published = |from: Option<&str>, to: Option<&str>| Filter {
            published: Some(DateRange { from: from.map(Into::into), to: to.map(Into::into) }),
            ..Filter::default()
        };
        let categories = |wanted: &[&str]| Filter {
            categories: Some(wanted.iter().map(|category| category.to_string()).collect()),
            ..Filter::default()
        };
        assert_eq!(ids(&catalog, &Filter::default()), "abcd");
        assert_eq!(ids(&catalog, &published(Some("2021"), None)), "bd");
        assert_eq!(ids(&catalog, &published(Some("2021-06-16"), Some("2021-07-01"))), "d");
        assert_eq!(ids(&catalog, &published(None, Some("2020-05"))), "a");
        assert_eq!(ids(&catalog, &categories(&["cs"])), "ab");
        assert_eq!(ids(&catalog, &categories(&["CS.cl", "graph theory"])), "ad");
        assert_eq!(ids(&catalog, &categories(&[])), "");
        let both =
            Filter { ids: Some(vec!["a".into(), "zzz".into(), "b".into()]), ..published(Some("2021"), None) };
        assert_eq!(ids(&catalog, &both), "b");
        assert!(catalog.matching(&published(Some("2021-02-30"), None)).is_err());
    }
}
