//! Gemma 3 (Gemma Team), as used in EmbeddingGemma, where attention is bidirectional.

use super::config::check_positive;
use super::decoder::{GatedMlp, HeadNorms, attention};
use crate::batch::{Batch, Sequence};
use crate::kernels::Activation;
use crate::layers::alternating::{AlternatingAttention, AttentionScope, LayerTypes, RopeThetas};
use crate::layers::attention::{AttentionMask, AttentionShape};
use crate::layers::rope::RotaryAttention;
use crate::layers::{EmbeddingTable, Loader, Norm, add};
use crate::model::InputType;
use crate::network::Network;
use candle_core::Tensor;
use serde::Deserialize;

/// The fields of config.json that describe the network.
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
    #[serde(default = "default_activation")]
    hidden_activation: Activation,
    #[serde(default)]
    use_bidirectional_attention: bool,
    #[serde(flatten)]
    layer_types: LayerTypes,
    #[serde(default = "default_window_pattern")]
    sliding_window_pattern: usize,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    attn_logit_softcapping: Option<f64>,
}

/// Two names of the same field of config.json: newer versions of transformers write the first, older ones the second.
pub const OTHER_NAME: (&str, &str) = ("_sliding_window_pattern", "sliding_window_pattern");

fn default_window_pattern() -> usize {
    6
}

fn default_activation() -> Activation {
    Activation::GeluNew
}

impl Config {
    /// Checks that the config describes a supported model.
    ///
    /// # Errors
    /// Returns a message if a field requests something that is not implemented, or has a number that is out of range.
    /// The message names the field, or says which values several fields must have.
    pub fn check(&self) -> Result<(), String> {
        if self.attn_logit_softcapping.is_some() {
            return Err("attn_logit_softcapping must be null".into());
        }
        let RopeThetas { global, local } = self.thetas();
        check_positive(&[
            ("rms_norm_eps", self.rms_norm_eps),
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("sliding_window", self.sliding_window as f64),
            ("sliding_window_pattern", self.sliding_window_pattern as f64),
            ("rope_theta of full_attention", global),
            ("rope_theta of sliding_attention, or rope_local_base_freq", local),
        ])?;
        self.layer_types.check(self.num_hidden_layers)
    }

    fn thetas(&self) -> RopeThetas {
        self.layer_types.thetas(RopeThetas {
            global: self.rope_theta.unwrap_or(1_000_000.0),
            local: self.rope_local_base_freq.unwrap_or(10_000.0),
        })
    }

    fn scope(&self, layer: usize) -> AttentionScope {
        let is_global = (layer + 1).is_multiple_of(self.sliding_window_pattern);
        let default = if is_global { AttentionScope::Global } else { AttentionScope::Local };
        self.layer_types.scope(layer, default)
    }

    fn attention(&self, mask: AttentionMask) -> AttentionShape {
        AttentionShape {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_size: self.head_dim,
            scale: 1.0 / self.query_pre_attn_scalar.sqrt(),
            mask,
        }
    }
}

/// A loaded Gemma 3.
pub struct Gemma3 {
    word_embeddings: EmbeddingTable,
    /// The factor by which the word embeddings are multiplied.
    scale: f64,
    layers: Vec<Layer>,
    norm: Norm,
    attention: AlternatingAttention,
}

struct Layer {
    pre_attention_norm: Norm,
    attention: RotaryAttention,
    post_attention_norm: Norm,
    pre_feed_forward_norm: Norm,
    feed_forward: GatedMlp,
    post_feed_forward_norm: Norm,
    scope: AttentionScope,
}

impl Gemma3 {
    /// Loads the weights, for texts of up to `max_tokens` tokens.
    pub fn load(config: &Config, max_tokens: usize, loader: &Loader) -> candle_core::Result<Gemma3> {
        let loader = loader.root("model", "embed_tokens.weight");
        // If attention is bidirectional, the width in config.json covers both sides of a token, and `SlidingWindow` takes
        // the width of one side.
        let masks = match config.use_bidirectional_attention {
            true => [AttentionMask::Full, AttentionMask::SlidingWindow(config.sliding_window / 2)],
            false => [AttentionMask::Causal, AttentionMask::CausalWindow(config.sliding_window)],
        };
        let attention = AlternatingAttention::new(
            masks.map(|mask| loader.attention(config.attention(mask))),
            config.thetas(),
            max_tokens,
            (loader.tensors().dtype(), loader.device()),
        )?;
        let layers = loader.pp("layers");
        Ok(Gemma3 {
            word_embeddings: loader
                .pp("embed_tokens")
                .embedding_table(config.vocab_size, config.hidden_size)?,
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
    fn forward(&self, _: &[Sequence], batch: &Batch, _: InputType) -> candle_core::Result<Tensor> {
        let mut hidden = (self.word_embeddings.forward(&batch.ids)? * self.scale)?;
        let batch_attention = self.attention.for_batch(batch)?;
        for layer in &self.layers {
            let (attention, rotary) = batch_attention.get(layer.scope);
            let normed = layer.pre_attention_norm.forward(&hidden)?;
            let context = layer.attention.forward(&normed, attention, rotary, batch)?;
            hidden = add(&layer.post_attention_norm.forward(&context)?, &hidden)?;
            let output = layer.feed_forward.forward(&layer.pre_feed_forward_norm.forward(&hidden)?)?;
            hidden = add(&layer.post_feed_forward_norm.forward(&output)?, &hidden)?;
        }
        self.norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.word_embeddings.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, layer: usize, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        let norm = |name: &str| loader.pp(name).rms_norm(hidden, eps, 1.0);
        // Any mask will do, because the mask does not affect which weights are loaded.
        let shape = config.attention(AttentionMask::Full);
        let feed_forward = loader.pp("mlp");
        Ok(Layer {
            pre_attention_norm: norm("input_layernorm")?,
            attention: attention(
                hidden,
                &shape,
                Some(HeadNorms { eps, scale_offset: 1.0 }),
                &loader.pp("self_attn"),
            )?,
            post_attention_norm: norm("post_attention_layernorm")?,
            pre_feed_forward_norm: norm("pre_feedforward_layernorm")?,
            feed_forward: GatedMlp::load(
                hidden,
                config.intermediate_size,
                config.hidden_activation,
                &feed_forward,
            )?,
            post_feed_forward_norm: norm("post_feedforward_layernorm")?,
            scope: config.scope(layer),
        })
    }
}
