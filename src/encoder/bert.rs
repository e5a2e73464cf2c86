//! BERT: load and forward (Devlin et al., BERT; post-layer-norm encoder), nothing else.
//!
//! candle holds the tensors and multiplies inside attention. Multiplication by the weights, and what
//! lies between two multiplications, is from [`super::kernels`]: bias with GELU, bias with residual
//! and layer norm, mask with softmax.

use super::{Architecture, kernels};
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use kernels::Activation;
use serde::Deserialize;

/// The part of config.json that shapes the network.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "default_eps")]
    layer_norm_eps: f32,
    #[serde(default)]
    hidden_act: Activation,
}

fn two() -> usize {
    2
}

fn default_eps() -> f32 {
    1e-12
}

/// A loaded BERT.
pub struct Bert {
    words: Tensor,
    /// Position embeddings, with the embedding of token type 0 already added to each.
    positions: Tensor,
    embedding_norm: kernels::Norm,
    layers: Vec<Layer>,
}

struct Layer {
    heads: usize,
    /// Query, key and value as one multiplication.
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: kernels::Norm,
    intermediate: Linear,
    activation: Activation,
    output: Linear,
    output_norm: kernels::Norm,
}

/// A weight, packed, and its bias `[outputs]`, which the kernel after the multiplication adds.
struct Linear {
    weight: kernels::PackedWeight,
    bias: Tensor,
}

impl Bert {
    /// Takes the weights out of a safetensors file, with or without the `bert.` prefix that some
    /// checkpoints have.
    pub fn load(config: &Config, tensors: VarBuilder) -> Result<Bert> {
        let has_prefix = tensors.contains_tensor("bert.embeddings.word_embeddings.weight");
        let tensors = if has_prefix { tensors.pp("bert") } else { tensors };
        let hidden = config.hidden_size;
        let embeddings = tensors.pp("embeddings");
        let words = embeddings.get((config.vocab_size, hidden), "word_embeddings.weight")?;
        let positions =
            embeddings.get((config.max_position_embeddings, hidden), "position_embeddings.weight")?;
        let types = embeddings.get((config.type_vocab_size, hidden), "token_type_embeddings.weight")?;
        let layers = tensors.pp("encoder.layer");
        Ok(Bert {
            words,
            positions: positions.broadcast_add(&types.get(0)?)?,
            embedding_norm: norm(config, &embeddings.pp("LayerNorm"), None)?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &layers.pp(layer)))
                .collect::<Result<_>>()?,
        })
    }

    /// Sum of word, position and type embeddings, normed: `[texts * tokens, hidden]`.
    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let (texts, tokens) = ids.dims2()?;
        let words = self.words.index_select(&ids.flatten_all()?, 0)?;
        let positions = self.positions.narrow(0, 0, tokens)?;
        let positions = positions.repeat((texts, 1))?;
        self.embedding_norm.add_and_norm(&words, &positions)?;
        Ok(words)
    }
}

impl Architecture for Bert {
    fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, tokens) = ids.dims2()?;
        // 0 for a token, hugely negative for padding: added to the scores before softmax.
        let mask = ((mask.to_dtype(DType::F32)? - 1.0)? * 1e30)?;
        let mut hidden = self.embed(ids)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden, &mask)?;
        }
        let width = hidden.dim(1)?;
        hidden.reshape((texts, tokens, width))
    }
}

impl Layer {
    fn load(config: &Config, tensors: &VarBuilder) -> Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let attention = tensors.pp("attention");
        let parts = ["query", "key", "value"]
            .map(|part| Linear::load_raw(hidden, hidden, &attention.pp("self").pp(part)));
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        let weights: Vec<&Tensor> = parts.iter().map(|(weight, _)| weight).collect();
        let biases: Vec<&Tensor> = parts.iter().map(|(_, bias)| bias).collect();
        let attention_output = Linear::load(hidden, hidden, &attention.pp("output.dense"))?;
        let output = Linear::load(wide, hidden, &tensors.pp("output.dense"))?;
        Ok(Layer {
            heads: config.num_attention_heads,
            query_key_value: Linear::new(&Tensor::cat(&weights, 0)?, Tensor::cat(&biases, 0)?)?,
            attention_norm: norm(config, &attention.pp("output.LayerNorm"), Some(&attention_output))?,
            attention_output,
            intermediate: Linear::load(hidden, wide, &tensors.pp("intermediate.dense"))?,
            activation: config.hidden_act,
            output_norm: norm(config, &tensors.pp("output.LayerNorm"), Some(&output))?,
            output,
        })
    }

    /// `[texts * tokens, hidden]` to the same shape.
    fn forward(&self, hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let context = self.attend(hidden, mask)?;
        let attended = self.attention_output.weight.multiply(&context)?;
        self.attention_norm.add_and_norm(&attended, hidden)?;
        let wide = self.intermediate.weight.multiply(&attended)?;
        kernels::bias_and_activate(&wide, &self.intermediate.bias, self.activation)?;
        let output = self.output.weight.multiply(&wide)?;
        self.output_norm.add_and_norm(&output, &attended)?;
        Ok(output)
    }

    /// Scaled dot-product attention (Vaswani et al., section 3.2), all heads: `[texts * tokens, hidden]`.
    fn attend(&self, hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (texts, tokens) = mask.dims2()?;
        let width = hidden.dim(1)?;
        let head = width / self.heads;
        let qkv = self.query_key_value.weight.multiply(hidden)?;
        kernels::bias_and_activate(&qkv, &self.query_key_value.bias, Activation::None)?;
        let qkv = qkv.reshape((texts, tokens, 3, self.heads, head))?;
        let part = |index| qkv.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (query, key, value): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
        let scores = query.matmul(&key.t()?)?;
        kernels::masked_softmax(&scores, mask, 1.0 / (head as f32).sqrt())?;
        scores.matmul(&value)?.transpose(1, 2)?.reshape((texts * tokens, width))
    }
}

impl Linear {
    fn load_raw(inputs: usize, outputs: usize, tensors: &VarBuilder) -> Result<(Tensor, Tensor)> {
        Ok((tensors.get((outputs, inputs), "weight")?, tensors.get(outputs, "bias")?))
    }

    fn load(inputs: usize, outputs: usize, tensors: &VarBuilder) -> Result<Linear> {
        let (weight, bias) = Linear::load_raw(inputs, outputs, tensors)?;
        Linear::new(&weight, bias)
    }

    fn new(weight: &Tensor, bias: Tensor) -> Result<Linear> {
        Ok(Linear { weight: kernels::PackedWeight::new(weight)?, bias })
    }
}

/// The norm that follows `linear`, taking that layer's bias along; older checkpoints name the two
/// parameters `gamma` and `beta`.
fn norm(config: &Config, tensors: &VarBuilder, linear: Option<&Linear>) -> Result<kernels::Norm> {
    let size = config.hidden_size;
    let old_names = tensors.contains_tensor("gamma");
    let (scale, shift) = if old_names { ("gamma", "beta") } else { ("weight", "bias") };
    let zeros = || Tensor::zeros(size, DType::F32, tensors.device());
    let bias = linear.map_or_else(zeros, |linear| Ok(linear.bias.clone()))?;
    kernels::Norm::new(&bias, &tensors.get(size, scale)?, &tensors.get(size, shift)?, config.layer_norm_eps)
}
