//! `likewise mcp`: the tools that agents call, on standard input and output.

use super::place::PlaceOptions;
#[cfg(feature = "mcp")]
use crate::server::{App, over_stdio};
use clap::Args;
use std::process::ExitCode;
#[cfg(feature = "mcp")]
use std::sync::Arc;

/// Options of `likewise mcp`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    place: PlaceOptions,
}

/// Says that it cannot.
#[cfg(not(feature = "mcp"))]
pub fn run(_: &Options) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this program was built without the Model Context Protocol; build it with --features mcp")
}

/// Runs it, until standard input is closed.
#[cfg(feature = "mcp")]
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let app = App::default();
    app.set_library(Arc::new(options.place.place()?.library(options.place.load()?)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime
        .block_on(over_stdio(app))
        .map_err(|error| anyhow::anyhow!("the Model Context Protocol, on standard input: {error}"))?;
    // Standard input is read by a thread that nothing ends.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
