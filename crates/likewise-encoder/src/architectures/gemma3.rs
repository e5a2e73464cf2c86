//! Gemma 3 (Gemma Team), as EmbeddingGemma has it: every token sees those on both sides. Load and forward.

use super::config::positive;
use super::qwen3::{Gated, attention};
use crate::batch::Batch;
use crate::kernels::Activation;
use crate::layers::alternating::{Alternating, Kinds};
use crate::layers::attention::{Attention, Reach};
use crate::layers::rope::RotaryAttention;
use crate::layers::{Embedding, Loader, Norm, add};
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
    query_pre_attn_scalar: f64,
    sliding_window: usize,
    #[serde(default = "tanh_gelu")]
    hidden_activation: Activation,
    #[serde(default)]
    use_bidirectional_attention: bool,
    #[serde(flatten)]
    kinds: Kinds,
    #[serde(default = "six")]
    sliding_window_pattern: usize,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    attn_logit_softcapping: Option<f64>,
}

/// A name that some files have for another.
pub const OLDER_NAME: (&str, &str) = ("_sliding_window_pattern", "sliding_window_pattern");

fn six() -> usize {
    6
}

fn tanh_gelu() -> Activation {
    Activation::GeluNew
}

impl Config {
    /// Refuses what is not computed here, and numbers that nothing can be computed with.
    pub fn check(&self) -> Result<(), String> {
        if !self.use_bidirectional_attention || self.attn_logit_softcapping.is_some() {
            return Err("of gemma3 only the kind of EmbeddingGemma is supported: use_bidirectional_attention, without soft \
                        caps"
                .into());
        }
        let (global, local) = self.thetas();
        positive(&[
            ("rms_norm_eps", self.rms_norm_eps),
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("sliding_window", self.sliding_window as f64),
            ("sliding_window_pattern", self.sliding_window_pattern as f64),
            ("rope_theta of full_attention", global),
            ("rope_theta of sliding_attention, or rope_local_base_freq", local),
        ])?;
        self.kinds.check(self.num_hidden_layers)
    }

    fn thetas(&self) -> (f64, f64) {
        let (global, local) = (self.rope_theta, self.rope_local_base_freq);
        self.kinds.thetas((global.unwrap_or(1_000_000.0), local.unwrap_or(10_000.0)))
    }

    fn is_global(&self, layer: usize) -> bool {
        self.kinds.is_global(layer, (layer + 1).is_multiple_of(self.sliding_window_pattern))
    }

    fn attention(&self, reach: Reach) -> Attention {
        Attention {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            size: self.head_dim,
            scale: 1.0 / self.query_pre_attn_scalar.sqrt(),
            reach,
        }
    }
}

/// A loaded Gemma 3.
pub struct Gemma3 {
    words: Embedding,
    /// What word embeddings are multiplied by.
    scale: f64,
    layers: Vec<Layer>,
    norm: Norm,
    attention: Alternating,
}

struct Layer {
    before_attention: Norm,
    attention: RotaryAttention,
    after_attention: Norm,
    before_wide: Norm,
    feed_forward: Gated,
    after_wide: Norm,
    is_global: bool,
}

impl Gemma3 {
    /// Takes the weights out of a checkpoint, to read texts of up to `most` tokens.
    pub fn load(config: &Config, most: usize, loader: &Loader) -> candle_core::Result<Gemma3> {
        let loader = loader.root("model", "embed_tokens.weight");
        // The window counts both sides.
        let near = Reach::Window(config.sliding_window / 2);
        let attention = Alternating::new(
            [Reach::All, near].map(|reach| config.attention(reach)),
            config.thetas(),
            most,
            (loader.tensors().dtype(), loader.device()),
        )?;
        let layers = loader.pp("layers");
        Ok(Gemma3 {
            words: loader.pp("embed_tokens").embedding(config.vocab_size, config.hidden_size)?,
            scale: (config.hidden_size as f64).sqrt(),
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, layer, &layers.pp(layer)))
                .collect::<candle_core::Result<_>>()?,
            norm: loader.pp("norm").rms_norm(config.hidden_size, config.rms_norm_eps, 1.0)?,
            attention,
        })
    }
}

impl Network for Gemma3 {
    fn forward(&self, _: &[&[u32]], batch: &Batch, _: Side) -> candle_core::Result<Tensor> {
        let mut hidden = (self.words.forward(&batch.ids)? * self.scale)?;
        let turned = self.attention.turned(batch)?;
        for layer in &self.layers {
            let (shape, turn) = turned.kind(layer.is_global);
            let normed = layer.before_attention.forward(&hidden)?;
            let context = layer.attention.forward(&normed, shape, turn, batch)?;
            hidden = add(&layer.after_attention.forward(&context)?, &hidden)?;
            let wide = layer.feed_forward.forward(&layer.before_wide.forward(&hidden)?)?;
            hidden = add(&layer.after_wide.forward(&wide)?, &hidden)?;
        }
        self.norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, layer: usize, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let norm = |name: &str| loader.pp(name).rms_norm(hidden, eps, 1.0);
        // Which of the two it is does not change what is loaded.
        let shape = config.attention(Reach::All);
        let feed_forward = loader.pp("mlp");
        Ok(Layer {
            before_attention: norm("input_layernorm")?,
            attention: attention(hidden, &shape, (eps, 1.0), &loader.pp("self_attn"))?,
            after_attention: norm("post_attention_layernorm")?,
            before_wide: norm("pre_feedforward_layernorm")?,
            feed_forward: Gated::load(
                hidden,
                config.intermediate_size,
                config.hidden_activation,
                &feed_forward,
            )?,
            after_wide: norm("post_feedforward_layernorm")?,
            is_global: config.is_global(layer),
        })
    }
}
