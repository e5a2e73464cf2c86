//! `likewise ingest --watch`: ingests the files of a folder as they are completed.
//!
//! Polls the folder until it is stopped. Between two ingests it releases the data folder, so that other processes can write
//! to it.

use super::dumps::state_of;
use super::ingest_dumps::{Options, ingest_dumps};
use crate::ingest::{catalog_path, lock_path, writing_process};
use crate::store::catalog::Catalog;
use crate::store::lock::WriteLock;
use likewise_encoder::Encoder;
use likewise_papers::dump::collect_files;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The polling interval. A file that did not change between two polls counts as complete. If it grows later, it is ingested
/// again, and its unchanged entries are skipped.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The state of each file, as [`state_of`] returns it.
type States = HashMap<PathBuf, String>;

/// Watches the folder until the program is stopped.
pub fn run(options: &Options, encoder: &Arc<Encoder>, folder: &Path) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(folder.is_dir(), "--watch must be a folder (got {})", folder.display());
    eprintln!("watching {}; stop with Ctrl-C", folder.display());
    let mut last = States::new();
    let mut is_waiting = false;
    loop {
        let (complete, now) = complete(options, folder, &last)?;
        last = now;
        if !complete.is_empty() {
            if writing_process(&options.location.data.data).is_some() {
                if !is_waiting {
                    eprintln!(
                        "waiting: {}",
                        WriteLock::describe_holder(&lock_path(&options.location.data.data))
                    );
                }
                is_waiting = true;
            } else {
                is_waiting = false;
                ingest_files(options, encoder, folder, &complete)?;
                continue;
            }
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Returns the files that have not changed since the `last` poll and are not ingested in this state, and the states of all
/// files.
fn complete(
    options: &Options,
    folder: &Path,
    last: &States,
) -> anyhow::Result<(Vec<(PathBuf, String)>, States)> {
    let mut files = Vec::new();
    collect_files(folder, &mut files)?;
    let ingested = match catalog_path(&options.location.data.data) {
        path if path.exists() => Catalog::open(&path)?.ingested_files()?,
        _ => HashMap::new(),
    };
    let now: States = files.iter().filter_map(|path| Some((path.clone(), state_of(path)?))).collect();
    let is_new = |path: &PathBuf| {
        let state = now.get(path)?;
        let is_new = last.get(path) == Some(state) && ingested.get(&name(path)) != Some(state);
        is_new.then(|| (path.clone(), state.clone()))
    };
    Ok((files.iter().filter_map(is_new).collect(), now))
}

/// Ingests files, and records that they are ingested. A file that cannot be read is recorded, too, so that it is not tried
/// again until it changes.
fn ingest_files(
    options: &Options,
    encoder: &Arc<Encoder>,
    folder: &Path,
    files: &[(PathBuf, String)],
) -> anyhow::Result<()> {
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    for path in &paths {
        eprintln!("ingesting {}", path.display());
    }
    // Looks at all files, because papers are joined with abstracts from files that are ingested already; then reads only the
    // new ones.
    let mut all = Vec::new();
    collect_files(folder, &mut all)?;
    let mut dumps = options.dumps.find_in(&all)?;
    dumps.sources.retain(|source| paths.contains(&source.path));
    ingest_dumps(options, encoder, &mut dumps)?;
    let catalog = Catalog::create(&catalog_path(&options.location.data.data))?;
    for (path, state) in files {
        catalog.set_ingested_file(&name(path), state)?;
    }
    Ok(())
}

/// The name of a file in the catalog: its absolute path, which does not depend on the working directory.
fn name(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}
