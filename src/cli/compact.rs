//! `likewise compact`: give back the room of papers that are gone.

use super::{DataOptions, print_line};
use crate::ingest::{Writer, nothing_here};
use clap::Args;
use std::process::ExitCode;

/// Options of `likewise compact`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataOptions,
}

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let data = &options.data.data;
    if !crate::ingest::catalog_path(data).exists() {
        return Err(nothing_here(data).into());
    }
    let encoder = options.data.load()?;
    let mut writer = Writer::open(data, &encoder)?;
    writer.catch_up(|_, _| {})?;
    let before = writer.vectors();
    let index = writer.compact()?.stats();
    let after = index.indexed + index.waiting;
    print_line(&format!("{before} vectors before, {after} after, in {} segments", index.segments))?;
    Ok(ExitCode::SUCCESS)
}
