//! `likewise backup`: copies a data folder while other processes read and write it.

use super::print_line;
use crate::ingest::{Backup, backup};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Options of `likewise backup`.
#[derive(Args)]
pub struct Options {
    /// Data folder to copy.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_DATA", default_value = "data")]
    data: PathBuf,
    /// Folder for the copy; it must not exist. It appears under this name only when the copy is complete.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let Backup { papers, bytes } = backup(&options.data, &options.out)?;
    let (out, seconds) = (options.out.display(), started.elapsed().as_secs_f64());
    print_line(&format!("{out}: {papers} papers, {:.1} MB, {seconds:.1} s", bytes as f64 / 1e6))?;
    Ok(ExitCode::SUCCESS)
}
