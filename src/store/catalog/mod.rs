//! The catalog: the papers of a data folder, in an SQLite database.
//!
//! When [`Catalog::apply`] returns, its transaction is on the disk. The vectors and the index are derived from the
//! catalog, and can be rebuilt from it.

mod changes;
mod check;
mod dedup;
mod files;
mod filter;
mod full_text;
mod labels;
mod list;
mod paper_set;
mod postings;
mod prepared;
mod row;
mod schema;
mod spaces;
mod transaction;
mod write;

pub use changes::CatalogChanges;
pub use dedup::blocking_keys;
pub use filter::{DateRange, Filter, NormalizedFilter};
pub use labels::AuthorName;
pub use list::{Cursor, PaperPage};
pub use paper_set::PaperSet;
pub use write::{AppliedMutations, ApplyOptions, Mutation, MutationOutcome};

use crate::error::{Error, Result};
use crate::store::text::{HASH_BYTES, TextHash};
use likewise_papers::{Paper, PaperId};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The row number of a paper in the catalog, from 1. The row numbers of deleted papers are not used again.
pub type PaperNumber = i64;

/// A catalog, open for reading or writing.
pub struct Catalog {
    connection: Mutex<Connection>,
    /// Additional connections for reading, so that queries do not wait for each other. Empty if the catalog is open for
    /// writing, because other connections do not see uncommitted changes.
    readers: Vec<Mutex<Connection>>,
    path: PathBuf,
    /// Whether the catalog is open for writing.
    is_writer: bool,
}

/// Time that closing a catalog waits for readers before it gives up the checkpoint. No change is lost without the
/// checkpoint, because the write-ahead log is durable too.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_millis(500);

impl Drop for Catalog {
    /// Checkpoints the write-ahead log into the file, so that a copy of the file alone has all papers. SQLite does this
    /// itself only if no other process, such as a server, has the file open.
    fn drop(&mut self) {
        if self.is_writer {
            let connection = self.connection.get_mut().unwrap_or_else(PoisonError::into_inner);
            let done = connection
                .busy_timeout(CHECKPOINT_TIMEOUT)
                .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
            if let Err(error) = done {
                tracing::debug!("{}: the write-ahead log was not checkpointed: {error}", self.path.display());
            }
        }
    }
}

impl Catalog {
    /// Opens the catalog at `path` for writing. Creates the file if it does not exist, and migrates a catalog with the
    /// schema of an older version.
    pub fn create(path: &Path) -> Result<Catalog> {
        let connection = Connection::open(path)?;
        schema::prepare(&connection, path).map_err(|error| unusable(path, error))?;
        Ok(Catalog {
            connection: Mutex::new(connection),
            readers: Vec::new(),
            path: path.into(),
            is_writer: true,
        })
    }

    /// Whether the catalog at `path` has the schema of an older version. Opening such a catalog migrates it.
    pub fn is_old(path: &Path) -> Result<bool> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|error| unusable(path, error.into()))?;
        schema::is_old(&connection).map_err(|error| unusable(path, error))
    }

    /// Opens the catalog at `path` for reading. Other processes can write to it meanwhile. A catalog with the schema of
    /// an older version is migrated first.
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
        Ok(Catalog { connection: Mutex::new(connection), readers, path: path.into(), is_writer: false })
    }

    /// Whether the file at `path` is an SQLite database without a catalog's tables. This is so if the process that
    /// created the file was killed. False if the file cannot be opened.
    pub fn is_blank(path: &Path) -> bool {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags).is_ok_and(|connection| schema::is_blank(&connection))
    }

    /// Copies a consistent snapshot of the catalog into a new file. Other processes can write to the catalog meanwhile.
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        let mut copy = Connection::open(path)?;
        let source = self.reader();
        let backup = Backup::new(&source, &mut copy)?;
        // All pages are copied in one step: if another process wrote between two steps, the backup would start again.
        match backup.step(-1)? {
            StepResult::Done => Ok(()),
            other => Err(Error::Data(format!(
                "{}: the catalog could not be copied (SQLite: {other:?}); try again",
                self.path.display()
            ))),
        }
    }

    /// The path of the catalog's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A random identifier that is unique to this catalog.
    pub fn identity(&self) -> Result<String> {
        Ok(self.lock().query_row("SELECT value FROM meta WHERE key = 'identity'", [], |row| row.get(0))?)
    }

    /// The number of papers.
    pub fn count(&self) -> Result<usize> {
        let count: i64 = self.lock().query_row("SELECT count(*) FROM papers", [], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// The number of every paper and the hash of its text, ordered by number.
    pub fn texts(&self) -> Result<Vec<(PaperNumber, TextHash)>> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT number, text_hash FROM papers ORDER BY number")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, text_hash(row, 1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The hash of a paper's text. `None` if there is no such paper.
    pub fn text(&self, number: PaperNumber) -> Result<Option<TextHash>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT text_hash FROM papers WHERE number = ?1")?;
        Ok(statement.query_row([number], |row| text_hash(row, 0)).optional()?)
    }

    /// The paper with this id or alternate id, and its number. `None` if there is no such paper.
    pub fn find(&self, id: &PaperId) -> Result<Option<(PaperNumber, Paper)>> {
        let reader = self.reader();
        // One transaction for both queries, because each transaction locks and unlocks the file.
        let connection = reader.unchecked_transaction()?;
        let Some(number) = row::number_of(&connection, id)? else { return Ok(None) };
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
        Ok(statement.query_row([number], |row| Ok((number, paper(row)?))).optional()?)
    }

    /// The highest number of a paper. 0 if there are no papers.
    pub fn last_number(&self) -> Result<PaperNumber> {
        let sql = "SELECT coalesce(max(number), 0) FROM papers";
        Ok(self.reader().query_row(sql, [], |row| row.get(0))?)
    }

    /// The records of a paper.
    pub fn records(&self, number: PaperNumber) -> Result<Vec<Paper>> {
        row::records_of(&self.reader(), number)
    }

    /// The withdrawn papers.
    pub fn withdrawn(&self) -> Result<PaperSet> {
        Ok(filter::withdrawn(&self.lock())?)
    }

    /// The papers with these numbers, in the given order. Skips numbers that no paper has, and papers that cannot be
    /// read.
    pub fn get(&self, numbers: &[PaperNumber]) -> Result<Vec<(PaperNumber, Paper)>> {
        let reader = self.reader();
        let connection = reader.unchecked_transaction()?;
        let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE number = ?1"))?;
        let mut papers = Vec::with_capacity(numbers.len());
        for number in numbers {
            match statement.query_row([number], |row| Ok(paper(row))).optional()? {
                Some(Ok(paper)) => papers.push((*number, paper)),
                // One damaged paper must not make the whole request fail.
                Some(Err(error)) => tracing::error!("{}", self.unreadable(*number, &error)),
                None => {}
            }
        }
        Ok(papers)
    }

    /// An idle connection for reading. If no reader is idle, waits for the main connection.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.readers.iter().find_map(|reader| reader.try_lock().ok()).unwrap_or_else(|| self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held does no harm: SQLite rolls back the unfinished transaction.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Adds the file's path and advice to an error of SQLite.
fn unusable(path: &Path, error: Error) -> Error {
    match error {
        Error::Catalog(cause) if cause.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
            Error::Data(format!(
                "{}: SQLite cannot write to the folder of this file, but must do so even to read the file; give this \
                 user write permission for the folder, or use a copy of the folder",
                path.display()
            ))
        }
        Error::Catalog(cause) => Error::Data(format!(
            "{}: {cause}; the file must be a catalog that `likewise ingest` made; give --data another folder",
            path.display()
        )),
        other => other,
    }
}

