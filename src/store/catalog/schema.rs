//! The catalog's schema: creates the tables, migrates the tables of older versions, and checks the version of a file.
//!
//! Every change to the schema gets a new version number.

use super::labels::{AUTHOR_SEPARATOR, transliterate_sql};
use super::postings;
use super::row::add_blocking_keys;
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// The version of the schema, stored as SQLite's `user_version`.
const VERSION: i64 = 5;

/// Time that a connection waits for a lock that another connection holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Memory for pages of the file, in KiB. A transaction changes pages all over the indexes. With SQLite's default of 2 MiB,
/// most pages are written and read again several times in one transaction.
const WRITE_CACHE_KIB: i64 = 65_536;

/// Number of pages in the write-ahead log from which on a commit copies them into the file: 32 MiB. With SQLite's default
/// of 4 MiB, every commit would copy, and pages that many commits change would be copied each time.
const CHECKPOINT_PAGES: i64 = 8192;

const PAPERS: &str = "
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE papers (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    title           TEXT NOT NULL,
    abstract        TEXT NOT NULL,
    authors         TEXT NOT NULL,  -- JSON list
    published       TEXT,           -- as exact as the dump has it
    published_first TEXT,           -- first and last day that `published` can mean
    published_last  TEXT,
    categories      TEXT NOT NULL,  -- JSON list
    url             TEXT,
    text_hash       BLOB NOT NULL,  -- of the text that the model reads
    changed         INTEGER NOT NULL DEFAULT 0, -- number of the transaction that wrote the paper last
    venue           TEXT,
    source          TEXT
) STRICT;

CREATE INDEX papers_by_date ON papers (published_first, published_last);
";

/// Added in version 2: the changes since a transaction, and the catalog's identity.
const CHANGES: &str = "
CREATE INDEX papers_by_change ON papers (changed);

CREATE TABLE deleted (
    number  INTEGER PRIMARY KEY,    -- number of a deleted paper
    changed INTEGER NOT NULL
) STRICT;

CREATE INDEX deleted_by_change ON deleted (changed);

INSERT INTO meta (key, value) VALUES ('identity', lower(hex(randomblob(16))));
";

