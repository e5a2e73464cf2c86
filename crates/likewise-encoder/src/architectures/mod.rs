//! The list of all architectures, and [`load()`], which loads the network of a model folder.
//!
//! The file of an architecture contains only the config of that architecture and functions that load and compute the
//! network.

mod albert;
mod bert;
mod classification_head;
mod config;
mod deberta_v2;
mod decoder;
mod distilbert;
mod electra;
mod gemma3;
mod gte;
mod jina_bert;
mod mlm_head;
mod modernbert;
mod mpnet;
mod nomic_bert;
mod one_by_one;
mod packed_bert;
mod roberta;
mod rotary_bert;
mod static_table;
mod t5;

use crate::adapter::Adapter;
use crate::batch::{Batch, Sequence};
use crate::device;
use crate::error::{Error, Result, damaged};
use crate::kernels::isa;
use crate::layers::Loader;
use crate::model::{CONFIG, Family, InputType, ModelFolder, ModelKind, PerInputType, Pooling, Precision};
use crate::network::{Architecture, Engine, Network};
use crate::pooling;
use crate::weights::Weights;
use bert::Bert;
use candle_core::{DType, Device, Tensor};
pub use classification_head::ClassificationHead;
use config::check_positive;
pub use mlm_head::MlmHead;
use packed_bert::PackedBert;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use static_table::StaticTable;

/// Whether [`PackedBert`] can compute a model. This requires that the architecture is BERT, DistilBERT, RoBERTa, ELECTRA
/// or ALBERT, and that the model has no adapters.
pub fn is_packed(folder: &ModelFolder) -> bool {
    let is_bert = matches!(
        folder.family,
        Family::Bert | Family::DistilBert | Family::Roberta | Family::Electra | Family::Albert
    );
    is_bert && folder.config.adapters.is_none()
}

/// Loads a model's network onto a device.
///
/// # Errors
/// Returns [`Error::Model`] if config.json describes something that is not supported, or if the weights do not fit
/// config.json.
pub fn load(
    folder: &ModelFolder,
    engine: Engine,
    weights: &Weights,
    device: &Device,
) -> Result<Box<dyn Architecture>> {
    if folder.family == Family::Static && !device.is_cpu() {
        return Err(Error::Model(format!(
            "{}: a static model runs on the CPU only; use --device cpu",
            folder.path.display()
        )));
    }
    if device.is_cpu() {
        return load_on_cpu(folder, engine, weights);
    }
    let dtype = device::dtype(folder.precision);
    load_network(folder, &Loader::candle(weights.tensors(dtype, device)?), weights, device)
}

/// Returns a loader of layers that are computed as the layers of the network are.
///
/// # Errors
/// [`Error::Model`] if a weight file is damaged.
pub fn loader<'a>(
    folder: &ModelFolder,
    engine: Engine,
    weights: &'a Weights,
    device: &Device,
) -> Result<Loader<'a>> {
    Ok(match (device.is_cpu(), engine) {
        (false, _) => Loader::candle(weights.tensors(device::dtype(folder.precision), device)?),
        (true, Engine::Candle) => Loader::candle(weights.tensors(DType::F32, device)?),
        (true, Engine::Kernels) => Loader::kernels(weights.tensors(DType::F32, device)?, folder.precision),
    })
}

/// Whether a model runs on a CPU in f32 only.
fn is_f32_only(folder: &ModelFolder) -> bool {
    is_from_candle_transformers(folder) || folder.family == Family::Static
}

/// Returns the default precision of a model on the CPU: the fastest one whose vectors had a mean cosine of at least 0.999 to
/// the f32 vectors (benches/architectures.py). Int8 reaches that where [`PackedBert`] or MPNet computes the network. The
/// others have gated feed-forward layers or rotary positions, which lose more.
///
/// Sparse encoders run in f32: a value of theirs is the largest of all tokens, so that the rounding error of one token is not
/// averaged away, as it is in a mean.
pub fn default_precision(folder: &ModelFolder) -> Precision {
    let isa = isa::current();
    match folder.family {
        _ if is_f32_only(folder) || matches!(folder.config.kind, ModelKind::Sparse(_)) => Precision::F32,
        _ if is_packed(folder) => isa.fastest,
        Family::Mpnet => isa.fastest,
        _ => isa.bf16_or_f32,
    }
}

