//! `likewise mcp`: the tools that agents call, on standard input and output.

use super::DataOptions;
use crate::search::Library;
use crate::server::{App, over_stdio};
use anyhow::anyhow;
use clap::Args;
use std::process::ExitCode;
use std::sync::Arc;

/// Options of `likewise mcp`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    data: DataOptions,
}

/// Runs it, until standard input is closed.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let app = App::default();
    app.set_library(Arc::new(Library::open(&options.data.data, options.data.load()?)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime
        .block_on(over_stdio(app))
        .map_err(|error| anyhow!("the Model Context Protocol, on standard input: {error}"))?;
    // Standard input is read by a thread that nothing ends.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
