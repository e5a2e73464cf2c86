//! A model on one device: which architecture it is, what computes it, and how much it is given at once.
//!
//! Its own file because it is the one list of all architectures, and because a device's memory has to be found out by
//! trying.

use super::adapter::Adapter;
use super::batch::Batch;
use super::bert::{self, Bert};
use super::head::Head;
use super::kernels::level;
use super::layers::Loader;
use super::packed::PackedBert;
use super::weights::Weights;
use super::{
    Architecture, BATCH_TOKENS, Engine, Network, Tokenized, damaged, device, distilbert, gemma3, jina_bert,
    modernbert, mpnet, nomic_bert, pooling, qwen3, roberta,
};
use crate::disk;
use crate::error::{Error, Result};
use crate::model::{CONFIG, Family, ModelFolder, Pooling, Side, Sides};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tokens in one batch on a GPU, to begin with: it is halved for as long as they do not fit.
const GPU_TOKENS: usize = 65_536;

/// Tokens in one batch on a CPU whose layers are computed one after the other: all that one of them gives goes through
/// the core's own cache to the next.
const LAYER_TOKENS: usize = 512;

/// A model on one device.
pub struct Loaded {
    architecture: Box<dyn Architecture>,
    head: Head,
    device: Device,
    /// Tokens that it is given at once.
    budget: AtomicUsize,
}

impl Loaded {
    /// Takes a model's weights to a device.
    pub fn new(folder: &ModelFolder, engine: Engine, weights: &Weights, device: &Device) -> Result<Loaded> {
        let architecture = match device {
            Device::Cpu => on_cpu(folder, engine, weights)?,
            _ => {
                let dtype = device::dtype(folder.precision);
                network(folder, &Loader::candle(weights.tensors(dtype, device)?), weights, device)?
            }
        };
        let budget = AtomicUsize::new(match device {
            Device::Cpu if engine == Engine::Kernels && is_packed(folder) => BATCH_TOKENS,
            Device::Cpu => LAYER_TOKENS,
            _ => GPU_TOKENS,
        });
        Ok(Loaded { architecture, head: Head::load(folder, device)?, device: device.clone(), budget })
    }

    /// Whether that is this machine's memory and cores.
    pub fn is_on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// As it is named on the command line.
    pub fn device_name(&self) -> String {
        device::name(&self.device)
    }

    /// Tokens that fit at once, as far as that is known.
    pub fn budget(&self) -> usize {
        self.budget.load(Ordering::Relaxed)
    }

    /// Texts to unit vectors. If the device has no room for all of them at once, half as many are tried, and more than
    /// that are not tried again.
    ///
    /// # Errors
    /// Also if there is no room for a single text.
    pub fn embed(&self, texts: &[&Tokenized]) -> Result<Vec<Vec<f32>>> {
        let tokens = texts.iter().map(|text| text.ids.len()).sum::<usize>();
        let is_divisible = texts.len() > 1;
        if is_divisible && tokens > self.budget() && !self.is_on_cpu() {
            return self.embed_halves(texts);
        }
        match self.embed_at_once(texts) {
            Err(error) if is_divisible && device::is_out_of_memory(&error) => {
                self.budget.fetch_min(tokens / 2, Ordering::Relaxed);
                tracing::warn!(
                    "{} has no room for {tokens} tokens at once; trying half as many",
                    self.device_name()
                );
                self.embed_halves(texts)
            }
            Err(error) if device::is_out_of_memory(&error) => Err(Error::Model(format!(
                "{} has no room for one text of {tokens} tokens: {error}; use a smaller model, or --device cpu",
                self.device_name()
            ))),
            outcome => Ok(outcome?),
        }
    }

    fn embed_halves(&self, texts: &[&Tokenized]) -> Result<Vec<Vec<f32>>> {
        let (first, second) = texts.split_at(texts.len() / 2);
        let mut vectors = self.embed(first)?;
        vectors.extend(self.embed(second)?);
        Ok(vectors)
    }

    fn embed_at_once(&self, texts: &[&Tokenized]) -> candle_core::Result<Vec<Vec<f32>>> {
        let side = texts.first().map_or(Side::Paper, |text| text.side);
        let ids: Vec<&[u32]> = texts.iter().map(|text| &text.ids[..]).collect();
        self.head.forward(self.architecture.pooled(&ids, side)?)
    }
}