fn load_on_cpu(folder: &ModelFolder, engine: Engine, weights: &Weights) -> Result<Box<dyn Architecture>> {
    if is_f32_only(folder) && folder.precision != Precision::F32 {
        return Err(Error::Model(format!(
            "{}: this architecture is computed in f32 only (got {}); use the precision f32",
            folder.path.display(),
            folder.precision
        )));
    }
    let device = Device::Cpu;
    let tensors = weights.tensors(DType::F32, &device)?;
    if folder.family == Family::Static {
        let table = StaticTable::load(&tensors).map_err(|error| damaged(weights.path(), error))?;
        return Ok(Box::new(table));
    }
    if engine == Engine::Candle {
        return load_network(folder, &Loader::candle(tensors), weights, &device);
    }
    let loader = Loader::kernels(tensors, folder.precision);
    if !is_packed(folder) {
        return load_network(folder, &loader, weights, &device);
    }
    let (config, loader) = bert_config(folder, &loader)?;
    PackedBert::load(&config, folder.config.pooling, folder.precision, isa::current(), &loader)
        .map(|bert| Box::new(bert) as _)
        .map_err(|error| damaged(weights.path(), error))
}

/// A network and the pooling of its output.
struct PooledNetwork<N> {
    network: N,
    pooling: Pooling,
    device: Device,
}

impl<N: Network> Architecture for PooledNetwork<N> {
    fn forward_pooled(&self, texts: &[Sequence], input_type: InputType) -> candle_core::Result<Tensor> {
        let batch = Batch::new(texts, &self.device)?;
        pooling::batch(&self.forward_batch(texts, &batch, input_type)?, &batch, self.pooling)
    }

    fn forward_tokens(&self, texts: &[Sequence], input_type: InputType) -> candle_core::Result<Tensor> {
        self.forward_batch(texts, &Batch::new(texts, &self.device)?, input_type)
    }
}

impl<N: Network> PooledNetwork<N> {
    fn forward_batch(
        &self,
        texts: &[Sequence],
        batch: &Batch,
        input_type: InputType,
    ) -> candle_core::Result<Tensor> {
        texts.iter().try_for_each(|text| self.network.check(text.ids))?;
        self.network.forward(texts, batch, input_type)
    }
}

