//! `likewise ingest`: reads dumps into a data folder or a collection.

use super::ingest_dumps::{Options, ingest_dumps};
use super::watch;
use std::process::ExitCode;

/// Runs the command. Exit status: 0 on success; 1 if a dump could not be read at all, or has vectors of another model;
/// 2 if entries were refused, files in a given folder are damaged or not dumps, or papers got no vector (with
/// `--tolerate-refused`: 0 instead of 2).
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.watch.is_none() {
        options.dumps.check_given()?;
    }
    anyhow::ensure!(
        options.watch.is_none() || options.location.is_folder(),
        "--watch cannot be used with --index: the list of ingested files is kept in a data folder; ingest each file separately"
    );
    let encoder = options.location.load_encoder()?;
    eprintln!("{}", encoder.describe());
    let mut exit = ExitCode::SUCCESS;
    if !options.dumps.files.is_empty() {
        let mut dumps = options.dumps.find()?;
        let counts = ingest_dumps(options, &encoder, &mut dumps)?;
        dumps.check_all_readable()?;
        exit = options.dumps.exit_code(counts.refused + counts.without_vector + dumps.skipped);
    }
    match &options.watch {
        Some(folder) => watch::run(options, &encoder, folder),
        None => Ok(exit),
    }
}
