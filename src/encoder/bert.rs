//! BERT in candle's own operations: load and forward (Devlin et al., BERT; post-layer-norm encoder).
//!
//! It runs wherever candle does, and is what the fast path in [`super::packed`] is judged by.

use super::kernels::Activation;
use super::{Architecture, pooling};
use crate::model::Pooling;
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder};
use serde::Deserialize;

/// The part of config.json that shapes the network.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub hidden_act: Activation,
}

fn two() -> usize {
    2
}

fn default_eps() -> f64 {
    1e-12
}

/// A loaded BERT.
pub struct Bert {
    words: Embedding,
    /// Position embeddings, with the embedding of token type 0 already added to each.
    positions: Tensor,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    pooling: Pooling,
    device: Device,
}

struct Layer {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    activation: Activation,
    output: Linear,
    output_norm: LayerNorm,
}

/// Some checkpoints have all names under `bert`.
pub fn root(tensors: VarBuilder) -> VarBuilder {
    if tensors.contains_tensor("bert.embeddings.word_embeddings.weight") {
        tensors.pp("bert")
    } else {
        tensors
    }
}

/// Position embeddings, with the embedding of token type 0 added to each: `[positions, hidden]`.
pub fn positions(config: &Config, embeddings: &VarBuilder) -> Result<Tensor> {
    let hidden = config.hidden_size;
    let positions = embeddings.get((config.max_position_embeddings, hidden), "position_embeddings.weight")?;
    let types = embeddings.get((config.type_vocab_size, hidden), "token_type_embeddings.weight")?;
    positions.broadcast_add(&types.get(0)?)
}

/// Scale and shift of a norm; older checkpoints name them `gamma` and `beta`.
pub fn norm_parameters(config: &Config, tensors: &VarBuilder) -> Result<(Tensor, Tensor)> {
    let old_names = tensors.contains_tensor("gamma");
    let (scale, shift) = if old_names { ("gamma", "beta") } else { ("weight", "bias") };
    Ok((tensors.get(config.hidden_size, scale)?, tensors.get(config.hidden_size, shift)?))
}

impl Bert {
    /// Takes the weights out of a safetensors file.
    pub fn load(config: &Config, pooling: Pooling, tensors: VarBuilder) -> Result<Bert> {
        let device = tensors.device().clone();
        let tensors = root(tensors);
        let embeddings = tensors.pp("embeddings");
        let words = embeddings.get((config.vocab_size, config.hidden_size), "word_embeddings.weight")?;
        let layers = tensors.pp("encoder.layer");
        Ok(Bert {
            words: Embedding::new(words, config.hidden_size),
            positions: positions(config, &embeddings)?,
            embedding_norm: norm(config, &embeddings.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &layers.pp(layer)))
                .collect::<Result<_>>()?,
            pooling,
            device,
        })
    }

    /// Token ids and attention mask, both `[texts, tokens]`, to `[texts, tokens, hidden]`.
    fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        // 0 for a token, hugely negative for padding: added to the scores before softmax.
        let mask = ((mask - 1.0)? * 1e30)?.unsqueeze(1)?.unsqueeze(1)?;
        let positions = self.positions.narrow(0, 0, ids.dim(1)?)?;
        let mut hidden = self.embedding_norm.forward(&self.words.forward(ids)?.broadcast_add(&positions)?)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &mask)?;
        }
        Ok(hidden)
    }
}

impl Architecture for Bert {
    fn embed(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let width = texts.iter().map(|ids| ids.len()).max().unwrap_or_default();
        let padded =
            |ids: &&[u32]| ids.iter().copied().chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>();
        let kept =
            |ids: &&[u32]| (0..width).map(|place| f32::from(u8::from(place < ids.len()))).collect::<Vec<_>>();
        let ids = Tensor::new(texts.iter().map(padded).collect::<Vec<_>>(), &self.device)?;
        let mask = Tensor::new(texts.iter().map(kept).collect::<Vec<_>>(), &self.device)?;
        let hidden = self.forward(&ids, &mask)?;
        match self.pooling {
            Pooling::Mean => pooling::mean(&hidden, &mask)?,
            Pooling::Cls => pooling::cls(&hidden)?,
        }
        .to_vec2()
    }
}

impl Layer {
    fn load(config: &Config, tensors: &VarBuilder) -> Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let attention = tensors.pp("attention");
        let part = |name| candle_nn::linear(hidden, hidden, attention.pp("self").pp(name));
        Ok(Layer {
            heads: config.num_attention_heads,
            query: part("query")?,
            key: part("key")?,
            value: part("value")?,
            attention_output: candle_nn::linear(hidden, hidden, attention.pp("output.dense"))?,
            attention_norm: norm(config, &attention.pp("output.LayerNorm"))?,
            intermediate: candle_nn::linear(hidden, wide, tensors.pp("intermediate.dense"))?,
            activation: config.hidden_act,
            output: candle_nn::linear(wide, hidden, tensors.pp("output.dense"))?,
            output_norm: norm(config, &tensors.pp("output.LayerNorm"))?,
        })
    }

    fn forward(&self, hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let context = self.attend(hidden, mask)?;
        let attended = self.attention_norm.forward(&(self.attention_output.forward(&context)? + hidden)?)?;
        let wide = self.intermediate.forward(&attended)?;
        let wide = match self.activation {
            Activation::Gelu => wide.gelu_erf()?,
            Activation::GeluNew => wide.gelu()?,
            Activation::Relu => wide.relu()?,
        };
        self.output_norm.forward(&(self.output.forward(&wide)? + attended)?)
    }

    /// Scaled dot-product attention (Vaswani et al., section 3.2), all heads.
    fn attend(&self, hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, tokens, width) = hidden.dims3()?;
        let head = width / self.heads;
        let split = |linear: &Linear| {
            linear.forward(hidden)?.reshape((texts, tokens, self.heads, head))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let scores = (query.matmul(&key.t()?)? / (head as f64).sqrt())?.broadcast_add(mask)?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
        weights.matmul(&value)?.transpose(1, 2)?.reshape((texts, tokens, width))
    }
}

fn norm(config: &Config, tensors: &VarBuilder) -> Result<LayerNorm> {
    let (scale, shift) = norm_parameters(config, tensors)?;
    Ok(LayerNorm::new(scale.to_dtype(DType::F32)?, shift.to_dtype(DType::F32)?, config.layer_norm_eps))
}
