//! Qwen3 (Yang et al.), as Qwen3-Embedding has it: a decoder without its last layer. Load and forward.
//!
//! [`crate::architectures::gemma3`] is built of the same parts. What is padded or cached elsewhere is not here: every text is read once,
//! from its beginning to its end.

use super::config::positive;
use crate::batch::Batch;
use crate::kernels::Activation;
use crate::layers::attention::{Attention, Reach};
use crate::layers::rope;
use crate::layers::rope::{Rope, RotaryAttention};
use crate::layers::{Applied, Embedding, Gate, Linear, Loader, Norm, add};
use crate::model::Side;
use crate::network::Network;
use candle_core::Tensor;
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
    rope_parameters: Option<rope::Parameters>,
    #[serde(default)]
    use_sliding_window: bool,
    is_causal: Option<bool>,
}

fn silu() -> Activation {
    Activation::Silu
}

impl Config {
    /// Refuses what is not computed here, and numbers that nothing can be computed with.
    pub fn check(&self) -> Result<(), String> {
        if self.use_sliding_window {
            return Err("use_sliding_window is not supported".into());
        }
        positive(&[("rms_norm_eps", self.rms_norm_eps), ("rope_theta", self.theta())])
    }

    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().map(|rope| rope.rope_theta);
        newer.or(self.rope_theta).unwrap_or(1_000_000.0)
    }
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
    attention: RotaryAttention,
    wide_norm: Norm,
    feed_forward: Gated,
}

impl Qwen3 {
    /// Takes the weights out of a checkpoint, to read texts of up to `most` tokens.
    pub fn load(config: &Config, most: usize, loader: &Loader) -> candle_core::Result<Qwen3> {
        let loader = loader.root("model", "embed_tokens.weight");
        let hidden = config.hidden_size;
        let theta = config.theta();
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
                .collect::<candle_core::Result<_>>()?,
            norm: loader.pp("norm").rms_norm(hidden, config.rms_norm_eps, 0.0)?,
            rope: Rope::new(most, config.head_dim, theta, loader.tensors().dtype(), loader.device())?,
            attention,
        })
    }
}

impl Network for Qwen3 {
    fn forward(&self, _: &[&[u32]], batch: &Batch, _: Side) -> candle_core::Result<Tensor> {
        let mut hidden = self.words.forward(&batch.ids)?;
        let turn = self.rope.turn(batch)?;
        for layer in &self.layers {
            let normed = layer.attention_norm.forward(&hidden)?;
            hidden = add(&layer.attention.forward(&normed, &self.attention, &turn, batch)?, &hidden)?;
            hidden = add(&layer.feed_forward.forward(&layer.wide_norm.forward(&hidden)?)?, &hidden)?;
        }
        self.norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, attention: &Attention, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        Ok(Layer {
            attention_norm: loader.pp("input_layernorm").rms_norm(hidden, eps, 0.0)?,
            attention: self::attention(hidden, attention, (eps, 0.0), &loader.pp("self_attn"))?,
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

/// Attention as a layer's `self_attn` has it, every head's queries and keys normed with `eps`, and with `more` added to
/// the norms' scales.
pub fn attention(
    hidden: usize,
    shape: &Attention,
    (eps, more): (f64, f64),
    loader: &Loader,
) -> candle_core::Result<RotaryAttention> {
    let Attention { heads, kv_heads, size, .. } = shape;
    let parts = ["q_proj", "k_proj", "v_proj"].map(|part| loader.pp(part));
    let norm = |name: &str| loader.pp(name).rms_norm(*size, eps, more);
    Ok(RotaryAttention {
        qkv: Loader::joined(&parts.each_ref(), hidden, &[heads * size, kv_heads * size, kv_heads * size])?,
        norms: Some((norm("q_norm")?, norm("k_norm")?)),
        output: loader.pp("o_proj").linear(heads * size, hidden)?,
    })
}

/// A gated feed-forward part (Shazeer, GLU Variants).
pub struct Gated {
    wide: Linear,
    activation: Applied,
    output: Linear,
}

impl Gated {
    /// Takes it from a layer's `mlp`.
    pub fn load(
        hidden: usize,
        wide: usize,
        activation: Activation,
        loader: &Loader,
    ) -> candle_core::Result<Gated> {
        let parts = ["gate_proj", "up_proj"].map(|part| loader.pp(part));
        Ok(Gated {
            wide: Loader::joined(&parts.each_ref(), hidden, &[wide; 2])?,
            activation: loader.function(activation),
            output: loader.pp("down_proj").linear(wide, hidden)?,
        })
    }

    /// `output(f(gate(x)) * up(x))`.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.output.forward(&self.activation.gated(&self.wide.forward(x)?, Gate::First)?)
    }
}