const SELECT: &str = "SELECT number, id, title, abstract, authors, published, categories, url, venue, source, also, withdrawn FROM papers";

/// Reads a paper from a row of [`SELECT`].
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
        alternate_ids: list(10)?.into_iter().map(PaperId::stored).collect(),
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
        assert_eq!(catalog.upsert(&papers).unwrap(), [MutationOutcome::Added; 4]);
        (folder, catalog)
    }

    fn ids(catalog: &Catalog, filter: &Filter) -> String {
        let numbers: Vec<PaperNumber> = catalog.matching(filter).unwrap().iter().collect();
        let papers = catalog.get(&numbers).unwrap();
        papers.iter().map(|(_, paper)| paper.id.as_str()).collect()
    }

    #[test]
    fn a_paper_with_the_same_id_replaces_the_old_one_and_an_equal_one_changes_nothing() {
        let (_folder, catalog) = filled();
        let changed = paper("a", "2020", &["cs.CL"]);
        assert_eq!(catalog.upsert(std::slice::from_ref(&changed)).unwrap(), [MutationOutcome::Replaced]);
        assert_eq!(catalog.upsert(std::slice::from_ref(&changed)).unwrap(), [MutationOutcome::Unchanged]);
        assert_eq!(catalog.count().unwrap(), 4);
        assert_eq!(catalog.find(&changed.id).unwrap().unwrap().1, changed);
        let filter = Filter { categories: Some(vec!["stat.ML".into()]), ..Filter::default() };
        assert_eq!(ids(&catalog, &filter), "", "a replaced paper loses its old categories");
    }

    #[test]
    fn changes_lists_the_papers_written_and_deleted_since_a_transaction() {
        let (_folder, catalog) = filled();
        let all = catalog.changes(0).unwrap();
        assert_eq!((all.written.len(), all.deleted.len()), (4, 0));
        assert_eq!(
            catalog.changes(all.last).unwrap(),
            CatalogChanges { last: all.last, ..CatalogChanges::default() }
        );
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
    fn two_connections_can_write_at_the_same_time() {
        let (folder, catalog) = filled();
        let other = Catalog::create(&folder.path().join("catalog.sqlite")).unwrap();
        let (before, count) = (catalog.last_change().unwrap(), 150);
        std::thread::scope(|scope| {
            let touching = scope.spawn(|| (0..count).for_each(|_| other.touch().unwrap()));
            for index in 0..count {
                // The first paper is unchanged, so it is only read.
                let papers =
                    [paper("a", "2020", &["cs.CL", "stat.ML"]), paper(&format!("new {index}"), "", &[])];
                assert_eq!(
                    catalog.upsert(&papers).unwrap(),
                    [MutationOutcome::Unchanged, MutationOutcome::Added]
                );
            }
            touching.join().unwrap();
        });
        assert_eq!(
            catalog.last_change().unwrap(),
            before + 2 * count,
            "every transaction has its own number"
        );
    }

    #[test]
    fn filters_select_by_id_date_and_category() {
        let (_folder, catalog) = filled();
        let published = |from: Option<&str>, to: Option<&str>| Filter {
            published: Some(DateRange { from: from.map(Into::into), to: to.map(Into::into) }),
            ..Filter::default()
        };
        let categories = |categories: &[&str]| Filter {
            categories: Some(categories.iter().map(|category| category.to_string()).collect()),
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