/// Whether a model has the kernels' fast path: BERT's shape, and nothing beside it.
pub fn is_packed(folder: &ModelFolder) -> bool {
    matches!(folder.family, Family::Bert | Family::DistilBert | Family::Roberta)
        && folder.stated.adapters.is_none()
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

/// What [`config`] reads, if the architecture finds nothing in it that it does not do.
fn supported<T: DeserializeOwned>(
    folder: &ModelFolder,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T> {
    let config = config(folder)?;
    check(&config).map(|()| config).map_err(|error| unsupported(folder, &error))
}

fn unsupported(folder: &ModelFolder, error: &str) -> Error {
    Error::Model(format!("{}: {error}; use another model", folder.path.join(CONFIG).display()))
}

/// Refuses what would be divided by, or be the root of nothing.
pub fn positive(numbers: &[(&str, f64)]) -> Result<(), String> {
    match numbers.iter().find(|(_, number)| !(number.is_finite() && *number > 0.0)) {
        Some((name, number)) => Err(format!("{name}: got {number}, wanted more than 0")),
        None => Ok(()),
    }
}

/// The folder's config.json, as an architecture reads it.
fn config<T: DeserializeOwned>(folder: &ModelFolder) -> Result<T> {
    let path = folder.path.join(CONFIG);
    let text = disk::read_text(&path).map_err(Error::io(&path))?;
    let mut config: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
    for (older, name) in nomic_bert::OLDER_NAMES.into_iter().chain([gemma3::OLDER_NAME]) {
        if let (Some(value), false) = (config.get(older).cloned(), config.contains_key(name)) {
            config.insert(name.into(), value);
        }
    }
    serde_path_to_error::deserialize(Value::from(config)).map_err(|error| damaged(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A device with room for so many tokens, which writes down what it was given.
    struct Small {
        room: usize,
        asked: std::sync::Arc<Mutex<Vec<usize>>>,
    }

    impl Architecture for Small {
        fn pooled(&self, texts: &[&[u32]], _: Side) -> candle_core::Result<Tensor> {
            let tokens = texts.iter().map(|ids| ids.len()).sum();
            self.asked.lock().unwrap().push(tokens);
            if tokens > self.room {
                return Err(candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"".into()));
            }
            let first: Vec<f32> = texts.iter().flat_map(|ids| [ids[0] as f32, 1.0]).collect();
            Tensor::from_vec(first, (texts.len(), 2), &Device::Cpu)
        }
    }

    fn text(id: u32, length: usize) -> Tokenized {
        Tokenized { ids: vec![id; length], truncated: false, side: Side::Paper }
    }

    fn loaded(room: usize) -> (Loaded, std::sync::Arc<Mutex<Vec<usize>>>) {
        let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
        let architecture = Box::new(Small { room, asked: std::sync::Arc::clone(&asked) });
        let head = Head::without_steps(2);
        (Loaded { architecture, head, device: Device::Cpu, budget: AtomicUsize::new(1000) }, asked)
    }

    #[test]
    fn what_has_no_room_is_halved_and_comes_back_in_order() {
        let (loaded, asked) = loaded(30);
        let texts: Vec<Tokenized> = (1..=8).map(|id| text(id, 10)).collect();
        let vectors = loaded.embed(&texts.iter().collect::<Vec<_>>()).unwrap();
        for (vector, id) in vectors.iter().zip(1..) {
            assert!((vector[0] / vector[1] - id as f32).abs() < 1e-4, "{vector:?}");
        }
        assert_eq!(*asked.lock().unwrap(), [80, 40, 20, 20, 40, 20, 20]);
        assert_eq!(loaded.budget(), 20, "no more is tried from now on");
    }

    #[test]
    fn one_text_without_room_is_an_error_that_says_what_to_do() {
        let (loaded, _) = loaded(30);
        let (small, large) = (text(1, 10), text(2, 50));
        let message = loaded.embed(&[&small, &large]).unwrap_err().to_string();
        assert!(message.contains("one text of 50 tokens") && message.contains("--device cpu"), "{message}");
    }
}
