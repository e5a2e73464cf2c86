//! `likewise compact`: frees the disk space of deleted and replaced papers.

use super::{DataOptions, print_line};
use crate::ingest::{FolderWriter, open_catalog};
use clap::Args;
use std::process::ExitCode;

/// Options of `likewise compact`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataOptions,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let data = &options.data.data;
    // Opening the catalog fails if there is no data folder, whereas opening the writer would create one.
    open_catalog(data)?;
    let encoder = options.data.load_encoder()?;
    let mut writer = FolderWriter::open(data, &encoder)?;
    writer.catch_up(|_| {})?;
    let before = writer.vector_count();
    let index = writer.compact()?.stats();
    let after = index.indexed + index.waiting;
    print_line(&format!(
        "{before} vectors before compaction; now {after} vectors, {} index segments",
        index.segments
    ))?;
    Ok(ExitCode::SUCCESS)
}
