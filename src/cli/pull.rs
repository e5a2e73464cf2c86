//! `likewise pull`: downloads a model.

use clap::Args;
use likewise_encoder::model::{
    DEFAULT_MODEL, DEFAULT_MODELS_DIR, Manifest, ModelFolder, ModelKind, Precision, pull,
};
use likewise_encoder::{Devices, Encoder, Reranker, SparseEncoder};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `likewise pull`.
#[derive(Args)]
pub struct Options {
    /// Model to download: a name, or a repository on the Hugging Face hub (owner/name). Or the folder of a model, to
    /// verify the model.
    #[arg(default_value = DEFAULT_MODEL)]
    model: String,
    /// Folder with the installed models, each in a subfolder of its name.
    #[arg(long, value_name = "DIR", env = "LIKEWISE_MODELS", default_value = DEFAULT_MODELS_DIR)]
    models: PathBuf,
}

/// Runs the command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let pulled = pull(&options.model, &options.models)?;
    let mut how = "every file is verified";
    if !pulled.is_verified && Manifest::read(&pulled.folder)?.is_some_and(|manifest| manifest.has_checksums())
    {
        how = "the checksums of the files are recorded";
    } else if !pulled.is_verified {
        // There are no checksums to compare the files with. Instead, check that the model can be loaded.
        let folder =
            ModelFolder::open_any(&pulled.folder.to_string_lossy(), &options.models, Precision::F32)?;
        load(&folder)?;
        how = "there are no checksums, but the model can be loaded";
    }
    eprintln!("{}: {how}; the files come from {}", pulled.folder.display(), pulled.source);
    Ok(ExitCode::SUCCESS)
}

/// Loads a model of any kind, to check that it is complete.
fn load(folder: &ModelFolder) -> likewise_encoder::Result<()> {
    match folder.config.kind {
        ModelKind::Embedding => Encoder::load(folder).map(drop),
        ModelKind::CrossEncoder(_) | ModelKind::LateInteraction(_) => {
            Reranker::load_on(folder, &Devices::Cpu).map(drop)
        }
        ModelKind::Sparse(_) => SparseEncoder::load_on(folder, &Devices::Cpu).map(drop),
    }
}
