//! The one list of all architectures: which a folder's family is, and what computes it.
//!
//! An architecture's own file says what is computed, load and forward, and nothing else.

mod bert;
mod config;
mod distilbert;
mod gemma3;
mod jina_bert;
mod modernbert;
mod mpnet;
mod nomic_bert;
mod packed;
mod qwen3;
mod roberta;

use crate::adapter::Adapter;
use crate::batch::Batch;
use crate::device;
use crate::error::{Error, Result, damaged};
use crate::kernels::level;
use crate::layers::Loader;
use crate::model::{CONFIG, Family, ModelFolder, Pooling, Side, Sides};
use crate::network::{Architecture, Engine, Network};
use crate::pooling;
use crate::weights::Weights;
use bert::Bert;
use candle_core::{DType, Device, Tensor};
use config::positive;
use packed::PackedBert;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Whether a model has the kernels' fast path: BERT's shape, and nothing beside it.
pub fn is_packed(folder: &ModelFolder) -> bool {
    matches!(folder.family, Family::Bert | Family::DistilBert | Family::Roberta)
        && folder.stated.adapters.is_none()
}

/// Loads the architecture that a folder's family is, onto a device.
pub fn load(
    folder: &ModelFolder,
    engine: Engine,
    weights: &Weights,
    device: &Device,
) -> Result<Box<dyn Architecture>> {
    if device.is_cpu() {
        return on_cpu(folder, engine, weights);
    }
    let dtype = device::dtype(folder.precision);
    network(folder, &Loader::candle(weights.tensors(dtype, device)?), weights, device)
}

fn on_cpu(folder: &ModelFolder, engine: Engine, weights: &Weights) -> Result<Box<dyn Architecture>> {
    let device = Device::Cpu;
    let tensors = weights.tensors(DType::F32, &device)?;
    if engine == Engine::Candle {
        return network(folder, &Loader::candle(tensors), weights, &device);
    }
    let loader = Loader::kernels(tensors, folder.precision);
    if !is_packed(folder) {
        return network(folder, &loader, weights, &device);
    }
    let (config, loader) = shaped_as_bert(folder, &loader)?;
    PackedBert::load(&config, folder.stated.pooling, folder.precision, level::current(), &loader)
        .map(|bert| Box::new(bert) as _)
        .map_err(|error| damaged(weights.path(), error))
}

/// A network, with its pooling.
struct Pooled<N> {
    network: N,
    pooling: Pooling,
    device: Device,
}

impl<N: Network> Architecture for Pooled<N> {
    fn pooled(&self, texts: &[&[u32]], side: Side) -> candle_core::Result<Tensor> {
        texts.iter().try_for_each(|ids| self.network.check(ids))?;
        let batch = Batch::new(texts, &self.device)?;
        let hidden = self.network.forward(texts, &batch, side)?;
        pooling::batch(&hidden, &batch, self.pooling)
    }
}

/// The network that a folder's family is.
fn network(
    folder: &ModelFolder,
    loader: &Loader,
    weights: &Weights,
    device: &Device,
) -> Result<Box<dyn Architecture>> {
    let most = folder.stated.max_length;
    let (pooling, device) = (folder.stated.pooling, device.clone());
    let wrong = |error| damaged(weights.path(), error);
    Ok(match folder.family {
        Family::Bert | Family::DistilBert | Family::Roberta | Family::Mpnet | Family::JinaBert => {
            let network = like_bert(folder, loader, weights, &device)?;
            Box::new(Pooled { network, pooling, device })
        }
        Family::ModernBert => {
            let network =
                modernbert::ModernBert::load(&supported(folder, modernbert::Config::check)?, most, loader)
                    .map_err(wrong)?;
            Box::new(Pooled { network, pooling, device })
        }
        Family::NomicBert => {
            let network =
                nomic_bert::NomicBert::load(&supported(folder, nomic_bert::Config::check)?, most, loader)
                    .map_err(wrong)?;
            Box::new(Pooled { network, pooling, device })
        }
        Family::Qwen3 => {
            let network =
                qwen3::Qwen3::load(&supported(folder, qwen3::Config::check)?, most, loader).map_err(wrong)?;
            Box::new(Pooled { network, pooling, device })
        }
        Family::Gemma3 => {
            let network = gemma3::Gemma3::load(&supported(folder, gemma3::Config::check)?, most, loader)
                .map_err(wrong)?;
            Box::new(Pooled { network, pooling, device })
        }
    })
}

fn like_bert(folder: &ModelFolder, loader: &Loader, weights: &Weights, device: &Device) -> Result<Bert> {
    let (config, loader) = shaped_as_bert(folder, loader)?;
    let wrong = |error| damaged(weights.path(), error);
    let bias = match folder.family {
        Family::Mpnet => {
            #[derive(Deserialize)]
            struct Buckets {
                #[serde(default = "thirty_two")]
                relative_attention_num_buckets: usize,
            }
            fn thirty_two() -> usize {
                32
            }
            let buckets: Buckets = self::config(folder)?;
            Some(mpnet::bias(&config, buckets.relative_attention_num_buckets, &loader).map_err(wrong)?)
        }
        Family::JinaBert => Some(jina_bert::bias(&config, folder.stated.max_length)),
        _ => None,
    };
    let dtype = loader.tensors().dtype();
    let adapter =
        |name: &String| Adapter::load(&folder.path.join(name), config.num_hidden_layers, dtype, device);
    let adapters = match &folder.stated.adapters {
        Some(Sides { paper, query }) => Some(Sides { paper: adapter(paper)?, query: adapter(query)? }),
        None => None,
    };
    Bert::load(&config, bias, adapters, &loader).map_err(wrong)
}

/// The shape of BERT's relatives, as BERT says it, and their tensors by its names. (Some checkpoints have all of them under
/// the model's own.)
fn shaped_as_bert<'a>(folder: &ModelFolder, loader: &Loader<'a>) -> Result<(bert::Config, Loader<'a>)> {
    const WORDS: &str = "embeddings.word_embeddings.weight";
    let (config, loader) = match folder.family {
        Family::DistilBert => {
            let distilled: distilbert::Distilled = config(folder)?;
            (distilled.bert(), loader.root("distilbert", WORDS).renamed(distilbert::name))
        }
        Family::Roberta => {
            #[derive(Deserialize)]
            struct Padding {
                pad_token_id: Option<u32>,
            }
            let Padding { pad_token_id } = config(folder)?;
            (roberta::shaped(config(folder)?, pad_token_id), loader.root("roberta", WORDS))
        }
        Family::Mpnet => (mpnet::shaped(config(folder)?), loader.root("mpnet", WORDS).renamed(mpnet::name)),
        Family::JinaBert => {
            (jina_bert::shaped(config(folder)?), loader.root("bert", WORDS).renamed(jina_bert::name))
        }
        _ => (config(folder)?, loader.root("bert", WORDS)),
    };
    positive(&[("layer_norm_eps", config.layer_norm_eps)]).map_err(|error| unsupported(folder, &error))?;
    Ok((config, loader))
}

/// The folder's config.json, as an architecture reads it.
fn config<T: DeserializeOwned>(folder: &ModelFolder) -> Result<T> {
    let older_names = [&nomic_bert::OLDER_NAMES[..], &[gemma3::OLDER_NAME]].concat();
    config::read(folder, &older_names)
}

/// What [`config()`] reads, if the architecture finds nothing in it that it does not do.
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
