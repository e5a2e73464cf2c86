//! The masked-language-model head of a network: it predicts for each token which tokens could stand in its place. SPLADE
//! (Formal et al. 2021) makes sparse vectors of these predictions.

use super::config;
use crate::error::{Error, Result, damaged};
use crate::kernels::Activation;
use crate::layers::{ActivationFn, Linear, Loader, Norm};
use crate::model::{Family, ModelFolder, SparseActivation, SparseConfig, SparsePooling};
use crate::weights::Weights;
use candle_core::{Result as TensorResult, Tensor};
use serde::Deserialize;
use std::ops::Range;

/// Maximum number of tokens whose predictions are computed at a time. Each has as many values as the vocabulary.
const BLOCK_TOKENS: usize = 64;

/// The layers of a masked-language-model head, and how their output becomes a sparse vector.
pub struct MlmHead {
    dense: Linear,
    activation: ActivationFn,
    norm: Norm,
    decoder: Linear,
    config: SparseConfig,
}

/// The names of the tensors of a head.
struct HeadNames {
    dense: &'static str,
    norm: &'static str,
    decoder: &'static str,
    /// The bias of the decoder, under the name that it has without a decoder of its own.
    bias: &'static str,
    /// The word embeddings, which are the decoder's weights if the checkpoint has no others (tied weights).
    word_embeddings: &'static str,
}

fn names(family: Family) -> Option<HeadNames> {
    Some(match family {
        Family::Bert => HeadNames {
            dense: "cls.predictions.transform.dense",
            norm: "cls.predictions.transform.LayerNorm",
            decoder: "cls.predictions.decoder",
            bias: "cls.predictions.bias",
            word_embeddings: "bert.embeddings.word_embeddings.weight",
        },
        Family::DistilBert => HeadNames {
            dense: "vocab_transform",
            norm: "vocab_layer_norm",
            decoder: "vocab_projector",
            bias: "vocab_projector.bias",
            word_embeddings: "distilbert.embeddings.word_embeddings.weight",
        },
        Family::Roberta => HeadNames {
            dense: "lm_head.dense",
            norm: "lm_head.layer_norm",
            decoder: "lm_head.decoder",
            bias: "lm_head.bias",
            word_embeddings: "roberta.embeddings.word_embeddings.weight",
        },
        Family::ModernBert => HeadNames {
            dense: "head.dense",
            norm: "head.norm",
            decoder: "decoder",
            bias: "decoder.bias",
            word_embeddings: "model.embeddings.tok_embeddings.weight",
        },
        _ => return None,
    })
}

/// The fields of config.json that describe the head. Architectures name them differently.
#[derive(Deserialize)]
struct HeadConfig {
    hidden_act: Option<Activation>,
    activation: Option<Activation>,
    classifier_activation: Option<Activation>,
    layer_norm_eps: Option<f64>,
    norm_eps: Option<f64>,
}

impl MlmHead {
    /// Reads the head from the weight file of the network.
    ///
    /// # Errors
    /// [`Error::Model`] if the architecture is not supported, or a tensor of the head is missing or has another shape.
    pub fn load(
        folder: &ModelFolder,
        config: SparseConfig,
        weights: &Weights,
        loader: &Loader,
    ) -> Result<MlmHead> {
        let Some(names) = names(folder.family) else {
            return Err(Error::Model(format!(
                "{}: a sparse model of this architecture is not supported, only bert, distilbert, roberta and \
                 modernbert; use another model",
                folder.path.display()
            )));
        };
        let head: HeadConfig = self::config(folder)?;
        load(folder, config, &names, &head, loader).map_err(|error| damaged(weights.path(), error))
    }

    /// Maps token vectors `[tokens, hidden]` to one vector per text, with as many values as the vocabulary.
    pub fn forward(
        &self,
        tokens: &Tensor,
        texts: impl Iterator<Item = Range<usize>>,
    ) -> TensorResult<Vec<Vec<f32>>> {
        texts.map(|text| self.vector(&tokens.narrow(0, text.start, text.len())?)).collect()
    }

    /// The vector of a text, from its token vectors.
    fn vector(&self, tokens: &Tensor) -> TensorResult<Vec<f32>> {
        let count = tokens.dim(0)?;
        let mut pooled: Vec<f32> = Vec::new();
        for start in (0..count).step_by(BLOCK_TOKENS) {
            let block = tokens.narrow(0, start, BLOCK_TOKENS.min(count - start))?.contiguous()?;
            for logits in self.logits(&block)?.to_vec2::<f32>()? {
                if pooled.is_empty() {
                    pooled = vec![0.0; logits.len()];
                }
                let values = pooled.iter_mut().zip(logits).filter(|(_, logit)| *logit > 0.0);
                values.for_each(|(pooled, logit)| *pooled = self.pool(*pooled, logit));
            }
        }
        // The logarithm is monotonic, so the maximum can be taken first.
        if self.config.pooling == SparsePooling::Max {
            pooled.iter_mut().for_each(|value| *value = self.activate(*value));
        }
        Ok(pooled)
    }

    fn pool(&self, pooled: f32, logit: f32) -> f32 {
        match self.config.pooling {
            SparsePooling::Max => pooled.max(logit),
            SparsePooling::Sum => pooled + self.activate(logit),
        }
    }

    /// `log(1 + x)` of a positive value, once or twice.
    fn activate(&self, value: f32) -> f32 {
        match self.config.activation {
            SparseActivation::Log => value.ln_1p(),
            SparseActivation::LogLog => value.ln_1p().ln_1p(),
        }
    }

    fn logits(&self, tokens: &Tensor) -> TensorResult<Tensor> {
        let hidden = self.activation.forward(&self.dense.forward(tokens)?)?;
        self.decoder.forward(&self.norm.forward(&hidden)?)?.to_dtype(candle_core::DType::F32)
    }
}

fn load(
    folder: &ModelFolder,
    config: SparseConfig,
    names: &HeadNames,
    head: &HeadConfig,
    loader: &Loader,
) -> TensorResult<MlmHead> {
    let hidden = folder.dimension();
    let Some(vocabulary) = folder.vocabulary_size else {
        candle_core::bail!("config.json has no vocab_size")
    };
    let activation = match folder.family {
        Family::ModernBert => head.classifier_activation,
        Family::DistilBert => head.activation,
        _ => head.hidden_act,
    };
    let default_eps = if folder.family == Family::ModernBert { 1e-5 } else { 1e-12 };
    let eps = head.layer_norm_eps.or(head.norm_eps).unwrap_or(default_eps);
    let own = format!("{}.weight", names.decoder);
    let own_bias = format!("{}.bias", names.decoder);
    let weight = if loader.has(&own) { own.as_str() } else { names.word_embeddings };
    let bias = [own_bias.as_str(), names.bias].into_iter().find(|name| loader.has(name));
    Ok(MlmHead {
        dense: loader.pp(names.dense).linear(hidden, hidden)?,
        activation: loader.activation_fn(activation.unwrap_or_default()),
        norm: loader.pp(names.norm).layer_norm(hidden, eps)?,
        decoder: loader.linear_of(
            loader.tensor((vocabulary, hidden), weight)?,
            bias.map(|bias| loader.tensor(vocabulary, bias)).transpose()?,
        )?,
        config,
    })
}