/// Loads the network of a model folder. `loader` determines whether candle or the crate's kernels compute the layers.
fn load_network(
    folder: &ModelFolder,
    loader: &Loader,
    weights: &Weights,
    device: &Device,
) -> Result<Box<dyn Architecture>> {
    let max_tokens = folder.config.max_length;
    let (pooling, device) = (folder.config.pooling, device.clone());
    let damaged = |error| damaged(weights.path(), error);
    Ok(match folder.family {
        Family::Bert
        | Family::DistilBert
        | Family::Roberta
        | Family::Mpnet
        | Family::JinaBert
        | Family::Electra
        | Family::Albert => {
            let network = load_bert(folder, loader, weights)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::ModernBert => {
            let network = modernbert::ModernBert::load(
                &supported(folder, modernbert::Config::check)?,
                max_tokens,
                loader,
            )
            .map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::NomicBert => {
            let network =
                nomic_bert::load(&supported(folder, nomic_bert::Config::check)?, max_tokens, loader)
                    .map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::Qwen3 | Family::Qwen2 | Family::Mistral | Family::EuroBert => {
            let config = supported(folder, |config: &decoder::Config| config.check(max_tokens))?;
            let network = decoder::Decoder::load(&config, max_tokens, loader).map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::Gte => {
            let network =
                gte::load(&supported(folder, gte::Config::check)?, max_tokens, loader).map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::Static => return Err(unsupported(folder, "a static model has no network")),
        Family::DebertaV2 => {
            let config = supported(folder, deberta_v2::check)?;
            weights.check_finite()?;
            let network = deberta_v2::DebertaV2::load(&config, loader.tensors().clone()).map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::T5 => {
            weights.check_finite()?;
            let network = t5::T5::load(&config(folder)?, loader.tensors().clone()).map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
        Family::Gemma3 => {
            let network =
                gemma3::Gemma3::load(&supported(folder, gemma3::Config::check)?, max_tokens, loader)
                    .map_err(damaged)?;
            Box::new(PooledNetwork { network, pooling, device })
        }
    })
}

/// Whether candle-transformers computes the network. On a CPU, it computes in f32 only.
pub fn is_from_candle_transformers(folder: &ModelFolder) -> bool {
    matches!(folder.family, Family::DebertaV2 | Family::T5)
}

/// Loads a network that [`Bert`] computes.
fn load_bert(folder: &ModelFolder, loader: &Loader, weights: &Weights) -> Result<Bert> {
    let (config, loader) = bert_config(folder, loader)?;
    let damaged = |error| damaged(weights.path(), error);
    let bias = match folder.family {
        Family::Mpnet => {
            #[derive(Deserialize)]
            struct Buckets {
                #[serde(default = "default_buckets")]
                relative_attention_num_buckets: usize,
            }
            fn default_buckets() -> usize {
                32
            }
            let buckets: Buckets = self::config(folder)?;
            Some(mpnet::bias(&config, buckets.relative_attention_num_buckets, &loader).map_err(damaged)?)
        }
        Family::JinaBert => Some(jina_bert::bias(&config, folder.config.max_length)),
        _ => None,
    };
    let adapter = |name: &String| Adapter::load(&folder.path.join(name), config.num_hidden_layers, &loader);
    let adapters = match &folder.config.adapters {
        Some(PerInputType { document, query }) => {
            Some(PerInputType { document: adapter(document)?, query: adapter(query)? })
        }
        None => None,
    };
    Bert::load(&config, bias, adapters, &loader).map_err(damaged)
}

/// Reads the config of BERT or of a variant of BERT. Returns it as a config of BERT, and with it a loader that finds
/// the variant's tensors by BERT's names. In some checkpoints, the names of all tensors start with the name of the
/// network, which the loader takes into account.
fn bert_config<'a>(folder: &ModelFolder, loader: &Loader<'a>) -> Result<(bert::Config, Loader<'a>)> {
    const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";
    let (config, loader) = match folder.family {
        Family::DistilBert => {
            let config: distilbert::DistilBertConfig = config(folder)?;
            (config.to_bert(), loader.root("distilbert", WORD_EMBEDDINGS).renamed(distilbert::tensor_name))
        }
        Family::Roberta => {
            #[derive(Deserialize)]
            struct Padding {
                pad_token_id: Option<u32>,
            }
            let Padding { pad_token_id } = config(folder)?;
            (roberta::bert_config(config(folder)?, pad_token_id), loader.root("roberta", WORD_EMBEDDINGS))
        }
        Family::Mpnet => (
            mpnet::bert_config(config(folder)?),
            loader.root("mpnet", WORD_EMBEDDINGS).renamed(mpnet::tensor_name),
        ),
        Family::JinaBert => (
            jina_bert::bert_config(config(folder)?),
            loader.root("bert", WORD_EMBEDDINGS).renamed(jina_bert::tensor_name),
        ),
        Family::Electra => {
            let config = bert::Config { embedding_projection: electra::PROJECTION, ..config(folder)? };
            (config, loader.root("electra", WORD_EMBEDDINGS))
        }
        Family::Albert => {
            let _: albert::Groups = supported(folder, albert::Groups::check)?;
            let config = bert::Config { embedding_projection: albert::PROJECTION, ..config(folder)? };
            (config, loader.root("albert", WORD_EMBEDDINGS).renamed(albert::tensor_name))
        }
        _ => (config(folder)?, loader.root("bert", WORD_EMBEDDINGS)),
    };
    config.check().map_err(|error| unsupported(folder, &error))?;
    check_positive(&[("layer_norm_eps", config.layer_norm_eps)])
        .map_err(|error| unsupported(folder, &error))?;
    Ok((config, loader))
}

/// Reads the folder's config.json as an architecture's config.
fn config<T: DeserializeOwned>(folder: &ModelFolder) -> Result<T> {
    let other_names = [&nomic_bert::OLDER_NAMES[..], &[gemma3::OTHER_NAME]].concat();
    config::read(folder, &other_names)
}

/// Reads the folder's config.json as an architecture's config, and checks it.
///
/// # Errors
/// Returns the errors of [`config()`], and [`Error::Model`] with the message of `check` if the config is not supported.
fn supported<T: DeserializeOwned>(
    folder: &ModelFolder,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T> {
    let config = config(folder)?;
    check(&config).map(|()| config).map_err(|error| unsupported(folder, &error))
}

fn unsupported(folder: &ModelFolder, error: &str) -> Error {
    Error::Model(format!("{}: {error}; use another model", folder.network().join(CONFIG).display()))
}
