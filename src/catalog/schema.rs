//! The catalog's tables, and the check that a file has them.
//!
//! Its own file because the schema outlives the code: a change to it is a new version number here.

use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// Stored as SQLite's `user_version`.
const VERSION: i64 = 2;

/// How long a reader waits for a writer's lock, and the other way round.
const BUSY: Duration = Duration::from_secs(30);

const TABLES: &str = "
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
    published_first TEXT,           -- first and last day that it may mean
    published_last  TEXT,
    categories      TEXT NOT NULL,  -- JSON list
    url             TEXT,
    text_hash       BLOB NOT NULL,  -- of what the model reads
    changed         INTEGER NOT NULL DEFAULT 0 -- the number of the transaction that wrote it last
) STRICT;

CREATE INDEX papers_by_date ON papers (published_first, published_last);

CREATE TABLE categories (
    category TEXT NOT NULL,         -- lower case
    number   INTEGER NOT NULL,
    PRIMARY KEY (category, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX categories_by_paper ON categories (number);
";

/// Since version 2: what changed after a transaction can be asked for, and a catalog has a name of its own.
const CHANGES: &str = "
CREATE INDEX papers_by_change ON papers (changed);

CREATE TABLE deleted (
    number  INTEGER PRIMARY KEY,    -- a paper that was here
    changed INTEGER NOT NULL
) STRICT;

CREATE INDEX deleted_by_change ON deleted (changed);

INSERT INTO meta (key, value) VALUES ('identity', lower(hex(randomblob(16))));
";

/// Sets the connection up for durable writing, and makes the tables in an empty file.
pub fn prepare(connection: &Connection, path: &Path) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    // In WAL mode readers and the writer do not wait for each other; FULL syncs every commit.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if version(connection)? == VERSION {
        return Ok(());
    }
    // Another process may be at it, too: the first does it, and the second sees that it was done.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = add_missing(connection);
    connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    done?;
    check(connection, path)
}

fn add_missing(connection: &Connection) -> Result<()> {
    let missing = match version(connection)? {
        0 => format!("{TABLES} {CHANGES}"),
        1 => format!("ALTER TABLE papers ADD COLUMN changed INTEGER NOT NULL DEFAULT 0; {CHANGES}"),
        _ => String::new(),
    };
    if !missing.is_empty() {
        connection.execute_batch(&format!("{missing} PRAGMA user_version = {VERSION};"))?;
    }
    Ok(())
}

/// Whether an older version made the file, which [`prepare`] brings up to date.
pub fn is_old(connection: &Connection) -> Result<bool> {
    Ok((1..VERSION).contains(&version(connection)?))
}

/// Refuses a file of another schema.
pub fn check(connection: &Connection, path: &Path) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    match version(connection)? {
        VERSION => Ok(()),
        0 => Err(Error::Data(format!("{}: no papers here yet; run `likewise ingest` first", path.display()))),
        other => Err(Error::Data(format!(
            "{}: got a catalog of version {other}, wanted {VERSION}; ingest into a new --data folder",
            path.display()
        ))),
    }
}

fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
