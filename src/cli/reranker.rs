//! The options for further models: the one that reranks, and the sparse encoder of a server.

use super::{AUTO, EncoderOptions, PrecisionChoice, parse_precision};
use clap::Args;
use likewise_encoder::model::ModelFolder;
use likewise_encoder::{Reranker, SparseEncoder};
use std::sync::Arc;

/// Options that load a reranker.
#[derive(Args)]
pub struct RerankerOptions {
    /// The model that reranks, a cross-encoder or one with late interaction (ColBERT): a name (`likewise models` lists
    /// them), a repository on the Hugging Face hub (owner/name), or a folder. By default, none is loaded, and searches are
    /// not reranked.
    #[arg(long, value_name = "PATH_OR_NAME", env = "LIKEWISE_RERANKER")]
    pub reranker: Option<String>,
    /// Precision of the reranker's matrix multiplications: f32, bf16, int8 or auto. auto is the fastest precision
    /// of the device that hardly changes the model's scores.
    #[arg(long, env = "LIKEWISE_RERANKER_PRECISION", default_value = AUTO, value_parser = parse_precision)]
    reranker_precision: PrecisionChoice,
}

/// The option for the sparse encoder.
#[derive(Args)]
pub struct SparseOptions {
    /// The sparse model (SPLADE) behind `/embed_sparse`: a repository on the Hugging Face hub (owner/name), or a folder.
    /// By default, none is loaded.
    #[arg(long, value_name = "PATH_OR_NAME", env = "LIKEWISE_SPARSE_MODEL")]
    sparse_model: Option<String>,
    /// Precision of the sparse model's matrix multiplications: f32, bf16, int8 or auto. auto is f32 on a CPU.
    #[arg(long, env = "LIKEWISE_SPARSE_PRECISION", default_value = AUTO, value_parser = parse_precision)]
    sparse_precision: PrecisionChoice,
}

/// The name of a model. An empty one, as of an environment variable that is set to nothing, means none.
fn given(name: &Option<String>) -> Option<&str> {
    name.as_deref().filter(|name| !name.is_empty())
}

impl SparseOptions {
    /// Loads the sparse encoder onto the devices of the encoder. `None`: none is given.
    pub fn load(&self, encoder: &EncoderOptions) -> anyhow::Result<Option<Arc<SparseEncoder>>> {
        let Some(name) = given(&self.sparse_model) else { return Ok(None) };
        let folder = encoder.open_in(name, ModelFolder::open_sparse, self.sparse_precision)?;
        Ok(Some(Arc::new(SparseEncoder::load_on(&folder, &encoder.devices.device)?)))
    }
}

impl RerankerOptions {
    /// Loads the reranker onto the devices of the encoder. `None`: none is given.
    pub fn load(&self, encoder: &EncoderOptions) -> anyhow::Result<Option<Arc<Reranker>>> {
        let Some(name) = given(&self.reranker) else { return Ok(None) };
        let folder = encoder.open_in(name, ModelFolder::open_reranker, self.reranker_precision)?;
        Ok(Some(Arc::new(Reranker::load_on(&folder, &encoder.devices.device)?)))
    }
}
