//! `likewise backup`: a copy of a data folder, while a server answers from it and others write to it.

use super::print_line;
use crate::ingest::{Backup, backup};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Options of `likewise backup`.
#[derive(Args)]
pub struct Options {
    /// Data folder: the catalog, the vectors, the index.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    data: PathBuf,
    /// A new folder for the copy; it is there when the copy is whole.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let Backup { papers, bytes } = backup(&options.data, &options.out)?;
    let (out, seconds) = (options.out.display(), started.elapsed().as_secs_f64());
    print_line(&format!("{out}: {papers} papers, {:.1} MB, {seconds:.1} s", bytes as f64 / 1e6))?;
    Ok(ExitCode::SUCCESS)
}
