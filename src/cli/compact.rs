//! `likewise compact`: give back the room of papers that are gone.

use super::{DataOptions, print_line};
use crate::ingest::{Writer, open_catalog};
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
    // Nothing is made where nothing was.
    open_catalog(data)?;
    let encoder = options.data.load()?;
    let mut writer = Writer::open(data, &encoder)?;
    writer.catch_up(|_, _| {})?;
    let before = writer.vectors();
    let index = writer.compact()?.stats();
    let after = index.indexed + index.waiting;
    print_line(&format!("{before} vectors before, {after} after, in {} segments", index.segments))?;
    Ok(ExitCode::SUCCESS)
}