/// Added in version 3: categories, venues, sources and authors, for filters.
const LABELS: &str = "
CREATE TABLE labels (
    kind   TEXT NOT NULL,           -- category, venue or source
    label  TEXT NOT NULL,           -- in lower case
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, label, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX labels_by_paper ON labels (number);

-- The authors of each paper, one after the other. Searches ignore case and accents.
CREATE VIRTUAL TABLE authors USING fts5 (
    names, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
";

/// Added in version 4: papers with several records, alternate ids, withdrawn papers, and the files of a watched folder.
const RECORDS: &str = "
CREATE TABLE names (
    name   ANY NOT NULL,            -- an alternate id, or a blocking key of a record
    number INTEGER NOT NULL,
    PRIMARY KEY (name, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX names_by_paper ON names (number);

-- The records of papers with several records. If a paper has a single record, the paper is the record.
CREATE TABLE records (
    number INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    record TEXT NOT NULL,           -- JSON
    PRIMARY KEY (number, place)
) STRICT, WITHOUT ROWID;

-- Files of a watched folder that were ingested, each with the state that it had then.
CREATE TABLE files (
    path  TEXT PRIMARY KEY,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE papers ADD COLUMN also TEXT NOT NULL DEFAULT '[]'; -- alternate ids, a JSON list
ALTER TABLE papers ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;

CREATE INDEX papers_withdrawn ON papers (number) WHERE withdrawn <> 0;
";

const FROM_1_TO_2: &str = "ALTER TABLE papers ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;";

const FROM_2_TO_3: &str = "
ALTER TABLE papers ADD COLUMN venue TEXT;
ALTER TABLE papers ADD COLUMN source TEXT;
INSERT INTO labels (kind, label, number) SELECT 'category', category, number FROM categories;
DROP TABLE categories;
INSERT INTO authors (rowid, names)
    SELECT number, (SELECT group_concat(:name, :between) FROM json_each(papers.authors)) FROM papers
    WHERE authors <> '[]';
";

/// Prepares a connection for durable writing. Creates the tables in an empty file, and migrates the tables of an older
/// version.
pub fn prepare(connection: &Connection, path: &Path) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // In WAL mode readers and the writer do not block each other. FULL syncs every commit.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITE_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    if version(connection)? == VERSION {
        return Ok(());
    }
    // If two processes do this at the same time, the second process finds the new version and adds nothing.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = add_missing(connection);
    let ended = connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" });
    done?;
    ended?;
    check(connection, path)
}

fn add_missing(connection: &Connection) -> Result<()> {
    let to_3 = FROM_2_TO_3.replace(":between", &format!("'{AUTHOR_SEPARATOR}'"));
    let to_3 = to_3.replace(":name", &transliterate_sql("value"));
    let old = version(connection)?;
    let missing = match old {
        0 => [PAPERS, CHANGES, LABELS, RECORDS, postings::TABLES].concat(),
        1 => [FROM_1_TO_2, CHANGES, LABELS, &to_3, RECORDS, postings::TABLES].concat(),
        2 => [LABELS, &to_3, RECORDS, postings::TABLES].concat(),
        3 => [RECORDS, postings::TABLES].concat(),
        4 => postings::TABLES.into(),
        _ => return Ok(()),
    };
    connection.execute_batch(&format!("{missing} PRAGMA user_version = {VERSION};"))?;
    if old > 0 {
        tracing::info!("migrating the catalog to schema version {VERSION}; this reads every paper once");
        postings::index_all(connection)?;
    }
    if (1..4).contains(&old) {
        add_blocking_keys(connection)?;
    }
    Ok(())
}

/// Prepares a connection that only reads papers.
pub fn prepare_reader(connection: &Connection) -> Result<()> {
    // Memory-mapping stays off: for every paper that is read, the kernel would map 64 KiB of the file into the process.
    Ok(connection.busy_timeout(BUSY_TIMEOUT)?)
}

/// Whether the file has the schema of an older version, which [`prepare`] migrates.
pub fn is_old(connection: &Connection) -> Result<bool> {
    Ok((1..VERSION).contains(&version(connection)?))
}

/// Whether the file has no schema version, which means that it has no tables of a catalog.
pub fn is_blank(connection: &Connection) -> bool {
    version(connection).is_ok_and(|version| version == 0)
}

/// Checks that a file has the current version of the schema.
///
/// # Errors
/// Returns [`Error::Data`] if the file has no tables of a catalog, or another version of the schema.
pub fn check(connection: &Connection, path: &Path) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match version(connection)? {
        VERSION => Ok(()),
        0 => Err(Error::Data(format!(
            "{}: the catalog has no papers; run `likewise ingest` first",
            path.display()
        ))),
        other => Err(Error::Data(format!(
            "{}: the catalog has schema version {other}, but this program knows only versions up to {VERSION}; use the \
             newer likewise that wrote it, or ingest the dumps into a new --data folder",
            path.display()
        ))),
    }
}

fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Filter};
    use super::*;

    /// A catalog of version 1.
    const VERSION_1: &str = "
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE papers (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
            abstract TEXT NOT NULL, authors TEXT NOT NULL, published TEXT, published_first TEXT, published_last TEXT,
            categories TEXT NOT NULL, url TEXT, text_hash BLOB NOT NULL
        ) STRICT;
        CREATE INDEX papers_by_date ON papers (published_first, published_last);
        CREATE TABLE categories (category TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (category, number)) STRICT, WITHOUT ROWID;
        CREATE INDEX categories_by_paper ON categories (number);
        INSERT INTO papers VALUES (7, 'a', 'T', 'Bees count bees.', '[\"Yann LeCun\",\"Eve Li\",\"Łukasz Kaiser\"]', NULL, NULL, NULL, '[\"cs.LG\"]', NULL, zeroblob(16));
        INSERT INTO papers VALUES (9, 'b', 'U', 'B.', '[]', NULL, NULL, NULL, '[]', NULL, zeroblob(16));
        INSERT INTO categories VALUES ('cs.lg', 7);
        PRAGMA user_version = 1;";

    /// Test data, not the migration: SQL that turns the catalog of [`VERSION_1`] into an old catalog of version 2.
    const VERSION_2: &str = "
        ALTER TABLE papers ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX papers_by_change ON papers (changed);
        CREATE TABLE deleted (number INTEGER PRIMARY KEY, changed INTEGER NOT NULL) STRICT;
        CREATE INDEX deleted_by_change ON deleted (changed);
        INSERT INTO meta (key, value) VALUES ('identity', 'mine');
        INSERT INTO meta (key, value) VALUES ('changes', '3');
        PRAGMA user_version = 2;";

    #[test]
    fn a_catalog_of_version_4_gets_an_inverted_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let paper = |index: usize| crate::Paper {
            id: crate::PaperId::parse(&format!("p{index}")).unwrap(),
            title: format!("Bees of kind k{index}"),
            ..crate::Paper::default()
        };
        let papers: Vec<crate::Paper> = (0..20).map(paper).collect();
        Catalog::create(&path).unwrap().upsert(&papers).unwrap();
        let older = "DROP TABLE words; DROP TABLE word_counts; PRAGMA user_version = 4;";
        Connection::open(&path).unwrap().execute_batch(older).unwrap();
        let catalog = Catalog::open(&path).unwrap();
        assert_eq!(catalog.doc_freqs(&["bee", "k7", "of"]).unwrap(), [20, 1, 0]);
        assert_eq!(catalog.papers_with_term("bee", 3).unwrap(), [20, 19, 18]);
        assert!(catalog.doc_freqs_are_correct().unwrap());
        // Wrong document frequencies are detected and repaired.
        Connection::open(&path).unwrap().execute_batch("UPDATE word_counts SET papers = 9").unwrap();
        let writer = Catalog::create(&path).unwrap();
        assert!(!writer.doc_freqs_are_correct().unwrap());
        writer.rebuild_postings().unwrap();
        assert!(writer.doc_freqs_are_correct().unwrap());
        assert_eq!(writer.papers_with_term("k7", 3).unwrap(), [8]);
    }

    #[test]
    fn catalogs_of_versions_1_and_2_are_migrated() {
        for (old, last) in [(VERSION_1.to_string(), 0), ([VERSION_1, VERSION_2].concat(), 3)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("catalog.sqlite");
            Connection::open(&path).unwrap().execute_batch(&old).unwrap();
            // Opening a catalog migrates it, even if it is opened for reading.
            let catalog = Catalog::open(&path).unwrap();
            assert_eq!(catalog.changes(0).unwrap().written.len(), 2);
            assert_eq!((catalog.last_change().unwrap(), catalog.identity().is_ok()), (last, true));
            let one = |filter: Filter| catalog.matching(&filter).unwrap().iter().collect::<Vec<_>>();
            assert_eq!(one(Filter { categories: Some(vec!["cs".into()]), ..Filter::default() }), [7]);
            assert_eq!(one(Filter { authors: Some(vec!["LeCun".into()]), ..Filter::default() }), [7]);
            assert_eq!(one(Filter { authors: Some(vec!["kaiser lukasz".into()]), ..Filter::default() }), [7]);
            assert!(one(Filter { authors: Some(vec!["LeCun Eve".into()]), ..Filter::default() }).is_empty());
            let paper = catalog.get(&[7]).unwrap().remove(0).1;
            assert_eq!((paper.venue.as_deref(), &*paper.authors[1]), (None, "Eve Li"));
            assert_eq!(catalog.doc_freqs(&["bee", "knot"]).unwrap(), [1, 0]);
            assert_eq!(catalog.papers_with_term("count", 10).unwrap(), [7]);
            let writer = Catalog::create(&path).unwrap();
            let changed = crate::Paper { venue: Some("ICLR".into()), ..paper };
            writer.upsert(std::slice::from_ref(&changed)).unwrap();
            // `changes(0)` returns both papers. `changes(3)` returns only the paper that was just written.
            let written = if last == 0 { 2 } else { 1 };
            assert_eq!(catalog.changes(last).unwrap().written.len(), written);
            assert_eq!(one(Filter { venues: Some(vec!["iclr".into()]), ..Filter::default() }), [7]);
            writer.delete(&[changed.id]).unwrap();
            assert!(one(Filter { authors: Some(vec!["LeCun".into()]), ..Filter::default() }).is_empty());
            assert_eq!(catalog.doc_freqs(&["bee"]).unwrap(), [0]);
            assert!(catalog.papers_with_term("bee", 10).unwrap().is_empty());
        }
    }
}
