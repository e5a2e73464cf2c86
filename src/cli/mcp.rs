//! `likewise mcp`: a server of the Model Context Protocol on standard input and output.

use super::location::LocationOptions;
use super::reranker::RerankerOptions;
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
    location: LocationOptions,
    #[command(flatten)]
    reranker: RerankerOptions,
}

/// Fails, because the program was built without the feature `mcp`.
#[cfg(not(feature = "mcp"))]
pub fn run(_: &Options) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this program was built without the Model Context Protocol; build it with --features mcp")
}

/// Runs the server until standard input is closed.
#[cfg(feature = "mcp")]
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let app = App::default();
    let location = options.location.location()?;
    let library = location.open_library(options.location.load_encoder()?)?;
    let reranker = options.reranker.load(&options.location.data.encoder)?;
    app.set_library(Arc::new(library.with_reranker(reranker)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime
        .block_on(over_stdio(app))
        .map_err(|error| anyhow::anyhow!("the Model Context Protocol on standard input failed: {error}"))?;
    // The thread that reads standard input cannot be stopped, so do not wait for it.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
