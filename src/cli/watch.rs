//! `likewise ingest --watch`: a folder's files, as they are completed.
//!
//! Its own file because it never ends: it looks, waits, and lets go of the data folder in between, so that others may
//! write to it.

use super::dumps::state_of;
use super::take_in::{Options, ingest};
use crate::ingest::{catalog_path, lock_path, writer};
use crate::store::catalog::Catalog;
use crate::store::lock::WriteLock;
use likewise_encoder::Encoder;
use likewise_papers::dump::in_folder;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks: a file that is the same in both is complete. One that goes on growing later is taken in again,
/// and only what is new in it counts.
const EVERY: Duration = Duration::from_secs(1);

/// Files, and how each is.
type States = HashMap<PathBuf, String>;

/// Watches until it is stopped.
pub fn run(options: &Options, encoder: &Arc<Encoder>, folder: &Path) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(folder.is_dir(), "--watch: got {}, wanted a folder", folder.display());
    eprintln!("watching {}; stop with Ctrl-C", folder.display());
    let mut seen = States::new();
    let mut is_waiting = false;
    loop {
        let (complete, now) = complete(options, folder, &seen)?;
        seen = now;
        if !complete.is_empty() {
            if writer(&options.place.data.data).is_some() {
                if !is_waiting {
                    eprintln!("waiting: {}", WriteLock::owner(&lock_path(&options.place.data.data)));
                }
                is_waiting = true;
            } else {
                is_waiting = false;
                take(options, encoder, folder, &complete)?;
                continue;
            }
        }
        std::thread::sleep(EVERY);
    }
}

/// The files that are as they were a look ago, and were not taken in as they are; and how all files are.
fn complete(
    options: &Options,
    folder: &Path,
    seen: &States,
) -> anyhow::Result<(Vec<(PathBuf, String)>, States)> {
    let mut files = Vec::new();
    in_folder(folder, &mut files)?;
    let taken = match catalog_path(&options.place.data.data) {
        path if path.exists() => Catalog::open(&path)?.files_taken()?,
        _ => HashMap::new(),
    };
    let now: States = files.iter().filter_map(|path| Some((path.clone(), state_of(path)?))).collect();
    let is_new = |path: &PathBuf| {
        let state = now.get(path)?;
        let is_new = seen.get(path) == Some(state) && taken.get(&name(path)) != Some(state);
        is_new.then(|| (path.clone(), state.clone()))
    };
    Ok((files.iter().filter_map(is_new).collect(), now))
}

/// Takes files in, and notes that they were; one that cannot be read is not tried again until it changes.
fn take(
    options: &Options,
    encoder: &Arc<Encoder>,
    folder: &Path,
    files: &[(PathBuf, String)],
) -> anyhow::Result<()> {
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    for path in &paths {
        eprintln!("taking in {}", path.display());
    }
    // Of all files, since papers are joined with abstracts that came before them; and of those, the new ones.
    let mut all = Vec::new();
    in_folder(folder, &mut all)?;
    let mut dumps = options.dumps.find_in(&all)?;
    dumps.sources.retain(|source| paths.contains(&source.path));
    ingest(options, encoder, &mut dumps)?;
    let catalog = Catalog::create(&catalog_path(&options.place.data.data))?;
    for (path, state) in files {
        catalog.set_file_taken(&name(path), state)?;
    }
    Ok(())
}

/// What a file is called whoever asks, from wherever.
fn name(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}
