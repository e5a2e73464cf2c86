//! `likewise ingest`: dumps into a data folder.

use super::take_in::{Options, ingest};
use super::watch;
use std::process::ExitCode;

/// Runs it: exit status 0, or 2 if entries were refused or papers got no vector, or 1 if a whole file could not be read.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.watch.is_none() {
        options.dumps.check_named()?;
    }
    anyhow::ensure!(
        options.watch.is_none() || options.place.is_folder(),
        "--watch: which files were taken in is noted in a data folder, and --index has none; ingest each file as it comes"
    );
    let encoder = options.place.load()?;
    eprintln!("{}", encoder.describe());
    let mut exit = ExitCode::SUCCESS;
    if !options.dumps.files.is_empty() {
        let mut dumps = options.dumps.find()?;
        let counts = ingest(options, &encoder, &mut dumps)?;
        dumps.check_all_readable()?;
        exit = options.dumps.exit(counts.refused + counts.without_vector + dumps.passed_over);
    }
    match &options.watch {
        Some(folder) => watch::run(options, &encoder, folder),
        None => Ok(exit),
    }
}
