//! `likewise mcp`: the tools that agents call, on standard input and output.

use super::place::PlaceOptions;
use crate::server::{App, over_stdio};
use anyhow::anyhow;
use clap::Args;
use std::process::ExitCode;
use std::sync::Arc;

/// Options of `likewise mcp`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    place: PlaceOptions,
}

/// Runs it, until standard input is closed.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let app = App::default();
    app.set_library(Arc::new(options.place.place()?.library(options.place.load()?)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime
        .block_on(over_stdio(app))
        .map_err(|error| anyhow!("the Model Context Protocol, on standard input: {error}"))?;
    // Standard input is read by a thread that nothing ends.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
