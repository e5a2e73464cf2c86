//! `likewise pull`: fetch a model.

use clap::Args;
use likewise_encoder::Encoder;
use likewise_encoder::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, Manifest, ModelFolder, Precision, pull};
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
    let mut how = "every file verified";
    if !pulled.is_verified && Manifest::read(&pulled.folder)?.is_some_and(|manifest| manifest.is_summed()) {
        how = "sums written down";
    } else if !pulled.is_verified {
        // There are no sums to compare with: it is whole if it does what it is for.
        let folder = ModelFolder::open(&pulled.folder.to_string_lossy(), &options.models, Precision::F32)?;
        Encoder::load(&folder)?;
        how = "loads and encodes";
    }
    eprintln!("{}: {how}, from {}", pulled.folder.display(), pulled.source);
    Ok(ExitCode::SUCCESS)
}
