//! Qwen3 (Yang et al.), as Qwen3-Embedding has it: a decoder without its last layer. Load and forward.
//!
//! [`super::gemma3`] is built of the same parts. What is padded or cached elsewhere is not here: every text is read once,
//! from its beginning to its end.

use super::Network;
use super::attention::{Attention, Reach, split, split_heads};
use super::batch::Batch;
use super::kernels::Activation;
use super::layers::{Applied, Embedding, Gate, Linear, Loader, Norm, add};
use super::rope::{Rope, Turn};
use crate::model::Side;
use candle_core::{Result, Tensor, bail};
use serde::Deserialize;

/// The part of config.json that shapes the network.
#[derive(Deserialize)]
pub struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    vocab_size: usize,
    rms_norm_eps: f64,
    #[serde(default = "silu")]
    hidden_act: Activation,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    use_sliding_window: bool,
    is_causal: Option<bool>,
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: f64,
}

fn silu() -> Activation {
    Activation::Silu
}

/// A loaded Qwen3.
pub struct Qwen3 {
    words: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    attention: Attention,
    rope: Rope,
}

struct Layer {
    attention_norm: Norm,
    projections: Projections,
    wide_norm: Norm,
    feed_forward: Gated,
}

impl Qwen3 {
    /// Takes the weights out of a checkpoint, to read texts of up to `most` tokens.
    pub fn load(config: &Config, most: usize, loader: &Loader) -> Result<Qwen3> {
        if config.use_sliding_window {
            bail!("use_sliding_window is not supported");
        }
        let loader = loader.root("model", "embed_tokens.weight");
        let hidden = config.hidden_size;
        let rope = config.rope_parameters.as_ref().map(|rope| rope.rope_theta);
        let theta = rope.or(config.rope_theta).unwrap_or(1_000_000.0);
        let attention = Attention {
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            size: config.head_dim,
            scale: 1.0 / (config.head_dim as f64).sqrt(),
            reach: if config.is_causal == Some(false) { Reach::All } else { Reach::Causal },
        };
        Ok(Qwen3 {
            words: loader.pp("embed_tokens").embedding(config.vocab_size, hidden)?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &attention, &loader.pp("layers").pp(layer)))
                .collect::<Result<_>>()?,
            norm: loader.pp("norm").rms_norm(hidden, config.rms_norm_eps, 0.0)?,
            rope: Rope::new(most, config.head_dim, theta, loader.tensors().dtype(), loader.device())?,
            attention,
        })
    }
}

impl Network for Qwen3 {
    fn forward(&self, _: &[&[u32]], batch: &Batch, _: Side) -> Result<Tensor> {
        let mut hidden = self.words.forward(&batch.ids)?;
        let turn = self.rope.turn(batch)?;
        for layer in &self.layers {
            let normed = layer.attention_norm.forward(&hidden)?;
            hidden = add(&layer.projections.attend(&normed, &self.attention, &turn, batch)?, &hidden)?;
            hidden = add(&layer.feed_forward.forward(&layer.wide_norm.forward(&hidden)?)?, &hidden)?;
        }
        self.norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, attention: &Attention, loader: &Loader) -> Result<Layer> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        Ok(Layer {
            attention_norm: loader.pp("input_layernorm").rms_norm(hidden, eps, 0.0)?,
            projections: Projections::load(hidden, attention, (eps, 0.0), &loader.pp("self_attn"))?,
            wide_norm: loader.pp("post_attention_layernorm").rms_norm(hidden, eps, 0.0)?,
            feed_forward: Gated::load(
                hidden,
                config.intermediate_size,
                config.hidden_act,
                &loader.pp("mlp"),
            )?,
        })
    }
}

/// Attention's linear layers, and the norms of every head's queries and keys.
pub struct Projections {
    qkv: Linear,
    query_norm: Norm,
    key_norm: Norm,
    output: Linear,
}

impl Projections {
    /// Takes them from a layer's `self_attn`; norms have `eps`, and `more` added to their scales.
    pub fn load(
        hidden: usize,
        attention: &Attention,
        (eps, more): (f64, f64),
        loader: &Loader,
    ) -> Result<Projections> {
        let Attention { heads, kv_heads, size, .. } = attention;
        let parts = ["q_proj", "k_proj", "v_proj"].map(|part| loader.pp(part));
        let norm = |name: &str| loader.pp(name).rms_norm(*size, eps, more);
        Ok(Projections {
            qkv: Loader::joined(
                &parts.each_ref(),
                hidden,
                &[heads * size, kv_heads * size, kv_heads * size],
            )?,
            query_norm: norm("q_norm")?,
            key_norm: norm("k_norm")?,
            output: loader.pp("o_proj").linear(heads * size, hidden)?,
        })
    }

    /// Attention over normed rows, and what it gives through the last layer.
    pub fn attend(
        &self,
        normed: &Tensor,
        attention: &Attention,
        turn: &Turn,
        batch: &Batch,
    ) -> Result<Tensor> {
        let Attention { heads, kv_heads, size, .. } = attention;
        let parts = split(&self.qkv.forward(normed)?, &[heads * size, kv_heads * size, kv_heads * size])?;
        let query = turn.apply(&self.query_norm.forward(&split_heads(&parts[0], *heads)?)?)?;
        let key = turn.apply(&self.key_norm.forward(&split_heads(&parts[1], *kv_heads)?)?)?;
        let value = split_heads(&parts[2], *kv_heads)?;
        self.output.forward(&attention.forward([&query, &key, &value], None, batch)?)
    }
}

/// A gated feed-forward part (Shazeer, GLU Variants).
pub struct Gated {
    wide: Linear,
    activation: Applied,
    output: Linear,
}

impl Gated {
    /// Takes it from a layer's `mlp`.
    pub fn load(hidden: usize, wide: usize, activation: Activation, loader: &Loader) -> Result<Gated> {
        let parts = ["gate_proj", "up_proj"].map(|part| loader.pp(part));
        Ok(Gated {
            wide: Loader::joined(&parts.each_ref(), hidden, &[wide; 2])?,
            activation: loader.function(activation),
            output: loader.pp("down_proj").linear(wide, hidden)?,
        })
    }

    /// `output(f(gate(x)) * up(x))`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.output.forward(&self.activation.gated(&self.wide.forward(x)?, Gate::First)?)
    }
}
