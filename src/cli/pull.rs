//! `likewise pull`: downloads a model.

use clap::Args;
use likewise_encoder::Encoder;
use likewise_encoder::model::{DEFAULT_MODEL, DEFAULT_MODELS_DIR, Manifest, ModelFolder, Precision, pull};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `likewise pull`.
#[derive(Args)]
pub struct Options {
    /// Name of the model, a repository on the Hugging Face hub (owner/name), or a folder with a model to verify.
    #[arg(default_value = DEFAULT_MODEL)]
    model: String,
    /// Folder with the installed models, by name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let pulled = pull(&options.model, &options.models)?;
    let mut how = "every file verified";
    if !pulled.is_verified && Manifest::read(&pulled.folder)?.is_some_and(|manifest| manifest.has_checksums())
    {
        how = "checksums recorded";
    } else if !pulled.is_verified {
        // Without checksums to compare with, the model is complete if it can be loaded.
        let folder = ModelFolder::open(&pulled.folder.to_string_lossy(), &options.models, Precision::F32)?;
        Encoder::load(&folder)?;
        how = "loads and encodes";
    }
    eprintln!("{}: {how}, from {}", pulled.folder.display(), pulled.source);
    Ok(ExitCode::SUCCESS)
}
