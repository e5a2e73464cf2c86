//! `likewise pull`: fetch a model.

use crate::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, pull};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `likewise pull`.
#[derive(Args)]
pub struct Options {
    /// Model name, or a folder to check.
    #[arg(default_value = DEFAULT_MODEL)]
    model: String,
    /// Where models are kept by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
}

/// Runs it.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let pulled = pull(&options.model, &options.models)?;
    eprintln!("{}: every file verified, from {}", pulled.folder.display(), pulled.source);
    Ok(ExitCode::SUCCESS)
}
