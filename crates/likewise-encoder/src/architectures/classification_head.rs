//! The layers with which a cross-encoder turns the pooled vector of a pair into a score. Each architecture has its own
//! layers, as the classes `…ForSequenceClassification` of the transformers library define them.

use super::config;
use crate::error::{Error, Result, damaged};
use crate::kernels::Activation;
use crate::layers::{ActivationFn, Linear, Loader, Norm};
use crate::model::{Family, ModelFolder, Scoring};
use crate::weights::Weights;
use candle_core::{DType, Device, Tensor, bail};
use serde::Deserialize;

/// The layers of a classification head, which compute in f32.
pub struct ClassificationHead(Vec<HeadLayer>);

/// A linear layer, with the steps that follow it.
struct HeadLayer {
    linear: Linear,
    activation: HeadActivation,
    norm: Option<Norm>,
}

enum HeadActivation {
    Identity,
    Tanh,
    Other(ActivationFn),
}

impl HeadLayer {
    fn new(linear: Linear, activation: HeadActivation) -> HeadLayer {
        HeadLayer { linear, activation, norm: None }
    }
}

impl ClassificationHead {
    /// Reads the head from the weight file of the network.
    ///
    /// # Errors
    /// [`Error::Model`] if a tensor of the head is missing or has another shape.
    pub fn load(
        folder: &ModelFolder,
        scoring: &Scoring,
        weights: &Weights,
        device: &Device,
    ) -> Result<ClassificationHead> {
        let loader = Loader::candle(weights.tensors(DType::F32, device)?);
        let layers = match scoring {
            Scoring::Classifier => classifier(folder, &loader)?,
            Scoring::TokenLogit { token, other } => token_logit(folder, *token, *other, &loader),
        };
        layers.map(ClassificationHead).map_err(|error| damaged(weights.path(), error))
    }

    /// Maps pooled vectors `[pairs, hidden]` to one logit per pair.
    pub fn forward(&self, mut pooled: Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
        for HeadLayer { linear, activation, norm } in &self.0 {
            pooled = linear.forward(&pooled)?;
            pooled = match activation {
                HeadActivation::Identity => pooled,
                HeadActivation::Tanh => pooled.tanh()?,
                HeadActivation::Other(activation) => activation.forward(&pooled)?,
            };
            if let Some(norm) = norm {
                pooled = norm.forward(&pooled)?;
            }
        }
        pooled.to_vec2()
    }
}

/// The layers of a head for sequence classification.
///
/// # Errors
/// [`Error::Model`] if there is no such head for the architecture. The inner result is an error if the weights do not
/// fit.
fn classifier(folder: &ModelFolder, loader: &Loader) -> Result<candle_core::Result<Vec<HeadLayer>>> {
    let hidden = folder.dimension();
    let dense = |name: &str, activation| {
        Ok::<_, candle_core::Error>(HeadLayer::new(loader.pp(name).linear(hidden, hidden)?, activation))
    };
    let score = |name: &str| {
        let linear = loader.pp(name).linear(hidden, 1)?;
        Ok::<_, candle_core::Error>(HeadLayer::new(linear, HeadActivation::Identity))
    };
    let two = |first: candle_core::Result<HeadLayer>, second| Ok(vec![first?, score(second)?]);
    let activation = |activation| HeadActivation::Other(loader.activation_fn(activation));
    Ok(match folder.family {
        Family::Bert => two(dense("bert.pooler.dense", HeadActivation::Tanh), "classifier"),
        Family::Roberta | Family::Mpnet => {
            two(dense("classifier.dense", HeadActivation::Tanh), "classifier.out_proj")
        }
        Family::DistilBert => two(dense("pre_classifier", activation(Activation::Relu)), "classifier"),
        Family::ModernBert => {
            let ModernBertHead { classifier_activation, norm_eps } = config(folder)?;
            let norm = |layer: HeadLayer| {
                let norm = loader.pp("head.norm").layer_norm(hidden, norm_eps)?;
                Ok(HeadLayer { norm: Some(norm), ..layer })
            };
            two(dense("head.dense", activation(classifier_activation)).and_then(norm), "classifier")
        }
        Family::DebertaV2 => {
            let DebertaHead { pooler_hidden_act } = config(folder)?;
            two(dense("pooler.dense", activation(pooler_hidden_act)), "classifier")
        }
        Family::Qwen3 => score("score").map(|score| vec![score]),
        Family::NomicBert
        | Family::JinaBert
        | Family::Gemma3
        | Family::T5
        | Family::Qwen2
        | Family::Mistral
        | Family::EuroBert
        | Family::Gte
        | Family::Electra
        | Family::Albert
        | Family::Static => {
            return Err(Error::Model(format!(
                "{}: a cross-encoder of this architecture is not supported; use another model",
                folder.path.display()
            )));
        }
    })
}

/// The fields of config.json that describe ModernBERT's head.
#[derive(Deserialize)]
struct ModernBertHead {
    #[serde(default)]
    classifier_activation: Activation,
    #[serde(default = "default_eps")]
    norm_eps: f64,
}

/// The field of config.json that describes DeBERTa's head.
#[derive(Deserialize)]
struct DebertaHead {
    #[serde(default)]
    pooler_hidden_act: Activation,
}

fn default_eps() -> f64 {
    1e-5
}

/// The score of a language model that answers with a token: the logit of the token `token` at the last position, minus
/// the logit of the token `other`. The difference of two logits is a linear function of the last token's vector, so the
/// head is a single linear layer.
fn token_logit(
    folder: &ModelFolder,
    token: u32,
    other: Option<u32>,
    loader: &Loader,
) -> candle_core::Result<Vec<HeadLayer>> {
    // Without a layer of its own, the model uses the table of word embeddings (tied weights).
    let names = ["lm_head.weight", "model.embed_tokens.weight", "embed_tokens.weight"];
    let Some(name) = names.into_iter().find(|name| loader.has(name)) else {
        bail!("the tensor {} is missing", names[0])
    };
    let Some(vocabulary) = folder.vocabulary_size else { bail!("config.json has no vocab_size") };
    if let Some(id) = [Some(token), other].into_iter().flatten().find(|id| *id as usize >= vocabulary) {
        bail!("the answer token {id} is not in the model's vocabulary of {vocabulary} tokens");
    }
    let table = loader.tensor((vocabulary, folder.dimension()), name)?;
    let row = |token: u32| table.narrow(0, token as usize, 1);
    let weight = match other {
        Some(other) => (row(token)? - row(other)?)?,
        // A copy: a view would keep the whole table in memory.
        None => row(token)?.force_contiguous()?,
    };
    Ok(vec![HeadLayer::new(Linear::Candle(weight.t()?, None), HeadActivation::Identity)])
}
