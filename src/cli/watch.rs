//! `likewise ingest --watch`: ingests each file of a folder when the file is complete.
//!
//! Polls the folder until the program is stopped. Releases the data folder between two ingests, so that other processes
//! can write to the data folder.

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

/// The polling interval. A file that did not change between two polls counts as complete. If such a file grows later,
/// the file is ingested again, and its unchanged entries are skipped.
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

/// Returns the files that have not changed since the `last` poll and were not ingested in their current state. Also
/// returns the states of all files.
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

/// Ingests files, and records in the catalog that they are ingested. Records a file that cannot be read, too, so that
/// the program does not try to read it again until it changes.
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
    // Find all files first, because the abstracts of new papers can be in files that were ingested earlier. Then keep
    // only the new files.
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

/// Returns the name of a file in the catalog: the absolute path, which does not depend on the working directory.
fn name(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}
